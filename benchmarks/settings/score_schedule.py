"""The steps and metrics of scores during training. They do not change the result, so they are not part of the trial's id."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field

from disbench.benchmarks.settings.defaults import MetricOptions, metric_versions
from disbench.benchmarks.settings.validation import check_metric, whole_number
from disbench.datasets.wording import shown

POINTS = 1_000  # of one curve
Every = Annotated[int, BeforeValidator(whole_number)]  # from 1 to the steps of training, see `score_schedule`
SampleRows = Annotated[int, BeforeValidator(whole_number), Field(ge=100, le=10_000)]


class ScoreSchedule(NamedTuple):
    """Score `rows` fixed rows of the training images by `metrics` after every `every` steps and after the last one."""

    every: int
    rows: int
    metrics: MetricOptions

    def settings(self) -> dict[str, Any]:
        """What a reader of the scores must know, in JSON types."""
        return {**self._asdict(), "metric_versions": metric_versions(self.metrics)}


def score_schedule(
    every: int | None, rows: int, metrics: Sequence[str], options: Mapping[str, Mapping[str, Any]], steps: int
) -> ScoreSchedule | None:
    """Check a schedule; None if `every` is None.

    `options` has the options of metrics that the trial is scored by in the end; the others have their defaults. Raises ValueError
    for a schedule without a point before the end, with too many points, or with a metric that does not exist.
    """
    if every is None:
        return None
    if not 1 <= every <= steps:
        raise ValueError(
            f"evaluate_every needs a number of steps from 1 to {steps:,}, the steps of training, got {every:,}."
        )
    if steps / every > POINTS:
        raise ValueError(
            f"evaluate_every: {every:,} scores {steps // every:,} times in {steps:,} steps; {POINTS:,} times are allowed. "
            f"Use {-(-steps // POINTS):,} or more."
        )
    if isinstance(metrics, str) or not metrics:
        raise ValueError(f"evaluate_metrics needs a list of metrics, such as [mig, mcc], got {shown(metrics)}.")
    where = " in evaluate_metrics"
    return ScoreSchedule(every, rows, {name: check_metric(name, options.get(name, {}), where) for name in metrics})
