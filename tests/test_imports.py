"""Who may import whom: data flows one way, and only files lie between the stages."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "datasets": set(),
    "metrics": set(),
    "baselines": set(),
    "mine_vae": {"baselines"},
    "reports": {"datasets", "metrics"},
    "benchmarks": {"datasets", "metrics", "baselines", "mine_vae", "reports"},
}
WITHOUT_TORCH = ("metrics", "reports")


def imported(folder: str) -> set[str]:
    """Every module that a folder's files name in an import, in full."""
    names = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path} imports relatively; name the module in full."
                names.add(node.module or "")
    return names


def ours(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("disbench.")}


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_only_what_it_may(folder: str) -> None:
    assert ours(imported(folder)) - {folder} <= ALLOWED[folder]


@pytest.mark.parametrize("folder", ALLOWED)
def test_no_folder_is_imported_by_its_bare_name(folder: str) -> None:
    assert not {name.split(".")[0] for name in imported(folder)} & set(ALLOWED)


@pytest.mark.parametrize("folder", WITHOUT_TORCH)
def test_scoring_and_reporting_need_no_torch(folder: str) -> None:
    assert not {name.split(".")[0] for name in imported(folder)} & {"torch", "pytorch_lightning"}


def test_every_folder_with_code_is_held_to_a_direction() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders - {"tests"} == set(ALLOWED)
