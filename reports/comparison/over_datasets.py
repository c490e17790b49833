"""Methods over several datasets: ranks, interquartile means and critical differences, per provenance, view and metric."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from disbench.reports import statistics
from disbench.reports.comparison.frames import BUDGETS, Cells, by, cells_of, pooled, settings_in
from disbench.reports.statistics import Array, CriticalDifference
from disbench.reports.tables.columns import column

SETTINGS = "settings differ between datasets"


@dataclass(frozen=True)
class Across:
    """The trained cells of one view and metric over all datasets of a provenance; a method's label means one row of each."""

    provenance: str
    view: str
    metric: str
    sees: str
    higher_is_better: bool
    cells: list[Cells]

    @property
    def scores(self) -> dict[str, dict[str, Array]]:
        """{method: {dataset: scores}}. Editions of a dataset count as several, with names that tell them apart."""
        editions = dict.fromkeys(cell.data for cell in self.cells)
        datasets = [key[0] for key in editions]
        names = {key: " ".join(key[:3]) if datasets.count(key[0]) > 1 else key[0] for key in editions}
        found: dict[str, dict[str, Array]] = {cell.method: {} for cell in self.cells}
        for (data, method), own in by(self.cells, lambda cell: (cell.data, cell.method)).items():
            found[method][names[data]] = pooled(own)
        return found

    @property
    def budgets_differ(self) -> bool:
        """Whether methods were trained for different numbers of steps on one dataset; datasets may differ from each other."""
        return any(len({cell.steps for cell in own}) > 1 for own in by(self.cells, lambda cell: cell.data).values())

    @property
    def varied(self) -> dict[str, tuple[str, ...]]:
        """Methods whose settings differ between datasets, with the names of the settings that differ."""
        found = {}
        for method, own in by(self.cells, lambda cell: cell.method).items():
            settings = [settings_in(setting) for setting in dict.fromkeys(cell.setting for cell in own)]
            if len(settings) > 1:
                names = sorted({name for values in settings for name in values})
                found[method] = tuple(n for n in names if any(s.get(n) != settings[0].get(n) for s in settings))
        return found


@dataclass(frozen=True)
class Diagram:
    """The critical-difference diagram of one metric over datasets of one provenance.

    `methods` (M,) are in the order of `found`, which is None where `note` says why there is no test. `missing` maps each
    left-out method to the datasets on which it has no score. `varied` maps each method whose settings differ between datasets
    to the names of those settings.
    """

    provenance: str
    view: str
    metric: str
    methods: tuple[str, ...]
    datasets: tuple[str, ...]
    found: CriticalDifference | None
    missing: dict[str, tuple[str, ...]]
    budgets_differ: bool
    note: str
    varied: dict[str, tuple[str, ...]]
    sees: str = "images"


def across_datasets(scores: pd.DataFrame) -> list[Across]:
    """Group trained cells by provenance, view, metric and what methods see, without metrics of unknown direction."""
    trained = [cell for cell in cells_of(scores) if cell.trained]
    labels = _labels(trained)
    named = [replace(cell, method=labels[cell.setting]) for cell in trained]
    groups = by(named, lambda cell: (cell.data[-1], cell.view, cell.metric, cell.sees))
    directions = {metric: column(metric).higher_is_better for _, _, metric, _ in groups}
    return [Across(*key, higher, own) for key, own in groups.items() if (higher := directions[key[2]]) is not None]


def overview(scores: pd.DataFrame, *, seed: int = 0, resamples: int = statistics.RESAMPLES) -> pd.DataFrame:
    """`statistics.over_datasets` for each group of `across_datasets`: one line per trained setting, flagged if incomplete.

    Metrics without finite bounds have a mean rank but no interquartile mean. `name` is the method's registered name, `steps`
    lists how long it was trained on the datasets, `varied` its settings that differ between them.
    """
    found = []
    for group in across_datasets(scores):
        head = column(group.metric)
        lines = statistics.over_datasets(
            group.scores,
            group.higher_is_better,
            pooled=bool(np.isfinite([head.low, head.high]).all()),
            seed=seed,
            resamples=resamples,
        )
        methods = list(lines.index)
        for place, name in enumerate(("provenance", "view", "metric")):
            lines.insert(place, name, getattr(group, name))
        lines.insert(3, "method", methods)
        rows = by(group.cells, lambda cell: cell.method)
        varied, budgets_differ = group.varied, group.budgets_differ
        lines["budgets_differ"] = budgets_differ
        lines["sees"] = group.sees
        lines["name"] = [settings_in(rows[method][0].setting)["method"] for method in methods]
        lines["steps"] = [tuple(sorted({cell.steps for cell in rows[method]})) for method in methods]
        lines["varied"] = [varied.get(method, ()) for method in methods]
        differing = [f"{SETTINGS} ({', '.join(varied[method])})" if method in varied else "" for method in methods]
        budgets = BUDGETS if budgets_differ else ""
        lines["note"] = [
            "; ".join(filter(None, (note, own, budgets))) for note, own in zip(lines["note"], differing, strict=True)
        ]
        found.append(lines)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def diagrams(scores: pd.DataFrame, *, alpha: float = 0.05) -> tuple[Diagram, ...]:
    """Make a critical-difference diagram for each provenance, view and metric, over the settings that every dataset has."""
    found = []
    for group in across_datasets(scores):
        own = group.scores
        datasets, missing = statistics.missing_datasets(own)
        complete = [method for method, absent in missing.items() if not absent]
        blocks = np.array([[own[m][d].mean() for m in complete] for d in datasets])
        blocks = blocks.reshape(len(datasets), len(complete))  # also where either is empty
        test, note = None, ""
        try:
            test = statistics.friedman_nemenyi(blocks, group.higher_is_better, alpha=alpha)
        except ValueError as error:
            note = str(error)
        found.append(
            Diagram(
                group.provenance,
                group.view,
                group.metric,
                tuple(complete),
                tuple(datasets),
                test,
                {method: absent for method, absent in missing.items() if absent},
                group.budgets_differ,
                "; ".join(filter(None, (note, BUDGETS if group.budgets_differ else ""))),
                group.varied,
                group.sees,
            )
        )
    return tuple(found)


def _labels(cells: Iterable[Cells]) -> dict[str, str]:
    """Label each setting by the longest of its labels, in full where two settings of one dataset share it.

    Settings that share a label and never occur on the same dataset count as one method with settings per dataset (`varied`).
    """
    longest: dict[str, str] = {}
    places: dict[str, set[tuple[str, ...]]] = {}
    for cell in cells:
        longest[cell.setting] = max(longest.get(cell.setting, ""), cell.method, key=len)
        places.setdefault(cell.setting, set()).add(cell.data)
    shared = set()
    taken: dict[str, set[tuple[str, ...]]] = {}
    for setting, label in longest.items():
        if taken.setdefault(label, set()) & places[setting]:
            shared.add(label)
        taken[label] |= places[setting]

    def in_full(setting: str) -> str:
        values = settings_in(setting)
        method = values.pop("method")
        return f"{method} ({', '.join(f'{name}={value}' for name, value in sorted(values.items()))})"

    return {setting: in_full(setting) if label in shared else label for setting, label in longest.items()}
