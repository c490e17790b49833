"""The commands. They parse arguments and print results; other packages do the work."""

import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    """`app` by its name of version 0.1, for one release."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from disbench.benchmarks.cli.main import app

    warnings.warn(f"{__name__}.app is {__name__}.main.app now.", DeprecationWarning, stacklevel=2)
    return app
