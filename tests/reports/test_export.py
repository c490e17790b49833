"""From records to frames and files: what is compared with what, how it is escaped, and that TeX takes it."""

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from disbench.reports.comparison import LEADERBOARD, compare, diagrams, leaderboard, overview, score_frame
from disbench.reports.export import export
from disbench.reports.records import Record
from disbench.reports.records.collect import collect
from disbench.reports.tables.aggregate import tables
from disbench.reports.tables.escape import latex_text, markdown_text
from disbench.reports.tables.table import Table

Make = Callable[..., Record]
HOSTILE = r"<script>alert(1)</script> & 100 % $x_1^2$ #{~}\end{document} |*[b]`β` [é] 漢"
PDFLATEX = shutil.which("pdflatex")


def tabulate(records: Sequence[Record]) -> tuple[Table, ...]:
    return tables((Path(f"{number:04}"), record) for number, record in enumerate(records))


def frame(records: Sequence[Record]) -> pd.DataFrame:
    return score_frame(tabulate(records))


def seeds(make: Make, method: str, *values: float, metric: str = "mig", **fields: Any) -> list[Record]:
    return [make({metric: value}, method, seed, **fields) for seed, value in enumerate(values)]


def line_of(board: pd.DataFrame, **wanted: object) -> pd.Series:
    rows = board[np.logical_and.reduce([board[name] == value for name, value in wanted.items()])]
    assert len(rows) == 1
    return rows.iloc[0]


@pytest.fixture
def records(make_record: Make) -> list[Record]:
    """On two official and one procedural dataset: a leader that is missing on one, a planted tie, a longer run."""
    found = []
    for dataset, provenance, easy in (("d1", "official", 0.0), ("d2", "official", 0.2), ("p", "procedural", 0.4)):
        data = {"dataset": dataset, "provenance": provenance}
        if dataset != "d2":
            found += seeds(make_record, "leader", 0.50 + easy, 0.51 + easy, 0.52 + easy, **data)
        found += seeds(make_record, "one", 0.19 + easy, 0.20 + easy, 0.21 + easy, **data)
        found += seeds(make_record, "two", 0.195 + easy, 0.20 + easy, 0.208 + easy, **data)
        found += seeds(make_record, "longer", 0.01 + easy, 0.02 + easy, 0.03 + easy, steps=6000, **data)
        found += seeds(make_record, "vae", 0.9 + easy, 0.9 + easy, 0.9 + easy, steps=0, **data)
    return found


def test_the_leaderboard_has_the_numbers_of_every_cell(make_record: Make) -> None:
    values = (0.1, 0.2, 0.3, 0.4, 0.9)
    line = line_of(leaderboard(frame(seeds(make_record, "vae", *values))), method="vae", metric="mig")
    assert (line["n"], line["seeds"], line["failed"]) == (5, 5, 0)
    assert line["mean"] == pytest.approx(0.38)
    assert line["sd"] == pytest.approx(np.std(values, ddof=1))
    assert line["iqm"] == pytest.approx(0.3)
    assert 0.1 <= line["low"] < 0.3 < line["high"] <= 0.9
    assert line["direction"] == "higher is better"


def test_a_planted_tie_is_a_tie_on_the_leaderboard(records: list[Record]) -> None:
    board = leaderboard(frame(records))
    one, two = (line_of(board, dataset="d1", method=name) for name in ("one", "two"))
    assert one["tied_with"] == ("two",)
    assert one["place"] == two["place"] == 2
    assert line_of(board, dataset="d1", method="leader")["place"] == 1
    assert line_of(board, dataset="d2", method="one")["place"] == 1


def test_the_untrained_encoder_is_listed_and_never_ranked(records: list[Record]) -> None:
    line = line_of(leaderboard(frame(records)), dataset="d1", method="untrained encoder")
    assert line["mean"] == pytest.approx(0.9)
    assert np.isnan(line["rank"]) and line["mark"] == "" and not line["trained"]


def test_the_direction_of_a_metric_decides_the_rank(make_record: Make) -> None:
    low = seeds(make_record, "low", 0.1, 0.11, 0.12, metric="z_min_var")
    high = seeds(make_record, "high", 0.8, 0.81, 0.82, metric="z_min_var")
    board = leaderboard(frame(low + high))
    assert line_of(board, method="low")[["rank", "place", "mark"]].to_list() == [1, 1, "best"]
    (line,) = compare(frame(low + high), "low", "high").to_dict("records")
    assert line["verdict"] == "better"
    assert line["difference"] < 0
    assert line["improvement"] == 1


