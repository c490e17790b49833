"""Held-out combinations: what training draws of each kind of split, resumed and stacked too, and how the shift is measured."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from disbench.baselines.method import Labelled
from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.studies.engines.stacked import stacked_engine
from disbench.benchmarks.studies.run import run_suite
from disbench.benchmarks.studies.suite import Suite
from disbench.benchmarks.training import loop
from disbench.benchmarks.training.batches import Images
from disbench.benchmarks.training.checkpoint import RESUME
from disbench.benchmarks.trials import trial as trial_module
from disbench.benchmarks.trials.encode import Codes
from disbench.benchmarks.trials.tables.shift import Predictors, r_squared
from disbench.datasets import load
from disbench.datasets.factors.held_out import Subset
from disbench.reports.records import Trial

SELECT = {"shape": 1, "orientation": 0, "position_x": "0-7", "position_y": "0-7"}
SPLITS: dict[str, Any] = {
    "share": 0.3,
    "extrapolation": "extrapolation",
    "interpolation": "interpolation",
    "composition": "composition",
    "recombination": {"scale": "4-5", "position_x": "4-7"},
    "any of two": [{"scale": 0}, {"position_x": 7, "position_y": 7}],
}
NETWORK = {"network": "mlp", "hidden_dim": 8, "latent_dim": 3}


def trial_of(held_out: Any, steps: int = 6) -> Trial:
    return Trial(
        method="vae", dataset="dsprites_like", dataset_options={"select": SELECT, "held_out": held_out}, dataset_version="1",
        seed=0, steps=steps, batch_size=64, hparams=NETWORK,
    )  # fmt: skip


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Counts how often each row of the whole dataset is drawn from its training part."""
    counts: Counter[int] = Counter()
    batch = Subset.batch

    def counting(self: Subset, indices: torch.Tensor) -> torch.Tensor:
        counts.update(self.rows[torch.as_tensor(indices)].tolist())
        return batch(self, indices)

    monkeypatch.setattr(Subset, "batch", counting)
    monkeypatch.setattr(trial_module, "IMAGES", 2)
    return counts


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("resumed", [False, True], ids=["whole", "resumed"])
def test_no_held_out_row_is_trained_on(split: str, resumed: bool, drawn: Counter[int], tmp_path: Path) -> None:
    options = {"select": SELECT, "held_out": SPLITS[split]}
    dataset = load("dsprites_like", **options)
    trial, before = trial_of(SPLITS[split]), 0
    if resumed:

        def stop(self: Any, training: Any, step: int, terms: Any) -> None:
            if step == 3:
                raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(loop.ShowProgress, "on_step", stop)
            loop.train(trial, dataset, str(tmp_path / "model.ckpt"), Machine(checkpoint_seconds=1e-9))
        assert (tmp_path / RESUME).exists()
        before = drawn.total()
        assert 0 < before < 6 * 64
    loop.train(trial, dataset, str(tmp_path / "model.ckpt"))
    assert drawn.total() >= 6 * 64 + (before - 3 * 64 if resumed else 0)
    forbidden = set(dataset.evaluations["held_out"].tolist())
    assert not forbidden & set(drawn)
    assert set(drawn) <= set(dataset.evaluations["trained"].tolist())


@pytest.mark.parametrize("split", ["composition", "any of two"])
def test_stacked_seeds_train_on_no_held_out_row(split: str, drawn: Counter[int], tmp_path: Path) -> None:
    dataset = {"name": "dsprites_like", "options": {"select": SELECT, "held_out": SPLITS[split]}}
    shared = {"batch_size": 64, "hparams": NETWORK, "metrics": {"mig": {}}, "untrained": False}
    suite = Suite(name="tiny", datasets=[dataset], methods=[{"name": "vae"}], seeds=[0, 1], steps=5, **shared)
    records = list(run_suite(suite, tmp_path, engine=stacked_engine(2)))
    assert all("stacked" in " ".join(record.remarks) for record in records)
    assert drawn.total() >= 2 * 5 * 64
    assert not set(load("dsprites_like", **dataset["options"]).evaluations["held_out"].tolist()) & set(drawn)
    shift = records[0].evaluations["held_out"].shift
    assert shift["nll"] > 0
    assert shift["nll_first"] > 0
    assert set(shift["r2"]) <= {"scale", "position_x", "position_y"}


def codes_of(codes: np.ndarray, factors: np.ndarray) -> Codes:
    rows = np.arange(len(codes))
    return Codes(codes.astype(np.float32), None, factors.astype(np.int64), rows, factor_names=("a", "b"))


def test_a_regression_is_worth_as_much_elsewhere_where_codes_follow_factors_and_less_where_they_do_not() -> None:
    random = np.random.default_rng(0)
    factors = random.integers(0, 8, (2000, 2))
    mixed = factors @ np.array([[1.0, 2.0], [-1.0, 1.0]]) + 0.01 * random.normal(size=(2000, 2))
    predictors = Predictors(codes_of(mixed, factors))
    first = predictors.r2_first()
    assert first["a"]["linear"] > 0.99
    assert first["a"]["trees"] > 0.9
    beyond = factors + 8  # values that nothing was fitted on, by the same codes
    elsewhere = predictors.r2(codes_of(beyond @ np.array([[1.0, 2.0], [-1.0, 1.0]]), beyond))
    assert elsewhere["b"]["linear"] > 0.99
    assert elsewhere["b"]["trees"] < 0  # trees predict no value beyond those that they were fitted on
    wrong = predictors.r2(codes_of(mixed, random.permutation(factors)))
    assert wrong["a"]["linear"] < 0
    assert "a" not in predictors.r2(codes_of(mixed, factors * np.array([0, 1])))


def test_r_squared_of_the_mean_is_0() -> None:
    values = np.array([0.0, 2.0, 4.0])
    assert r_squared(values, np.full(3, 2.0)) == 0
    assert r_squared(values, values) == 1
    assert r_squared(values, values + 2) == pytest.approx(1 - 4 / (8 / 3))


def test_labels_are_of_training_rows() -> None:
    dataset = load("dsprites_like", select=SELECT, held_out="composition").training
    images = Images(dataset, trial_of("composition"), Labelled(30))
    assert images.labelled is not None
    assert images.labelled.rows.max() < len(dataset)
