"""The search over one method's settings: ordinary trials, the better direction, and what was tried is not tried again."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.settings.hyperparameters import Range
from disbench.benchmarks.studies.search import STORAGE, Evaluated, Search, best, check_search, run_search
from disbench.benchmarks.trials import trial as trial_module
from disbench.reports.records import Trial, read_record

optuna = pytest.importorskip("optuna")
SELECT = {"shape": 1, "orientation": "0-3", "position_x": "10-13", "position_y": "10-13"}


@pytest.fixture(autouse=True)
def few_reconstructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_module, "IMAGES", 2)


def search_of(**changes: object) -> Search:
    base = Trial(
        method="beta_vae",
        dataset="dsprites_like",
        dataset_options={"select": SELECT},
        dataset_version="",
        seed=0,
        steps=2,
        batch_size=16,
        hparams={"network": "mlp", "hidden_dim": 8},
    )
    fields = {"base": base, "seeds": [10, 11], "metrics": {"irs": {}}, "grid": {}}
    return Search(**{**fields, "ranges": {"lr": Range(low=1e-4, high=1e-2, log=True)}, **changes})


def test_a_setting_is_scored_by_the_mean_over_ordinary_trials(tmp_path: Path) -> None:
    found = list(run_search(search_of(grid={"beta": [1, 4]}), tmp_path, settings=2))
    records = [read_record(path) for path in tmp_path.glob("*/record.json")]
    assert len(records) == 4
    for setting in found:
        assert setting.hparams["beta"] in (1, 4)
        assert 1e-4 <= setting.hparams["lr"] <= 1e-2
        own = [record for record in records if record.trial.hparams["lr"] == setting.hparams["lr"]]
        assert sorted(record.trial.seed for record in own) == [10, 11]
        assert setting.value == pytest.approx(sum(record.scores["irs"] for record in own) / 2)


def test_the_same_search_goes_on_and_tries_nothing_twice(tmp_path: Path) -> None:
    first = list(run_search(search_of(), tmp_path, settings=2))
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/record.json")}
    again = list(run_search(search_of(), tmp_path, settings=3))
    assert again[:2] == first
    assert len(again) == 3
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert len(list(tmp_path.glob("*/record.json"))) == 6


def test_a_search_proposes_the_same_settings_in_another_folder(tmp_path: Path) -> None:
    one, two = (list(run_search(search_of(), tmp_path / name, settings=2)) for name in ("one", "two"))
    assert one == two


def test_a_setting_that_was_stopped_in_the_middle_is_finished_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, trained = trial_module.train, []

    def stopped(trial: Trial, *arguments: object, **keywords: object) -> object:
        if trained:
            raise KeyboardInterrupt
        trained.append(trial)
        return train(trial, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(trial_module, "train", stopped)
        with pytest.raises(KeyboardInterrupt):
            list(run_search(search_of(), tmp_path, settings=1))
    (setting,) = run_search(search_of(), tmp_path, settings=1)
    assert setting.hparams["lr"] == trained[0].hparams["lr"]
    assert setting.value is not None
    assert len(list(tmp_path.glob("*/record.json"))) == 2


def of_tcvae() -> Trial:
    return search_of().base.model_copy(update={"method": "beta_tcvae"})


def test_a_setting_that_fails_has_a_reason_and_no_value(tmp_path: Path) -> None:
    longer = search_of().base.model_copy(update={"steps": 40})
    (setting,) = run_search(search_of(grid={"lr": [1e30]}, ranges={}, base=longer), tmp_path, settings=1)
    assert setting.value is None
    assert "seed 10 failed" in setting.reason
    assert best([setting], "irs") is None


def test_the_best_setting_is_the_smallest_where_a_metric_counts_downwards() -> None:
    found = [Evaluated(0, {}, 0.5), Evaluated(1, {}, None, "failed"), Evaluated(2, {}, 0.2)]
    assert best(found, "mig").number == 0
    assert best(found, "mutual_info_score").number == 2


def test_the_study_is_told_the_metrics_direction(tmp_path: Path) -> None:
    list(run_search(search_of(metrics={"mutual_info_score": {}}, seeds=[10]), tmp_path, settings=1))
    (summary,) = optuna.get_all_study_summaries(f"sqlite:///{tmp_path / STORAGE}")
    assert summary.direction == optuna.study.StudyDirection.MINIMIZE


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ranges": {}}, "A search needs a hyperparameter of beta_vae"),
        ({"ranges": {"betta": Range(low=1, high=2)}}, "no hyperparameter betta"),
        ({"ranges": {"beta": Range(low=-1, high=2)}}, "beta needs .*got -1"),
        ({"ranges": {"estimator": Range(low=1, high=2)}, "base": of_tcvae()}, "estimator is no number"),
        ({"ranges": {"beta": Range(low=1, high=2, n=3)}}, "has n: 3, which is for a suite"),
        ({"ranges": {"hidden_dim": Range(low=1, high=2)}}, "hidden_dim is both fixed and searched"),
        ({"ranges": {}, "grid": {"beta": 4}}, "grid of beta needs a list"),
        ({"ranges": {}, "grid": {"beta": [1, "four"]}}, "beta needs .*'four'"),
        ({"metrics": {"mig": {"binz": 3}}}, "mig has no option 'binz'"),
    ],
)
def test_a_wrong_search_is_refused_before_anything_runs(change: dict[str, object], words: str) -> None:
    check_search(search_of())
    with pytest.raises(ValueError, match=words):
        check_search(search_of(**change))


def test_the_command_ends_with_a_line_for_a_suite(tmp_path: Path) -> None:
    words = [
        "search",
        "beta_vae",
        "dsprites_like",
        "--steps",
        "2",
        "--batch-size",
        "16",
        "--trials",
        "2",
        "--seeds",
        "10",
    ]
    words += ["--range", "lr={low: 1e-4, high: 1e-2, log: true}", "--set", "network=mlp", "--set", "hidden_dim=8"]
    words += [word for name, value in SELECT.items() for word in ("--select", f"{name}={value}")]
    words += ["--metric", "irs", "--out", str(tmp_path), "--evaluate-every", "1"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    records = [read_record(path) for path in tmp_path.rglob("record.json")]
    assert len(records) == 2
    for record in records:  # the metric that is searched for is scored during training
        assert {name: [step for step, _ in points] for name, points in record.score_curves.items()} == {"irs": [1, 2]}
    assert "Best of 2 settings, mean irs" in result.output
    assert "- {name: beta_vae, hparams: {network: mlp, hidden_dim: 8, lr: 0.00" in result.output
    result = CliRunner().invoke(app, [word.replace("lr={low: 1e-4, high: 1e-2, log: true}", "lr=3") for word in words])
    assert result.exit_code == 2
    assert "--range lr needs {low: ..., high: ..." in " ".join(result.output.split())


def test_a_grid_alone_is_tried_once_a_point_and_no_more(tmp_path: Path) -> None:
    grid = search_of(grid={"beta": [1, 4], "latent_dim": [2, 3]}, ranges={}, seeds=[10])
    found = list(run_search(grid, tmp_path, settings=20))
    assert [tuple(setting.hparams.values()) for setting in found] == [(1, 2), (1, 3), (4, 2), (4, 3)]
    assert list(run_search(grid, tmp_path, settings=20)) == found