def test_an_unknown_metric_has_numbers_but_no_rank_and_no_verdict(make_record: Make) -> None:
    records = [*seeds(make_record, "a", 1, 2, 3, metric="new"), *seeds(make_record, "b", 7, 8, 9, metric="new")]
    line = line_of(leaderboard(frame(records)), method="a")
    assert line["mean"] == 2 and np.isnan(line["rank"])
    assert line["note"] == "direction unknown"
    assert compare(frame(records), "a", "b")["verdict"].to_list() == ["unknown"]
    assert overview(frame(records)).empty and diagrams(frame(records)) == ()


def test_different_budgets_are_flagged_wherever_they_are_ranked(records: list[Record]) -> None:
    scores = frame(records)
    board = leaderboard(scores)
    assert board["budgets_differ"].all()
    assert "different numbers of steps" in line_of(board, dataset="d1", method="one")["note"]
    assert overview(scores)["note"].str.contains("different numbers of steps").all()
    assert all(diagram.budgets_differ for diagram in diagrams(scores))
    assert compare(scores, "one", "longer")["budgets_differ"].all()
    assert not compare(scores, "one", "two")["budgets_differ"].any()
    same = frame([record for record in records if record.trial.steps != 6000])
    assert not leaderboard(same)["budgets_differ"].any()


def test_a_method_missing_on_one_dataset_does_not_win_the_mean(records: list[Record]) -> None:
    found = overview(frame(records))
    official = found[found["provenance"] == "official"].set_index("method")
    assert official.loc["leader", ["iqm", "mean_rank"]].isna().all()
    assert official.loc["leader", "missing"] == ("d2",)
    assert official.loc["one", "datasets"] == 2
    assert official["iqm"].idxmax() in ("one", "two")


def test_official_and_procedural_data_never_meet_in_one_mean(records: list[Record]) -> None:
    found = overview(frame(records))
    assert line_of(found, provenance="procedural", method="one")["datasets"] == 1
    assert line_of(found, provenance="procedural", method="one")["iqm"] == pytest.approx(0.6)
    # Pooled .19 .20 .21 and .39 .40 .41, one cut at either end.
    assert line_of(found, provenance="official", method="one")["iqm"] == pytest.approx(0.3)
    assert {diagram.provenance: diagram.datasets for diagram in diagrams(frame(records))} == {
        "official": ("d1", "d2"),
        "procedural": ("p",),
    }


def test_a_diagram_holds_complete_methods_and_names_the_others(records: list[Record]) -> None:
    official, procedural = diagrams(frame(records))
    assert official.methods == ("longer", "one", "two")
    assert official.missing == {"leader": ("d2",)}
    assert official.found is not None
    assert official.found.mean_ranks == pytest.approx([3, 2, 1])
    assert procedural.found is None and "got 4 methods on 1" in procedural.note


def test_views_are_never_compared_with_each_other(make_record: Make) -> None:
    records = seeds(make_record, "vae", 0.1, 0.2, 0.3)
    for record in seeds(make_record, "mine_vae", 0.2, 0.3, 0.4):
        record.views["group"] = {"mig": 0.9}
        records.append(record)
    board = leaderboard(frame(records))
    assert set(board["view"]) == {"mean", "group"}
    assert line_of(board, view="group")[["method", "mean", "rank", "mark"]].to_list() == ["mine_vae", 0.9, 1, ""]
    assert compare(frame(records), "mine_vae", "vae")["view"].to_list() == ["mean"]


def test_failed_and_skipped_seeds_are_counted_and_explained(make_record: Make) -> None:
    records = seeds(make_record, "vae", 0.1, 0.2)
    records += [make_record({}, "vae", 2, skipped={"mig": "no code varies"})]
    records += [make_record(method="vae", seed=3, status="failed", error="boom")]
    line = line_of(leaderboard(frame(records)), method="vae")
    assert (line["seeds"], line["failed"], line["n"]) == (4, 1, 2)
    assert "no code varies" in line["note"] and "seed 3 failed" in line["note"]
    assert "n too small: 2 seeds" in line["note"]
    assert np.isnan(line["low"])


