"""The study from the command line to the page, and verdicts that follow the numbers."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.estimators.cells import measure_time
from disbench.benchmarks.estimators.profiles import PROFILES, Profile
from disbench.benchmarks.estimators.study import Run
from disbench.benchmarks.estimators.trained import from_table
from disbench.reports.estimators.figures import best_error, error_at
from disbench.reports.estimators.page import page_of, render_study
from disbench.reports.estimators.study import Cell, Study, read_study, write_study
from disbench.reports.estimators.verdicts import verdicts

TINY = Profile(
    rows=64,
    rows_of_many=64,
    references=16,
    batch=32,
    batches=(16,),
    posterior_tasks=("easy", "5 active", "trained encoder"),
    posterior_estimators=("mss", "mine"),
    swept_estimators=("mss", "mine"),
    truth_passes=1,
    elements=1e4,
    most_uses=4,
    critic_steps=30,
    critic_uses=4,
    pair_tasks=("normal",),
    pair_steps=2,
    pair_batch=32,
    grid_batches=(16, 32),
    grid_dims=(2, 3),
    grid_elements=32 * 32 * 2,
    lag_steps=60,
    encoder_steps=1,
    seeds=1,
    group_rows=64,
    group_draws=32,
    group_widths=(1, 2),
    group_settings=((0.3, 0.5),),
    group_estimators=("mss", "mine"),
    group_all=(0.0, 0.0),
    group_steps=5,
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch):
    threads = torch.get_num_threads()
    monkeypatch.setitem(PROFILES, "tiny", TINY)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("codes") / "codes.h5"
    random = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["codes"] = random.normal(size=(100, 3)).astype(np.float32)
        file["codes_std"] = random.uniform(0.2, 1, size=(100, 3)).astype(np.float32)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, table: Path) -> Path:
    """A folder in which the tiny study was made by the command."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "tiny", TINY)
        status, output = run("--profile", "tiny", "--out", folder, "--codes", table, "--device", "cpu")
    assert status == 0, output
    return folder


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["estimators", *map(str, words)])
    return result.exit_code, result.output


def test_the_command_writes_all_cells_and_a_page(finished: Path) -> None:
    study = read_study(finished)
    assert {cell.kind for cell in study.cells.values()} == {
        "check",
        "truth",
        "total_correlation",
        "information",
        "timing",
        "lag",
        "group_truth",
        "groups",
    }
    assert study.machine["threads"] == 1
    assert {"torch", "platform", "device", "processor"} <= set(study.machine)
    assert study.code
    assert len(verdicts(study)) > 10
    assert (finished / "estimators.html").exists()
    assert not list(finished.glob(".*"))


def test_a_second_call_measures_nothing_and_an_interrupted_one_only_what_is_missing(
    finished: Path, table: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "copy")
    words = ("--profile", "tiny", "--out", tmp_path / "copy", "--codes", table, "--device", "cpu")
    before = read_study(tmp_path / "copy")
    status, output = run(*words)
    assert status == 0, output
    assert "total_correlation/" not in output
    lost = [key for key in before.cells if key.startswith("total_correlation/5 active/ms")]
    interrupted = before.model_copy(update={"cells": {k: v for k, v in before.cells.items() if k not in lost}})
    write_study(interrupted, tmp_path / "copy")
    status, output = run(*words)
    assert status == 0, output
    assert len(re.findall("total_correlation/", output)) == len(lost) == 2
    after = read_study(tmp_path / "copy")
    for key in lost:  # the same seed: all but the time is the same
        old, new = before.cells[key].numbers, after.cells[key].numbers
        assert {k: v for k, v in old.items() if k != "use_ms"} == {k: v for k, v in new.items() if k != "use_ms"}


