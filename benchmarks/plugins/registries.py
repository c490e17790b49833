"""The registries that plugins extend, the requirements for entries, and the origin of each added entry."""

import functools
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

from disbench.datasets.untrusted import check_path_name
from disbench.datasets.wording import shown
from disbench.metrics import METRICS, Metric
from disbench.reports.records import Record, Trial, UsedPlugin

Kind = Literal["method", "metric", "dataset"]
KINDS: tuple[Kind, ...] = ("method", "metric", "dataset")
Entry = tuple[Kind, str]  # the kind and the name of something in a registry

# Imported when they are needed: those of methods and datasets take torch.
_PLACES: dict[Kind, tuple[str, str]] = {
    "method": ("disbench.benchmarks.methods", "METHODS"),
    "metric": ("disbench.metrics", "METRICS"),
    "dataset": ("disbench.datasets.registry", "DATASETS"),
}
_METRICS = dict(METRICS)
_NEEDED = {
    "method": "a class derived from disbench.baselines.method.Method",
    "metric": "a disbench.metrics.Metric",
    "dataset": "a class derived from disbench.datasets.FactorDataset",
}


class Source(NamedTuple):
    """What gives an entry of a registry.

    `name`: of the file, the module or the package. `word`: what --plugin was given, and `place`: the absolute path or the
    module's name under which another process loads it. Both are empty for an installed package, which has a `version`.
    """

    name: str
    sha256: str
    version: str = ""
    word: str = ""
    place: str = ""


SOURCES: dict[Entry, Source] = {}  # of the entries that this process has from plugins


def registry(kind: Kind) -> dict[str, Any]:
    """Import the registry of a kind."""
    module, name = _PLACES[kind]
    found: dict[str, Any] = getattr(import_module(module), name)
    return found


def built_in(kind: Kind) -> Mapping[str, Any]:
    """List what disbench itself has."""
    if kind == "metric":
        return _METRICS
    found: Mapping[str, Any] = import_module(_PLACES[kind][0]).BUILT_IN
    return found


def imported_kinds() -> list[Kind]:
    """List the kinds whose registry this process has imported."""
    return [kind for kind in KINDS if _PLACES[kind][0] in sys.modules]


def check_entry(kind: Kind, name: str, found: Any) -> None:
    """Raise ValueError where an object cannot be an entry of a registry under this name."""
    check_path_name(name, kind)
    if kind == "metric":
        fits = isinstance(found, Metric)
    elif kind == "method":
        from disbench.baselines.method import Method

        fits = isinstance(found, type) and issubclass(found, Method)
    else:
        from disbench.datasets import FactorDataset

        made = found.func if isinstance(found, functools.partial) else found
        fits = isinstance(made, type) and issubclass(made, FactorDataset)
    if not fits:
        raise ValueError(f"the {kind} {name} needs {_NEEDED[kind]}, got {shown(found)}.")


@contextmanager
def collecting() -> Iterator[dict[Entry, Any]]:
    """Collect what the code within adds to the registries or replaces in them; the registries are left as they were."""
    before = {kind: dict(registry(kind)) for kind in imported_kinds()}
    added: dict[Entry, Any] = {}
    try:
        yield added
    finally:
        for kind in imported_kinds():
            now, earlier = registry(kind), before.get(kind, built_in(kind))
            added |= {(kind, name): found for name, found in now.items() if earlier.get(name) is not found}
            now.clear()
            now.update(earlier)


def register(entries: Mapping[Entry, Any], source: Source) -> None:
    """Add entries to their registries, and note their source."""
    for (kind, name), found in entries.items():
        registry(kind)[name] = found
        SOURCES[kind, name] = source


def sha256_of(path: Path) -> str:
    """Compute the hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def source_of(kind: Kind, name: str) -> Source | None:
    """Find the plugin that gives this name, or the running script if that registered it; None for disbench's own."""
    if (kind, name) in SOURCES:
        return SOURCES[kind, name]
    if name in built_in(kind) or owner_of(registry(kind).get(name)) not in ("__main__", "__mp_main__"):
        return None
    path = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
    if path.suffix != ".py" or not path.is_file():  # an interactive session
        return None
    SOURCES[kind, name] = Source(path.name, sha256_of(path), word=str(path), place=str(path.resolve()))
    return SOURCES[kind, name]


def owner_of(found: Any) -> str:
    """Name the module in which an entry of a registry was written."""
    if isinstance(found, Metric):
        found = next(value for value in vars(found).values() if callable(value))
    return str(getattr(getattr(found, "func", found), "__module__", ""))


def entries_of(trial: Trial, metrics: Iterable[str] = ()) -> list[Entry]:
    """List what a trial takes from the registries."""
    return [("method", trial.method), ("dataset", trial.dataset), *(("metric", name) for name in metrics)]


def used(entries: Iterable[Entry]) -> list[UsedPlugin]:
    """List the plugins that give these entries, as a record notes them."""
    found: dict[Source, list[str]] = {}
    for kind, name in entries:
        if (source := source_of(kind, name)) is not None:
            found.setdefault(source, []).append(f"{kind} {name}")
    return [
        UsedPlugin(name=source.name, version=source.version, sha256=source.sha256, used_for=what)
        for source, what in found.items()
    ]


def rescored(plugins: Iterable[UsedPlugin], metrics: Iterable[str]) -> list[UsedPlugin]:
    """List the plugins of a record whose codes are scored again: those of its training stay as they are noted."""
    kept = [
        plugin.model_copy(update={"used_for": what})
        for plugin in plugins
        if (what := [each for each in plugin.used_for if not each.startswith("metric ")])
    ]
    found = {(plugin.name, plugin.version, plugin.sha256): plugin for plugin in kept}
    for new in used(("metric", name) for name in metrics):
        same = found.setdefault((new.name, new.version, new.sha256), new)
        if same is not new:
            same.used_for = [*same.used_for, *new.used_for]
    return list(found.values())


def _today(plugin: UsedPlugin) -> dict[str, Source | None]:
    """Find what each thing that a trial took from a plugin comes from in this process."""
    words = [(what, *what.partition(" ")[::2]) for what in plugin.used_for]
    kinds: dict[str, Kind] = {kind: kind for kind in KINDS}
    return {what: source_of(kinds[kind], name) for what, kind, name in words if kind in kinds}


def missing_from(record: Record) -> list[str]:
    """Write a sentence for each plugin of a record that this process has not loaded."""
    lines = []
    for plugin in record.plugins:
        what = [word for word, source in _today(plugin).items() if source is None]
        if what and plugin.version:
            lines.append(
                f"Its record names the package {plugin.name} {plugin.version} for {', '.join(what)}: install it."
            )
        elif what:
            lines.append(
                f"Its record names the plugin {plugin.name} (sha256 {plugin.sha256[:12]}) for {', '.join(what)}: "
                f"add --plugin {plugin.name}"
            )
    return lines


def changes_since(record: Record) -> list[str]:
    """Write a sentence for each plugin of a record that has changed and still gives what the trial took from it."""
    lines = []
    for old in record.plugins:
        for what, new in _today(old).items():
            if new is None or new.name != old.name or (new.version, new.sha256) == (old.version, old.sha256):
                continue
            was, now = (f"{each.version} {each.sha256[:12]}".strip() for each in (old, new))
            lines.append(
                f"{old.name} has changed (was {was}, is {now}), but the version of its {what} has not. Results made before "
                "are kept. If the change makes them differ, raise `version` in the plugin."
            )
            break
    return lines
