"""Details of one trial in addition to its scores: information in codes, partition, cost, machine, files, curves."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disbench.datasets.storage.hdf5 import open_hdf5, stored_array
from disbench.datasets.untrusted import path_inside, printable
from disbench.metrics.information import table_information
from disbench.metrics.table import as_table
from disbench.metrics.views import column_names
from disbench.reports.markup import embedded_pictures as pictures, learning_curves, score_charts as plots
from disbench.reports.page.layout import Layout
from disbench.reports.records import Partition, Record
from disbench.reports.records.collect import Found
from disbench.reports.records.reasons import FROM_VALUES, reason_of
from disbench.reports.tables.table import Cell, Row

BINS = 20  # of the information matrix, as in MIG
CODES = 16  # that a matrix shows
_ROWS = 100_000
_CELLS = 1 << 26  # numbers of a table that are read at most


@dataclass(frozen=True)
class Information:
    """`shares` (K, D'): information in each code about each factor over the factor's entropy, in [0, 1].

    `left_out` counts the codes that are not shown: those with the least information. `note` says why there is no matrix.
    """

    factors: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    shares: tuple[tuple[float, ...], ...] = ()
    left_out: int = 0
    note: str = ""


def information(folder: Path, record: Record) -> Information:
    """The information matrix of a trial, from the table of codes that its record names. An error becomes a note."""
    name = record.artefacts.get("codes")
    if name is None:
        return Information(note="This trial recorded no table of codes.")
    path = path_inside(folder, name)
    if path is None:
        return Information(note=f"Not read: {name} lies outside its trial's folder.")
    try:
        codes, factors, quantized = _read(path)
        names = column_names(codes.shape[1:])
        table = as_table(codes, factors, quantized=quantized)
        found = table_information(table, BINS)
    except (OSError, RuntimeError, *FROM_VALUES) as error:  # what h5py raises on a damaged file
        reason = reason_of(error).replace(printable(path), name) if path.exists() else "the file is not there"
        return Information(note=f"No matrix: {name}: {reason}")
    shares = np.minimum(found.mutual / found.factor_entropy[:, None], 1.0)  # (K, D)
    kept = np.sort(np.argsort(-shares.max(axis=0), kind="stable")[:CODES])
    named = dict(enumerate(record.factor_names))
    return Information(
        tuple(named.get(k, f"factor {k}") for k in table.columns),
        tuple(names[j] for j in kept),
        tuple(tuple(float(share) for share in row) for row in shares[:, kept]),
        shares.shape[1] - len(kept),
    )


def _read(path: Path) -> tuple[NDArray[Any], NDArray[Any], bool]:
    """codes (N, D) or (N, G, F), factors (N, K) of an HDF5 table, of a large one the first rows; whether codes are quantized."""
    with open_hdf5(path) as file:
        tables = [stored_array(file, name) for name in ("codes", "factors")]
        for table in tables:
            chunk = math.prod(table.chunks or (0,))  # a compressed chunk is unpacked whole
            numbers = table.ndim in (2, 3) and table.dtype.kind in "fiub" and table.dtype.itemsize <= 8
            if not numbers or max(math.prod(table.shape[1:]) * _ROWS, chunk) > _CELLS:
                raise ValueError("it holds no table of codes beside factors, of a size that a page reads.")
        codes, factors = (np.asarray(table[:_ROWS]) for table in tables)
        return codes, factors, "quantized" in file


def amount(values: Iterable[float | None]) -> Cell:
    """The finite amounts of a row's trials, for their mean and deviation."""
    return Cell({i: value for i, value in enumerate(values) if value is not None and math.isfinite(value)})


def images_per_second(record: Record) -> float | None:
    """As recorded, otherwise images seen divided by seconds of training."""
    if record.images_per_second is not None:
        return record.images_per_second
    seconds, images = record.seconds.get("train"), record.images_seen
    return images / seconds if images and seconds else None


def memory_of(row: Row) -> dict[str, int]:
    """The largest peak of a row's trials in bytes, by kind of memory: 'resident', and 'cuda' if there is one."""
    found: dict[str, int] = {}
    for _, record in row.trials:
        for name, value in record.peak_memory.items():
            found[name] = max(value, found.get(name, 0))
    return found


def devices(trials: Sequence[Found]) -> dict[str, int]:
    """{device: how many trials ran on it}."""
    return dict(Counter(str(record.environment.get("device", "not recorded")) for _, record in trials))


def code_version(record: Record) -> str:
    return str(record.environment.get("code", "not recorded"))


def versions(record: Record) -> dict[str, Any]:
    """The environment without the values that have separate lines, and the plugins that the trial used."""
    found = {name: value for name, value in record.environment.items() if name not in ("code", "device")}
    for plugin in record.plugins:
        digest = f"sha256 {plugin.sha256[:12]}" if plugin.sha256 else ""
        found[f"plugin {plugin.name}"] = ", ".join(filter(None, (plugin.version, digest, *plugin.used_for)))
    return found


@dataclass(frozen=True)
class View:
    """What a page derives from the record of a trial; `files` (name, link)."""

    speed: float | None
    code: str
    versions: Mapping[str, Any]
    files: tuple[tuple[str, str], ...]
    information: Information
    order: tuple[int, ...]
    groups: tuple[str, ...]
    curves: str
    learning_curves: str


def view_of(folder: Path, record: Record, layout: Layout) -> View:
    """The view of a trial; an almost empty one if it cannot be made, because scores and facts are shown anyway."""
    try:
        return _drawn_view(folder, record, layout)
    except FROM_VALUES as error:
        layout.leave_out(folder, f"Not drawn: {reason_of(error)}")
        return View(None, code_version(record), {}, (), Information(), (), (), "", "")


def _drawn_view(folder: Path, record: Record, layout: Layout) -> View:
    links = ((name, pictures.address(folder, path, layout.folder)) for name, path in sorted(record.artefacts.items()))
    order: tuple[int, ...] = ()
    groups: tuple[str, ...] = ()
    if (partition := record.partition) is not None and _fits(partition):
        order, groups = _order(partition), ("nuisance", *(f"group {k}" for k in range(1, len(partition.nats))))
    return View(
        images_per_second(record),
        code_version(record),
        versions(record),
        tuple((name, link if layout.linked else "") for name, link in links if link is not None),
        information(folder, record) if record.status == "ok" else Information(),
        order,
        groups,
        plots.trial_curves(record),
        learning_curves.of_trial(record),
    )


def _fits(partition: Partition) -> bool:
    """Whether the shapes of a partition fit together. Records may come from untrusted sources."""
    groups = len(partition.nats)
    return (
        groups > 0
        and len(partition.assignment) == len(partition.group) > 0
        and all(len(shares) == groups for shares in partition.assignment)
        and len(partition.target) == groups == len(partition.complexities) + 1
    )


def _order(partition: Partition) -> tuple[int, ...]:
    """Latents by group, those with the largest share first."""
    return tuple(sorted(range(len(partition.group)), key=lambda d: (partition.group[d], -max(partition.assignment[d]))))
