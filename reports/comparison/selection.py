"""Which trial, setting or seed each criterion of model selection picks, and what that costs: the file `selection.json`.

A criterion that needs no labels cannot see the score that counts. Its regret is the score of the best choice less the score of
the choice that it makes. Locatello et al. 2020 (ICLR), arXiv:1905.01258v2, section 3, compare with selection by few labels: the
score itself, computed on some labeled rows.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from disbench.datasets.storage.atomic import write_atomic
from disbench.datasets.untrusted import read_regular
from disbench.reports.records.reasons import reason_of

SELECTION_FILE = "selection.json"
SELECTION_SCHEMA = 1
LARGEST = 64 << 20  # bytes of a file that is read
SAMPLES = 1_000  # of the bootstrap
Choice = Literal["trial", "setting", "seed"]
CHOICES: dict[Choice, str] = {
    "trial": "One of all trials",
    "setting": "A setting, by its mean over seeds",
    "seed": "A seed of each setting, mean over settings",
}
ORACLE, MEDIAN = "oracle", "median"
LABELS = {
    ORACLE: "best choice",
    MEDIAN: "median",
    "udr": "UDR",
    "seed_consistency": "seed consistency",
    "straight_through_gap": "straight-through gap",
    "reconstruction": "reconstruction",
    "elbo": "lower bound (ELBO)",
}


def criterion_label(criterion: str) -> str:
    """Name a criterion for readers."""
    count, labels, _ = criterion.partition(" labels ")
    return f"{int(count):,} labels" if labels else LABELS.get(criterion, criterion.replace("_", " "))


class Candidate(BaseModel):
    """One trial: `scores` by metric, and the value of each criterion, or its values for several draws of labels.

    Values of criteria are such that higher is better. The key of a criterion by labels is followed by the metric's: `100 labels
    mig`.
    """

    model_config = ConfigDict(extra="forbid")

    trial: str
    setting: str
    seed: int
    scores: dict[str, float]
    criteria: dict[str, list[float]] = Field(default_factory=dict)


class Pick(BaseModel):
    """What one criterion picks, the score of that, and its regret with a 95 % interval; None where it has no value."""

    model_config = ConfigDict(extra="forbid")

    metric: str
    choice: Choice
    criterion: str
    picked: str = ""
    score: float | None = None
    regret: float | None = None
    low: float | None = None
    high: float | None = None


class SelectionOfDataset(BaseModel):
    """The candidates of one dataset, why criteria are missing, and the picks."""

    model_config = ConfigDict(extra="forbid")

    dataset: str
    options: str
    candidates: list[Candidate]
    missing: dict[str, str] = Field(default_factory=dict)
    picks: list[Pick] = Field(default_factory=list)


class Selection(BaseModel):
    """What `disbench select` found below a folder, and the command that found it."""

    model_config = ConfigDict(extra="forbid")

    command: str
    metrics: list[str]
    labels: list[int]
    draws: int
    seed: int
    datasets: list[SelectionOfDataset]
    selection_schema: int = SELECTION_SCHEMA


class _Pool(NamedTuple):
    """Settings by their seeds: `scores` and the values of one criterion in one draw, an array (n,) for each setting."""

    names: list[str]
    seeds: list[list[int]]
    scores: list[NDArray[np.float64]]
    values: list[NDArray[np.float64]]


def picks(candidates: Sequence[Candidate], metrics: Mapping[str, bool], labels: Sequence[int], seed: int) -> list[Pick]:
    """Let every criterion choose among candidates.

    Parameters
    ----------
    candidates : sequence of Candidate
        Trials of one dataset.
    metrics : mapping of str to bool
        Whether higher is better, by metric.
    labels : sequence of int
        Numbers of labels of the criteria by labels.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    list of Pick
        For each metric and choice the oracle, the median of a random choice, and the criteria in order of regret. Intervals are
        percentiles over resamples of the seeds of each setting, in which the values of criteria are kept.
    """
    known = {name for each in candidates for name in each.criteria if " labels " not in name}
    found = []
    for metric, higher in metrics.items():
        scored = [each for each in candidates if metric in each.scores]
        own = [*sorted(known), *(f"{count} labels {metric}" for count in labels)]
        for choice in CHOICES:
            if scored:
                found += _of_choice(scored, metric, higher, choice, own, seed)
    return found


def _of_choice(
    candidates: Sequence[Candidate], metric: str, higher: bool, choice: Choice, criteria: Sequence[str], seed: int
) -> list[Pick]:
    sign = 1.0 if higher else -1.0
    settings = list(dict.fromkeys(each.setting for each in candidates))
    groups = [[each for each in candidates if each.setting == name] for name in settings]
    if choice == "seed":
        groups = [group for group in groups if len(group) > 1]
    if not groups or (choice == "setting" and len(groups) < 2) or (choice == "trial" and len(candidates) < 2):
        return []
    names, seeds = [group[0].setting for group in groups], [[each.seed for each in group] for group in groups]
    scores = [np.array([each.scores[metric] for each in group]) for group in groups]

    def pool(criterion: str, draw: int) -> _Pool | None:
        if any(criterion not in each.criteria for group in groups for each in group):
            return None
        values = [np.array([np.resize(each.criteria[criterion], draw + 1)[draw] for each in group]) for group in groups]
        return _Pool(names, seeds, scores, values)

    chosen: Callable[[_Pool, Sequence[NDArray[np.intp]]], tuple[float, str]] = _CHOOSE[choice]
    best = _Pool(names, seeds, scores, [sign * each for each in scores])
    everything = [np.arange(len(group)) for group in groups]
    generator = np.random.default_rng(seed)
    resamples = [[generator.integers(len(group), size=len(group)) for group in groups] for _ in range(SAMPLES)]
    oracle, which = chosen(best, everything)
    oracles = [chosen(best, rows)[0] for rows in resamples]
    found = [Pick(metric=metric, choice=choice, criterion=ORACLE, picked=which, score=oracle, regret=0.0)]
    middle = np.array([oracles[n] - _median(scores, choice, rows) for n, rows in enumerate(resamples)]) * sign
    score = _median(scores, choice, everything)
    found.append(_pick(metric, choice, MEDIAN, "", score, sign * (oracle - score), middle))
    told = []
    for criterion in criteria:
        draws = max((len(each.criteria.get(criterion, [])) for each in candidates), default=0)
        pools = [pool(criterion, draw) for draw in range(draws)]
        given = [one for one in pools if one is not None]
        if not given:
            told.append(Pick(metric=metric, choice=choice, criterion=criterion))
            continue
        outcomes = [chosen(one, everything) for one in given]
        score = float(np.mean([value for value, _ in outcomes]))
        regrets = [
            oracles[n] - chosen(given[n % len(given)], rows)[0] for n, rows in enumerate(resamples)
        ]  # each resample has a draw of labels
        which = Counter(name for _, name in outcomes).most_common(1)[0][0]
        told.append(_pick(metric, choice, criterion, which, score, sign * (oracle - score), sign * np.array(regrets)))
    return found + sorted(told, key=lambda each: (each.regret is None, each.regret or 0.0))


def _pick(
    metric: str, choice: Choice, criterion: str, picked: str, score: float, regret: float, regrets: NDArray[np.float64]
) -> Pick:
    low, high = np.percentile(
        np.maximum(regrets, 0.0), [2.5, 97.5]
    )  # a mean of equal numbers may be off in the last bit
    interval = {"regret": max(regret, 0.0), "low": float(low), "high": float(high)}
    return Pick(metric=metric, choice=choice, criterion=criterion, picked=picked, score=score, **interval)


def _best_trial(pool: _Pool, rows: Sequence[NDArray[np.intp]]) -> tuple[float, str]:
    values = [value[own] for value, own in zip(pool.values, rows, strict=True)]
    setting = int(np.argmax([value.max() for value in values]))
    place = rows[setting][int(values[setting].argmax())]
    return float(pool.scores[setting][place]), f"{pool.names[setting]}, seed {pool.seeds[setting][place]}"


def _best_setting(pool: _Pool, rows: Sequence[NDArray[np.intp]]) -> tuple[float, str]:
    setting = int(np.argmax([value[own].mean() for value, own in zip(pool.values, rows, strict=True)]))
    return float(pool.scores[setting][rows[setting]].mean()), pool.names[setting]


def _best_seeds(pool: _Pool, rows: Sequence[NDArray[np.intp]]) -> tuple[float, str]:
    places = [own[value[own].argmax()] for value, own in zip(pool.values, rows, strict=True)]
    scores = [score[place] for score, place in zip(pool.scores, places, strict=True)]
    return float(np.mean(scores)), ", ".join(str(own[place]) for own, place in zip(pool.seeds, places, strict=True))


_CHOOSE: dict[str, Any] = {"trial": _best_trial, "setting": _best_setting, "seed": _best_seeds}


def _median(scores: Sequence[NDArray[np.float64]], choice: Choice, rows: Sequence[NDArray[np.intp]]) -> float:
    own = [score[places] for score, places in zip(scores, rows, strict=True)]
    if choice == "trial":
        return float(np.median(np.concatenate(own)))
    if choice == "setting":
        return float(np.median([each.mean() for each in own]))
    return float(np.mean([np.median(each) for each in own]))


def write_selection(selection: Selection, path: Path) -> Path:
    """Write the file whole or not at all."""
    write_atomic(path, (selection.model_dump_json(indent=1) + "\n").encode())
    return path


def read_selection(path: Path) -> Selection:
    """Read the file. Raises ValueError for a damaged one or one of another schema, and OSError where there is none."""
    try:
        found = Selection.model_validate_json(read_regular(path, LARGEST))
    except ValidationError as error:
        raise ValueError(f"{path} is no selection of models: {reason_of(error)}. Run disbench select again.") from error
    if found.selection_schema != SELECTION_SCHEMA:
        raise ValueError(f"{path} has the schema {found.selection_schema}, and {SELECTION_SCHEMA} is read here.")
    return found