def test_a_label_names_the_same_setting_where_a_page_calls_it_otherwise(make_record: Make) -> None:
    records = [
        *seeds(make_record, "beta_vae", 0.1, 0.2, 0.3, hparams={"beta": 4}),
        *seeds(make_record, "beta_vae", 0.5, 0.6, 0.7, hparams={"beta": 8}),
        *seeds(make_record, "vae", 0.1, 0.2, 0.3),
        *seeds(make_record, "beta_vae", 0.3, 0.4, 0.5, hparams={"beta": 4}, dataset="other"),
        *seeds(make_record, "vae", 0.1, 0.2, 0.3, dataset="other"),
    ]
    found = compare(frame(records), "beta_vae (beta=4)", "vae")
    assert found["dataset"].to_list() == ["dsprites", "other"]
    assert found["mean_one"].to_list() == pytest.approx([0.2, 0.4])
    assert overview(frame(records)).set_index("method").loc["beta_vae (beta=4)", "datasets"] == 2
    with pytest.raises(ValueError, match=r"fits several rows of dsprites.*beta_vae \(beta=8\)"):
        compare(frame(records), "beta_vae", "vae")
    with pytest.raises(ValueError, match=r"no method 'gone'.*beta_vae \(beta=4\)"):
        compare(frame(records), "gone", "vae")
    with pytest.raises(ValueError, match="are the same"):
        compare(frame(records), "vae", "vae")


def test_words_that_mean_several_settings_over_datasets_say_so(make_record: Make) -> None:
    records = []
    for dataset, beta in (("d1", 4), ("d2", 8)):
        records += seeds(make_record, "beta_vae", 0.1, 0.2, 0.3, hparams={"beta": beta}, dataset=dataset)
        records += seeds(make_record, "vae", 0.1, 0.2, 0.3, dataset=dataset)
    assert compare(frame(records), "beta_vae", "vae")["note"].str.contains("not one setting on all datasets").all()
    found = overview(frame(records))
    own = found[found["method"].str.startswith("beta_vae")]
    assert own["iqm"].notna().all() and own["datasets"].tolist() == [2]
    assert own["note"].tolist() == ["settings differ between datasets (beta)"]
    assert found[found["method"] == "vae"]["note"].tolist() == [""]
    assert diagrams(frame(records))[0].varied == {"beta_vae": ("beta",)}


def test_settings_that_share_a_label_and_a_dataset_are_told_apart_in_full(make_record: Make) -> None:
    records = []
    for dataset, betas in (("d1", (4, 8)), ("d2", (4,)), ("d3", (8,))):
        for beta in betas:
            records += seeds(make_record, "beta_vae", 0.1, 0.2, 0.3, hparams={"beta": beta}, dataset=dataset)
    found = overview(frame(records))
    assert sorted(found["method"]) == ["beta_vae (beta=4)", "beta_vae (beta=8)"]
    assert found["iqm"].isna().all() and sorted(map(len, found["missing"])) == [1, 1]
    assert (found["note"].str.contains("no score on")).all()


def test_csv_and_parquet_hold_the_leaderboard(records: list[Record]) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install 'disbench[parquet]'")
    board = leaderboard(frame(records))
    lines = list(csv.DictReader(io.StringIO(export(tabulate(records), "csv").decode())))
    assert list(lines[0]) == LEADERBOARD
    assert [float(line["mean"]) for line in lines] == pytest.approx(board["mean"].to_list())
    read = pd.read_parquet(io.BytesIO(export(tabulate(records), "parquet")))
    read["tied_with"] = [tuple(names) for names in read["tied_with"]]
    pd.testing.assert_frame_equal(read, board, check_dtype=False)


def test_json_holds_scores_by_seed_and_the_notices(records: list[Record]) -> None:
    content = json.loads(export(tabulate(records), "json"))
    (line,) = [own for own in content["leaderboard"] if (own["dataset"], own["method"]) == ("d1", "one")]
    assert line["scores"] == {"0": 0.19, "1": 0.2, "2": 0.21}
    assert line["tied_with"] == ["two"]
    assert any("Unequal budgets" in notice for notice in content["datasets"][0]["notices"])
    (bare,) = [own for own in content["leaderboard"] if (own["dataset"], own["method"]) == ("d1", "untrained encoder")]
    assert bare["rank"] is None


def test_the_same_records_give_the_same_bytes(records: list[Record]) -> None:
    assert export(tabulate(records), "json") == export(tabulate(records), "json")


