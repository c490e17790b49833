"""The commands on real folders: what they print and write, and what they refuse."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.cli.terminal.printing import console
from disbench.reports.export import export
from disbench.reports.records import Record, Trial, read_record, write_record
from disbench.reports.records.collect import collect
from disbench.reports.tables.aggregate import tables


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 200)


def disbench(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


def put(folder: Path, scores: dict[str, float], method: str = "vae", seed: int = 0, **fields: Any) -> Path:
    """A trial's folder with its record and one more file."""
    own = {name: fields.pop(name) for name in list(fields) if name in Trial.model_fields}
    own = {"dataset": "dsprites", "dataset_version": "1", "steps": 3000, "batch_size": 64, **own}
    trial = Trial(method=method, seed=seed, **own)
    given: dict[str, Any] = {"status": "ok", "provenance": "procedural", "views": {"mean": scores}, **fields}
    path = write_record(Record(trial=trial, **given), folder / trial.id).parent
    (path / "codes.h5").write_text("codes of " + folder.name, encoding="utf-8")
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    for seed, noise in enumerate((-0.01, 0.0, 0.01)):
        put(folder, {"mig": 0.1 + noise, "z_min_var": 0.5 + noise}, "vae", seed)
        put(folder, {"mig": 0.5 + noise, "z_min_var": 0.5 - noise / 2}, "beta_vae", seed, hparams={"beta": 4})
        put(folder, {"mig": 0.3 + noise, "z_min_var": 0.9 + noise}, "beta_vae", seed, hparams={"beta": 8})
        put(folder, {"mig": 0.3 + noise}, "vae", seed, dataset="shapes3d", provenance="official")
    return folder


@pytest.mark.parametrize("form", ["csv", "json", "latex", "markdown", "parquet"])
def test_export_writes_the_file(runs: Path, tmp_path: Path, form: Any) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install 'disbench[parquet]'")
    output = tmp_path / "made" / "table"
    status, told = disbench("export", runs, "--format", form, "-o", output)
    assert (status, told.strip()) == (0, str(output))
    assert output.read_bytes() == export(tables(collect(runs).found), form)


def test_export_prints_where_no_file_is_named(runs: Path) -> None:
    status, told = disbench("export", runs, "--format", "json")
    assert status == 0
    assert {line["dataset"] for line in json.loads(told)["leaderboard"]} == {"dsprites", "shapes3d"}
    status, told = disbench("export", runs, "--format", "parquet")
    assert status == 2
    assert "name a file with -o" in told


def test_scores_during_training_are_exported_a_line_for_each_trial_metric_and_step(tmp_path: Path) -> None:
    points = {"mig": [(1000, 0.1), (3000, 0.25)], "mcc": [(3000, 0.5)]}
    told = {"score_curves": points, "score_curve_settings": {"every": 2000, "rows": 500}}
    for seed in (0, 1):
        put(tmp_path / "runs", {"mig": 0.2}, "beta_vae", seed, hparams={"beta": 4}, **told)
    put(tmp_path / "runs", {"mig": 0.2}, "vae")
    status, output = disbench("export", tmp_path / "runs", "--score-curves", "-o", tmp_path / "curves.csv")
    assert status == 0, output
    found = pd.read_csv(tmp_path / "curves.csv")
    assert found[["seed", "metric", "step", "score", "rows"]].to_numpy().tolist() == [
        [seed, metric, step, score, 500] for seed in (0, 1) for metric, curve in points.items() for step, score in curve
    ]
    assert set(found["method"]) == {"beta_vae"} and len(set(found["trial"])) == 2
    status, output = disbench("export", tmp_path / "runs", "--score-curves", "--format", "json")
    assert json.loads(output)[0]["step"] == 1000 and len(json.loads(output)) == 6
    status, output = disbench("export", tmp_path / "runs", "--score-curves", "--format", "latex")
    assert status != 0 and "can be csv, json or parquet, not latex" in output


def test_a_folder_without_scores_during_training_says_how_to_get_them(runs: Path) -> None:
    status, output = disbench("export", runs, "--score-curves")
    assert status != 0 and "train with evaluate_every" in output


def test_export_of_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    status, told = disbench("export", tmp_path)
    assert status == 2
    assert "holds none" in told


def test_compare_says_better_worse_and_tie(runs: Path) -> None:
    status, told = disbench("compare", "beta_vae (beta=4)", "vae", runs)
    assert status == 0
    (mig,) = [line for line in told.splitlines() if "MIG ↑" in line]
    assert "0.500 (n=3)" in mig and "+0.400 [+0.377, +0.423]" in mig and "better" in mig
    (error,) = [line for line in told.splitlines() if "Z-min Var ↓" in line]
    assert "tie" in error
    assert "Not compared on shapes3d (official, version 1)" in told
    status, told = disbench("compare", "beta_vae (beta=8)", "vae", runs)
    assert [line.split("│")[-2].strip() for line in told.splitlines() if "Z-min Var ↓" in line] == ["worse"]
    assert "Unequal budgets" not in told


def test_compare_says_that_seeds_are_few_and_budgets_differ(tmp_path: Path) -> None:
    put(tmp_path, {"mig": 0.1}, "vae")
    put(tmp_path, {"mig": 0.5}, "beta_vae", steps=6000)
    status, told = disbench("compare", "beta_vae", "vae", tmp_path)
    assert status == 0
    assert "unknown" in told
    assert "MIG: n too small: 1 seed, an interval needs 3" in told
    assert "Unequal budgets" in told


