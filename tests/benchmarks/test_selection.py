"""Criteria of model selection are what their definitions say, of the trials of a study."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from tiny_trial import tiny_trial
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.studies.selection import selection_of
from disbench.benchmarks.trials import trial as trial_module
from disbench.benchmarks.trials.trial import run_trial
from disbench.datasets import load
from disbench.metrics import mig, seed_consistency, udr
from disbench.reports.comparison.selection import read_selection
from disbench.reports.records import Record, read_record, write_record
from disbench.reports.records.collect import collect
from disbench.reports.tables.aggregate import tables

METHODS = {"beta_vae": {"beta": 2.0}, "categorical_vae": {"categories": 4}}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial_module, "IMAGES", 20)
        for method, own in METHODS.items():
            for seed in range(3):
                trial = tiny_trial(method, own, seed=seed, steps=30)
                record = run_trial(trial, load(trial.dataset, **trial.dataset_options), folder, {"mig": {"bins": 10}})
                assert record.status == "ok", record.error
    yield folder


def of(study: Path, method: str) -> tuple[list[Record], list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Records, means, deviations by seed, and factors."""
    records = sorted(
        (read_record(path) for path in study.glob(f"{method}-*/record.json")), key=lambda each: each.trial.seed
    )
    codes, deviations = [], []
    for record in records:
        with h5py.File(study / record.trial.id / "codes.h5") as file:
            codes.append(file["codes"][()].astype(float))
            deviations.append(file["codes_std"][()].astype(float) if "codes_std" in file else None)
            factors = file["factors"][()]
    return records, codes, deviations, factors


def criteria(study: Path, method: str, **options: object) -> list[dict[str, list[float]]]:
    given = {"metrics": ["mig"], "labels": [50], "draws": 2, "seed": 0, **options}
    [found] = [selection_of(table, **given) for table in tables(collect(study).found)]
    own = [each for each in found.candidates if each.setting.startswith(method)]
    return [each.criteria for each in sorted(own, key=lambda each: each.seed)]


def test_criteria_of_seeds_are_those_of_the_metrics_on_their_codes(study: Path) -> None:
    _, codes, deviations, _ = of(study, "beta_vae")
    kl = [0.5 * (m**2 + s**2 - 1 - np.log(s**2)) for m, s in zip(codes, deviations, strict=True)]
    masks = [each.mean(0) > 0.01 for each in kl]
    found = criteria(study, "beta_vae")
    assert [each["udr"] for each in found] == [[value] for value in udr(codes, informative=masks)]
    assert [each["seed_consistency"] for each in found] == [[v] for v in seed_consistency(codes, informative=masks)]
    _, codes, _, _ = of(study, "categorical_vae")  # which has no deviations
    assert [each["udr"] for each in criteria(study, "categorical_vae")] == [[value] for value in udr(codes)]


def test_losses_are_of_the_last_tenth_and_the_bound_has_the_divergence_of_the_codes(study: Path) -> None:
    records, codes, deviations, _ = of(study, "beta_vae")
    for record, mean, std, found in zip(records, codes, deviations, criteria(study, "beta_vae"), strict=True):
        loss = np.mean([value for step, value in record.curves["reconstruction"] if step in (27, 28, 29, 30)])
        assert found["reconstruction"] == [pytest.approx(-loss)]
        kl = 0.5 * (mean**2 + std**2 - 1 - np.log(std**2)).sum(1).mean()
        assert found["elbo"] == [pytest.approx(-loss - kl)]


def test_a_score_of_the_method_itself_is_turned_so_that_higher_is_better(study: Path) -> None:
    records, *_ = of(study, "categorical_vae")
    found = [each["straight_through_gap"] for each in criteria(study, "categorical_vae")]
    assert found == [[-record.selection_scores["straight_through_gap"]] for record in records]
    assert "elbo" not in criteria(study, "categorical_vae")[0]


def test_few_labels_are_the_metric_of_the_same_rows_of_every_trial(study: Path) -> None:
    _, codes, _, factors = of(study, "beta_vae")
    rows = [np.random.default_rng([3, 50, draw]).choice(len(factors), 50, replace=False) for draw in range(2)]
    for mean, found in zip(codes, criteria(study, "beta_vae", seed=3), strict=True):
        assert found["50 labels mig"] == [mig(mean[own], factors[own], bins=10) for own in rows]
    assert "5000 labels mig" not in criteria(study, "beta_vae", labels=[5000])[0]


def test_methods_that_see_labels_do_not_compete(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from disbench.benchmarks.studies import selection

    monkeypatch.setattr(selection, "unsupervised", lambda record: record.trial.method == "beta_vae")
    assert criteria(study, "categorical_vae") == []
    assert len(criteria(study, "beta_vae")) == 3


def test_the_command_writes_what_the_page_reads_and_prints_it(study: Path, tmp_path: Path) -> None:
    path = tmp_path / "selection.json"
    words = ["select", str(study), "--metrics", "mig", "--labels", "20,50", "--draws", "2", "-o", str(path)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    [dataset] = read_selection(path).datasets
    assert {pick.choice for pick in dataset.picks} == {"trial", "setting", "seed"}
    assert {len(each.criteria["20 labels mig"]) for each in dataset.candidates} == {2}
    assert "straight-through gap" in result.output
    for words in (["--metrics", "none"], ["--labels", "few"]):
        assert CliRunner().invoke(app, ["select", str(study), *words]).exit_code == 2


def test_without_codes_the_rest_is_compared_and_the_reason_told(study: Path, tmp_path: Path) -> None:
    for method in METHODS:
        for record in of(study, method)[0]:
            write_record(record, tmp_path / record.trial.id)
    [found] = [selection_of(table, ["mig"], [50], 2, 0) for table in tables(collect(tmp_path).found)]
    assert "need the codes of every trial" in found.missing["codes"]
    assert {name for each in found.candidates for name in each.criteria} == {"reconstruction", "straight_through_gap"}
