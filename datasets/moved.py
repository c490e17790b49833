"""Old names of moved modules. They import the new module with a DeprecationWarning for one release."""

import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class MovedModules(MetaPathFinder, Loader):
    """Finds the modules of one package by their old names.

    Parameters
    ----------
    package : full name of the package, such as ``disbench.datasets``.
    rooms : for each subpackage, the modules that moved there from the package, separated by spaces.
    renamed : for each other module, its new name below ``disbench``.
    """

    def __init__(self, package: str, rooms: Mapping[str, str], renamed: Mapping[str, str]) -> None:
        self.moved = {f"{package}.{name}": f"{package}.{room}.{name}" for room in rooms for name in rooms[room].split()}
        self.moved |= {f"{package}.{old}": f"disbench.{new}" for old, new in renamed.items()}
        self._specs: dict[str, ModuleSpec | None] = {}

    def install(self) -> None:
        """Make `import` ask this finder first: a subpackage that moved would be imported twice otherwise."""
        sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in self.moved else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = self.moved[spec.name]
        warnings.warn(f"{spec.name} is {new} now. The old name ends with the next release.", DeprecationWarning, 2)
        module = import_module(new)
        self._specs[spec.name] = module.__spec__  # the import system replaces it by the one of the old name
        return module

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__ = self._specs.pop(module.__spec__.name)
