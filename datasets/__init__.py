"""Datasets: images by index, with the values of the factors that made them.

`DATASETS[name](root, **options)` gives a `FactorDataset`; `load` also restricts it and knows the user's own imported sets.
A new dataset is a module and a line in `registry.py`, and a line in the contract test.
"""

from typing import TYPE_CHECKING, Any

from disbench.datasets.moved import MovedModules

if TYPE_CHECKING:
    from disbench.datasets.factors import FactorDataset, FactorSpace, restrict
    from disbench.datasets.registry import DATASETS, SOURCES, check_name, load, names

__all__ = ["DATASETS", "SOURCES", "FactorDataset", "FactorSpace", "check_name", "load", "names", "restrict"]


def __getattr__(name: str) -> Any:
    """Import the registry, and with it torch, only when one of its names is used."""
    if name in __all__:
        from disbench.datasets import registry

        return getattr(registry, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


MovedModules(
    "disbench.datasets",
    {
        "official": "cars3d celeba dsprites mpi3d shapes3d smallnorb",
        "procedural": "dsprites_like face_attributes faces_like mpi3d_like shapes3d_like",
        "storage": "cache download files npz pictures store",
    },
    {
        "own": "datasets.imported.dataset",
    },
).install()
