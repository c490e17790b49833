"""Quantized codes from the method to the record: the file of codes says it, and scores and the page read it."""

from pathlib import Path

import numpy as np
import pytest

from disbench.benchmarks.trials.encode import read_table
from disbench.benchmarks.trials.tables.tables import read_named_table
from disbench.benchmarks.trials.trial import run_trial
from disbench.datasets import FactorDataset, load
from disbench.metrics import as_table, infom, mig
from disbench.reports.page.trial_details import information
from disbench.reports.records import Record, Trial


@pytest.fixture(scope="module")
def dataset() -> FactorDataset:
    return load("dsprites_like", select={"orientation": "0-1", "position_x": "0-5", "position_y": "0-1"})


def run(method: str, dataset: FactorDataset, folder: Path) -> Record:
    hparams = {"network": "mlp", "hidden_dim": 16, "latent_dim": 4}
    fields = {"method": method, "dataset": "dsprites_like", "dataset_version": dataset.version, "steps": 5}
    trial = Trial(**fields, seed=0, batch_size=8, hparams=hparams)
    return run_trial(trial, dataset, folder, {"infom": {}, "mig": {}})


def test_a_trial_of_quantized_codes_is_scored_as_discrete(dataset: FactorDataset, tmp_path: Path) -> None:
    record = run("fsq", dataset, tmp_path)
    file = tmp_path / record.trial.id / record.artefacts["codes"]
    table = read_named_table(file)
    codes, factors = read_table(file)
    assert table.quantized
    assert record.status == "ok"
    assert record.scores["infom"] == infom(codes, factors, discrete=True)
    assert record.scores["mig"] == mig(as_table(codes, factors, quantized=True))
    assert record.view_contents["mean"] == "4 quantized codes, which have no deviations"
    assert "traversal" in record.artefacts
    assert information(file.parent, record).shares  # the page reads the same file


def test_other_codes_are_not(dataset: FactorDataset, tmp_path: Path) -> None:
    record = run("vae", dataset, tmp_path)
    file = tmp_path / record.trial.id / record.artefacts["codes"]
    assert not read_named_table(file).quantized
    assert record.scores["infom"] == infom(*read_table(file))


def test_a_table_of_the_users_may_say_it(tmp_path: Path) -> None:
    codes = np.arange(12).reshape(4, 3)
    np.savez(tmp_path / "table.npz", codes=codes, factors=codes, quantized=True)
    assert read_named_table(tmp_path / "table.npz").quantized


@pytest.mark.parametrize("another", ["no", [], 2, 0.5, [[1.0, 2.0]], [True, True]])
def test_an_array_of_that_name_which_is_no_truth_value_is_not_read(another: object, tmp_path: Path) -> None:
    codes = np.arange(12).reshape(4, 3)
    np.savez(tmp_path / "table.npz", codes=codes, factors=codes, quantized=another)
    assert not read_named_table(tmp_path / "table.npz").quantized
