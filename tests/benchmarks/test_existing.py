"""What lies in a folder of trials: it is reused where it is this trial's, and never lost where it is not."""

import dataclasses
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from disbench.baselines.vae import VAE
from disbench.benchmarks import METHODS
from disbench.benchmarks.cli.main import app
from disbench.benchmarks.settings.defaults import resolved_trial
from disbench.benchmarks.settings.hyperparameters import hyperparameters, resolved
from disbench.benchmarks.studies.run import planned, run_suite
from disbench.benchmarks.studies.status import states
from disbench.benchmarks.studies.suite import Suite
from disbench.benchmarks.studies.tracking import EVENTS, tensorboard_tracker
from disbench.benchmarks.training.loop import load_checkpoint
from disbench.benchmarks.trials import trial as trial_module
from disbench.benchmarks.trials.existing import NOT_OPENED, Earlier
from disbench.metrics import METRICS
from disbench.reports.records import RECORD_FILE, SCHEMA_VERSION, Record, Trial, read_record, write_record
from disbench.reports.records.migration import HPARAMS, with_names_of_today

SELECT = {"shape": 1, "orientation": "0-3", "position_x": "10-13", "position_y": "10-13"}
FIELDS = {
    "name": "tiny",
    "datasets": [{"name": "dsprites_like", "options": {"select": SELECT}}],
    "methods": [{"name": "vae"}],
    "hparams": {"network": "mlp", "hidden_dim": 8},
    "seeds": [0, 1],
    "steps": 3,
    "batch_size": 16,
    "metrics": {"mig": {}},
    "untrained": False,
}
FILES = ("record.json", "codes.h5", "model.ckpt")


def tiny(**changes: object) -> Suite:
    return Suite(**{**FIELDS, **changes})


@pytest.fixture(autouse=True)
def few_reconstructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_module, "IMAGES", 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    assert [record.status for record in run_suite(tiny(), out)] == ["ok", "ok"]
    return out


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "runs")


