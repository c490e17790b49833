"""A trial of seconds on a few ellipses, for tests of all that happens around training."""

from disbench.benchmarks.settings.defaults import resolved_trial
from disbench.datasets import load
from disbench.reports.records import Trial

SELECT = {"shape": 1, "orientation": "0-3", "position_x": "10-13", "position_y": "10-13"}


def tiny_trial(method: str, own: dict[str, object] | None = None, **changes: object) -> Trial:
    """`own`: hyperparameters of the method; `changes`: fields of the trial."""
    fields = {
        "method": method,
        "dataset": "dsprites_like",
        "dataset_options": {"select": SELECT},
        "dataset_version": load("dsprites_like").version,
        "seed": 0,
        "steps": 6,
        "batch_size": 16,
        "hparams": {"network": "mlp", "hidden_dim": 16, **(own or {})},
    }
    return resolved_trial(Trial(**{**fields, **changes}))
