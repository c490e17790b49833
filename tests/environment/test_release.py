"""What a release is made of: one version, a complete source distribution, and workflows that call targets of the Makefile."""

import re
import subprocess
import sys
import tarfile
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from readme_examples import examples

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# Another name of the same package in a conda channel.
CONDA = {"torch": "pytorch"}


def test_the_version_stands_in_one_place_and_the_changelog_has_it() -> None:
    assert version("disbench") == PROJECT["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", changelog, flags=re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(PROJECT['version'])} - \d{{4}}-\d\d-\d\d", headings[1])
    kinds = set(re.findall(r"^### (.+)$", changelog, flags=re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}  # Keep a Changelog 1.1.0


def requirement(text: str) -> tuple[str, str]:
    name, bound = re.fullmatch(r"([\w.-]+)\s*(.*)", text).groups()  # type: ignore[union-attr]
    return CONDA.get(name, name), bound


def test_the_conda_recipe_needs_what_the_project_needs() -> None:
    recipe = yaml.safe_load((ROOT / "packaging" / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    core, train = (output["requirements"]["run"] for output in recipe["outputs"])
    extras = PROJECT["optional-dependencies"]
    assert recipe["context"]["version"] == PROJECT["version"]
    assert [*map(requirement, core)] == [
        ("python", PROJECT["requires-python"]),
        *map(requirement, PROJECT["dependencies"]),
    ]
    needed = [text for text in [*extras["pictures"], *extras["train"]] if not text.startswith("disbench[")]
    assert [*map(requirement, train[1:])] == [*map(requirement, needed)]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_targets_that_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    called = [step["run"].split()[:2] for job in jobs.values() for step in job.get("steps", ()) if "run" in step]
    assert called
    assert {words[1] for words in called if words[0] == "make"} <= targets
    assert {words[0] for words in called} <= {"make", "test"}


def test_the_workflows_run_every_check() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    for target in ("lint", "types", "unit", "coverage", "lowest", "docs", "package", "check-package", "newest", "slow"):
        assert f"make {target}" in text, target
    pythons = yaml.safe_load(WORKFLOWS[0].read_text(encoding="utf-8"))["jobs"]["tests"]["strategy"]["matrix"]["python"]
    supported = [text.rpartition(" ")[2] for text in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", text)]
    assert pythons == supported


def test_the_examples_of_a_page_are_its_python_and_its_short_commands() -> None:
    shell = "disbench list  # all\ndisbench run full --out runs/full\nls\ndisbench status runs/x\n"
    page = f"```python\nx = 1\n```\n```sh\n{shell}```\n"
    assert [command[1:] for command in examples(page)] == [["-c", "x = 1\n"], ["list"]]
    assert examples((ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_source_distribution_has_every_file_that_git_has(tmp_path: Path) -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not tracked:
        pytest.skip("not a checkout")
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert set(tracked) - packed <= {".gitignore", ".dockerignore"}
