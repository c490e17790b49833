"""The whole path on a small trial: what is trained, encoded, scored, recorded, shown and not done twice."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from tiny_trial import SELECT, tiny_trial
from typer.testing import CliRunner

from disbench.baselines.method import Independent, Method, PartitionReport
from disbench.baselines.vae import VAE
from disbench.benchmarks import METHODS
from disbench.benchmarks.cli.main import app
from disbench.benchmarks.runtime.seeds import seed_for
from disbench.benchmarks.settings.defaults import resolved_trial
from disbench.benchmarks.studies.run import run_suite
from disbench.benchmarks.studies.suite import Suite, load_suite, suite_names
from disbench.benchmarks.training.batches import Images
from disbench.benchmarks.training.loop import load_checkpoint
from disbench.benchmarks.trials import trial as trial_module
from disbench.benchmarks.trials.encode import scored_rows
from disbench.benchmarks.trials.score import score
from disbench.benchmarks.trials.trial import run_trial
from disbench.datasets import load
from disbench.reports.records import Record, Trial, read_record

METRICS = {"mig": {"bins": 20}, "irs": {}}
SMALL = {
    "mine_vae": {"latent_dim": 4, "num_factors": 2},
    "factor_vae": {"discriminator_dim": 16},
    "factor_qvae": {"discriminator_dim": 16},
}


def small_trial(method: str = "beta_vae", **changes: object) -> Trial:
    return tiny_trial(method, SMALL.get(method), **changes)


@pytest.fixture(autouse=True)
def few_reconstructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_module, "IMAGES", 20)


def run(trial: Trial, out: Path) -> Record:
    return run_trial(trial, load(trial.dataset, **trial.dataset_options), out, METRICS)


def disbench(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


@pytest.mark.parametrize("method", METHODS)
def test_a_trial_leaves_a_record_codes_a_checkpoint_and_a_picture(method: str, tmp_path: Path) -> None:
    trial = small_trial(method)
    record = run(trial, tmp_path)
    assert record.status == "ok", record.error
    assert set(record.scores) == set(record.floor) == set(record.ceiling) == set(METRICS)
    folder = tmp_path / trial.id
    assert read_record(folder / "record.json") == record
    assert all((folder / name).stat().st_size > 0 for name in record.artefacts.values())
    partitioned = METHODS[method].groups is not Method.groups
    with h5py.File(folder / "codes.h5") as file:
        assert file["codes"].shape[0] == file["factors"].shape[0] == 6 * 4 * 4 * 4
        assert ("group" in file) == partitioned
    assert {"traversal", "reconstructions"} <= set(record.artefacts)
    assert ("group_traversal" in record.artefacts) == partitioned
    assert set(record.reconstruction) >= {"psnr", "ssim", "images"}
    assert not set(record.reconstruction) & set(record.reconstruction_skipped)
    assert record.images_seen == 6 * 16 * METHODS[method].sampling.images
    assert all(np.isfinite(value) for points in record.curves.values() for _, value in points)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_trial_gives_the_same_codes_and_scores(method: str, tmp_path: Path) -> None:
    one, two = (run(small_trial(method), tmp_path / name) for name in ("one", "two"))
    assert one.scores == two.scores
    assert one.curves == two.curves


class Halves(VAE):
    """A VAE whose partition is known: two latents of factor 1, one of nuisance, one of factor 3, none of factor 2."""

    def groups(self) -> torch.Tensor:
        return torch.tensor([1, 1, 0, 3])

    def partition(self) -> PartitionReport:
        sure = torch.nn.functional.one_hot(self.groups(), 4).float()
        return PartitionReport(0.9 * sure + 0.025, torch.tensor([3.0, 2.0, 1.0]), torch.tensor([0.1, 0.4, 0.3, 0.2]))


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch) -> Trial:
    monkeypatch.setitem(METHODS, "halves", Halves)
    return small_trial("halves", hparams={"network": "mlp", "hidden_dim": 16, "latent_dim": 4})


def test_a_partitioned_method_is_scored_in_two_views_each_with_its_own_floor(halves: Trial, tmp_path: Path) -> None:
    record = run(halves, tmp_path)
    assert record.status == "ok", record.error
    assert list(record.views) == ["mean", "group"]
    further = record.further_views["group"]
    assert further.codes == ["group 1", "group 3"]
    assert set(record.views["group"]) == set(further.floor) == set(further.detail) == set(METRICS)
    with h5py.File(tmp_path / halves.id / "codes.h5") as file:
        codes, factors = file["codes"][()], file["factors"][()]
    own = codes[:, :2].astype(float)
    _, _, axes = np.linalg.svd(own - own.mean(0), full_matrices=False)
    expected = score(np.stack([own @ axes[0], codes[:, 3]], 1), factors, METRICS)
    assert record.views["group"]["irs"] == pytest.approx(expected.scores["irs"], abs=1e-6)
    assert record.views["mean"]["irs"] == pytest.approx(score(codes, factors, METRICS).scores["irs"], abs=1e-6)


def test_a_partition_is_recorded_in_nats_and_drawn(halves: Trial, tmp_path: Path) -> None:
    record = run(halves, tmp_path)
    partition = record.partition
    assert partition is not None
    assert partition.group == [1, 1, 0, 3]
    assert partition.assignment[2] == pytest.approx([0.925, 0.025, 0.025, 0.025])
    assert (partition.target, partition.complexities) == (pytest.approx([0.1, 0.4, 0.3, 0.2]), [3.0, 2.0, 1.0])
    with h5py.File(tmp_path / halves.id / "codes.h5") as file:
        mean, deviation = file["codes"][()].astype(float), file["codes_std"][()].astype(float)
    kl = (0.5 * (mean**2 + deviation**2 - 1) - np.log(deviation)).mean(0)  # (4,)
    assert partition.nats == pytest.approx([kl[2], kl[0] + kl[1], 0.0, kl[3]], rel=1e-4, abs=1e-6)
    assert {"assignment", "capacity", "group_traversal"} <= set(record.artefacts)


def test_new_metrics_on_a_finished_trial_are_scored_in_every_view(halves: Trial, tmp_path: Path) -> None:
    run(halves, tmp_path)
    again = run_trial(halves, load(halves.dataset, **halves.dataset_options), tmp_path, {"mig": {"bins": 10}})
    assert {view: set(scores) for view, scores in again.views.items()} == {"mean": {"mig"}, "group": {"mig"}}
    assert set(again.further_views["group"].floor) == {"mig"}
    assert again.partition is not None


def test_a_partition_of_nuisance_alone_leaves_the_reason_for_its_missing_view(
    halves: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Halves, "groups", lambda self: torch.zeros(4, dtype=torch.long))
    record = run(halves, tmp_path)
    assert record.status == "ok", record.error
    assert list(record.views) == ["mean"]
    assert "every latent is nuisance" in record.missing_views["group"]


def test_another_seed_gives_other_codes(tmp_path: Path) -> None:
    assert run(small_trial(), tmp_path).curves != run(small_trial(seed=1), tmp_path).curves


def test_a_checkpoint_gives_back_the_codes(tmp_path: Path) -> None:
    trial = small_trial("mine_vae")
    run(trial, tmp_path)
    method, loaded = load_checkpoint(str(tmp_path / trial.id / "model.ckpt"))
    assert loaded == trial
    images = load("dsprites_like", select=SELECT).batch(torch.arange(5)).float() / 255
    with h5py.File(tmp_path / trial.id / "codes.h5") as file, torch.no_grad():
        np.testing.assert_allclose(method.encode(images).values.numpy(), file["codes"][:5], rtol=1e-4, atol=1e-5)
        deviations = method.posterior(images).logvar.exp().sqrt()
        np.testing.assert_allclose(deviations.numpy(), file["codes_std"][:5], rtol=1e-4, atol=1e-5)


def test_a_finished_trial_is_kept_and_new_metrics_need_no_training(tmp_path: Path) -> None:
    trial = small_trial()
    run(trial, tmp_path)
    checkpoint = tmp_path / trial.id / "model.ckpt"
    written = checkpoint.stat().st_mtime_ns
    run(trial, tmp_path)
    dataset = load(trial.dataset, **trial.dataset_options)
    again = run_trial(trial, dataset, tmp_path, {"mig": {"bins": 10}})
    assert set(again.scores) == {"mig"}
    assert read_record(tmp_path / trial.id / "record.json").metric_options == {"mig": {"bins": 10}}
    assert checkpoint.stat().st_mtime_ns == written


def test_a_failing_trial_is_a_record_and_the_rest_goes_on(tmp_path: Path) -> None:
    suite = Suite(
        name="one fails",
        datasets=[{"name": "dsprites_like", "options": {"select": SELECT}}],
        methods=[{"name": "vae", "hparams": {"lr": 1e30}}, {"name": "beta_vae"}],
        hparams={"network": "mlp", "hidden_dim": 16},
        seeds=[0],
        steps=40,
        batch_size=16,
        metrics=METRICS,
    )
    records = list(run_suite(suite, tmp_path))
    assert [(record.trial.method, record.status) for record in records] == [
        ("vae", "ok"),  # untrained
        ("vae", "failed"),
        ("beta_vae", "ok"),
    ]
    assert "diverged" in records[1].error
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(suite.model_dump()))
    status, output = disbench("run", path, "--out", tmp_path)
    assert status == 1
    assert "1 of 3 trials failed" in output
    page = (tmp_path / "leaderboard.html").read_text(encoding="utf-8")
    assert "diverged" in page


def test_a_data_set_that_cannot_be_opened_fails_its_trials_alone(tmp_path: Path) -> None:
    suite = Suite(
        name="one missing",
        datasets=[{"name": "dsprites"}, {"name": "dsprites_like", "options": {"select": SELECT}}],
        methods=[{"name": "vae"}],
        hparams={"network": "mlp", "hidden_dim": 16},
        seeds=[0],
        steps=2,
        batch_size=16,
        metrics=METRICS,
        untrained=False,
    )
    records = list(run_suite(suite, tmp_path / "runs", str(tmp_path)))
    assert [record.status for record in records] == ["failed", "ok"]
    assert "dsprites_like" in records[0].error


def test_the_scored_rows_are_the_same_for_every_trial_and_all_where_they_fit() -> None:
    one, two = small_trial(rows=50), small_trial("vae", rows=50, seed=3, steps=9)
    assert torch.equal(scored_rows(one, 384), scored_rows(two, 384))
    assert len(scored_rows(one, 384).unique()) == 50
    assert torch.equal(scored_rows(small_trial(), 384), torch.arange(384))


def test_an_epoch_shows_every_image_once_in_a_new_order() -> None:
    dataset = load("dsprites_like", select=SELECT)
    batches = Images(dataset, small_trial(batch_size=96), Independent()).stream(torch.device("cpu"))
    everything = dataset.batch(torch.arange(384)).flatten(1).unique(dim=0)
    first, second = (torch.cat([next(batches).images for _ in range(4)]).flatten(1) for _ in range(2))
    assert torch.equal(first.unique(dim=0), everything)
    assert torch.equal(second.unique(dim=0), everything)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("steps", "device", "kept"), [(4, "cpu", 0), (5, "cpu", 1), (5, "meta", 0)])
def test_drawn_images_are_kept_for_a_training_on_the_cpu_that_comes_back_to_them(
    steps: int, device: str, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load("dsprites_like", select=SELECT)  # 384 images
    calls = []
    monkeypatch.setattr(dataset, "preload", lambda: calls.append(None))
    Images(dataset, small_trial(steps=steps, batch_size=96), Independent()).stream(torch.device(device))
    assert len(calls) == kept


def test_seeds_come_from_names() -> None:
    assert seed_for("vae", "dsprites", 0) == seed_for("vae", "dsprites", 0)
    assert len({seed_for(method, seed) for method in METHODS for seed in range(50)}) == 50 * len(METHODS)


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_is_valid(name: str) -> None:
    assert load_suite(name).name == name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"methods": [{"name": "gan"}]}, "Unknown method 'gan'.*beta_tcvae"),
        ({"methods": [{"name": "vae", "hparams": {"beta": 2}}]}, "no hyperparameter beta.*lr"),
        ({"datasets": [{"name": "mnist"}]}, "There is no dataset 'mnist'"),
        ({"datasets": [{"name": "dsprites_like", "metrics": {"sap": {}}}]}, "no metric of the suite"),
        ({"datasets": [{"name": "dsprites_like", "methods": {"beta_vae": {"beta": 2}}}]}, "no method of the suite"),
        ({"datasets": [{"name": "dsprites_like", "methods": {"vae": {"beta": 2}}}]}, "vae has no hyperparameter beta"),
        (
            {"hparams": {"beta": 2}, "methods": [{"name": "beta_vae"}]},
            "vae has no hyperparameter beta",
        ),  # the untrained
        ({"metrics": {"accuracy": {}}}, "Unknown metric 'accuracy'"),
        ({"step": 3}, "step"),
    ],
)
def test_a_wrong_suite_is_refused_before_anything_runs(change: dict[str, object], words: str) -> None:
    good = {
        "name": "x",
        "datasets": [{"name": "dsprites_like"}],
        "methods": [{"name": "vae"}],
        "seeds": [0],
        "steps": 1,
    }
    Suite(**good)
    with pytest.raises(ValueError, match=words):
        Suite(**{**good, **change})


def test_the_nearer_entry_decides_a_hyperparameter() -> None:
    suite = Suite(
        name="x",
        datasets=[
            {"name": "dsprites_like", "hparams": {"lr": 2.0}, "methods": {"beta_vae": {"beta": 3, "latent_dim": 4}}},
            {"name": "shapes3d_like", "steps": 9},
        ],
        methods=[{"name": "beta_vae"}, {"name": "beta_vae", "hparams": {"beta": 5}}],
        hparams={"lr": 1.0, "latent_dim": 7},
        seeds=[0],
        steps=1,
        untrained=False,
    )
    one, two = (suite.plan(entry) for entry in suite.datasets)
    assert one == [
        ("beta_vae", 1, {"lr": 2.0, "latent_dim": 4, "beta": 3}),
        ("beta_vae", 1, {"lr": 2.0, "latent_dim": 4, "beta": 5}),
    ]
    assert [(steps, hparams) for _, steps, hparams in two] == [
        (9, {"lr": 1.0, "latent_dim": 7}),
        (9, {"lr": 1.0, "latent_dim": 7, "beta": 5}),
    ]


def test_training_from_the_command_line_scores_and_evaluates_and_draws(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    model = {"name": "MINEDisentangleVAE", "in_channels": 1, "latent_dim": 4, "num_factors": 2, "network": "mlp"}
    config.write_text(yaml.safe_dump({"model_params": model, "dataset": "dsprites_like", "batch_size": 16}))
    selects = [word for name, value in SELECT.items() for word in ("--select", f"{name}={value}")]
    words = ["train", "-c", config, "--steps", 3, "--set", "hidden_dim=16", *selects, "--out", tmp_path]
    status, output = disbench(*words, "--metrics", "mig")
    assert status == 0, output
    assert "MIG" in output
    (folder,) = tmp_path.glob("mine_vae-*")
    for command in ("evaluate", "traverse"):
        status, output = disbench(command, folder / "model.ckpt")
        assert status == 0, output
    assert (folder / "traversal.png").stat().st_size > 0
    status, output = disbench("report", tmp_path)
    assert status == 0, output
    assert (tmp_path / "leaderboard.html").exists()


def test_the_reproducing_command_names_the_same_trial(tmp_path: Path) -> None:
    record = run(small_trial("factor_vae"), tmp_path / "first")
    words = record.command.replace("--out runs", f"--out {tmp_path / 'second'}").split()[1:]
    status, output = disbench(*words)
    assert status == 0, output
    (again,) = (tmp_path / "second").iterdir()
    assert again.name == resolved_trial(record.trial).id


def test_a_channel_count_that_disagrees_with_the_data_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"model_params": {"name": "vae", "in_channels": 3}, "dataset": "dsprites_like"}))
    status, output = disbench("train", "-c", config, "--steps", 3, "--out", tmp_path)
    assert status == 2
    assert "in_channels is 3" in output


def test_anybodys_table_is_scored(tmp_path: Path) -> None:
    factors = np.stack(np.meshgrid(np.arange(4), np.arange(5)), -1).reshape(-1, 2).repeat(30, 0)
    np.savez(tmp_path / "table.npz", codes=factors.astype(float), factors=factors)
    with h5py.File(tmp_path / "table.h5", "w") as file:
        file["codes"], file["factors"] = factors.astype(float), factors
    for name in ("table.npz", "table.h5"):
        status, output = disbench("score", tmp_path / name, "--metrics", "mig,irs", "--json")
        assert status == 0, output
        assert json.loads(output)["scores"] == {"mig": pytest.approx(1.0), "irs": pytest.approx(1.0)}
    status, output = disbench("score", tmp_path / "table.h5", "--metrics", "mig", "--csv")
    assert output.splitlines()[0] == "metric,score,floor,ceiling"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.npz", None, "no such file"),
        ("text.csv", b"1,2", "has no columns of codes"),
        ("broken.npz", b"not a zip", "cannot be read"),
        ("broken.h5", b"not hdf5", "cannot be read"),
    ],
)
def test_a_broken_table_is_refused_with_a_reason(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    status, output = disbench("score", tmp_path / name)
    assert status == 2
    assert words in " ".join(output.split())


def test_a_table_without_factors_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "table.npz", codes=np.zeros((4, 2)))
    status, output = disbench("score", tmp_path / "table.npz")
    assert status == 2
    assert "lacks factors" in " ".join(output.split())


def test_a_preview_draws_samples_and_sweeps(tmp_path: Path) -> None:
    status, output = disbench("data", "preview", "dsprites_like", "--out", tmp_path)
    assert status == 0, output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dsprites_like-samples.png", "dsprites_like-sweeps.png"]


@pytest.mark.parametrize("what", ["methods", "metrics", "datasets", "suites", "all"])
def test_everything_there_is_can_be_listed(what: str) -> None:
    status, output = disbench("list", what)
    assert status == 0
    known = {
        "methods": "beta_tcvae",
        "metrics": "jemmig",
        "datasets": "shapes3d_like",
        "suites": "quick",
        "all": "mine_vae",
    }
    assert known[what] in output


def test_a_data_set_may_have_its_own_settings_of_a_metric(tmp_path: Path) -> None:
    suite = Suite(
        name="two settings",
        datasets=[
            {"name": "dsprites_like", "options": {"select": SELECT}},
            {"name": "dsprites_like", "options": {"select": {**SELECT, "shape": 0}}, "metrics": {"mig": {"bins": 5}}},
        ],
        methods=[{"name": "vae"}],
        untrained=False,
        seeds=[0],
        steps=1,
        batch_size=16,
        hparams={"network": "mlp", "hidden_dim": 8},
        metrics={"mig": {"bins": 20}, "irs": {}},
    )
    records = list(run_suite(suite, tmp_path))
    assert [record.metric_options["mig"]["bins"] for record in records] == [20, 5]
    assert [record.metric_options["irs"] for record in records] == [{}, {}]
