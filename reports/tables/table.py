"""A leaderboard table as data: a table per dataset, a row per setting, a cell per metric over the seeds of the setting."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean, stdev
from typing import Any, Literal

import numpy as np

from disbench.reports.records import Trial
from disbench.reports.records.collect import Found
from disbench.reports.records.record import NONE
from disbench.reports.statistics import Array
from disbench.reports.tables.columns import Column

Mark = Literal["", "best", "noise"]
DATA = ["dataset", "options", "version", "provenance"]
DataKey = tuple[str, str, str, str]


@dataclass(frozen=True)
class Cell:
    """Hold a metric's scores in one row: `values` {seed: score}, `reasons` {seed: why there is no score}."""

    values: dict[int, float] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    mark: Mark = ""

    @property
    def n(self) -> int:
        """Number of scores."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """Mean of the scores; None without scores."""
        return fmean(self.values.values()) if self.values else None

    @cached_property
    def sd(self) -> float | None:
        """Sample standard deviation; None below two seeds."""
        return stdev(self.values.values()) if self.n > 1 else None

    @property
    def scores(self) -> Array:
        """Scores (n,) in order of seed."""
        return np.array([value for _, value in sorted(self.values.items())], dtype=np.float64)


@dataclass(frozen=True)
class Row:
    """One setting over its seeds. `trial` is its first trial; `cells` {metric: Cell} hold the finished `trials` only.

    `view` is the scored view; `of_row` of a row for a further view is the label of the row it belongs to. `quality` has a cell
    for each measure of reconstructions.
    """

    label: str
    trial: Trial
    trials: tuple[Found, ...]
    failed: tuple[Found, ...]
    cells: dict[str, Cell]
    view: str = "mean"
    of_row: str = ""
    quality: dict[str, Cell] = field(default_factory=dict)
    below_untrained: bool = False

    @property
    def sees(self) -> str:
        """What the method sees: "images", and what its records name besides."""
        supervision = next((record.supervision for _, record in (*self.trials, *self.failed)), NONE)
        return "images" if supervision == NONE else f"images, {supervision}"

    @property
    def seeds(self) -> str:
        """Number of seeds: `3`, or `2 of 3` if a seed failed."""
        total = len(self.trials) + len(self.failed)
        return f"{len(self.trials)} of {total}" if self.failed else f"{total}"


@dataclass(frozen=True)
class Table:
    """One dataset's rows. `floor` and `ceiling` hold one value per finished trial, keyed by the trial's position.

    `further` are the rows of further views, trained and untrained; `further_floors` {view: floor}.
    """

    dataset: str
    options: dict[str, Any]
    version: str
    provenance: str | None
    factors: tuple[tuple[str, int], ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    untrained: tuple[Row, ...]
    further: tuple[Row, ...]
    further_floors: dict[str, dict[str, Cell]]
    floor: dict[str, Cell]
    ceiling: dict[str, Cell]
    failed: tuple[Found, ...]
    notices: tuple[str, ...]

    @property
    def key(self) -> DataKey:
        """What `DATA` names: dataset, options as JSON, version and provenance."""
        return self.dataset, json.dumps(self.options, sort_keys=True), self.version, self.provenance or "unknown"

    @property
    def kinds_of_sight(self) -> tuple[str, ...]:
        """What the trained methods see, each kind once; methods of different kinds are never ranked together."""
        return tuple(dict.fromkeys(row.sees for row in self.rows))

    @property
    def first_views(self) -> tuple[Row, ...]:
        """The trained rows, then the untrained ones, each in its first view."""
        return *self.rows, *self.untrained
