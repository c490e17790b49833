"""From a leaderboard's tables to data frames that say who is better, by how much, and how surely.

One long frame (`score_frame`) holds every score, a row a seed; everything else is made from it by `statistics`. Two rules hold
everywhere: datasets of different provenance are never averaged or ranked together, and where the settings that are compared
were trained for different numbers of steps on a dataset, `budgets_differ` is True and the note says so.

Only trained rows are ranked and compared over datasets. A metric that this installation does not know has no direction, so its
rows have numbers but no rank.
"""

import json
import math
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from disbench.reports import statistics
from disbench.reports.statistics import Array, CriticalDifference
from disbench.reports.tables.aggregate import Cell, Table
from disbench.reports.tables.columns import column

DATA = ["dataset", "options", "version", "provenance"]
SCORES = [*DATA, "view", "method", "setting", "trained", "steps", "seed", "metric", "score", "failed", "reason", "mark"]
LINE = ["seed", "score", "failed", "reason"]  # of SCORES, those that differ within a cell
LEADERBOARD = [
    *(
        *DATA,
        "view",
        "method",
        "trained",
        "steps",
        "budgets_differ",
        "metric",
        "direction",
        "seeds",
        "failed",
        "n",
        "mean",
        "sd",
    ),
    *("iqm", "low", "high", "rank", "rank_low", "rank_high", "place", "tied_with", "mark", "note"),
]
COMPARISON = [
    *(*DATA, "view", "metric", "direction", "n_one", "mean_one", "n_other", "mean_other", "difference", "low", "high"),
    *("improvement", "improvement_low", "improvement_high", "verdict", "budgets_differ", "note"),
]
BUDGETS = "trained for different numbers of steps"
SETTINGS = "settings differ between data sets"
UNKNOWN_DIRECTION = "direction unknown"
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Diagram:
    """One metric's critical-difference diagram over datasets of one provenance.

    `methods` (M,) are in the order of `found`, which is None where `note` says why there is no test. `missing` maps a method
    that was left out to the datasets on which it has no score, `varied` one whose settings are not the same on all datasets to
    the names of those that differ.
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


@dataclass(frozen=True)
class Pairs:
    """How probably a seed of one method beats a seed of another: `chance` (M, M), the row's method over the column's.

    `differ` (M, M) says where Welch's interval of the two means leaves zero out; all False over several datasets, where it does
    not apply. `left_out` names the methods that are not among `methods`: incomplete ones, and those past the first `most`.
    `varied` is that of `Diagram`.
    """

    provenance: str
    metric: str
    methods: tuple[str, ...]
    datasets: tuple[str, ...]
    chance: Array
    differ: NDArray[np.bool_]
    left_out: tuple[str, ...]
    budgets_differ: bool
    varied: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class _Cell:
    """The lines of a frame of scores that are one setting's on one metric: `scores` (n,) without gaps, `seeds` lines in all."""

    data: tuple[str, ...]
    view: str
    metric: str
    method: str
    setting: str
    trained: bool
    steps: int
    mark: str
    scores: Array
    seeds: int
    failed: int
    reasons: tuple[str, ...]


def score_frame(tables: Iterable[Table]) -> pd.DataFrame:
    """Every score of every view, a row for each dataset, view, setting, metric and seed; `SCORES` names the columns.

    `method` is the row's label on the page, `setting` (JSON) what tells its row apart, equal across datasets, `options` (JSON)
    the dataset's, `mark` the cell's. A trial that failed or skipped a metric has a row with a NaN and a `reason`.
    """
    cells: list[tuple[Any, ...]] = []
    counts: list[int] = []
    lines: list[tuple[int, float, bool, str]] = []
    for table in tables:
        data = (table.dataset, json.dumps(table.options, sort_keys=True), table.version, table.provenance or "unknown")
        for row in (*table.rows, *table.further, *table.untrained):
            own = row.trial.model_dump(mode="json", exclude={"seed", "dataset", "dataset_options", "dataset_version"})
            label = row.of_row or row.label
            setting = (*data, row.view, label, json.dumps(own, sort_keys=True), row.trial.steps > 0, row.trial.steps)
            seeds = [record.trial.seed for _, record in row.failed]
            failed = {seed: (seed, math.nan, True, f"seed {seed} failed") for seed in seeds}
            for head in table.columns:
                cell = row.cells[head.key]
                told = {seed: (seed, score, False, "") for seed, score in cell.values.items()}
                told |= {seed: (seed, math.nan, False, reason) for seed, reason in cell.reasons.items()}
                told |= failed
                cells.append((*setting, head.key, cell.mark))
                counts.append(len(told))
                lines += [line for _, line in sorted(told.items())]
    # What a cell's lines share is written once and repeated as a whole: there may be a hundred lines.
    shared = pd.DataFrame(cells, columns=[name for name in SCORES if name not in LINE])
    found = shared.take(np.repeat(np.arange(len(cells)), counts)).reset_index(drop=True)
    found[LINE] = pd.DataFrame(lines, columns=LINE)
    # Without a row the columns would be of no type, and an empty one of no type selects nothing right.
    return found[SCORES].astype({"trained": bool, "failed": bool})