def test_a_folder_of_other_settings_is_refused_and_left_alone(finished: Path, tmp_path: Path, table: Path) -> None:
    shutil.copytree(finished, tmp_path / "copy")
    old = (tmp_path / "copy" / "estimators.json").read_bytes()
    status, output = run("--profile", "quick", "--out", tmp_path / "copy", "--codes", table, "--device", "cpu")
    assert status == 2
    assert "another" in output
    status, output = run(
        "--profile", "tiny", "--threads", "2", "--out", tmp_path / "copy", "--codes", table, "--device", "cpu"
    )
    assert status == 2
    assert "threads" in output
    assert (tmp_path / "copy" / "estimators.json").read_bytes() == old


def test_a_damaged_study_a_wrong_profile_and_a_bad_table_are_told(tmp_path: Path) -> None:
    (tmp_path / "estimators.json").write_text("{")
    status, output = run("--profile", "tiny", "--out", tmp_path)
    assert status == 2
    assert "no study" in output
    status, output = run("--profile", "huge", "--out", tmp_path)
    assert status == 2
    assert "quick" in output
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        file["codes"] = np.zeros((4, 2))
    status, output = run("--profile", "tiny", "--out", tmp_path / "new", "--codes", tmp_path / "codes.h5")
    assert status == 2
    assert "codes_std" in output
    assert not (tmp_path / "new" / "estimators.json").exists()


def test_an_earlier_study_that_lacks_a_number_is_told_before_anything_is_measured(
    finished: Path, table: Path, tmp_path: Path
) -> None:
    study = read_study(finished)
    kept = dict(list(study.cells.items())[:-1])
    damaged = next(key for key in kept if key.startswith("truth/"))
    write_study(study.model_copy(update={"cells": kept}), tmp_path)
    content = json.loads((tmp_path / "estimators.json").read_text())
    del content["cells"][damaged]["numbers"]["rows"]
    (tmp_path / "estimators.json").write_text(json.dumps(content))
    before = (tmp_path / "estimators.json").read_bytes()
    status, output = run("--profile", "tiny", "--out", tmp_path, "--codes", table, "--device", "cpu")
    assert status == 2
    assert "lacks a number" in output
    assert (tmp_path / "estimators.json").read_bytes() == before


def test_a_table_becomes_its_posteriors(table: Path) -> None:
    task = from_table(table, 100, torch.device("cpu"))
    with h5py.File(table) as file:
        expected = np.sort(file["codes_std"][()], axis=0)
    found = torch.exp(0.5 * task.posterior.logvar).sort(dim=0).values
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_cells_have_names_of_their_own_and_profiles_every_estimator_of_an_easy_task() -> None:
    for name in ("quick", "full"):
        run_ = Run(dataclasses.replace(PROFILES[name], rows=32, rows_of_many=32), torch.device("cpu"), lambda: None)
        keys = [cell.key for cell in run_.planned_cells()]
        assert len(keys) == len(set(keys))
        assert sum(key.startswith("total_correlation/easy/") and key.endswith("seed0") for key in keys) == 13


def test_a_use_is_the_gradient_and_the_update() -> None:
    numbers = measure_time("mine", 32, 4, torch.device("cpu"))
    assert numbers["use_ms"] == numbers["backward_ms"] + numbers["update_ms"]
    assert measure_time("mss", 32, 4, torch.device("cpu"))["update_ms"] == 0


def study_of(*cells: Cell, **settings: Any) -> Study:
    settings = {"batch": 256, "swept": "a", "critic_steps": 1, **settings}
    tasks = {cell.task: "" for cell in cells}
    return Study(
        profile="made up", settings=settings, machine={}, tasks=tasks, cells={cell.key: cell for cell in cells}
    )


def value(task: str, estimator: str, sd: float, bias: float, **numbers: float) -> Cell:
    found = {"mean": 1.0, "sd": sd, "n": 100.0, "bias_finite": bias, "bias_population": bias, "use_ms": 1.0, **numbers}
    return Cell(kind="total_correlation", task=task, estimator=estimator, batch=256, numbers=found)


def timing(estimator: str, batch: int, dims: int, use: float) -> Cell:
    return Cell(kind="timing", task="grid", estimator=estimator, batch=batch, dims=dims, numbers={"use_ms": use})