def folders(out: Path) -> list[Path]:
    """The folders of seeds 0 and 1."""
    return sorted(path.parent for path in out.glob(f"*/{RECORD_FILE}"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def written(out: Path) -> dict[str, int]:
    """When each checkpoint was written: a trial that is trained again writes another."""
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("*/model.ckpt")}


def as_version_1(folder: Path) -> Path:
    """The folder as version 0.1 would have left it: another name, a trial with what was typed, no versions."""
    record = json.loads((folder / RECORD_FILE).read_text())
    trial = record["trial"]
    del trial["method_version"], record["metric_versions"], record["changed_hparams"]
    trial["hparams"] = {name: trial["hparams"][name] for name in ("network", "hidden_dim")}
    older = folder.with_name(folder.name[:-10] + "0123456789")
    folder.rename(older)
    checkpoint = torch.load(older / "model.ckpt", weights_only=True)
    checkpoint["disbench"]["trial"] = trial
    torch.save(checkpoint, older / "model.ckpt")
    with h5py.File(older / "codes.h5", "r+") as file:
        del file.attrs["trial"]
    (older / RECORD_FILE).write_text(json.dumps({**record, "schema_version": 1}))
    return older


def versioned(monkeypatch: pytest.MonkeyPatch, metric: str) -> None:
    changed = dataclasses.replace(METRICS[metric], version=METRICS[metric].version + 1)
    monkeypatch.setitem(METRICS, metric, changed)


@pytest.mark.parametrize("method", METHODS)
def test_a_default_that_is_typed_or_written_otherwise_is_the_same_trial(method: str) -> None:
    fields = {"method": method, "dataset": "mpi3d_like", "dataset_version": "1", "seed": 0, "steps": 1, "batch_size": 8}
    plain = resolved_trial(Trial(**fields))
    defaults = {name: parameter.default for name, parameter in hyperparameters(method).items()}
    whole = {name: int(v) if isinstance(v, float) and v.is_integer() else v for name, v in defaults.items()}
    options = {"tier": "full", "select": {"object_size": "0-1"}}
    assert resolved_trial(Trial(**fields, hparams=defaults)).id == plain.id
    assert resolved_trial(Trial(**fields, hparams=whole)).id == plain.id
    assert resolved_trial(Trial(**fields, hparams={"lr": f"{defaults['lr']:e}"})).id == plain.id
    assert resolved_trial(Trial(**fields, dataset_options={"tier": "full", "select": {}})).id == plain.id
    assert resolved_trial(Trial(**fields, dataset_options={"tier": "reduced"})).id != plain.id
    spelled = resolved_trial(Trial(**fields, dataset_options={"select": {"object_size": " 0 - 1"}}))
    assert spelled.id == resolved_trial(Trial(**fields, dataset_options=options)).id
    assert resolved_trial(plain) == plain
    assert set(plain.hparams) == set(hyperparameters(method))


@pytest.mark.parametrize("method", METHODS)
def test_what_is_resolved_is_what_the_method_is_made_with(method: str) -> None:
    with torch.device("meta"):
        plain, given = (METHODS[method]((1, 64, 64), 100, **hparams) for hparams in ({}, resolved(method, {})))
    assert plain.latent_dim == given.latent_dim == resolved(method, {})["latent_dim"]
    assert plain.lr == given.lr == resolved(method, {})["lr"]
    shapes = [{name: tensor.shape for name, tensor in each.state_dict().items()} for each in (plain, given)]
    assert shapes[0] == shapes[1]


def test_the_defaults_of_version_1_are_still_the_methods_own() -> None:
    """A change of a default is meant to change trials: raise this expectation with it, never the table in `migration`."""
    for method, first in HPARAMS.items():
        defaults = with_names_of_today(method, first)
        assert {name: value for name, value in resolved(method, {}).items() if name in defaults} == defaults


def test_a_changed_default_or_method_is_another_trial(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written(runs)
    monkeypatch.setattr(VAE, "version", 2)
    assert {record.trial.method_version for record in run_suite(tiny(seeds=[0]), runs)} == {2}
    monkeypatch.setattr(VAE, "version", 1)

    class Wider(VAE):
        def __init__(self, *args: object, latent_dim: int = 7, **shell: object) -> None:
            super().__init__(*args, latent_dim=latent_dim, **shell)

    monkeypatch.setitem(METHODS, "vae", Wider)
    (record,) = run_suite(tiny(seeds=[0]), runs)
    assert record.trial.hparams["latent_dim"] == 7
    assert len(written(runs)) == 4
    assert before.items() <= written(runs).items()


def test_a_changed_metric_is_scored_again_from_the_same_codes(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written(runs)
    version = METRICS["mig"].version
    versioned(monkeypatch, "mig")
    assert [record.metric_versions for record in run_suite(tiny(), runs)] == [{"mig": version + 1}] * 2
    assert written(runs) == before
    assert read_record(folders(runs)[0] / RECORD_FILE).metric_versions == {"mig": version + 1}


def test_codes_of_another_seed_are_not_scored(runs: Path) -> None:
    first, second = folders(runs)
    expected = np.array(h5py.File(first / "codes.h5")["codes"])
    other = read_record(second / RECORD_FILE).scores["mig"]
    shutil.copyfile(second / "codes.h5", first / "codes.h5")
    before = written(runs)
    found = {record.trial.seed: record for record in run_suite(tiny(metrics={"mig": {}, "irs": {}}), runs)}
    assert found[0].scores["mig"] != other
    assert np.array_equal(np.array(h5py.File(first / "codes.h5")["codes"]), expected)
    assert written(runs) == before


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def another_network(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    content["state_dict"] = {name: value[..., :1] for name, value in content["state_dict"].items()}
    torch.save(content, path)


def strange_description(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    content["disbench"]["random"] = 5
    torch.save(content, path)


@pytest.mark.parametrize("damage", [truncated, empty, Path.unlink])
def test_damaged_codes_are_made_again_and_the_rest_of_the_suite_runs(
    damage: Callable[[Path], None], runs: Path
) -> None:
    expected = contents(folders(runs)[0])["codes.h5"]
    damage(folders(runs)[0] / "codes.h5")
    before = written(runs)
    found = list(run_suite(tiny(metrics={"mig": {}, "irs": {}}), runs))
    assert [(record.status, set(record.scores)) for record in found] == [("ok", {"mig", "irs"})] * 2
    with h5py.File(folders(runs)[0] / "codes.h5") as again, h5py.File(io.BytesIO(expected)) as first:
        assert np.array_equal(again["codes"], first["codes"])
    assert written(runs) == before


@pytest.mark.parametrize("damage", [truncated, empty, another_network, strange_description])
def test_a_checkpoint_that_does_not_fit_is_kept_aside_and_the_trial_trained_again(
    damage: Callable[[Path], None], runs: Path
) -> None:
    first = folders(runs)[0]
    scores = read_record(first / RECORD_FILE).scores
    damage(first / "model.ckpt")
    broken = (first / "model.ckpt").read_bytes()
    (first / RECORD_FILE).unlink()
    found = list(run_suite(tiny(), runs))
    assert [record.status for record in found] == ["ok", "ok"]
    assert read_record(first / RECORD_FILE).scores == scores
    assert (first / "model.ckpt.unreadable-1").read_bytes() == broken


def test_a_metric_that_fails_leaves_the_finished_record(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(folders(runs)[0])[RECORD_FILE]

    def broken(*_: object, **__: object) -> object:
        raise RuntimeError("a mistake in a metric")

    monkeypatch.setattr(trial_module, "score_shown", broken)
    found = list(run_suite(tiny(metrics={"irs": {}}), runs))
    assert [(record.status, "a mistake in a metric" in record.error) for record in found] == [("failed", True)] * 2
    assert contents(folders(runs)[0])[RECORD_FILE] == before


def newer(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": SCHEMA_VERSION + 1, "later": [1]}))


def nested(path: Path) -> None:
    path.write_text("[" * 50_000)


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere.json"))
    path.symlink_to("elsewhere.json")


@pytest.mark.parametrize("damage", [truncated, empty, nested, a_pipe, a_folder, a_link])
def test_a_record_that_cannot_be_read_is_kept_aside_and_made_again(damage: Callable[[Path], None], runs: Path) -> None:
    first = folders(runs)[0]
    damage(first / RECORD_FILE)
    assert [state.state for state in states(runs)].count("unreadable") == 1
    assert [record.status for record in run_suite(tiny(), runs)] == ["ok", "ok"]
    kept = "unreadable" if damage in (truncated, empty, nested) else "not-a-file"
    assert os.path.lexists(first / f"{RECORD_FILE}.{kept}-1")
    assert read_record(first / RECORD_FILE).trial.id == first.name


def test_a_record_of_a_later_disbench_is_left_alone_by_run_train_and_status(runs: Path) -> None:
    first = folders(runs)[0]
    newer(first / RECORD_FILE)
    before = contents(first)
    found = {record.trial.seed: record for record in run_suite(tiny(metrics={"irs": {}}), runs)}
    assert found[1].status == "ok"
    assert found[0].status == "failed"
    words = f"schema_version {SCHEMA_VERSION + 1}, this disbench reads up to {SCHEMA_VERSION}"
    assert words in found[0].error
    select = [word for name, value in SELECT.items() for word in ("--select", f"{name}={value}")]
    trained = ["train", "--method", "vae", "--dataset", "dsprites_like", "--steps", "3", "--batch-size", "16"]
    trained += ["--set", "network=mlp", "--set", "hidden_dim=8", "--metrics", "mig", *select, "--out", str(runs)]
    result = CliRunner().invoke(app, trained)
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
    assert any(words in state.reason for state in states(runs) if state.state == "unreadable")
    with pytest.raises(ValueError, match=words):
        write_record(Record(trial=planned(tiny())[0].trial, status="ok"), first)
    assert contents(first) == before


def test_a_copied_folder_is_not_the_trial_whose_name_it_has(runs: Path) -> None:
    first, second = folders(runs)
    shutil.rmtree(first)
    shutil.copytree(second, first)
    found = {record.trial.seed: record for record in run_suite(tiny(), runs)}
    assert found[0].trial.id == first.name
    assert read_record(first / RECORD_FILE).trial.seed == 0
    assert read_record(first / f"{RECORD_FILE}.other-1").trial.seed == 1


def test_a_finished_record_of_version_1_counts_and_is_not_touched(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "mig", dataclasses.replace(METRICS["mig"], version=1))
    older = [as_version_1(folder) for folder in folders(runs)]
    before = [contents(folder) for folder in older]
    assert {state.state for state in states(runs)} == {"finished"}
    assert [record.trial.id for record in run_suite(tiny(), runs)] == [entry.trial.id for entry in planned(tiny())]
    assert sorted(path.name for path in runs.iterdir()) == sorted([*(folder.name for folder in older), "plans"])
    assert len(states(runs)) == 2
    versioned(monkeypatch, "mig")
    again = list(run_suite(tiny(), runs))
    assert [(record.status, record.metric_versions) for record in again] == [("ok", {"mig": 2})] * 2
    assert all("Trained by code" not in remark for record in again for remark in record.remarks)
    assert [contents(folder) for folder in older] == before
    assert len(written(runs)) == 4
    assert len(states(runs)) == 2
    _, trial = load_checkpoint(str(older[0] / "model.ckpt"))
    assert trial == again[0].trial


def test_records_of_version_1_have_every_default_of_their_time() -> None:
    root = Path(__file__).parents[2] / "results" / "first"
    for path in sorted(root.glob(f"*/{RECORD_FILE}"))[::5]:
        record = read_record(path)
        assert record.trial.hparams == resolved(record.trial.method, record.trial.hparams)
        assert (record.migrated_from, record.schema_version) == (1, SCHEMA_VERSION)
        assert set(record.changes) <= set(json.loads(path.read_text())["trial"]["hparams"])
        assert Earlier(root).record(record.trial)[0] == path.parent


def test_the_failure_of_a_dataset_goes_when_the_dataset_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object) -> object:
        raise OSError("the file is damaged")

    with monkeypatch.context() as broken:
        broken.setattr("disbench.benchmarks.studies.run.opened", closed)
        found = list(run_suite(tiny(), tmp_path))
        assert [(record.failure, record.trial.dataset_version) for record in found] == [
            ("dataset missing", NOT_OPENED)
        ] * 2
        assert len(folders(tmp_path)) == 2
    assert [record.status for record in run_suite(tiny(), tmp_path)] == ["ok", "ok"]
    assert [read_record(folder / RECORD_FILE).status for folder in folders(tmp_path)] == ["ok", "ok"]
    assert len(states(tmp_path)) == 2
    with monkeypatch.context() as broken:
        broken.setattr("disbench.benchmarks.studies.run.opened", closed)
        list(run_suite(tiny(), tmp_path))
    list(run_suite(tiny(), tmp_path))
    assert len(folders(tmp_path)) == 2


def test_what_a_killed_copy_for_tensorboard_left_is_not_a_part_of_the_next(runs: Path) -> None:
    pytest.importorskip("tensorboard")
    record = read_record(folders(runs)[0] / RECORD_FILE)
    half = runs / EVENTS / f".{record.trial.id}"
    half.mkdir(parents=True)
    (half / "events.out.tfevents.0").write_bytes(b"half")
    tensorboard_tracker()(record, runs)
    copied = runs / EVENTS / record.trial.id
    assert not (copied / "events.out.tfevents.0").exists()
    assert list(copied.glob("events.out.tfevents.*"))
    assert {path.name for path in (runs / EVENTS).iterdir()} == {copied.name, half.name}
