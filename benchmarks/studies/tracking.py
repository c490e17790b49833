"""Copies of finished records for TensorBoard, MLflow and W&B. All are optional.

They are written by the driver from the record, so they are the same whichever engine ran the trial, and a trial that is there
already is left alone.
"""

import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from disbench.reports.records import RECORD_FILE, Record

EVENTS = "tensorboard"

Tracker = Callable[[Record, Path], None]  # of a finished record and the folder of trials


def scalars(record: Record) -> dict[str, float]:
    """Every score of every view, and what training took."""
    found = {f"{view}/{metric}": value for view, scores in record.views.items() for metric, value in scores.items()}
    return found | {f"seconds/{part}": value for part, value in record.seconds.items()}


def settings(record: Record) -> dict[str, Any]:
    """What decides the trial, flat."""
    trial = record.trial.model_dump(mode="json")
    return {**trial.pop("hparams"), **{name: json.dumps(v) if isinstance(v, dict) else v for name, v in trial.items()}}


def curve_points(record: Record) -> Iterator[tuple[str, int, float]]:
    """Iterate over the name, step and value of each point of the curves."""
    for kind, curves in (("training", record.curves), ("score", record.score_curves)):
        for name, points in curves.items():
            yield from ((f"{kind}/{name}", step, value) for step, value in points)


def tensorboard_tracker() -> Tracker:
    """Event files in `tensorboard/` of the folder of trials, one run a trial: curves, scores, and settings as hparams."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError("--track needs TensorBoard: pip install 'disbench[tracking]'") from error

    def track(record: Record, out: Path) -> None:
        folder = out / EVENTS / record.trial.id
        if folder.exists():
            return
        # Random, for two drivers in one folder may copy one record at a time, and a killed one leaves half of it.
        partial = folder.with_name(f".{secrets.token_hex(8)}")
        with SummaryWriter(str(partial)) as writer:
            for name, step, value in curve_points(record):
                writer.add_scalar(name, value, step)
            writer.add_hparams(settings(record), scalars(record), run_name=".", global_step=record.trial.steps)
        try:
            partial.rename(folder)
        except OSError:
            shutil.rmtree(partial)
            if not folder.exists():
                raise

    return track


def mlflow_tracker(uri: str, experiment: str) -> Tracker:
    """One MLflow run a trial at `uri` (a server's address, or sqlite:///file.db), all in one experiment."""
    try:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param
    except ImportError as error:
        raise ValueError("--mlflow needs MLflow: pip install mlflow") from error
    client = MlflowClient(uri)
    known = client.get_experiment_by_name(experiment)
    place = known.experiment_id if known is not None else client.create_experiment(experiment)

    def track(record: Record, out: Path) -> None:
        trial = record.trial
        if client.search_runs([place], f"tags.disbench = '{trial.id}'", max_results=1):
            return
        run = client.create_run(place, tags={"disbench": trial.id}, run_name=trial.id)
        named = run.info.run_id
        now = run.info.start_time
        curves = [Metric(name, value, now, step) for name, step, value in curve_points(record)]
        ends = [Metric(name, value, now, trial.steps) for name, value in scalars(record).items()]
        given = [Param(name, str(value)) for name, value in settings(record).items()]
        everything = [*curves, *ends]
        for start in range(0, len(everything), 1000):  # the most that the server takes at once
            client.log_batch(named, metrics=everything[start : start + 1000], params=given if start == 0 else [])
        if (path := out / trial.id / RECORD_FILE).exists():  # a trial of version 0.1 is in a folder of another name
            client.log_artifact(named, str(path))
        client.set_terminated(named)

    return track


def wandb_tracker(project: str) -> Tracker:
    """One W&B run a trial in a project; its files are in `wandb/` of the folder of trials, also in W&B's offline mode."""
    try:
        import wandb
    except ImportError as error:
        raise ValueError("--wandb needs Weights & Biases: pip install wandb") from error

    def track(record: Record, out: Path) -> None:
        trial = record.trial
        if any(out.glob(f"wandb/*run-*-{trial.id}")):
            return
        by_step: dict[int, dict[str, float]] = {}
        for name, step, value in curve_points(record):
            by_step.setdefault(step, {})[name] = value
        with wandb.init(project=project, id=trial.id, name=trial.id, dir=str(out), config=settings(record)) as run:
            for step, values in sorted(by_step.items()):
                run.log(values, step=step)
            run.summary.update(scalars(record))

    return track
