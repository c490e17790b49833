"""From a table of codes and factors to scores, with what the same metrics say of nothing and of everything."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disbench.benchmarks.runtime.seeds import seed_for
from disbench.benchmarks.training.progress import Progress
from disbench.benchmarks.trials.cost import warning
from disbench.datasets.wording import shown
from disbench.metrics import METRICS, NotApplicable
from disbench.metrics.arrays import to_array
from disbench.metrics.confidence import confidences
from disbench.metrics.reference import as_codes, shuffled
from disbench.metrics.table import as_factors, check

_log = logging.getLogger(__name__)


@dataclass
class Scores:
    """scores, floor (rows shuffled) and ceiling (factors as codes) by metric; skipped holds a reason for each other one.

    A metric that is not applicable to the factors as codes, or to shuffled rows, has a score without that number.

    Where it was asked for, `confidence` holds the fields of a `Confidence` by metric, or `no_confidence` a reason.
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
    """Without scikit-learn's guess that labels of many values are none: the metrics themselves decide it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The number of unique classes is greater than 50%")
        yield


@_many_labels_are_labels()
def score(
    codes: NDArray[Any],
    factors: NDArray[Any],
    options: dict[str, dict[str, Any]],
    *,
    seed: int = 0,
    codes_std: NDArray[Any] | None = None,
    resamples: int | None = None,
    on_metric: Callable[[str, int, int], object] | None = None,
) -> Scores:
    """Score codes (N, D) against factors (N, K) with each metric in `options`, under its own keywords.

    Each metric is computed three times: on the table (its detail holds the score), on the floor and on the ceiling.
    `codes_std` (N, D), the standard deviations of posteriors with the means `codes`, goes to the metrics that use it; the
    floor shuffles its rows with those of the codes. The ceiling of a metric is made of the values or the labels of the
    factors, whichever the metric reads.
    With `resamples` each score has its confidence, from so many resamples of the rows or from five seeds.
    `on_metric(name, index, total)` is called before each metric; `index` counts from 0. Raises ValueError for a
    malformed table.
    """
    codes, factors = to_array(codes), to_array(factors)
    with suppress(NotApplicable):  # each metric says so itself
        check(codes, factors)
    result = Scores()
    floor_seed = seed_for(seed, "floor")
    shuffled_codes = shuffled(codes, floor_seed)
    needed = {METRICS[name].reads_with(keywords) for name, keywords in options.items()}
    perfect_codes = {reads: as_codes(factors, reads) for reads in needed}
    sizes = [factor.size for factor in as_factors(factors) if factor.size > 1]
    fitted: list[dict[str, Any]] = []
    deviations, shuffled_deviations = _as_option(codes_std), _as_option(codes_std, floor_seed)
    for index, (name, keywords) in enumerate(options.items()):
        if on_metric is not None:
            on_metric(name, index, len(options))
        shared = name.startswith("dci") and keywords in fitted  # the three DCI scores share one computation
        if not shared and (told := warning(name, keywords, *codes.shape, sizes)):
            _log.info(told)
        if name.startswith("dci"):
            fitted.append(keywords)
        metric = METRICS[name]
        arguments = {"seed": seed, **keywords}
        try:
            own, moved = (deviations, shuffled_deviations) if metric.uses_std else ({}, {})
            # The detail holds the score, so `fn` is not called as well.
            detail = _as_detail(name, _called(name, metric.detail, codes, factors, **own, **arguments))
        except NotApplicable as reason:
            result.skipped[name] = str(reason)
        else:
            result.detail[name], result.scores[name] = detail, _as_score(name, detail["score"])
            with suppress(NotApplicable):
                result.floor[name] = _as_score(
                    name, _called(name, metric.fn, shuffled_codes, factors, **moved, **arguments)
                )
            with suppress(NotApplicable):  # one factor as codes is one code, and two factors alike are two codes alike
                perfect = perfect_codes[metric.reads_with(keywords)]
                result.ceiling[name] = _as_score(name, _called(name, metric.fn, perfect, factors, **arguments))
    if resamples is not None:
        scored = {
            name: (METRICS[name], (deviations if METRICS[name].uses_std else {}) | options[name])
            for name in result.scores
        }
        found, result.no_confidence = confidences(scored, codes, factors, resamples=resamples, seed=seed)
        result.confidence = {name: asdict(spread) for name, spread in found.items()}
    return result


def score_shown(what: str, codes: Any, factors: Any, metrics: dict[str, dict[str, Any]], **keywords: Any) -> Scores:
    """`score` of codes (N, D) and factors (N, K), which shows which metric is computed."""
    with Progress(what, len(metrics), "metric") as progress:
        return score(
            codes, factors, metrics, on_metric=lambda name, index, total: progress.update(index, name), **keywords
        )


def _called(name: str, function: Callable[..., Any], *table: Any, **keywords: Any) -> Any:
    """What a metric returns. An error of a metric that is not disbench's own becomes a ValueError that names the metric."""
    try:
        return function(*table, **keywords)
    except (NotApplicable, MemoryError):
        raise
    except Exception as error:
        if getattr(function, "__module__", "").startswith("disbench."):
            raise
        raise ValueError(f"The metric {name} fails: {type(error).__name__}: {error}") from error


def _as_score(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The metric {name} needs to return a number, got {shown(value)}.") from error


def _as_detail(name: str, detail: Any) -> dict[str, Any]:
    """A metric's detail as JSON holds it: numpy's numbers and arrays become Python's numbers and lists."""
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


def _as_option(codes_std: NDArray[Any] | None, seed: int | None = None) -> dict[str, NDArray[np.float64]]:
    """The deviations as a metric takes them, with their rows in the order of `shuffled` if a seed is given."""
    if codes_std is None:
        return {}
    stds = np.asarray(codes_std, dtype=np.float64)
    return {"stds": stds if seed is None else shuffled(stds, seed)}


def named_entries(
    detail: dict[str, Any], factor_names: Sequence[str] = (), code_names: Sequence[str] = ()
) -> list[list[dict[str, Any]]]:
    """A detail's entries of factors and its entries of codes, if any, with names (or v0, z0) in place of columns."""

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
