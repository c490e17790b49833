"""Run the examples of a page with the Python that runs this file: python readme_examples.py README.md

`make check-package` runs it in a fresh environment that has the built wheel and nothing of this checkout. Commands that train for
long are left out by `LONG`; all others have to succeed.
"""

# ruff: noqa: T201 -- a script for the terminal

import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

LONG = ("run", "search", "estimators", "import")
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def examples(text: str) -> list[list[str]]:
    """Return the command of each example, in the order of the page: blocks of Python, and lines of shell."""
    command = str(Path(sys.executable).with_name("disbench"))
    found = []
    for language, code in BLOCK.findall(text):
        if language == "python":
            found.append([sys.executable, "-c", code])
            continue
        for line in code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            short = words[:1] == ["disbench"] and not set(words[1:3]) & set(LONG)
            if short and not any("runs/" in word and "--out" not in words for word in words):
                found.append([command, *words[1:]])
    return found


def main(page: Path) -> None:
    """Run every example in an empty folder and stop at the first that fails."""
    todo = examples(page.read_text(encoding="utf-8"))
    if not todo:
        raise SystemExit(f"{page} has no example.")
    with tempfile.TemporaryDirectory() as folder:
        for command in todo:
            print("$", shlex.join(command), flush=True)
            subprocess.run(command, cwd=folder, check=True)
    print(f"{len(todo)} examples passed with Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
