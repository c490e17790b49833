"""Trials on correlated factors: what training draws, resumed, with labels and stacked, and what the record has."""

from pathlib import Path

import pytest
import torch

from disbench.baselines.method import Independent, Labelled, Pairs
from disbench.benchmarks.studies.engines.stacked import stacked_engine
from disbench.benchmarks.studies.run import run_suite
from disbench.benchmarks.studies.suite import Suite, load_suite
from disbench.benchmarks.training.batches import Images
from disbench.benchmarks.trials import trial as trial_module
from disbench.datasets import load
from disbench.reports.records import Trial

SELECT = {"shape": 1, "scale": 5, "orientation": 0, "position_x": "0-15", "position_y": "0-15"}
CORRELATED = {"pairs": ["position_x", "position_y"], "width": 0.005}  # both positions are always the same
OPTIONS = {"select": SELECT, "correlated": CORRELATED}


def images(sampling: object) -> Images:
    trial = Trial(
        method="vae", dataset="dsprites_like", dataset_options=OPTIONS, dataset_version="1", seed=0, steps=100,
        batch_size=16, hparams={},
    )  # fmt: skip
    return Images(load("dsprites_like", **OPTIONS).training, trial, sampling)


def test_every_image_of_training_has_correlated_factors() -> None:
    source = images(Independent())
    same = torch.arange(16) * 17  # rows with equal positions
    wanted = {image.numpy().tobytes() for image in source.dataset.batch(same)}
    stream = source.stream(torch.device("cpu"))
    for _ in range(30):
        assert {image.numpy().tobytes() for image in next(stream).images} <= wanted


def test_a_resumed_training_gets_the_same_images() -> None:
    whole, later = (
        images(Independent()).stream(torch.device("cpu")),
        images(Independent()).stream(torch.device("cpu"), 5),
    )
    for _ in range(5):
        next(whole)
    assert torch.equal(next(whole).images, next(later).images)


def test_labelled_rows_are_drawn_by_weight_and_once() -> None:
    labelled = images(Labelled(10)).labelled
    assert labelled is not None
    rows = labelled.rows
    assert len(rows.unique()) == 10
    assert (rows % 17 == 0).all()


def test_the_first_image_of_a_pair_is_drawn_by_weight_and_its_partner_is_not() -> None:
    source = images(Pairs(changed=1))
    rows = next(source.rows(torch.device("cpu"), 0))
    assert (rows % 17 == 0).all()
    partners = source.supervised(rows, torch.Generator().manual_seed(0))[1]
    assert partners is not None
    assert (partners % 17 != 0).all()


def suite() -> Suite:
    dataset = {"name": "dsprites_like", "options": OPTIONS}
    shared = {
        "batch_size": 16,
        "hparams": {"network": "mlp", "hidden_dim": 8},
        "metrics": {"mig": {}},
        "untrained": False,
    }
    return Suite(name="tiny", datasets=[dataset], methods=[{"name": "vae"}], seeds=[0, 1], steps=4, **shared)


def test_a_record_has_the_law_and_both_scores_and_stacked_seeds_see_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_module, "IMAGES", 2)
    alone = {record.trial.seed: record for record in run_suite(suite(), tmp_path / "alone")}
    stacked = run_suite(suite(), tmp_path / "stacked", engine=stacked_engine(2))
    together = {record.trial.seed: record for record in stacked}
    for seed, record in alone.items():
        assert record.status == "ok", record.error
        assert record.trial.dataset_options["correlated"] == {"pairs": [["position_x", "position_y"]], "width": 0.005}
        assert record.evaluation == "all"
        assert list(record.evaluations) == ["correlated"]
        for name, points in record.curves.items():
            assert together[seed].curves[name] == [(step, pytest.approx(value, rel=1e-4)) for step, value in points]


def test_the_suite_of_shifts_has_one_dataset_at_each_width() -> None:
    found = load_suite("shifts")
    widths = [entry.options.get("correlated", {}).get("width") for entry in found.datasets]
    assert widths == [None, 0.1, 0.2, 0.4]
    assert {entry.options.get("correlated", {}).get("published") for entry in found.datasets} == {None, "single_1"}