def outcomes(study: Study) -> dict[str, str]:
    return {verdict.claim: verdict.outcome for verdict in verdicts(study)}


VARIANCE = "MINE lowers the variance of the value."
BIAS = "MINE lowers the bias, against the population truth."
TIME = "MINE costs less time per use than Monte Carlo, its critic's update included."


def test_verdicts_turn_with_the_numbers() -> None:
    better = [value("a", "mss", 1.0, 1.0), value("a", "mine", 0.1, -0.1)]
    worse = [value("b", "mss", 0.1, 0.1), value("b", "mine", 1.0, -2.0)]
    level = [value("b", "mss", 1.0, 1.0), value("b", "mine", 1.05, -1.05)]
    for cells, outcome in (
        (better, "holds"),
        (worse, "does not hold"),
        (better + worse, "depends"),
        (level, "does not hold"),
        (better + level, "depends"),
        ([], "not measured"),
    ):
        found = outcomes(study_of(*cells))
        assert (found[VARIANCE], found[BIAS]) == (outcome, outcome)


def test_the_verdict_on_time_counts_the_cells() -> None:
    slow = [timing("mss", 64, 10, 1.0), timing("mine", 64, 10, 2.0)]
    fast = [timing("mss", 256, 10, 30.0), timing("mine", 256, 10, 2.0)]
    assert outcomes(study_of(*slow))[TIME] == "does not hold"
    assert outcomes(study_of(*fast))[TIME] == "holds"
    (verdict,) = [verdict for verdict in verdicts(study_of(*slow, *fast)) if verdict.claim == TIME]
    assert verdict.outcome == "depends"
    assert "1 of 2 cells" in verdict.because
    assert "At B=64, D=10 the ratio is 0.5" in verdict.because


def test_column_0_is_judged_by_its_difference() -> None:
    def check(difference: float) -> str:
        numbers = {"column_0": 1.0, "batch_average": 1.0, "mss": 0.5, "difference": difference, "batches": 200.0}
        study = study_of(Cell(kind="check", task="a", estimator="column_0", batch=64, numbers=numbers))
        return next(v.outcome for v in verdicts(study) if "column 0" in v.claim)

    assert check(-0.04) == "holds"
    assert check(-0.06) == "does not hold"


def test_error_at_equal_time_averages_the_uses_that_fit() -> None:
    numbers = {"bias_finite": 0.3, "sd": 0.8, "use_ms": 2.0}
    assert error_at(numbers, "finite", 8.1) == pytest.approx(0.5)
    assert error_at(numbers, "finite", 1.9) is None
    assert error_at(numbers, "population", 8.1) is None
    study = study_of(value("a", "mss", 0.8, 0.3, use_ms=2.0))
    assert best_error(study, "mss", "finite", 8.1) == (pytest.approx(0.5), 256)


def test_numbers_that_are_not_finite_are_none_in_the_file(tmp_path: Path) -> None:
    study = study_of(value("a", "mss", float("nan"), float("inf")))
    write_study(study, tmp_path)
    numbers = json.loads((tmp_path / "estimators.json").read_text())["cells"]["total_correlation/a/mss/B256/D0/seed0"][
        "numbers"
    ]
    assert numbers["sd"] is None
    assert numbers["bias_finite"] is None


def test_the_page_asks_for_nothing_and_is_equal_for_equal_studies(finished: Path, tmp_path: Path) -> None:
    page = render_study(finished, tmp_path / "page.html").read_text(encoding="utf-8")
    assert page == (finished / "estimators.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="https?:', page)
    for section in (
        "verdicts",
        "groups",
        "values",
        "gradients",
        "crossover",
        "equal-time",
        "lag",
        "information",
        "checks",
    ):
        assert f'id="{section}"' in page
        assert f'href="#{section}"' in page
    assert page.count("<svg") == 7


def test_a_page_of_an_empty_study_says_what_is_missing() -> None:
    page = page_of(study_of())
    assert page.count("Not measured in this study.") >= 5
    assert "<svg" not in page
