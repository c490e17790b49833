"""The numbers of a study of estimators, averaged over seeds and grouped by task and estimator."""

import math
import statistics
from collections.abc import Iterable

from disbench.reports.estimators.study import Cell, Study

Numbers = dict[str, float | None]
LABELS = {
    "batch_average": "batch average",
    "mws": "MWS",
    "mss": "MSS",
    "column_0": "MSS, column 0",
    "nested": "nested",
    "full_n": "full N",
    "mine": "MINE",
    "nwj": "NWJ",
    "infonce": "InfoNCE",
    "smile": "SMILE",
    "ratio": "density ratio",
    "marginal": "marginal MINE",
    "club": "CLUB",
    "ksg": "KSG",
    "histogram": "histogram",
}


def averaged(cells: Iterable[Cell]) -> Numbers:
    """The mean over seeds of each number; a root mean square for `sd`. None where a seed has none."""
    found: dict[str, list[float | None]] = {}
    for cell in cells:
        for name, value in cell.numbers.items():
            found.setdefault(name, []).append(value)
    means: Numbers = {}
    for name, values in found.items():
        there = [value for value in values if value is not None]
        if len(there) < len(values):
            means[name] = None
        elif name == "sd":
            means[name] = math.sqrt(statistics.fmean(value * value for value in there))
        elif name == "n":
            means[name] = sum(there)
        else:
            means[name] = statistics.fmean(there)
    return means


def by_estimator(study: Study, kind: str, task: str, batch: int | None = None) -> dict[str, Numbers]:
    """Of one task, each estimator's numbers averaged over seeds, in the order in which they were measured."""
    groups: dict[str, list[Cell]] = {}
    for cell in study.of_kind(kind):
        if cell.task == task and batch in (None, cell.batch):
            groups.setdefault(cell.estimator, []).append(cell)
    return {name: averaged(cells) for name, cells in groups.items()}


def tasks_of(study: Study, kind: str) -> list[str]:
    return list(dict.fromkeys(cell.task for cell in study.of_kind(kind)))


def main_batch(study: Study) -> int:
    return int(study.settings["batch"])


def times(study: Study) -> dict[tuple[str, int, int], float]:
    """Milliseconds a use by (estimator, B, D)."""
    return {(cell.estimator, cell.batch, cell.dims): cell.numbers["use_ms"] or 0.0 for cell in study.of_kind("timing")}
