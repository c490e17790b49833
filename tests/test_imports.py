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
# The rooms of a folder, lowest floor first. A room imports from lower floors alone; rooms on one floor do not know each other.
FLOORS = {
    "benchmarks": ["runtime", "methods", "plugins", "settings", "training", "trials estimators", "studies", "cli"],
    "datasets": ["moved untrusted wording", "factors", "storage", "official procedural imported", "registry"],
    "reports": ["records", "statistics", "tables", "comparison", "export", "markup", "estimators stress", "page"],
}
MOST_ROOMS = 9
COMMON = {"disbench.datasets.wording"}  # it imports nothing of ours
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
    assert ours(imported(folder) - COMMON) - {folder} <= ALLOWED[folder]


@pytest.mark.parametrize("folder", ALLOWED)
def test_no_folder_is_imported_by_its_bare_name(folder: str) -> None:
    assert not {name.split(".")[0] for name in imported(folder)} & set(ALLOWED)


@pytest.mark.parametrize("folder", WITHOUT_TORCH)
def test_scoring_and_reporting_need_no_torch(folder: str) -> None:
    assert not {name.split(".")[0] for name in imported(folder)} & {"torch", "pytorch_lightning"}


def test_every_folder_with_code_is_held_to_a_direction() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders - {"tests"} == set(ALLOWED)


def room(path: Path, folder: str) -> str:
    return path.relative_to(ROOT / folder).parts[0].removesuffix(".py")


def rooms_imported(path: Path, folder: str) -> set[str]:
    """The rooms of a folder from which a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith(f"disbench.{folder}"):
            continue
        parts = (node.module or "").split(".")[2:]
        found |= {parts[0]} if parts else {alias.name.lower() for alias in node.names}
    return found


@pytest.mark.parametrize("folder", FLOORS)
def test_imports_go_down_the_floors(folder: str) -> None:
    floor = {name: number for number, names in enumerate(FLOORS[folder]) for name in names.split()}
    wrong = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        if path.parent == ROOT / folder and path.name == "__init__.py":
            continue
        here = room(path, folder)
        assert here in floor, f"{path} is in no room: put it in one, or give the new room a floor."
        wrong += [
            f"{path.relative_to(ROOT)} imports {other}"
            for other in rooms_imported(path, folder) & set(floor)
            if other != here and floor[other] >= floor[here]
        ]
    assert not wrong


ROOMY = ("metrics", "baselines", "mine_vae", "datasets/official", "datasets/procedural")  # one idea a module


def rooms_in(folder: Path) -> list[str]:
    modules = [path.stem for path in folder.glob("*.py") if path.name != "__init__.py"]
    return modules + [path.parent.name for path in folder.glob("*/__init__.py")]


def test_no_folder_has_more_rooms_than_one_can_keep_in_mind() -> None:
    folders = {path.parent for folder in ALLOWED for path in (ROOT / folder).rglob("__init__.py")}
    counted = {folder.relative_to(ROOT).as_posix(): len(rooms_in(folder)) for folder in folders}
    assert len(counted) > 20
    assert not {name: number for name, number in counted.items() if number > MOST_ROOMS and name not in ROOMY}


DRAWN = (
    "datasets/procedural/faces_like.py",
    "datasets/procedural/mpi3d_like.py",
)  # their length is that of the pictures


def test_no_module_is_too_long_to_read() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for folder in ALLOWED
        for path in (ROOT / folder).rglob("*.py")
    }
    assert len(lengths) > 200
    assert not {name: length for name, length in lengths.items() if length > 350 and name not in DRAWN}