def leaderboard(scores: pd.DataFrame, *, seed: int = 0, resamples: int = statistics.RESAMPLES) -> pd.DataFrame:
    """A row for each dataset, view, method and metric; `LEADERBOARD` names the columns.

    `seeds` counts the trials, `failed` those of them that failed, `n` the scores behind `mean`, `sd` (n - 1), `iqm` and its
    95 % bootstrap interval `low` to `high`. `rank` to `tied_with` are those of `statistics.ranking`, over the trained rows;
    `mark`, 'best' or 'noise' (within noise of the best), is that of the page.
    """
    found = []
    for (data, view, metric), group in _by(_cells(scores), lambda cell: (cell.data, cell.view, cell.metric)).items():
        higher = column(metric).higher_is_better
        trained = [cell for cell in group if cell.trained]
        budgets_differ = len({cell.steps for cell in trained}) > 1
        ranked = {method: _pooled(own) for method, own in _by(trained, lambda cell: cell.method).items()}
        standing: dict[Hashable, dict[Any, Any]] = {}
        if higher is not None:
            ranking = statistics.ranking(ranked, higher, seed=seed, resamples=resamples)
            standing = ranking.drop(columns="note").to_dict("index")
        for method, cells in _by(group, lambda cell: cell.method).items():
            own = _pooled(cells)
            line: dict[str, Any] = dict(zip([*DATA, "view"], [*data, view], strict=True))
            line |= {"method": method, "trained": method in ranked, "steps": cells[0].steps}
            line |= {"budgets_differ": budgets_differ, "metric": metric, "direction": column(metric).direction}
            line |= {"seeds": sum(cell.seeds for cell in cells), "failed": sum(cell.failed for cell in cells)}
            line |= {"n": len(own), "tied_with": (), "mark": cells[0].mark}
            notes = [*dict.fromkeys(reason for cell in cells for reason in cell.reasons)]
            if len(own):
                estimate = statistics.interquartile_mean([own], seed=seed, resamples=resamples)
                line |= {"mean": own.mean(), "sd": own.std(ddof=1) if len(own) > 1 else None}
                line |= {"iqm": estimate.value, "low": estimate.low, "high": estimate.high}
                notes.append(estimate.note)
            line |= standing.get(method, {})
            if method in ranked:
                notes += [BUDGETS] * budgets_differ
            notes += [UNKNOWN_DIRECTION] * (higher is None)
            found.append(line | {"note": "; ".join(filter(None, notes))})
    frame = pd.DataFrame(found, columns=LEADERBOARD)
    numbers = ["mean", "sd", "iqm", "low", "high", "rank", "rank_low", "rank_high", "place"]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def overview(scores: pd.DataFrame, *, seed: int = 0, resamples: int = statistics.RESAMPLES) -> pd.DataFrame:
    """`statistics.over_datasets` for each provenance, view and metric: one line a trained setting, flagged where incomplete.

    Metrics without finite bounds have a mean rank but no interquartile mean. `name` is the method's registered name, `steps` how
    long it was trained on each dataset, once each, `varied` which of its settings differ between them.
    """
    found = []
    for (provenance, view, metric), group in _provenances(_cells(scores)):
        head = column(metric)
        if head.higher_is_better is None:
            continue
        own = _by_dataset(group)
        lines = statistics.over_datasets(
            own,
            head.higher_is_better,
            pooled=bool(np.isfinite([head.low, head.high]).all()),
            seed=seed,
            resamples=resamples,
        )
        lines.insert(0, "method", lines.index)
        lines.insert(0, "metric", metric)
        lines.insert(0, "view", view)
        lines.insert(0, "provenance", provenance)
        budgets_differ = _budgets_differ(group)
        lines["budgets_differ"] = budgets_differ
        rows = _by(group, lambda cell: cell.method)
        lines["name"] = [json.loads(rows[label][0].setting)["method"] for label in lines["method"]]
        lines["steps"] = [tuple(sorted({cell.steps for cell in rows[label]})) for label in lines["method"]]
        varied = _varied(group)
        lines["varied"] = [varied.get(label, ()) for label in lines["method"]]
        lines["note"] = [
            "; ".join(filter(None, (note, f"{SETTINGS} ({', '.join(varied[m])})" if m in varied else "")))
            for m, note in zip(lines["method"], lines["note"], strict=True)
        ]
        if budgets_differ:
            lines["note"] = [f"{note}; {BUDGETS}" if note else BUDGETS for note in lines["note"]]
        found.append(lines)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def diagrams(scores: pd.DataFrame, *, alpha: float = 0.05) -> tuple[Diagram, ...]:
    """A critical-difference diagram for each provenance, view and metric, over the settings that every dataset has."""
    found = []
    for (provenance, view, metric), group in _provenances(_cells(scores)):
        higher = column(metric).higher_is_better
        if higher is None:
            continue
        own = _by_dataset(group)
        datasets = list(dict.fromkeys(name for values in own.values() for name in values if len(values[name])))
        missing = {m: tuple(d for d in datasets if not len(values.get(d, ()))) for m, values in own.items()}
        complete = [method for method, absent in missing.items() if not absent]
        blocks = np.array([[own[m][d].mean() for m in complete] for d in datasets])
        blocks = blocks.reshape(len(datasets), len(complete))  # also where either is none
        test, note = None, ""
        try:
            test = statistics.friedman_nemenyi(blocks, higher, alpha=alpha)
        except ValueError as error:
            note = str(error)
        absent = {method: names for method, names in missing.items() if names}
        differ = _budgets_differ(group)
        notes = "; ".join(filter(None, (note, BUDGETS if differ else "")))
        found.append(
            Diagram(
                provenance,
                view,
                metric,
                tuple(complete),
                tuple(datasets),
                test,
                absent,
                differ,
                notes,
                _varied(group),
            )
        )
    return tuple(found)


