"""disbench from Python: score an encoder, train methods, run a suite and read its results.

Importing this package takes milliseconds: each name below loads what it needs when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from disbench import baselines, benchmarks, datasets, metrics, mine_vae, reports
    from disbench.encoding import encode
    from disbench.result_folder import results
    from disbench.scoring import score
    from disbench.training import load, run, train

    __version__: str

FOLDERS = ("baselines", "benchmarks", "datasets", "metrics", "mine_vae", "reports")
FUNCTIONS = {
    "encode": "encoding",
    "load": "training",
    "results": "result_folder",
    "run": "training",
    "score": "scoring",
    "train": "training",
}
__all__ = [
    "__version__",
    "baselines",
    "benchmarks",
    "datasets",
    "encode",
    "load",
    "metrics",
    "mine_vae",
    "reports",
    "results",
    "run",
    "score",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import what a name needs when it is first used."""
    if name == "__version__":
        from importlib.metadata import version

        return version("disbench")
    if name in FOLDERS:
        return import_module(f"disbench.{name}")
    if name in FUNCTIONS:
        from disbench.datasets.wording import needs_extra

        with needs_extra():
            return getattr(import_module(f"disbench.{FUNCTIONS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, also those that are not loaded yet."""
    return sorted(__all__)
