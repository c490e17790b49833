"""Copies of finished records for Weights & Biases: by a stand-in, and offline where the package is installed."""

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from disbench.benchmarks.studies.tracking import wandb_tracker
from disbench.reports.records import Record, Trial

TRIAL = Trial(method="vae", dataset="dsprites_like", dataset_version="1", seed=0, steps=20, batch_size=64)
RECORD = Record(
    trial=TRIAL,
    status="ok",
    views={"mean": {"mig": 0.25}},
    seconds={"train": 2.0},
    curves={"loss": [(10, 3.0), (20, 2.0)], "kl": [(20, 1.0)]},
    score_curves={"mig": [(5, 0.1), (20, 0.25)]},
)


class StandIn:
    """A run of W&B that keeps what it is given, and refuses steps that go back, as W&B does."""

    def __init__(self, **given: Any) -> None:
        self.given, self.logged, self.summary, self.ended = given, [], {}, False
        (Path(given["dir"]) / "wandb" / f"offline-run-20260101_000000-{given['id']}").mkdir(parents=True)

    def __enter__(self) -> "StandIn":
        return self

    def __exit__(self, *error: object) -> None:
        self.ended = True

    def log(self, values: dict[str, float], step: int) -> None:
        assert not self.logged or step > self.logged[-1][0]
        self.logged.append((step, values))


def test_a_record_is_logged_once_with_its_curves_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[StandIn] = []
    init = lambda **given: runs.append(StandIn(**given)) or runs[-1]  # noqa: E731
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    track = wandb_tracker("mine")
    for _ in range(2):
        track(RECORD, tmp_path)
    (run,) = runs
    assert run.logged == [
        (5, {"score/mig": 0.1}),
        (10, {"training/loss": 3.0}),
        (20, {"training/loss": 2.0, "training/kl": 1.0, "score/mig": 0.25}),
    ]
    assert run.summary == {"mean/mig": 0.25, "seconds/train": 2.0}
    assert run.given["project"] == "mine" and run.given["config"]["steps"] == 20 and run.ended


def test_without_the_package_the_message_has_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError, match="pip install wandb"):
        wandb_tracker("mine")


def test_the_package_itself_logs_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    track = wandb_tracker("mine")
    for _ in range(2):
        track(RECORD, tmp_path)
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    assert folder.name.endswith(TRIAL.id)
    assert (folder / f"run-{TRIAL.id}.wandb").stat().st_size > 0
