"""A hyperparameter that every method got later changes the id of no trial that leaves it at the value that was usual before."""

import json
from pathlib import Path

import pytest
from tiny_trial import tiny_trial

from disbench.benchmarks import METHODS
from disbench.benchmarks.settings.defaults import metric_versions, resolved_trial
from disbench.benchmarks.trials import trial as trial_module
from disbench.datasets import load
from disbench.reports.records import RECORD_FILE, Record, Trial, read_record, write_record
from disbench.reports.records.collect import collect
from disbench.reports.records.migration import ADDED, set_in_version_1
from disbench.reports.tables.aggregate import tables

LATER = {name: value for _, added in ADDED for name, value in added.items()}
SHELL = ADDED[0][1]
FIELDS = {"dataset": "dsprites_like", "dataset_version": "1", "seed": 0, "steps": 4, "batch_size": 8}
IDS = {  # the ends of the ids that trials with defaults had before `likelihood` was one
    "vae": "354fa506b4",
    "beta_vae": "f64bf89e01",
    "factor_vae": "8bb6cda381",
    "beta_tcvae": "8cca1a7d36",
    "annealed_vae": "d0d397166d",
    "dip_vae_i": "ba2acce2a8",
    "dip_vae_ii": "42cab7ca32",
    "info_vae": "ed54cac2bc",
    "control_vae": "4ab3ff0630",
    "mine_vae": "cc47482c4e",
}


@pytest.mark.parametrize("method", IDS)
def test_a_trial_has_the_id_that_it_had_before(method: str) -> None:
    trial = resolved_trial(Trial(method=method, **FIELDS))
    assert trial.id == f"{method}-dsprites_like-seed0-{IDS[method]}"
    assert SHELL.items() <= trial.hparams.items()
    earlier = {name: value for name, value in trial.hparams.items() if name not in LATER}
    assert Trial(method=method, **FIELDS, method_version=trial.method_version, hparams=earlier) == trial
    other = resolved_trial(Trial(method=method, **FIELDS, hparams={"likelihood": "gaussian"}))
    assert other.id != trial.id
    assert other.hparams["likelihood"] == "gaussian"


def test_a_method_that_is_no_autoencoder_gets_none() -> None:
    assert Trial(method="pixels", **FIELDS, hparams={"lr": 0.1}).hparams == {"lr": 0.1}
    own = [Trial(method="pixels", **FIELDS, hparams={"likelihood": value}) for value in ("bernoulli", "gaussian")]
    assert own[0].id != own[1].id != Trial(method="pixels", **FIELDS).id != own[0].id


def recorded_before(asked: Trial, folder: Path) -> Path:
    """Write the record of a trial as it was written before: without the hyperparameters that were added."""
    trial = resolved_trial(asked)
    versions = {"mig": metric_versions({"mig": {}})["mig"]}
    record = Record(trial=trial, status="ok", views={"mean": {"mig": 0.5}}, metric_options={"mig": {}})
    path = write_record(record.model_copy(update={"metric_versions": versions}), folder / trial.id)
    fields = json.loads(path.read_bytes())
    for name in SHELL:
        del fields["trial"]["hparams"][name]
    path.write_text(json.dumps(fields), encoding="utf-8")
    return path


def test_a_trial_that_was_recorded_before_is_not_trained_again_and_shares_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tiny_trial("vae")
    path = recorded_before(asked, tmp_path)
    content = path.read_bytes()
    monkeypatch.setattr(trial_module, "train", lambda *_: 1 / 0)
    found = trial_module.run_trial(asked, load(asked.dataset, **asked.dataset_options), tmp_path, {"mig": {}})
    assert (found.status, found.changes) == ("ok", {})
    assert path.read_bytes() == content
    today = read_record(path).model_copy(update={"trial": asked.model_copy(update={"seed": 1})})
    write_record(today, tmp_path / today.trial.id)
    (table,) = tables(collect(tmp_path).found)
    assert [len(row.trials) for row in table.rows] == [2]
    assert not [notice for notice in table.notices if "settings" in notice or "tuning" in notice]


def test_a_likelihood_of_its_own_makes_a_row_of_its_own_and_a_notice(tmp_path: Path) -> None:
    recorded_before(tiny_trial("vae"), tmp_path)
    other = Record(trial=tiny_trial("vae", {"likelihood": "gaussian"}), status="ok", views={"mean": {"mig": 0.5}})
    write_record(other, tmp_path / other.trial.id)
    (table,) = tables(collect(tmp_path).found)
    assert len(table.rows) == 2
    assert [notice for notice in table.notices if notice.startswith("Unequal settings: likelihood is ")]


def test_every_record_of_version_0_1_has_the_default_and_no_change() -> None:
    hparams = {"latent_dim": 10, "lr": 1e-4, "network": "conv", "hidden_dim": 1200, **SHELL}
    assert set_in_version_1({"method": "vae", "hparams": hparams}) == []
    root = Path(__file__).parents[2] / "results" / "first"
    for path in sorted(root.glob(f"*/{RECORD_FILE}"))[::12]:
        record = read_record(path)
        assert record.trial.hparams["likelihood"] == "bernoulli"
        assert "likelihood" not in record.changes
        assert resolved_trial(record.trial) == record.trial
        assert record.trial.method in METHODS