def pairs_within(table: Table, *, most: int = 12) -> tuple[Pairs, ...]:
    """Every two trained rows of one dataset in their first view, for each metric: the `most` best by mean, best first."""
    found = []
    for head in table.columns:
        scores = {row.label: {table.dataset: _values(row.cells[head.key])} for row in table.rows}
        budgets_differ = len({row.trial.steps for row in table.rows}) > 1
        if head.higher_is_better is not None:
            own = _pairs(table.provenance or "unknown", head.key, scores, head.higher_is_better, budgets_differ, most)
            found += [own] if len(own.methods) > 1 else []
    return tuple(found)


def pairs_over(scores: pd.DataFrame, *, most: int = 12) -> tuple[Pairs, ...]:
    """Every two trained settings over all datasets of a provenance, in their first view: the mean over datasets.

    Only settings with a score on every dataset, since a mean over easier data would win; the `most` best by mean rank.
    """
    found = []
    for (provenance, _, metric), group in _provenances(_cells(first_views(scores))):
        higher = column(metric).higher_is_better
        if higher is not None:
            own = _pairs(provenance, metric, _by_dataset(group), higher, _budgets_differ(group), most)
            own = replace(own, varied=_varied(group))
            found += [own] if len(own.methods) > 1 and len(own.datasets) > 1 else []
    return tuple(found)


