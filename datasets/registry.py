"""Every dataset by its name. A new one is a line in `DATASETS`; an official one also needs a line in `SOURCES`."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from disbench.datasets.factors import FactorDataset, FactorSpace, correlate, hold_out, normal_select, restrict
from disbench.datasets.factors.correlated import normal_correlated
from disbench.datasets.factors.held_out import normal_held_out
from disbench.datasets.imported.dataset import OwnDataset, imported_names
from disbench.datasets.official import cars3d, celeba, dsprites, mpi3d, shapes3d, smallnorb
from disbench.datasets.procedural import dsprites_like, faces_like, graded_like, mpi3d_like, shapes3d_like, xy_squares
from disbench.datasets.storage.files import Source
from disbench.datasets.wording import did_you_mean, listed, shown

SHARED = ("select", "held_out", "correlated")  # options of every dataset
OF_EVERY_DATASET = ("name", "version", "provenance", "image_shape", "space")

__all__ = ["DATASETS", "SOURCES", "FactorDataset", "FactorSpace", "check_name", "load", "names", "restrict"]

DATASETS: dict[str, Callable[..., FactorDataset]] = {
    "dsprites_like": dsprites_like.DSpritesLike,
    "shapes3d_like": shapes3d_like.Shapes3DLike,
    "mpi3d_like": mpi3d_like.MPI3DLike,
    "faces_like": faces_like.FacesLike,
    "graded_like": graded_like.GradedLike,
    "xy_squares": xy_squares.XYSquares,
    "dsprites": dsprites.DSprites,
    "shapes3d": shapes3d.Shapes3D,
    **{source.name: functools.partial(mpi3d.MPI3D, variant=variant) for variant, source in mpi3d.SOURCES.items()},
    "celeba": celeba.CelebA,
    "cars3d": cars3d.Cars3D,
    "smallnorb": smallnorb.SmallNORB,
}
BUILT_IN = dict(DATASETS)  # without what a plugin adds

# Where the files of the official ones come from.
OFFICIAL = (dsprites.SOURCE, shapes3d.SOURCE, *mpi3d.SOURCES.values(), celeba.SOURCE, cars3d.SOURCE, smallnorb.SOURCE)
SOURCES: dict[str, Source] = {source.name: source for source in OFFICIAL}


def names(root: str | Path | None = None) -> list[str]:
    """List every dataset that `load` opens.

    Parameters
    ----------
    root : str or Path, optional
        Folder of imported datasets; by default the data folder of this machine.

    Returns
    -------
    list of str
        The datasets that come with disbench or a plugin, then those that were imported into `root`.

    Examples
    --------
    >>> from disbench.datasets import names
    >>> "dsprites_like" in names()
    True
    """
    return [*DATASETS, *imported_names(root)]


def check_name(name: str, root: str | Path | None = None) -> None:
    """Raise ValueError if there is no such dataset."""
    if name not in (known := names(root)):
        raise ValueError(f"There is no dataset {shown(name)}; there are {listed(known)}.{did_you_mean(name, known)}")


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Raise ValueError if the dataset `name` has no such option, apart from those of every dataset."""
    make = DATASETS.get(name, functools.partial(OwnDataset, name=name))
    known = list(_options(make))
    if unknown := [str(option) for option in options if option not in (*known, *SHARED)]:
        raise ValueError(
            f"{name} takes the options {listed(known) if known else '(none)'} and {listed(SHARED)}, got {listed(unknown)}."
            f"{did_you_mean(unknown[0], [*known, *SHARED])}"
        )


def load(
    name: str,
    root: str | Path | None = None,
    /,
    *,
    select: Mapping[str, str | int] | None = None,
    held_out: float | str | Mapping[str, str | int] | Sequence[Mapping[str, str | int]] | None = None,
    correlated: str | Mapping[str, Any] | None = None,
    **options: Any,
) -> FactorDataset:
    """Open a dataset.

    Parameters
    ----------
    name : str
        One of `names()`.
    root : str or Path, optional
        Folder of the files, if the dataset needs any.
    select : mapping of str to str or int, optional
        Ranges of factor values to keep, as in `restrict`.
    held_out : float, str, mapping of str to str or int, or list of such mappings, optional
        Rows that are not trained on and are scored separately, as in `hold_out`.
    correlated : str or mapping, optional
        Pairs of factors that are correlated in the rows that training draws, as in `correlate`.
    **options
        Options of the dataset's constructor.

    Returns
    -------
    FactorDataset

    Raises
    ------
    ValueError
        If the name, an option, `select`, `held_out` or `correlated` is wrong.
    FileNotFoundError
        If files are missing.

    Examples
    --------
    >>> from disbench.datasets import load
    >>> dataset = load("shapes3d_like", select={"shape": 0, "orientation": "0-4"}, held_out=0.25)
    >>> len(dataset.training) / len(dataset)
    0.75
    """
    check_name(name, root)
    check_options(name, options)
    make = DATASETS.get(name, functools.partial(OwnDataset, name=name))
    if "root" not in inspect.signature(make).parameters:
        raise ValueError(f"The class of {name} needs a root, the folder of its files: def __init__(self, root=None).")
    dataset = make(root, **options)
    if missing := [attribute for attribute in OF_EVERY_DATASET if not hasattr(dataset, attribute)]:
        raise ValueError(f"The class of {name} needs {', '.join(OF_EVERY_DATASET)}; it lacks {', '.join(missing)}.")
    if select is not None and select != {}:
        dataset = restrict(dataset, select)
    if held_out is not None:
        dataset = hold_out(dataset, held_out)
    return dataset if correlated is None else correlate(dataset, correlated)


def _options(make: Callable[..., FactorDataset]) -> dict[str, inspect.Parameter]:
    """List the options of a dataset's constructor."""
    decided = ("root", *getattr(make, "keywords", ()))  # what the name itself says, such as MPI3D's variant
    return {name: option for name, option in inspect.signature(make).parameters.items() if name not in decided}


def default_options(name: str) -> dict[str, Any]:
    """List the options of a dataset with a default other than None, with that default; none if it is unknown."""
    if name not in DATASETS:
        return {}
    return {
        option: parameter.default
        for option, parameter in _options(DATASETS[name]).items()
        if parameter.default not in (None, inspect.Parameter.empty)
    }


def normal_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Write a dataset's options in one spelling: without those that are None, and ranges as in `normal_select`."""
    found = {name: value for name, value in options.items() if value is not None}
    if isinstance(select := found.get("select"), Mapping):
        found["select"] = normal_select(select)
    if "held_out" in found:
        found["held_out"] = normal_held_out(found["held_out"])
    if "correlated" in found:
        found["correlated"] = normal_correlated(found["correlated"])
    if found.get("select") == {}:
        del found["select"]
    return found
