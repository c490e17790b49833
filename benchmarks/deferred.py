"""torchmetrics on first use: Lightning needs two classes of it, and it imports scipy.signal and torchvision for all its metrics.

The package is put in place as importlib's documentation describes it for lazy imports, and runs its own code when somebody asks
for a name that it does not have yet. Then everything of it is there, as ever.
"""

import logging
import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType

NAME = "torchmetrics"
# What Lightning asks for, and the modules that have it. `utilities` goes first: `metric` needs it and is needed by it.
LIGHT = {"utilities": (), "metric": ("Metric",), "collections": ("MetricCollection",), "__about__": ("__version__",)}


class _Deferred(ModuleType):
    """A package whose own code has not run yet; its modules can be imported."""

    def __getattr__(self, name: str) -> object:
        spec = self.__spec__
        if spec is None or spec.loader is None:
            raise AttributeError(name)
        self.__class__ = ModuleType  # from here on it answers like any other
        spec.loader.exec_module(self)
        return getattr(self, name)


def defer_torchmetrics() -> None:
    """Let torchmetrics be imported on first use in this process; where this version of it does not allow that, import it now."""
    if NAME in sys.modules or (spec := find_spec(NAME)) is None:
        return
    package = module_from_spec(spec)
    package.__dict__["_logger"] = logging.getLogger(NAME)  # which its modules take from it while they are imported
    sys.modules[NAME] = package
    try:
        for module, names in LIGHT.items():
            found = import_module(f"{NAME}.{module}")
            package.__dict__.update({name: getattr(found, name) for name in names})
        package.__class__ = _Deferred
    except (ImportError, AttributeError):
        for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
            del sys.modules[name]
        import_module(NAME)
