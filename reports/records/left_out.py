"""Leave out records that cannot be shown, with a reason, and keep all others.

Three nets, one behind the other: `collect.collect` reads each file alone, `problem` looks at the numbers and texts of each
record, and `collect.without_culprits` finds the record that makes a later computation fail.
"""

import math
from collections.abc import Iterator
from typing import Any

from disbench.reports.records import Record

MAGNITUDE = 1e60  # no score, time or setting is as large; squares and sums of smaller numbers are finite
LONGEST = 10_000  # characters of one text in a trial's settings
MOST_TEXT = 2_000_000  # characters of all that a page shows of one record beside its curves and details


NUMBERS = (
    *("floor", "ceiling", "reconstruction", "seconds", "cpu_seconds", "peak_memory", "factor_sizes", "resumed_at"),
    *("metric_options", "metric_versions", "score_curves", "parameters", "images_seen", "images_per_second"),
)  # fields of a record that hold numbers, alone or in lists and dictionaries


def problem(record: Record) -> str | None:
    """Why a record that could be read cannot be used, or None."""
    trial = record.trial
    for name, settings in (("hparams", trial.hparams), ("dataset_options", trial.dataset_options)):
        for value in _leaves(settings):
            if isinstance(value, str) and len(value) > LONGEST:
                return f"trial.{name} has a text of {len(value):,} characters, and at most {LONGEST:,} are shown."
            if _too_large(value):
                return f"trial.{name} has a number above {MAGNITUDE:g}."
    for name in ("dataset_version", "precision"):
        if len(getattr(trial, name)) > LONGEST:
            return f"trial.{name} has {len(getattr(trial, name)):,} characters, and at most {LONGEST:,} are shown."
    numbers: dict[str, Any] = {
        **{f"views.{view}": scores for view, scores in record.views.items()},
        **{f"further_views.{view}.floor": own.floor for view, own in record.further_views.items()},
        **{name: getattr(record, name) for name in NUMBERS},
        "partition": record.partition.model_dump() if record.partition is not None else {},
    }
    for name, values in numbers.items():
        for value in _leaves(values):
            if _too_large(value):
                return f"{name} has {value if isinstance(value, float) else 'a number'}, and {MAGNITUDE:g} is the most."
    length = sum(len(str(part)) for name, part in record if name not in ("curves", "detail", "trial"))
    if length > MOST_TEXT:
        return f"it has {length:,} characters beside its curves and details, and at most {MOST_TEXT:,} are shown."
    return None


def _leaves(values: Any) -> Iterator[Any]:
    """Every value inside lists and dicts, and every key."""
    waiting = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            waiting += value
        else:
            yield value


def _too_large(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (isinstance(value, int) or math.isfinite(value)) and abs(value) > MAGNITUDE
