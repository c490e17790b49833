"""The stress suite: every metric on synthetic encoders of known properties, each score between its floor and its ceiling."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

from disbench.metrics import METRICS
from disbench.metrics.metric import Metric
from disbench.metrics.options import require_whole
from disbench.metrics.reference import ceiling_of, floor_of
from disbench.metrics.stress_encoders import BINARY, Encoder, stress_encoders
from disbench.metrics.table import NotApplicable, Table, as_table

ROWS = 480
NARROW = 0.05  # a floor this close to the ceiling gives a score no place between them
AS_PERFECT, SEEN = 0.95, 0.8  # places between floor and ceiling
SAME, MOVED = 0.02, 0.05  # differences of scores


@dataclass(frozen=True)
class Cell:
    """Hold one metric's score of one encoder, or the reason why there is none.

    Attributes
    ----------
    score, floor, ceiling : float, optional
        The score, that of the same codes with rows shuffled, and that of the factors as codes.
    place : float, optional
        Place from 0, the floor, to 1, the ceiling. There is none if one of them is missing, if the ceiling is no better than the
        floor, or if they are less than 0.05 apart.
    reason : str
        Why the metric is not applicable, otherwise empty.
    """

    score: float | None = None
    floor: float | None = None
    ceiling: float | None = None
    place: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class StressRow:
    """Hold one metric's scores of all encoders.

    Attributes
    ----------
    metric, label, definition, insensitive_to : str
        Key and card of the metric.
    higher_is_better : bool
        Direction of the score.
    version : int
        Version of the metric.
    binary : bool
        Whether the factors have two values, because the metric is not applicable to more.
    cells : dict of Cell
        By the encoder's name.
    """

    metric: str
    label: str
    definition: str
    insensitive_to: str
    higher_is_better: bool
    version: int
    binary: bool
    cells: dict[str, Cell]


@dataclass(frozen=True)
class StressRun:
    """Hold the scores of all metrics on all encoders.

    Attributes
    ----------
    rows, seed : int
        As `stress` takes them.
    encoders : dict of dict
        "label", "kind" and "what" of each encoder, by its name.
    metrics : list of StressRow
        In the order of the registry.
    """

    rows: int
    seed: int
    encoders: dict[str, dict[str, str]]
    metrics: list[StressRow] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Convert to dictionaries and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, written: dict[str, Any]) -> "StressRun":
        """Read what `as_json` returns."""
        rows = []
        for row in written["metrics"]:
            cells = {name: Cell(**cell) for name, cell in row["cells"].items()}
            rows.append(StressRow(**{**row, "cells": cells}))
        return cls(**{**written, "metrics": rows})


def stress(
    metrics: Iterable[str] | None = None,
    *,
    rows: int = ROWS,
    seed: int = 0,
    on_metric: Callable[[str, int, int], object] | None = None,
) -> StressRun:
    """Score every synthetic encoder with every metric, and measure floors and ceilings.

    Parameters
    ----------
    metrics : iterable of str, optional
        Names in `METRICS`; all by default.
    rows : int, default 480
        Rows of a table, at least 120.
    seed : int, default 0
        Seed of the encoders, of the metrics and of the floors.
    on_metric : callable, optional
        `on_metric(name, index, total)` is called after each metric; `index` counts from 0.

    Returns
    -------
    StressRun
        A metric that is not applicable to an encoder has a reason in its cell.

    Raises
    ------
    ValueError
        If there are too few rows, or a metric does not exist.

    Examples
    --------
    >>> from disbench.metrics.stress import stress
    >>> run = stress(["mig"])
    >>> round(run.metrics[0].cells["duplicated"].score, 2)
    0.0
    """
    require_whole("stress", 0, rows=rows, seed=seed)
    wanted = list(METRICS) if metrics is None else list(metrics)
    if strange := [name for name in wanted if name not in METRICS]:
        raise ValueError(f"stress needs names of metrics, got {', '.join(map(repr, strange))}. See METRICS.")
    names = [name for name in METRICS if name in wanted]
    made = stress_encoders(rows, seed)
    grids, binary = _tables(made), _tables(stress_encoders(rows, seed, BINARY))
    run = StressRun(
        rows, seed, {one.name: {"label": one.label, "kind": one.kind, "what": one.what} for one in made.values()}
    )
    # Metrics of one module share a computation, which is remembered for few tables: all of them score a table in turn.
    for _, family in groupby(names, key=lambda name: METRICS[name].__module__):
        members = [METRICS[name] for name in family]
        found = _scored(members, grids, seed)
        for metric in members:
            cells, of_binary = found[metric.name], False
            if cells["perfect"].reason:
                other = _scored([metric], binary, seed)[metric.name]
                if not other["perfect"].reason:
                    cells, of_binary = other, True
            card = (metric.name, metric.label, metric.definition, metric.insensitive_to)
            run.metrics.append(StressRow(*card, metric.higher_is_better, metric.version, of_binary, cells))
            if on_metric is not None:
                on_metric(metric.name, len(run.metrics) - 1, len(names))
    return run


@dataclass(frozen=True)
class Findings:
    """Hold what a row of the suite shows, as names of encoders.

    Attributes
    ----------
    sees, hardly_sees, misses : list of str
        Defects that cost at least a fifth of the way from ceiling to floor, less than that, and less than a twentieth.
    charges : list of str
        Harmless changes that cost a twentieth or more.
    moves : list of str
        Conditions under which the score differs by more than 0.05 from that of the perfect code.
    without : dict of str
        Why the metric is not applicable, by encoder.
    """

    sees: list[str]
    hardly_sees: list[str]
    misses: list[str]
    charges: list[str]
    moves: list[str]
    without: dict[str, str]


def findings(row: StressRow, encoders: dict[str, dict[str, str]]) -> Findings:
    """Sort the encoders by what a metric makes of them.

    A score without a place, such as that of a metric which reads codes alone, is compared with that of the perfect code.

    Parameters
    ----------
    row : StressRow
        Scores of one metric.
    encoders : dict of dict
        Those of the run.

    Returns
    -------
    Findings

    Examples
    --------
    >>> from disbench.metrics.stress import findings, stress
    >>> run = stress(["mig"])
    >>> findings(run.metrics[0], run.encoders).misses
    ['merged']
    """
    found = Findings([], [], [], [], [], {})
    perfect = row.cells["perfect"].score
    for name, cell in row.cells.items():
        kind = encoders[name]["kind"]
        if cell.score is None or perfect is None:
            found.without[name] = cell.reason
        elif kind == "condition":
            found.moves.extend([name] * (abs(cell.score - perfect) > MOVED))
        elif kind != "reference":
            away = abs(cell.score - perfect)
            unseen = away <= SAME if cell.place is None else cell.place >= AS_PERFECT
            seen = away > MOVED if cell.place is None else cell.place <= SEEN
            if kind == "harmless":
                found.charges.extend([name] * (not unseen))
            else:
                (found.misses if unseen else found.sees if seen else found.hardly_sees).append(name)
    return found


def _tables(encoders: dict[str, Encoder]) -> dict[str, Table]:
    return {name: as_table(one.codes, one.factors, std=one.std, groups=one.groups) for name, one in encoders.items()}


def _scored(metrics: list[Metric], tables: dict[str, Table], seed: int) -> dict[str, dict[str, Cell]]:
    """Score table by table, so that metrics which share a computation do it once; tables of the same factors share a ceiling."""
    found: dict[str, dict[str, Cell]] = {metric.name: {} for metric in metrics}
    of_factors = [
        metric for metric in metrics if metric.reads != "codes"
    ]  # shuffled rows change no score of the others
    ceilings: dict[Any, float | None] = {}
    for name, table in tables.items():
        scores = {metric.name: _score(metric, table, seed) for metric in metrics}
        shuffled = floor_of(table, seed)
        floors = {metric.name: _score(metric, shuffled, seed)[0] for metric in of_factors}
        for metric in of_factors:
            key = metric.name, table.digest[1]
            if key not in ceilings:
                ceilings[key] = _score(metric, ceiling_of(table, metric.reads), seed)[0]
        for metric in metrics:
            score, reason = scores[metric.name]
            limits = floors.get(metric.name), ceilings.get((metric.name, table.digest[1]))
            found[metric.name][name] = Cell(reason=reason) if score is None else placed(metric, score, *limits)
    return found


def placed(metric: Metric, score: float, floor: float | None, ceiling: float | None) -> Cell:
    """Put a score between its floor and its ceiling, if the ceiling is the better one."""
    place = None
    if floor is not None and ceiling is not None:
        span = ceiling - floor if metric.higher_is_better else floor - ceiling
        if span >= NARROW:
            away = score - floor if metric.higher_is_better else floor - score
            place = round(abs(min(max(away / span, 0.0), 1.0)), 4)  # abs: no minus before a zero
    return Cell(score, floor, ceiling, place)


def _score(metric: Metric, table: Table, seed: int) -> tuple[float | None, str]:
    """Compute the score to four digits, or give the reason why there is none."""
    try:
        return round(metric(table, seed=seed), 4), ""
    except NotApplicable as reason:
        return None, str(reason)
