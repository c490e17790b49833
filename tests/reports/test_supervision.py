"""Methods that see different things never share a ranking, and tables say what each sees."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.reports.comparison import diagrams, leaderboard, overview, pairs_over, pairs_within, score_frame
from disbench.reports.export import export
from disbench.reports.page.render import render
from disbench.reports.records import Record, Trial, read_record, write_record
from disbench.reports.records.collect import collect
from disbench.reports.tables.aggregate import tables
from disbench.reports.tables.table import Table
from disbench.reports.tables.text import as_text

DATASETS = ("dsprites_like", "shapes3d_like", "mpi3d_like")
MIG = {
    "vae": 0.1,
    "beta_vae": 0.3,
    "factor_vae": 0.2,
    "s2_beta_vae": 0.8,
    "s2_dip_vae": 0.7,
    "s2_beta_tcvae": 0.6,
    "supervised": 0.9,
}
RANKS = {
    "beta_vae": 1,
    "factor_vae": 2,
    "vae": 3,
    "s2_beta_vae": 1,
    "s2_dip_vae": 2,
    "s2_beta_tcvae": 3,
    "supervised": 1,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for dataset in DATASETS:
        for method, score in MIG.items():
            for seed in range(3):
                fields = {"dataset": dataset, "dataset_version": "1", "steps": 10, "batch_size": 8}
                trial = Trial(method=method, seed=seed, **fields)
                scores = {"mig": score + 0.01 * seed, "irs": score - 0.01 * seed}
                record = Record(trial=trial, status="ok", provenance="procedural", views={"mean": scores})
                write_record(record, tmp_path / trial.id)
    return tmp_path


@pytest.fixture
def grouped(folder: Path) -> tuple[Table, ...]:
    return tables(collect(folder).found)


def test_the_record_says_what_the_method_sees_and_older_ones_say_nothing_but_images(folder: Path) -> None:
    found = {record.trial.method: record.supervision for _, record in collect(folder).found}
    assert found == {
        "vae": "none",
        "beta_vae": "none",
        "factor_vae": "none",
        "s2_beta_vae": "labels",
        "s2_dip_vae": "labels",
        "s2_beta_tcvae": "labels",
        "supervised": "all labels",
    }
    trial = Trial(method="own", dataset="dsprites", dataset_version="1", seed=0, steps=1, batch_size=8)
    path = write_record(Record(trial=trial, status="ok", supervision="pairs"), folder / "own")
    assert read_record(path).supervision == "pairs"
    path.write_text(path.read_text().replace(' "supervision": "pairs",\n', ""))
    assert read_record(path).supervision == "none"


def test_marks_are_among_methods_that_see_the_same(grouped: tuple[Table, ...]) -> None:
    marks = {row.label: row.cells["mig"].mark for row in grouped[0].rows}
    assert {label for label, mark in marks.items() if mark} == {"beta_vae", "s2_beta_vae"}
    assert marks["beta_vae"] == marks["s2_beta_vae"] == "best"
    assert set(grouped[0].kinds_of_sight) == {"images", "images, labels", "images, all labels"}


def test_places_are_among_methods_that_see_the_same(grouped: tuple[Table, ...]) -> None:
    frame = leaderboard(score_frame(grouped[:1]))
    own = frame[frame["metric"] == "mig"].set_index("method")
    assert own["rank"].to_dict() == RANKS
    assert own["place"].to_dict() == own["rank"].to_dict()
    assert own["sees"]["s2_dip_vae"] == "images, labels"


def test_pairs_and_critical_differences_are_among_methods_that_see_the_same(grouped: tuple[Table, ...]) -> None:
    kinds = [{"vae", "beta_vae", "factor_vae"}, {"s2_beta_vae", "s2_dip_vae", "s2_beta_tcvae"}]
    within = [one for one in pairs_within(grouped[0]) if one.metric == "mig"]
    assert [set(one.methods) for one in within] == kinds
    over = [one for one in pairs_over(score_frame(grouped)) if one.metric == "mig"]
    assert [set(one.methods) for one in over] == kinds
    drawn = [one for one in diagrams(score_frame(grouped)) if one.metric == "mig" and one.found is not None]
    assert [set(one.methods) for one in drawn] == kinds
    assert [one.sees for one in drawn] == ["images", "images, labels"]
    ranks = overview(score_frame(grouped))
    mean = ranks[ranks["metric"] == "mig"].set_index("method")["mean_rank"].to_dict()
    assert mean == RANKS


def test_tables_have_a_column_that_says_what_each_sees(folder: Path, grouped: tuple[Table, ...]) -> None:
    text = export(grouped, "markdown").decode()
    assert "| Method | Sees | Seeds |" in text
    assert r"| s2\_dip\_vae | images, labels | 3 |" in text
    assert "Sees & Seeds" in export(grouped, "latex").decode()
    assert "sees" in export(grouped, "csv").decode().splitlines()[0].split(",")
    assert "Sees images, labels: s2_beta_tcvae, s2_beta_vae, s2_dip_vae. Ranked apart." in as_text(folder)
    page = render(folder).read_text()
    assert page.count('data-key="sees"') == 3
    assert '<td data-value="images, all labels">images, all labels</td>' in page
    assert "<h4>Methods that see images, labels</h4>" in page
    assert "(methods that see images, labels)" in page
    assert "sees images, labels; ranked apart" in page


def test_a_comparison_that_is_asked_for_says_what_both_see(folder: Path) -> None:
    words = "s2_beta_vae sees images, labels; beta_vae sees images. On the page they are not ranked together."
    for other, told in (("s2_beta_vae", True), ("vae", False)):
        result = CliRunner().invoke(app, ["compare", other, "beta_vae", str(folder)])
        assert result.exit_code == 0, result.output
        assert (words in " ".join(result.output.split())) == told


def test_a_table_of_methods_that_see_images_alone_has_no_such_column(tmp_path: Path) -> None:
    for method in ("vae", "beta_vae"):
        trial = Trial(method=method, dataset="dsprites", dataset_version="1", seed=0, steps=10, batch_size=8)
        write_record(Record(trial=trial, status="ok", views={"mean": {"mig": 0.1}}), tmp_path / trial.id)
    found = tables(collect(tmp_path).found)
    assert "Sees" not in export(found, "markdown").decode()
    assert 'data-key="sees"' not in render(tmp_path).read_text()
    assert "Ranked apart" not in as_text(tmp_path)
