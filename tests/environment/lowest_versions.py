"""Write a constraints file that pins every dependency of pyproject.toml to the lowest version it allows.

    python tests/environment/lowest_versions.py lowest.txt
    python -m pip install --constraint lowest.txt '.[test]'

`tox -e lowest` runs the test suite with these versions, so that each lower bound is one that was tried.
"""

# ruff: noqa: T201 -- a script for the terminal

import itertools
import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
TOOLS = ("docs", "release", "test")  # extras for work on disbench itself; their versions promise nothing to a user
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?P<extras>\[[^]]*\])?\s*>=\s*(?P<lowest>[0-9][0-9a-z.]*)")


def lowest_versions(project: Path = PROJECT) -> dict[str, str]:
    """The lowest allowed version by distribution, of the dependencies and of the extras for users.

    Raises ValueError for a dependency without a lower bound: nothing would be tested.
    """
    content = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    extras = (needed for name, needed in content["optional-dependencies"].items() if name not in TOOLS)
    found: dict[str, str] = {}
    for requirement in itertools.chain(content["dependencies"], *extras):
        if requirement.startswith(f"{content['name']}["):  # another extra, which is in the list itself
            continue
        match = REQUIREMENT.match(requirement)
        if match is None:
            raise ValueError(f"{requirement!r} has no lower bound; write it as name>=version.")
        found[match["name"]] = match["lowest"]
    return found


if __name__ == "__main__":
    lines = "".join(f"{name}=={lowest}\n" for name, lowest in lowest_versions().items())
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(lines, encoding="utf-8")
    else:
        print(lines, end="")
