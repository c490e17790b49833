"""From a table of codes and factors to scores, with what the same metrics say of nothing and of everything."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disbench.benchmarks.seeds import seed_for
from disbench.metrics import METRICS, NotApplicable
from disbench.metrics.confidence import confidences
from disbench.metrics.reference import as_codes, shuffled
from disbench.metrics.table import as_table


@dataclass
class Scores:
    """scores, floor (rows shuffled) and ceiling (factors as codes) by metric; skipped holds a reason for each other one.

    Where it was asked for, `confidence` holds the fields of a `Confidence` by metric, or `no_confidence` a reason.
    """

    scores: dict[str, float] = field(default_factory=dict)
    floor: dict[str, float] = field(default_factory=dict)
    ceiling: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)
    confidence: dict[str, dict[str, Any]] = field(default_factory=dict)
    no_confidence: dict[str, str] = field(default_factory=dict)


def score(
    codes: NDArray[Any],
    factors: NDArray[Any],
    options: dict[str, dict[str, Any]],
    *,
    seed: int = 0,
    resamples: int | None = None,
) -> Scores:
    """Score codes (N, D) against factors (N, K) with each metric in `options`, under its own keywords.

    With `resamples` each score has its confidence, from so many resamples of the rows or from five seeds. Raises
    ValueError for a malformed table.
    """
    with suppress(NotApplicable):  # each metric says so itself
        as_table(codes, factors)
    result = Scores()
    tables = (codes, shuffled(np.asarray(codes), seed_for(seed, "floor")), as_codes(np.asarray(factors)))
    for name, keywords in options.items():
        metric = METRICS[name]
        asked = {"seed": seed, **keywords}
        try:
            own, floor, ceiling = (float(metric.fn(table, factors, **asked)) for table in tables)
            result.detail[name] = metric.detail(codes, factors, **asked)
        except NotApplicable as reason:
            result.skipped[name] = str(reason)
        else:
            result.scores[name], result.floor[name], result.ceiling[name] = own, floor, ceiling
    if resamples is not None:
        scored = {name: (METRICS[name], options[name]) for name in result.scores}
        found, result.no_confidence = confidences(scored, codes, factors, resamples=resamples, seed=seed)
        result.confidence = {name: asdict(spread) for name, spread in found.items()}
    return result


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
