"""Score a table of codes and factors, with the floor and the ceiling of each metric."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from disbench.benchmarks.runtime.seeds import seed_for
from disbench.benchmarks.training.progress import Progress
from disbench.benchmarks.trials.cost import warning
from disbench.datasets.wording import shown
from disbench.metrics import METRICS, NotApplicable, Table, as_table
from disbench.metrics.confidence import confidences
from disbench.metrics.reference import ceiling_of, floor_of

_log = logging.getLogger(__name__)


@dataclass
class Scores:
    """Hold the scores of a table.

    Attributes
    ----------
    scores, floor, ceiling : dict of float
        By metric: the score, the score with rows shuffled, and the score of the factors as codes. A metric that is not
        applicable to one of the latter has no such number.
    skipped : dict of str
        The reason for each metric without a score.
    detail : dict
        The numbers behind each score.
    confidence, no_confidence : dict
        If requested, the fields of a `Confidence` by metric, or the reason why there is none.
    """

    scores: dict[str, float] = field(default_factory=dict)
    floor: dict[str, float] = field(default_factory=dict)
    ceiling: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)
    confidence: dict[str, dict[str, Any]] = field(default_factory=dict)
    no_confidence: dict[str, str] = field(default_factory=dict)


@contextmanager
def _many_labels_are_labels() -> Iterator[None]:
    """Ignore scikit-learn's guess that labels of many values are none: the metrics themselves decide it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The number of unique classes is greater than 50%")
        yield


@_many_labels_are_labels()
def score(
    codes: ArrayLike,
    factors: ArrayLike,
    options: dict[str, dict[str, Any]],
    *,
    seed: int = 0,
    codes_std: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    quantized: bool = False,
    resamples: int | None = None,
    on_metric: Callable[[str, int, int], object] | None = None,
) -> Scores:
    """Score codes with several metrics, and measure the floor and the ceiling of each.

    The table is checked once. Each metric is computed three times: on the table, on the floor and on the ceiling. The floor
    shuffles the rows of the codes and of their deviations; groups stay. The ceiling has a code, in a separate group, for each
    factor.

    Parameters
    ----------
    codes : array-like of shape (N, D) or (N, G, F)
        One row per image.
    factors : array-like of shape (N, K)
        Factor values of the same rows.
    options : dict of dict
        Keywords of each metric, by its name in `METRICS`.
    seed : int, default 0
        Seed of the metrics, of the floor and of the resamples.
    codes_std : array-like, optional
        Standard deviations of the posteriors with means `codes`, of the same shape.
    groups : array-like of shape (D,) or (G,), optional
        The group of each code or vector.
    quantized : bool, default False
        Whether each code takes one of few values; see `as_table`.
    resamples : int, optional
        If given, each score gets a confidence interval, from so many resamples of the rows or from five seeds.
    on_metric : callable, optional
        `on_metric(name, index, total)` is called before each metric; `index` counts from 0.

    Returns
    -------
    Scores
        A metric that is not applicable has a reason in `skipped`.

    Raises
    ------
    ValueError
        If the table is malformed, or an option is out of range.

    Examples
    --------
    >>> from disbench.benchmarks.trials.score import score
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]] * 25
    >>> found = score(factors, factors, {"mig": {"bins": 10}, "sap": {}})
    >>> found.scores, round(found.floor["mig"], 1), found.ceiling["mig"]
    ({'mig': 1.0, 'sap': 1.0}, 0.0, 1.0)
    """
    result = Scores()
    try:
        table = as_table(codes, factors, std=codes_std, groups=groups, quantized=quantized)
    except NotApplicable as reason:
        result.skipped = dict.fromkeys(options, str(reason))
        return result
    floor = floor_of(table, seed_for(seed, "floor"))
    reads = {name: METRICS[name].reads_with(keywords) for name, keywords in options.items()}
    ceilings = {what: ceiling_of(table, what) for what in set(reads.values())}
    fitted: list[dict[str, Any]] = []
    for index, (name, keywords) in enumerate(options.items()):
        if on_metric is not None:
            on_metric(name, index, len(options))
        shared = name.startswith("dci_") and keywords in fitted  # the three DCI scores share one computation
        rows, columns = table.raw_codes.shape
        if not shared and (told := warning(name, keywords, rows, columns, table.sizes.tolist())):
            _log.info(told)
        if name.startswith("dci_"):
            fitted.append(keywords)
        arguments = {"seed": seed, **keywords}
        try:
            detail = _as_detail(name, _computed(name, table, arguments))
        except NotApplicable as reason:
            result.skipped[name] = str(reason)
            continue
        result.detail[name], result.scores[name] = detail, _as_score(name, detail["score"])
        for scores, other in ((result.floor, floor), (result.ceiling, ceilings[reads[name]])):
            with suppress(NotApplicable):  # one factor as codes is one code, and two factors alike are two codes alike
                scores[name] = _as_score(name, _computed(name, other, arguments)["score"])
    if resamples is not None:
        asked = {name: (METRICS[name], options[name]) for name in result.scores}
        found, result.no_confidence = confidences(asked, table, resamples=resamples, seed=seed)
        result.confidence = {name: asdict(spread) for name, spread in found.items()}
    return result


def score_shown(what: str, codes: Any, factors: Any, metrics: dict[str, dict[str, Any]], **keywords: Any) -> Scores:
    """Score codes (N, D) and factors (N, K), and show which metric is computed."""
    with Progress(what, len(metrics), "metric") as progress:
        return score(
            codes, factors, metrics, on_metric=lambda name, index, total: progress.update(index, name), **keywords
        )


def _computed(name: str, table: Table, options: dict[str, Any]) -> dict[str, Any]:
    """Compute a metric's detail. An error of a metric of a plugin becomes a ValueError that names the metric."""
    metric = METRICS[name]
    try:
        return metric.detail(table, **options)
    except (NotApplicable, MemoryError):
        raise
    except Exception as error:
        if getattr(metric.compute, "__module__", "").startswith("disbench."):
            raise
        raise ValueError(f"The metric {name} fails: {type(error).__name__}: {error}") from error


def _as_score(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The metric {name} needs to return a number, got {shown(value)}.") from error


def _as_detail(name: str, detail: Any) -> dict[str, Any]:
    """Convert a metric's detail to what JSON holds: numpy's numbers and arrays become Python's numbers and lists."""
    if not isinstance(detail, dict) or "score" not in detail:
        raise ValueError(f"The detail of the metric {name} needs to be a dictionary with 'score', got {shown(detail)}.")
    return {str(key): _plain(name, value) for key, value in detail.items()}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(name, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, each) for each in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(
        f"The detail of the metric {name} needs numbers, text, lists and dictionaries, got {shown(value)}."
    )


def named_entries(
    detail: dict[str, Any], factor_names: Sequence[str] = (), code_names: Sequence[str] = ()
) -> list[list[dict[str, Any]]]:
    """List a detail's entries of factors and its entries of codes, if any, with names (or v0, z0) in place of columns."""

    def name(key: str, value: Any) -> Any:
        if key == "factor" and value is not None:
            return factor_names[value] if factor_names else f"v{value}"
        if key in ("code", "other") and value is not None:
            return code_names[value] if code_names else f"z{value}"
        return value

    return [
        [{key: name(key, value) for key, value in entry.items()} for entry in detail[part]]
        for part in ("factors", "codes")
        if detail.get(part)
    ]
