"""Scores of a trial during training, stored in its checkpoints."""

import logging
import time
from collections.abc import Mapping
from typing import Any

import torch

from disbench.baselines.method import Method
from disbench.benchmarks.settings.score_schedule import ScoreSchedule
from disbench.benchmarks.training.score_curves.sample import Points, Sample, add, chosen_rows, undisturbed
from disbench.benchmarks.training.steps import Callback, Loop
from disbench.datasets import FactorDataset
from disbench.reports.records import Trial

log = logging.getLogger(__name__)
SCORES = "disbench_scores"  # the key of a checkpoint's part with the scores so far


class ScoreCurves(Callback):
    """Scores a trial on a sample of its training images, and keeps the points in its checkpoints.

    The seed of the trial draws the sample. On several devices the first one scores, and the others wait for its next step.
    """

    def __init__(self, schedule: ScoreSchedule, trial: Trial, dataset: FactorDataset) -> None:
        self.schedule, self.trial, self.dataset = schedule, trial, dataset
        self.points: Points = {}
        self.seconds = self.cpu_seconds = 0.0
        self._sample: Sample | None = None

    def due(self, step: int) -> bool:
        return step % self.schedule.every == 0 or step == self.trial.steps

    def on_step(self, loop: Loop, step: int, terms: Any) -> None:
        if loop.is_global_zero and self.due(step):
            self.score(step, loop.method, loop.device)

    def score(self, step: int, method: Method, device: torch.device) -> None:
        """Add the points of a step."""
        wall, cpu = time.perf_counter(), time.process_time()
        with undisturbed(method, device):
            if self._sample is None:
                trial = self.trial
                rows = chosen_rows(
                    len(self.dataset), self.schedule.rows, trial.dataset, trial.dataset_version, trial.seed
                )
                self._sample = Sample.of_dataset(self.dataset, rows, self.schedule.metrics, device)
            add(self.points, step, self._sample.score(method, device))
        self.seconds += time.perf_counter() - wall
        self.cpu_seconds += time.process_time() - cpu

    def content(self) -> dict[str, Any]:
        """What a checkpoint holds of the scores so far."""
        took = {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}
        return {"settings": self.schedule.settings(), "points": self.points, **took}

    def on_save(self, loop: Loop, content: dict[str, Any]) -> None:
        content[SCORES] = self.content()

    def on_load(self, loop: Loop, content: Mapping[str, Any]) -> None:
        self.restore(content)

    def restore(self, content: Mapping[str, Any]) -> None:
        """Take over the points of a checkpoint, unless they are of other rows or metrics."""
        saved = content.get(SCORES)
        if saved is None:
            log.warning("This training began without evaluate_every, so its curve of scores begins later.")
            return
        own = self.schedule.settings()
        if any(saved["settings"].get(name) != own[name] for name in own if name != "every"):
            log.warning("This training began with other evaluate_rows or evaluate_metrics, so its curve begins anew.")
            return
        self.points.update({name: [tuple(point) for point in points] for name, points in saved["points"].items()})
        self.seconds, self.cpu_seconds = saved["seconds"], saved["cpu_seconds"]
