"""What the page's tables say, against small tables worked out by hand: places, ties, means over datasets, fairness."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from disbench.metrics import METRICS
from disbench.reports.page.render import render
from disbench.reports.page.tables import Board, Overview, boards, facets, overviews, what_was_run
from disbench.reports.records import Record, write_record
from disbench.reports.records.collect import collect
from disbench.reports.statistics import difference, over_datasets, ranking, verdict
from disbench.reports.tables.aggregate import tables
from disbench.reports.tables.columns import protocol
from disbench.reports.tables.notices import unequal
from disbench.reports.tables.table import Table

Make = Callable[..., Record]


def tabulate(*records: Record) -> tuple[Table, ...]:
    return tables((Path(f"{number:03}"), record) for number, record in enumerate(records))


def seeds(make_record: Make, method: str, *scores: float, **fields: Any) -> list[Record]:
    return [make_record({"mig": score}, method, seed, **fields) for seed, score in enumerate(scores)]


@pytest.fixture(scope="module")
def study(fill_study: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Table, ...]:
    return tables(collect(fill_study(tmp_path_factory.mktemp("study"))).found)


@pytest.fixture(scope="module")
def grid_a(study: tuple[Table, ...]) -> Board:
    return next(board for board in boards(study) if board.table.dataset == "grid_a")


@pytest.fixture(scope="module")
def procedural(study: tuple[Table, ...]) -> Overview:
    return next(one for one in overviews(study) if one.provenance == "procedural")


def test_a_planted_tie_is_a_tie_in_mark_place_and_words(grid_a: Board) -> None:
    # a and b are .01 apart with deviations of .02: the margin of Welch is 2.776 x .02 sqrt(2 / 3) = .045.
    cells = {row.label: row.cells["mig"].mark for row in grid_a.table.rows}
    assert cells == {"a": "best", "b": "noise", "c": ""}
    standing = {row.label: grid_a.line(row, "mig") for row in grid_a.table.rows}
    assert {label: line["place"] for label, line in standing.items() if line} == {"a": 1, "b": 1, "c": 3}
    assert {label: line["tied_with"] for label, line in standing.items() if line} == {"a": ("b",), "b": ("a",), "c": ()}
    assert {label: line["rank"] for label, line in standing.items() if line} == {"a": 1, "b": 2, "c": 3}


def test_the_untrained_encoder_has_a_mean_and_no_place(grid_a: Board) -> None:
    (row,) = grid_a.table.untrained
    line = grid_a.line(row, "mig")
    assert line is not None
    assert line["mean"] == pytest.approx(0.02)
    assert line["place"] is None


def test_a_method_that_lacks_a_data_set_is_not_ranked_over_both_however_well_it_does_on_one(
    procedural: Overview,
) -> None:
    found = {method: line for (method, key), line in procedural.lines.items() if key == "mig"}
    # Of the complete methods a is first on grid_a (.52 to .51) and second on grid_b (.32 to .61).
    assert found["a"]["ranks"] == (1, 2)
    assert found["b"]["ranks"] == (2, 1)
    assert found["a"]["mean_rank"] == found["b"]["mean_rank"] == 1.5
    for method, missing in (("c", "grid_b"), ("easy", "grid_a")):
        assert found[method]["mean_rank"] is None
        assert found[method]["iqm"] is None
        assert any(n.startswith(f"Incomplete: {method} has no score on {missing}") for n in procedural.notices)


def test_provenances_have_an_overview_each_and_one_data_set_has_no_mean(study: tuple[Table, ...]) -> None:
    found = {one.provenance: one for one in overviews(study)}
    assert {name: one.datasets for name, one in found.items()} == {
        "procedural": ("grid_a", "grid_b"),
        "official": ("real",),
    }
    assert found["official"].lines == {}


def test_unequal_budgets_are_said_before_a_ranking_within_and_over_data_sets(make_record: Make) -> None:
    records = []
    for dataset in ("d1", "d2"):
        records += seeds(make_record, "a", 0.1, 0.2, 0.3, dataset=dataset)
        records += seeds(make_record, "b", 0.1, 0.2, 0.3, dataset=dataset, steps=9)
    found = tabulate(*records)
    assert all(any(n.startswith("Unequal budgets") for n in table.notices) for table in found)
    (one,) = overviews(found)
    assert any(n.startswith("Unequal budgets") for n in one.notices)


def test_mean_ranks_have_an_interval_that_seeds_allow() -> None:
    apart = {"a": {"x": np.array([3.0, 4, 5]), "y": np.array([3.0, 4, 5])}, "b": {"x": np.zeros(3), "y": np.ones(3)}}
    found = over_datasets(apart, higher_is_better=True)
    assert found[["mean_rank", "rank_low", "rank_high"]].to_numpy().tolist() == [[1, 1, 1], [2, 2, 2]]
    # On y the two are exchangeable: the second rank is 1 or 2, so the mean is between 1 and 1.5.
    apart["a"]["y"] = apart["b"]["y"] = np.array([0.0, 1, 2])
    found = over_datasets(apart, higher_is_better=True)
    assert found.loc["a", ["mean_rank", "rank_low", "rank_high"]].tolist() == [1.25, 1, 1.5]
    apart["b"]["x"] = np.zeros(2)
    assert over_datasets(apart, higher_is_better=True)["rank_low"].isna().all()


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_places_and_ties_are_those_of_the_verdict_on_every_pair(higher_is_better: bool) -> None:
    generator = np.random.default_rng(0)
    scores = {f"m{i}": generator.normal(i // 3, 0.7, 3 + i % 4) for i in range(12)} | {
        "same": np.ones(4),
        "few": np.ones(2),
    }
    found = ranking(scores, higher_is_better)
    says = {
        (one, other): verdict(difference(scores[one], scores[other]), higher_is_better)
        for one in scores
        for other in scores
        if one != other
    }
    for method in list(scores)[:-1]:
        assert found.loc[method, "tied_with"] == tuple(o for o in scores if says.get((method, o)) == "tie")
        assert found.loc[method, "place"] == 1 + sum(says.get((method, other)) == "worse" for other in scores)
    assert np.isnan(found.loc["few", "place"])


def test_dots_lie_between_the_least_and_the_largest_score_of_their_column(grid_a: Board) -> None:
    # From .01 (untrained) to .54.
    row = grid_a.table.rows[0]
    assert grid_a.dots("mig", row.cells["mig"]) == pytest.approx([0.49 / 0.53, 0.51 / 0.53, 1.0])


def test_the_page_shows_three_statistics_of_a_cell(tmp_path: Path, fill_study: Callable[[Path], Path]) -> None:
    page = render(fill_study(tmp_path)).read_text(encoding="utf-8")
    (row,) = re.findall(r'<tr class="trained" data-label="b" data-view="mean".*?</tr>', page, flags=re.S)[:1]
    words = " ".join(re.sub(r"<[^>]+>", " ", row).split())
    assert "0.510 ≈ ± 0.020 0.510 ≈ [0.490, 0.530] =1 ≈ [1, 2]" in words
    assert "tied with a" in row


def test_filters_offer_only_what_tells_rows_apart(study: tuple[Table, ...], grid_a: Board) -> None:
    assert facets(study) == {
        "method": ["a", "b", "c", "easy"],
        "provenance": ["official", "procedural"],
        "steps": ["3000", "9000"],
    }
    assert facets([grid_a.table]) == {"method": ["a", "b", "c"]}


def test_a_line_says_what_was_run(study: tuple[Table, ...]) -> None:
    (real,) = [table for table in study if table.dataset == "real"]
    found = what_was_run(real)
    assert (found["Methods"], found["Seeds"], found["Steps"], found["Code"]) == (
        "2",
        "3",
        "3,000, 9,000",
        "0123456789ab",
    )


def test_names_that_give_one_slug_are_told_apart(make_record: Make) -> None:
    found = boards(tabulate(*(make_record({"mig": 0.1}, dataset=name) for name in ("a.b", "a-b", "a..b"))))
    assert sorted(board.slug for board in found) == ["data-a-b", "data-a-b-2", "data-a-b-3"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_size": 8}, "Unequal batches: 8, 64 images a step"),
        ({"precision": "16-mixed"}, "Unequal precision: 32-true in a, 16-mixed in b"),
        ({"rows": 50}, "Unequal samples: scores come from different numbers of rows (50, 12,000)"),
        ({"environment": {"code": "new"}}, "Different versions of the code: old in a, new in b"),
        ({"environment": {"code": "old", "torch": "2"}}, "Different versions of torch: 1 in a, 2 in b"),
        ({"hparams": {"lr": 0.1}}, "Unequal settings: lr is 0.2 in a, 0.1 in b"),
        ({"images_seen": 2 * 3000 * 64}, "Unequal data: 1 batch a step in a, 2 batches a step in b"),
        ({"environment": {"code": "old+changes"}}, "Code with changes that no commit holds"),
    ],
)
def test_what_was_not_equal_is_said(make_record: Make, change: dict[str, Any], said: str) -> None:
    usual = {
        "environment": {"code": "old", "torch": "1"},
        "images_seen": 3000 * 64,
        "hparams": {"lr": 0.2},
    }
    same = [*seeds(make_record, "a", 0.1, 0.2, **usual), *seeds(make_record, "b", 0.1, 0.2, **usual)]
    (table,) = tabulate(*same)
    assert not list(unequal(table.rows))
    (table,) = tabulate(*same[:2], *seeds(make_record, "b", 0.1, 0.2, **(usual | change)))
    assert any(notice.startswith(said) for notice in table.notices), table.notices


def test_unequal_tuning_and_seeds_are_said(make_record: Make) -> None:
    records = [record for beta in (1, 2, 3) for record in seeds(make_record, "b", 0.1, 0.2, hparams={"beta": beta})]
    (table,) = tabulate(*seeds(make_record, "a", 0.1, 0.2, 0.3), *records)
    said = " ".join(table.notices)
    assert "Unequal tuning: settings tried of each method: a 1, b 3." in said
    assert "Unequal seeds: rows have 2, 3 of them" in said


def test_a_protocol_is_the_metrics_keywords_and_names_a_publication_only_where_all_of_its_settings_agree() -> None:
    assert protocol("mig", {}) == "bins=20, divide_by=factor, as in locatello2019"
    assert protocol("mig", {"bins": 100}) == "bins=100, divide_by=factor, as in do2020"
    assert protocol("mig", {"bins": 7}) == "bins=7, divide_by=factor"
    assert protocol("mig", {"divide_by": "code"}) == "bins=20, divide_by=code"
    assert protocol("nobody's", {"x": 1}) == "x=1"


def test_every_metric_says_what_it_cannot_see() -> None:
    assert [key for key, metric in METRICS.items() if not metric.insensitive_to.endswith(".")] == []


def test_a_folder_of_one_data_set_has_no_overview(tmp_path: Path, make_record: Make) -> None:
    write_record(make_record({"mig": 0.1}), tmp_path / "one")
    page = render(tmp_path).read_text(encoding="utf-8")
    assert 'id="overview"' not in page
    assert 'href="#data-dsprites"' in page
