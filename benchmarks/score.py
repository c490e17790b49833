"""From a table of codes and factors to scores, with what the same metrics say of nothing and of everything."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disbench.benchmarks.seeds import seed_for
from disbench.metrics import METRICS, NotApplicable
from disbench.metrics.reference import as_codes, shuffled


@dataclass
class Scores:
    """scores, floor (rows shuffled) and ceiling (factors as codes) by metric; skipped holds a reason for each other one."""

    scores: dict[str, float] = field(default_factory=dict)
    floor: dict[str, float] = field(default_factory=dict)
    ceiling: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)


def score(codes: NDArray[Any], factors: NDArray[Any], options: dict[str, dict[str, Any]], *, seed: int = 0) -> Scores:
    """Score codes (N, D) against factors (N, K) with each metric in `options`, under its own keywords."""
    result = Scores()
    tables = (
        (result.scores, codes),
        (result.floor, shuffled(np.asarray(codes), seed_for(seed, "floor"))),
        (result.ceiling, as_codes(np.asarray(factors))),
    )
    for name, keywords in options.items():
        metric = METRICS[name]
        asked = {"seed": seed, **keywords}
        try:
            for scores, table in tables:
                scores[name] = float(metric.fn(table, factors, **asked))
            result.detail[name] = metric.detail(codes, factors, **asked)
        except NotApplicable as reason:
            result.skipped[name] = str(reason)
    return result
