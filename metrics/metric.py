"""What a metric is to the rest of the suite: a function of two arrays, and what a reader must know about its number."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class NotApplicable(ValueError):  # noqa: N818 - it is a verdict on the table, and its message a reason for the page
    """The metric is undefined on this table; the message says why. Raised in place of a NaN or a dummy value."""


@dataclass(frozen=True)
class Metric:
    """One leaderboard column.

    `fn(codes (N, D), factors (N, K), *, seed=0, **options) -> float`: every metric takes `seed`, so that one call
    fits all; the deterministic ones give the same number for each. `detail` takes the same arguments and returns a
    JSON-able dict: the same number under "score", beside it what the number hides. `bounds` hold under the default
    options. `definition` is one plain sentence, `blind` another on what the number cannot see, `source` the publication.

    `sampled` metrics draw by their seed, so their scores have a spread over seeds; for the others rows are resampled. That
    calls the metric hundreds of times and repeats rows: where it takes seconds, or takes a repeated row for knowledge,
    `not_resampled` is the reason why it is not done.
    """

    fn: Callable[..., float]
    label: str
    higher_is_better: bool
    bounds: tuple[float, float]
    definition: str
    source: str
    detail: Callable[..., dict[str, Any]]
    sampled: bool = False
    not_resampled: str = ""
    blind: str = ""