def test_the_seed_is_that_of_the_bootstrap(make_record: Make) -> None:
    records = seeds(make_record, "vae", *np.random.default_rng(0).normal(size=12))
    assert export(tabulate(records), "csv", seed=1) != export(tabulate(records), "csv")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, fill: Callable[[Path], Path]) -> None:
    # In a fresh interpreter: pandas looks for pyarrow when it is imported.
    program = (
        "import sys, pathlib; sys.modules['pyarrow'] = None\n"
        "from disbench.reports import aggregate, collect, export\n"
        "tables = aggregate.tables(collect.collect(pathlib.Path(sys.argv[1])).found)\n"
        "assert export.export(tables, 'csv')\n"
        "export.export(tables, 'parquet')\n"
    )
    command = [sys.executable, "-c", program, str(fill(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "ImportError: Parquet needs pyarrow, which is not here: pip install 'disbench[parquet]'" in done.stderr


def test_latex_marks_the_best_and_what_is_within_noise_of_it(make_record: Make) -> None:
    records = [
        *seeds(make_record, "best", 0.40, 0.50, 0.60),
        *seeds(make_record, "near", 0.35, 0.45, 0.55),
        *seeds(make_record, "far", 0.10, 0.10, 0.13),
        make_record(method="far", seed=3, status="failed", error="boom"),
    ]
    lines = export(tabulate(records), "latex").decode().splitlines()
    assert r"best & 3 & $\mathbf{0.500} \pm 0.100$ \\" in lines
    assert r"near & 3 & \underline{$0.450 \pm 0.100$} \\" in lines
    assert r"far & 3 of 4 & $0.110^{(3)} \pm 0.017$ \\" in lines
    assert "| near | 3 | <u>0.450 ± 0.100</u> |" in export(tabulate(records), "markdown").decode()
    assert "| best | 3 | **0.500** ± 0.100 |" in export(tabulate(records), "markdown").decode()
    assert r"$\mathbf{0.500} \;[0.400, 0.600]$" in export(tabulate(records), "latex", statistic="iqm").decode()


def test_one_seed_has_neither_deviation_nor_interval_in_a_paper(make_record: Make) -> None:
    for statistic in ("mean", "iqm"):
        text = export(tabulate(seeds(make_record, "vae", 0.1)), "latex", statistic=statistic).decode()
        assert r"vae & 1 & $0.100$ \\" in text


def test_budgets_stand_in_the_table_where_they_differ(records: list[Record]) -> None:
    for form in ("latex", "markdown"):
        text = export(tabulate(records), form).decode()
        assert "Steps" in text and "6,000" in text and "Unequal budgets" in text


def test_hostile_words_are_escaped() -> None:
    assert latex_text("a_b & 5 % {x} ~^\\") == (
        r"a\_b \& 5 \% \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{}"
    )
    assert latex_text("β é 漢\nλ") == r"$\beta$ é {[}U+6F22] $\lambda$"
    assert markdown_text("<b>|*x*_[y]\n") == r"&lt;b&gt;\|\*x\*\_\[y\]"


def test_an_unknown_format_is_refused(records: list[Record]) -> None:
    with pytest.raises(ValueError, match="no format 'xls'; there are csv, json"):
        export(tabulate(records), "xls")


@pytest.mark.skipif(PDFLATEX is None, reason="pdflatex is missing: apt-get install texlive-latex-recommended")
@pytest.mark.parametrize("statistic", ["mean", "iqm"])
def test_the_latex_table_compiles(
    tmp_path: Path, fill: Callable[[Path], Path], make_record: Make, records: list[Record], statistic: Any
) -> None:
    hostile = make_record(
        {"mig": 0.1, HOSTILE: 0.2},
        dataset_version=HOSTILE,
        dataset_options={HOSTILE: HOSTILE},
        hparams={HOSTILE: HOSTILE},
    )
    found = [record for _, record in collect(fill(tmp_path / "runs")).found]
    content = export(tabulate([*found, *records, hostile]), "latex", statistic=statistic)
    (tmp_path / "table.tex").write_bytes(content)
    document = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\\input{table}\\end{document}\n"
    (tmp_path / "document.tex").write_text(document, encoding="utf-8")
    assert PDFLATEX is not None
    command = [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "document.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in (tmp_path / "document.log").read_text(encoding="utf-8", errors="replace")
    assert (tmp_path / "document.pdf").stat().st_size > 10_000
