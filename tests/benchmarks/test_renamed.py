"""`handover` of mine_vae is `mine_start` now, and `tc_estimator` is new: earlier records mean the same as today's trials."""

import json
import warnings
from pathlib import Path

import pytest
from tiny_trial import tiny_trial

from disbench.benchmarks.settings.defaults import metric_versions, resolved_trial
from disbench.benchmarks.settings.hyperparameters import check_method
from disbench.benchmarks.trials import trial as trial_module
from disbench.datasets import load
from disbench.mine_vae import MINEDisentangleVAE
from disbench.reports.records import RECORD_FILE, Record, Trial, read_record, trial_of
from disbench.reports.records.migration import set_in_version_1

FIELDS = {
    "method": "mine_vae",
    "dataset": "dsprites_like",
    "dataset_version": "1",
    "seed": 0,
    "steps": 4,
    "batch_size": 8,
}


def test_a_trial_has_the_id_that_it_had_under_the_earlier_name() -> None:
    earlier, today = (Trial(**FIELDS, hparams={name: 0.3, "beta": 2}) for name in ("handover", "mine_start"))
    assert earlier == today
    assert today.hparams == {"mine_start": 0.3, "beta": 2}
    assert today.id == "mine_vae-dsprites_like-seed0-80b49aa6ce"  # as version 0.2 had it
    assert Trial(**{**FIELDS, "method": "other"}, hparams={"handover": 1}).hparams == {"handover": 1}


def test_a_trial_that_was_recorded_under_the_earlier_name_is_found_and_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tiny_trial("mine_vae", {"mine_start": 0.3})
    trial = resolved_trial(asked)
    record = Record(trial=trial, status="ok", changed_hparams=["mine_start"], metric_options={"mig": {}})
    record.metric_versions = {"mig": metric_versions({"mig": {}})["mig"]}
    content = record.model_dump_json().replace("mine_start", "handover")
    folder = tmp_path / trial.id
    folder.mkdir()
    (folder / RECORD_FILE).write_text(content, encoding="utf-8")
    monkeypatch.setattr(trial_module, "train", lambda *_: 1 / 0)
    found = trial_module.run_trial(asked, load(trial.dataset, **trial.dataset_options), tmp_path, {"mig": {}})
    assert found.status == "ok"
    assert found.changes == {"mine_start": 0.3}
    assert (folder / RECORD_FILE).read_text(encoding="utf-8") == content


def test_checkpoints_and_records_of_version_0_1_have_the_name_of_today(tmp_path: Path) -> None:
    assert trial_of(json.loads(json.dumps({**FIELDS, "method_version": 1, "hparams": {"handover": 0.5}}))).hparams == {
        "mine_start": 0.5
    }
    fields = {"trial": {**FIELDS, "hparams": {"handover": 0.5}}, "status": "ok", "schema_version": 1}
    (tmp_path / RECORD_FILE).write_text(json.dumps(fields), encoding="utf-8")
    record = read_record(tmp_path / RECORD_FILE)
    assert record.trial.hparams["mine_start"] == 0.5
    assert "handover" not in record.trial.hparams
    assert record.changes == {"mine_start": 0.5}
    assert set_in_version_1({"method": "mine_vae", "hparams": {"mine_start": 0.6}}) == []


def test_the_earlier_name_is_accepted_with_a_warning_and_both_are_refused() -> None:
    with pytest.warns(DeprecationWarning, match="handover is now mine_start"):
        assert check_method("mine_vae", {"handover": 0.25}) == {"mine_start": 0.25}
    with pytest.warns(DeprecationWarning, match="handover is now mine_start"):
        assert (
            MINEDisentangleVAE((1, 8, 8), 10, network="mlp", hidden_dim=4, latent_dim=4, handover=0.2).mine_start == 0.2
        )
    with pytest.raises(ValueError, match="handover is the earlier name of mine_start; give mine_start alone"):
        check_method("mine_vae", {"handover": 0.25, "mine_start": 0.5})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_method("mine_vae", {"mine_start": 0.25})


def test_a_trial_from_before_the_choice_of_an_estimator_is_the_trial_of_the_default() -> None:
    today = resolved_trial(Trial(**FIELDS))
    assert today.hparams["tc_estimator"] == "marginal"
    fields = today.model_dump()
    del fields["hparams"]["tc_estimator"]
    assert trial_of(fields) == today
    assert today.id == "mine_vae-dsprites_like-seed0-cc47482c4e"  # as before it was added
    assert resolved_trial(Trial(**FIELDS, hparams={"tc_estimator": "marginal"})).id == today.id
    assert resolved_trial(Trial(**FIELDS, hparams={"tc_estimator": "nwj"})).id != today.id