def first_views(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores of each dataset's first view."""
    return scores[scores["view"] == scores.groupby(DATA, sort=False)["view"].transform("first")]


def _pairs(
    provenance: str,
    metric: str,
    scores: Mapping[str, Mapping[str, Array]],
    higher_is_better: bool,
    budgets_differ: bool,
    most: int,
) -> Pairs:
    datasets = list(dict.fromkeys(name for own in scores.values() for name, values in own.items() if len(values)))
    complete = [method for method, own in scores.items() if all(len(own.get(name, ())) for name in datasets)]
    complete = complete if datasets else []
    means = np.array([[scores[m][d].mean() for m in complete] for d in datasets])
    ranks = statistics.ranks(means, higher_is_better).mean(axis=0) if complete else np.zeros(0)
    methods = [complete[i] for i in np.argsort(ranks, kind="stable")[:most]]
    own = [[scores[m][d] for d in datasets] for m in methods]
    differ = np.zeros((len(methods), len(methods)), dtype=np.bool_)
    if len(datasets) == 1:
        for i, ours in enumerate(own):
            for j, theirs in enumerate(own[:i]):
                says = statistics.verdict(statistics.difference(ours[0], theirs[0]), higher_is_better)
                differ[i, j] = differ[j, i] = says in ("better", "worse")
    left_out = tuple(method for method in scores if method not in methods)
    chance = statistics.improvement_matrix(own, higher_is_better)
    return Pairs(provenance, metric, tuple(methods), tuple(datasets), chance, differ, left_out, budgets_differ, {})


def _values(cell: Cell) -> Array:
    return np.array([value for _, value in sorted(cell.values.items())], dtype=np.float64)


def compare(
    scores: pd.DataFrame, one: str, other: str, *, seed: int = 0, resamples: int = statistics.RESAMPLES
) -> pd.DataFrame:
    """Two methods on every dataset, view and metric that both have; `COMPARISON` names the columns.

    `one` and `other` are labels as the page has them, `beta_vae (beta=4)`. `difference` is the mean of one less that of the
    other, with Welch's 95 % interval, `improvement` the probability that a seed of one beats a seed of the other, and
    `verdict` says whether one is better, worse or a tie. Raises ValueError for a method that is nowhere, or for words that fit
    several rows of a dataset, or the same.
    """
    found = []
    settings: dict[str, list[str]] = {one: [], other: []}
    for key, group in scores.groupby(DATA, sort=False):
        sides = [_named(group, words) for words in (one, other)]
        for words, side in zip((one, other), sides, strict=True):
            settings[words] += [side] if side else []
        if sides[0] and sides[0] == sides[1]:
            raise ValueError(f"compare needs two methods, but on {_words(key)[0]} {one!r} and {other!r} are the same.")
        rows = group[group["setting"].isin([side for side in sides if side])]
        for (view, metric), cells in rows.groupby(["view", "metric"], sort=False):
            pair = [cells[cells["setting"] == side] for side in sides]
            if all(len(side) for side in pair):
                line = _compared(str(metric), pair, seed, resamples)
                found.append(dict(zip([*DATA, "view"], [*_words(key), view], strict=True)) | line)
    for words, somewhere in settings.items():
        if len(set(somewhere)) > 1:
            for line in found:
                line["note"] = "; ".join(filter(None, (line["note"], f"{words} is not one setting on all datasets")))
        if not somewhere:
            labels = ", ".join(dict.fromkeys(scores["method"]))
            raise ValueError(f"There is no method {words!r} in these records. There are: {labels}.")
    return pd.DataFrame(found, columns=COMPARISON)


def _compared(metric: str, pair: Sequence[pd.DataFrame], seed: int, resamples: int) -> dict[str, Any]:
    head = column(metric)
    ours, theirs = (_finite(side) for side in pair)
    budgets_differ = bool(pair[0]["steps"].iloc[0] != pair[1]["steps"].iloc[0])
    line: dict[str, Any] = {"metric": metric, "direction": head.direction, "verdict": "unknown"}
    line |= {"n_one": len(ours), "n_other": len(theirs), "budgets_differ": budgets_differ}
    line |= {f"mean_{name}": own.mean() for name, own in (("one", ours), ("other", theirs)) if len(own)}
    notes = [*dict.fromkeys(reason for side in pair for reason in side["reason"] if reason)]
    if len(ours) and len(theirs):
        gap = statistics.difference(ours, theirs)
        line |= {"difference": gap.value, "low": gap.low, "high": gap.high}
        line["verdict"] = statistics.verdict(gap, head.higher_is_better)
        notes.append(gap.note)
        if head.higher_is_better is not None:
            chance = statistics.probability_of_improvement(
                [ours], [theirs], head.higher_is_better, seed=seed, resamples=resamples
            )
            line |= {"improvement": chance.value, "improvement_low": chance.low, "improvement_high": chance.high}
    notes += [BUDGETS] * budgets_differ + [UNKNOWN_DIRECTION] * (head.higher_is_better is None)
    return line | {"note": "; ".join(filter(None, notes))}


def _named(group: pd.DataFrame, words: str) -> str | None:
    """The setting of one dataset's row that a label names, if there is one.

    The row's own label wins. Otherwise `method (name=value, ...)` is every row of that method with these values: a page names
    only what differs on it, so one setting's label may be longer on one dataset than on another.
    """
    rows = group.drop_duplicates("setting")
    exact = rows[rows["method"] == words]
    if len(exact) == 1:
        return str(exact["setting"].iloc[0])
    name, _, inside = words.removesuffix(")").partition(" (")
    wanted = dict(part.partition("=")[::2] for part in re.split(r", (?=\w+=)", inside)) if inside else {}
    fitting = []
    for label, setting, trained in zip(rows["method"], rows["setting"], rows["trained"], strict=True):
        own = json.loads(setting)
        values = {**own.pop("hparams"), **own}
        if trained and own["method"] == name and all(str(values.get(k, "default")) == v for k, v in wanted.items()):
            fitting.append((label, setting))
    if len(fitting) > 1:
        labels = ", ".join(label for label, _ in fitting)
        raise ValueError(f"{words!r} fits several rows of {group['dataset'].iloc[0]}. Name one of: {labels}.")
    return fitting[0][1] if fitting else None


def _cells(scores: pd.DataFrame) -> list[_Cell]:
    """The cells of a frame in the order of their first lines."""
    if scores.empty:
        return []
    key = [*DATA, "view", "metric", "method", "setting"]
    number = scores.groupby(key, sort=False).ngroup().to_numpy()  # (lines,): the cell of each
    order = np.argsort(number, kind="stable")
    places = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
    values, failed, reasons = (scores[name].to_numpy() for name in ("score", "failed", "reason"))
    firsts = scores.iloc[[own[0] for own in places]][[*key, "trained", "steps", "mark"]]
    found = []
    for own, (*data, view, metric, method, setting, trained, steps, mark) in zip(
        places, firsts.itertuples(index=False, name=None), strict=True
    ):
        told = values[own].astype(np.float64)
        cell = tuple(data), view, metric, method, setting, trained, steps, mark
        lines = told[~np.isnan(told)], len(own), int(failed[own].sum()), tuple(dict.fromkeys(reasons[own]))
        found.append(_Cell(*cell, *lines))
    return found


def _by(cells: Iterable[_Cell], key: Callable[[_Cell], Key]) -> dict[Key, list[_Cell]]:
    """Cells by a key of theirs, in order of appearance."""
    found: dict[Key, list[_Cell]] = {}
    for cell in cells:
        found.setdefault(key(cell), []).append(cell)
    return found


def _pooled(cells: Sequence[_Cell]) -> Array:
    return np.concatenate([cell.scores for cell in cells])


def _provenances(cells: Iterable[_Cell]) -> Iterable[tuple[tuple[str, str, str], list[_Cell]]]:
    """Trained cells by provenance, view and metric, with labels that mean one setting on all datasets."""
    trained = [cell for cell in cells if cell.trained]
    labels = _labels(trained)
    named = [replace(cell, method=labels[cell.setting]) for cell in trained]
    return _by(named, lambda cell: (cell.data[-1], cell.view, cell.metric)).items()


def _labels(cells: Iterable[_Cell]) -> dict[str, str]:
    """A label for each setting: the longest of its labels, in full where two settings of one dataset share it.

    Settings that share a label and never meet on a dataset are one method, set for each dataset: whoever shows it must say so
    (`_varied`).
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
        own = json.loads(setting)
        values = {**own.pop("hparams"), **own}
        method = values.pop("method")
        return f"{method} ({', '.join(f'{name}={value}' for name, value in sorted(values.items()))})"

    return {setting: in_full(setting) if label in shared else label for setting, label in longest.items()}


def _budgets_differ(cells: Iterable[_Cell]) -> bool:
    """Whether methods were trained for different numbers of steps on one dataset; datasets may differ from each other."""
    return any(len({cell.steps for cell in own}) > 1 for own in _by(cells, lambda cell: cell.data).values())


def _varied(cells: Iterable[_Cell]) -> dict[str, tuple[str, ...]]:
    """Methods whose settings are not the same on all datasets, with the names of the settings that differ."""
    found = {}
    for method, rows in _by(cells, lambda cell: cell.method).items():
        settings = [json.loads(setting) for setting in dict.fromkeys(cell.setting for cell in rows)]
        if len(settings) > 1:
            own = [{**setting.pop("hparams"), **setting} for setting in settings]
            names = sorted({name for values in own for name in values})
            found[method] = tuple(n for n in names if len({json.dumps(v.get(n)) for v in own}) > 1)
    return found


def _by_dataset(cells: Sequence[_Cell]) -> Mapping[str, Mapping[str, Array]]:
    """{method: {dataset: scores}} of one metric. Editions of a dataset count as several, and their names say which is which."""
    editions = dict.fromkeys(cell.data for cell in cells)
    datasets = [key[0] for key in editions]
    names = {key: " ".join(key[:3]) if datasets.count(key[0]) > 1 else key[0] for key in editions}
    found: dict[str, dict[str, Array]] = {cell.method: {} for cell in cells}
    for (data, method), own in _by(cells, lambda cell: (cell.data, cell.method)).items():
        found[method][names[data]] = _pooled(own)
    return found


def _finite(rows: pd.DataFrame) -> Array:
    values = rows["score"].to_numpy(dtype=np.float64)
    return np.asarray(values[~np.isnan(values)])


def _words(key: Any) -> list[str]:
    return [str(word) for word in key]
