"""The product uses public names of its dependencies alone."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("baselines", "benchmarks", "datasets", "metrics", "mine_vae", "reports", "src")
EXPERIMENTAL = ROOT / "benchmarks" / "training" / "experimental"
NAMED_TUPLES = {"_replace", "_asdict", "_fields", "_make"}  # public, and named so by Python
OS_EXIT = {("os", "_exit")}  # public, and named so by Python
OURS = "disbench."


def private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def defined(tree: ast.AST) -> set[str]:
    """Names that a file itself gives to functions, classes, methods and attributes."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def strangers(code: str, own: set[str]) -> list[str]:
    """Private names in a file's code that `own` does not define: in imports, after a dot, and as the name of an override."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if any(map(private, alias.name.split(".")))]
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith(OURS):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            found += [f"{node.module}: {name}" for name in names if private(name)]
        elif isinstance(node, ast.Attribute) and private(node.attr) and node.attr not in own | NAMED_TUPLES:
            if (getattr(node.value, "id", ""), node.attr) not in OS_EXIT:
                found.append(node.attr)
        elif isinstance(node, ast.Attribute) and node.attr in NEVER:
            found.append(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in NEVER:
            found.append(node.value)
    return found


# Of torch and Lightning; by a string they can be set or patched, too.
NEVER = {"_current_fx_name", "_accelerator", "fit_loop", "_functorch", "_pytree"}
FILES = [
    path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")) if EXPERIMENTAL not in path.parents
]
OWN = set().union(*(defined(ast.parse(path.read_text(encoding="utf-8"))) for path in FILES))


def test_no_module_outside_experimental_uses_a_private_name_of_a_dependency() -> None:
    assert len(FILES) > 150
    found = {path.relative_to(ROOT).as_posix(): strangers(path.read_text(encoding="utf-8"), OWN) for path in FILES}
    assert not {name: names for name, names in found.items() if names}


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("from torch._functorch import config", "torch._functorch: _functorch"),
        ("import torch._dynamo", "torch._dynamo"),
        ("from torch.utils import _pytree", "torch.utils: _pytree"),
        ("trainer._accelerator_connector.is_distributed", "_accelerator_connector"),
        ("trainer.fit_loop.batch_idx", "fit_loop"),
        ("setattr(optimizer, '_current_fx_name', None)", "_current_fx_name"),
    ],
)
def test_a_private_name_is_found(code: str, name: str) -> None:
    assert strangers(code, OWN) == [name]


def test_names_of_ones_own_and_of_named_tuples_are_no_strangers() -> None:
    assert not strangers("self._own = table._replace(codes=1)\nself._own.x", {"_own"})