def test_compare_names_what_there_is(runs: Path) -> None:
    status, told = disbench("compare", "beta_vae (beta=5)", "vae", runs)
    assert status == 2
    assert "There are: beta_vae (beta=4), beta_vae (beta=8), vae" in told.replace("\n", " ")


def test_merge_copies_whole_trials_and_keeps_one_of_equal_ones(tmp_path: Path) -> None:
    a, b, out = (tmp_path / name for name in ("a", "b", "out"))
    first, again = put(a, {"mig": 0.1, "mcc": float("nan")}), put(b / "deep", {"mig": 0.1, "mcc": float("nan")})
    other = put(b, {"mig": 0.2}, seed=1)
    status, told = disbench("merge", out, a, b)
    assert (status, told.strip()) == (0, f"{out}: 2 trials copied, 1 already there or duplicates.")
    assert {path.name for path in out.iterdir()} == {first.name, other.name}
    assert first.name == again.name
    assert (out / first.name / "codes.h5").read_text(encoding="utf-8") == "codes of a"
    assert read_record(out / other.name / "record.json") == read_record(other / "record.json")


def test_merging_again_changes_nothing(tmp_path: Path) -> None:
    a, out = tmp_path / "a", tmp_path / "out"
    name = put(a, {"mig": 0.1}).name
    disbench("merge", out, a)
    (out / name / "codes.h5").write_text("mine", encoding="utf-8")
    status, told = disbench("merge", out, a)
    assert (status, told.strip()) == (0, f"{out}: 0 trials copied, 1 already there or duplicates.")
    assert (out / name / "codes.h5").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("other", [{"mig": 0.3}, {"mig": 0.1, "sap": 0.2}, {}])
def test_the_same_trial_with_other_scores_is_an_error_that_names_both(tmp_path: Path, other: dict[str, float]) -> None:
    a, b, out = (tmp_path / name for name in ("a", "b", "out"))
    one, two = put(a, {"mig": 0.1}), put(b, other)
    put(a, {"mig": 0.1}, seed=1)
    status, told = disbench("merge", out, a, b)
    assert status == 2
    assert str(one) in told and str(two) in told
    assert ("sap" if "sap" in other else "mig") in told
    assert not out.exists()


def test_a_trial_that_differs_from_what_is_there_already_is_refused(tmp_path: Path) -> None:
    a, out = tmp_path / "a", tmp_path / "out"
    there = put(out, {"mig": 0.2})
    put(a, {"mig": 0.1})
    assert disbench("merge", out, a)[0] == 2
    assert read_record(there / "record.json").scores == {"mig": 0.2}


def test_a_finished_trial_is_taken_before_a_failed_one(tmp_path: Path) -> None:
    a, b, out = (tmp_path / name for name in ("a", "b", "out"))
    failed = put(a, {}, status="failed", views={}, error="boom")
    put(b, {"mig": 0.1})
    for folders in ((a, b), (b, a)):
        target = out / folders[0].name
        assert disbench("merge", target, *folders)[0] == 0
        assert read_record(target / failed.name / "record.json").status == "ok"
        assert (target / failed.name / "codes.h5").read_text(encoding="utf-8") == "codes of b"
    status, told = disbench("merge", a, b)
    assert status == 2 and "Move the first away" in told
    assert read_record(failed / "record.json").status == "failed"


def test_links_and_other_trials_inside_a_trial_are_not_copied(tmp_path: Path) -> None:
    a, out = tmp_path / "a", tmp_path / "out"
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    outer = put(a, {"mig": 0.1})
    inner = put(outer, {"mig": 0.2}, seed=1)
    (outer / "link").symlink_to(tmp_path / "secret")
    assert disbench("merge", out, a)[0] == 0
    assert {path.name for path in out.iterdir()} == {outer.name, inner.name}
    assert {path.name for path in (out / outer.name).iterdir()} == {"record.json", "codes.h5"}


def test_a_broken_record_is_told_and_the_rest_is_merged(tmp_path: Path) -> None:
    a, out = tmp_path / "a", tmp_path / "out"
    good, broken = put(a, {"mig": 0.1}), put(a, {"mig": 0.1}, seed=1)
    (broken / "record.json").write_text("{", encoding="utf-8")
    status, told = disbench("merge", out, a)
    assert status == 1
    assert str(broken / "record.json") in told
    assert {path.name for path in out.iterdir()} == {good.name}


def test_merge_refuses_a_folder_that_it_reads(tmp_path: Path) -> None:
    put(tmp_path / "a", {"mig": 0.1})
    for out in (tmp_path / "a", tmp_path / "a" / "out", tmp_path):
        status, told = disbench("merge", out, tmp_path / "a")
        assert status == 2
        assert "a folder apart" in told


def test_a_hostile_label_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    words = "[red]<script>alert(1)</script>[/]"
    for seed in range(3):
        put(tmp_path, {"mig": 0.1 + seed / 10}, "vae", seed, hparams={"note": words})
        put(tmp_path, {"mig": 0.1}, "vae", seed)
    status, told = disbench("compare", f"vae (note={words})", "vae", tmp_path)
    assert status == 0
    assert "note=[red]<script>alert(1)</script>[/]" in told
