"""Plugins of installed packages: the entry-point groups disbench.methods, disbench.metrics and disbench.datasets.

The names are read from the packages' metadata. A package is imported when one of its names is asked for, or all are listed.
"""

import functools
import importlib.util
import logging
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from disbench.benchmarks.plugins.registries import (
    Entry,
    Kind,
    Source,
    built_in,
    check_entry,
    collecting,
    entries_of,
    register,
    registry,
    sha256_of,
)
from disbench.datasets.untrusted import check_path_name
from disbench.datasets.wording import missing_extra, unknown
from disbench.reports.records import Trial

log = logging.getLogger(__name__)
_refused: dict[Entry, str] = {}


def package_of(entry: EntryPoint) -> str:
    """Name the package of an entry point."""
    return entry.dist.name if entry.dist is not None else entry.module


def refuse(entry: EntryPoint, kind: Kind, reason: str) -> str:
    """Remember why an entry point is left out, and give the whole sentence."""
    reason = f"The {kind} {entry.name} of the package {package_of(entry)} is left out: {reason}"
    _refused[kind, entry.name] = reason
    return reason


@functools.cache
def offered(kind: Kind) -> dict[str, EntryPoint]:
    """Find the entry points of a kind by name; those whose name is taken are left out with a warning."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=f"disbench.{kind}s"):
        found.setdefault(entry.name, []).append(entry)
    kept = {}
    for name, entries in found.items():
        packages = [package_of(entry) for entry in entries]
        try:
            check_path_name(name, kind)
            if name in built_in(kind):
                raise ValueError("the name is taken by disbench.")
            if len(entries) > 1:
                raise ValueError(f"the packages {' and '.join(sorted(packages))} both have one of this name.")
        except ValueError as error:
            log.warning(refuse(entries[0], kind, str(error)))
        else:
            kept[name] = entries[0]
    return kept


def _import(kind: Kind, entry: EntryPoint) -> None:
    """Register what an entry point names, and nothing else that its module registers. Raises ValueError."""
    try:
        with collecting():
            found: Any = entry.load()
        check_entry(kind, entry.name, found)
    except (Exception, SystemExit) as error:
        said = missing_extra(error) or (
            str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        )
        raise ValueError(refuse(entry, kind, said)) from error
    module = importlib.util.find_spec(entry.module)
    path = Path(module.origin) if module is not None and module.origin else None
    version = entry.dist.version if entry.dist is not None else ""
    digest = sha256_of(path) if path is not None and path.is_file() else ""
    register({(kind, entry.name): found}, Source(package_of(entry), digest, version))


def provide(kind: Kind, name: str) -> bool:
    """Whether there is an entry of this name in the registry, after importing the package that has it.

    Parameters
    ----------
    kind : {"method", "metric", "dataset"}
    name : str

    Raises
    ------
    ValueError
        Where a package has an entry of this name that was left out, with the reason.
    """
    if not isinstance(name, str):
        return False
    offers = offered(kind)
    if name in registry(kind):
        return True
    if (kind, name) in _refused:
        raise ValueError(_refused[kind, name])
    if name in offers:
        _import(kind, offers[name])
        return True
    return False


def require(kind: Kind, name: str, where: str = "") -> None:
    """Raise ValueError where there is no method or metric of this name, or its package cannot be imported."""
    if not provide(kind, name):
        raise ValueError(unknown(kind, name, names(kind), where))


def names(kind: Kind) -> list[str]:
    """Every name in the registry, and those of packages that have not been imported."""
    own = registry(kind)
    return [*own, *(name for name in offered(kind) if name not in own and (kind, name) not in _refused)]


def provide_all(kind: Kind) -> None:
    """Register the entries of every installed package; one that cannot be imported is left out with a warning."""
    for name in names(kind):
        try:
            provide(kind, name)
        except ValueError as error:
            log.warning("%s", error)


def provide_for(trial: Trial, metrics: Iterable[str]) -> None:
    """Register what a trial takes from installed packages. Raises ValueError where that cannot be imported."""
    for kind, name in entries_of(trial, metrics):
        provide(kind, name)
