"""What a metric is to the rest of the suite: a function of two arrays, and what a reader must know about its number."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Reads: TypeAlias = Literal["values", "labels", "codes"]


class NotApplicable(ValueError):  # noqa: N818 - it is a verdict on the table, and its message a reason for the page
    """The metric is undefined on this table; the message says why. Raised in place of a NaN or a dummy value."""


@dataclass(frozen=True)
class Metric:
    """One leaderboard column.

    `fn(codes (N, D), factors (N, K), *, seed=0, **options) -> float`: every metric takes `seed`, so that one call
    fits all; the deterministic ones give the same number for each. `detail` takes the same arguments and returns a
    JSON-able dict: the same number under "score", beside it what the number hides. `bounds` hold but for the
    options in `unbounded_with`, under which there is no upper one. `definition` is one plain sentence, `blind` another on
    what the number cannot see, `source` the publication.

    `sampled` metrics draw by their seed, so their scores have a spread over seeds; for the others rows are resampled. That
    calls the metric hundreds of times and repeats rows: where it takes seconds, or takes a repeated row for knowledge,
    `not_resampled` is the reason why it is not done.

    `version` is raised whenever the same table gives another number than before, or has another ceiling. `reads` is what the
    metric uses of the factors: their "values" as numbers, their "labels" (which rows share a value, in which order), or
    nothing but the "codes". `values_with` lists the options under which a metric of labels reads values. A metric that
    `uses_std` takes the standard deviations of the posteriors as `stds (N, D)`.
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
    version: int = 1
    reads: Reads = "labels"
    values_with: tuple[tuple[str, Any], ...] = ()
    uses_std: bool = False
    unbounded_with: tuple[tuple[str, Any], ...] = ()

    def bounds_with(self, options: Mapping[str, Any]) -> tuple[float, float]:
        """The bounds under these options."""
        unbounded = any(options.get(name) == value for name, value in self.unbounded_with)
        return (self.bounds[0], float("inf")) if unbounded else self.bounds

    def reads_with(self, options: Mapping[str, Any]) -> Reads:
        """What the metric reads under these options."""
        return "values" if any(options.get(name) == value for name, value in self.values_with) else self.reads
