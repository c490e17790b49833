"""A trial that is scored on rows that it was not trained on, and on any other selection of rows."""

from pathlib import Path

import numpy as np

from disbench.benchmarks.trials.tables.tables import read_named_table
from disbench.benchmarks.trials.trial import run_trial
from disbench.datasets import load
from disbench.reports.records import Trial, read_record
from disbench.reports.records.collect import collect
from disbench.reports.tables.aggregate import tables

OPTIONS = {
    "select": {"shape": 1, "orientation": 0, "position_x": "0-7", "position_y": "0-7"},
    "held_out": {"scale": "4-5", "position_x": "4-7"},  # combinations that training never sees
}
LARGE = {"large": {"scale": 5}}


def trial_of(dataset: object) -> Trial:
    return Trial(
        method="vae",
        dataset="dsprites_like",
        dataset_options=OPTIONS,
        dataset_version=dataset.version,
        seed=0,
        steps=8,
        batch_size=32,
        hparams={"network": "mlp", "hidden_dim": 16, "latent_dim": 3},
    )


def test_held_out_rows_are_scored_apart_and_never_trained_on(tmp_path: Path) -> None:
    dataset = load("dsprites_like", **OPTIONS)
    record = run_trial(trial_of(dataset), dataset, tmp_path, {"mig": {}, "sap": {}}, LARGE)
    assert record.status == "ok", record.error
    folder = tmp_path / record.trial.id
    assert record.evaluation == "trained"
    assert list(record.evaluations) == ["held_out", "large"]
    scales = {}
    for name, file in (("trained", "codes.h5"), ("held_out", "codes-held_out.h5"), ("large", "codes-large.h5")):
        factors = read_named_table(folder / file).factors
        assert len(factors) == {"trained": 320, "held_out": 64, "large": 64}[name]
        scales[name] = {(int(row[0]), bool(row[1] > 3)) for row in factors}
    assert scales["held_out"] == {(4, True), (5, True)}
    assert not scales["trained"] & scales["held_out"]
    assert record.evaluations["held_out"].views["mean"].keys() == record.scores.keys() | set()
    assert record.evaluations["large"].views["mean"] != record.views["mean"]
    assert np.isfinite(list(record.evaluations["held_out"].floor.values())).all()


def test_each_evaluation_is_a_table_of_the_leaderboard_and_is_read_back(tmp_path: Path) -> None:
    dataset = load("dsprites_like", **OPTIONS)
    record = run_trial(trial_of(dataset), dataset, tmp_path, {"mig": {}}, LARGE)
    assert read_record(tmp_path / record.trial.id / "record.json") == record
    shown = {table.options["evaluation"]: table for table in tables(collect(tmp_path).found)}
    assert list(shown) == ["trained", "held_out", "large"]
    assert shown["held_out"].rows[0].cells["mig"].mean == record.evaluations["held_out"].views["mean"]["mig"]
    assert "--evaluation large.scale=5" in record.command
