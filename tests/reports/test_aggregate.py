"""Tables by hand: what is averaged, what is set apart, and who may be called best."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from disbench.reports.records import FurtherView, Record
from disbench.reports.tables.aggregate import marks, tables
from disbench.reports.tables.notices import short_runs, skipped, without_quality
from disbench.reports.tables.table import Cell, Row, Table

Make = Callable[..., Record]


def tabulate(*records: Record) -> tuple[Table, ...]:
    return tables((Path(f"{number:02}"), record) for number, record in enumerate(records))


def table_of(*records: Record) -> Table:
    (table,) = tabulate(*records)
    return table


def row_of(table: Table, label: str) -> Row:
    (row,) = [row for row in (*table.rows, *table.untrained) if row.label == label]
    return row


def cell_of(*values: float) -> Cell:
    return Cell(dict(enumerate(values)))


def test_a_cell_is_the_mean_and_the_sample_deviation_over_seeds(make_record: Make) -> None:
    table = table_of(*(make_record({"mig": value}, seed=seed) for seed, value in enumerate((0.1, 0.2, 0.6))))
    cell = row_of(table, "vae").cells["mig"]
    assert cell.n == 3
    assert cell.mean == pytest.approx(0.3)
    # Squared distances .04 + .01 + .09 over n - 1 = 2; over n they would give .216.
    assert cell.sd == pytest.approx(math.sqrt(0.14 / 2))
    assert cell.values == {0: 0.1, 1: 0.2, 2: 0.6}


def test_one_seed_has_no_spread(make_record: Make) -> None:
    assert row_of(table_of(make_record({"mig": 0.1})), "vae").cells["mig"].sd is None


def test_a_failed_trial_is_listed_and_never_averaged(make_record: Make) -> None:
    # A trial may fail after some scores were there: they do not count.
    late = make_record({"mig": 0.9}, seed=2, status="failed", error="out of memory")
    table = table_of(make_record({"mig": 0.1}), make_record({"mig": 0.2}, seed=1), late)
    row = row_of(table, "vae")
    assert row.cells["mig"].mean == pytest.approx(0.15)
    assert row.seeds == "2 of 3"
    assert [record.error for _, record in table.failed] == ["out of memory"]


def test_a_trial_that_failed_before_its_data_came_joins_the_only_table_of_that_name(make_record: Make) -> None:
    table = table_of(make_record({"mig": 0.1}), make_record(seed=1, status="failed", provenance=None))
    assert row_of(table, "vae").seeds == "1 of 2"


def test_a_method_of_which_every_seed_failed_keeps_its_row(make_record: Make) -> None:
    table = table_of(make_record({"mig": 0.1}), make_record(method="gone", status="failed"))
    assert row_of(table, "gone").seeds == "0 of 1"
    assert row_of(table, "gone").cells["mig"].mean is None


def test_the_untrained_encoder_is_set_apart_from_trained_rows(make_record: Make) -> None:
    table = table_of(make_record({"mig": 0.1}), make_record({"mig": 0.9}, steps=0))
    assert [row.label for row in table.rows] == ["vae"]
    assert [row.label for row in table.untrained] == ["untrained encoder"]


def test_the_untrained_encoder_is_never_best(make_record: Make) -> None:
    records = [make_record({"mig": 0.1 * (seed + 1)}, seed=seed, method=m) for seed in range(3) for m in ("a", "b")]
    table = table_of(*records, *(make_record({"mig": 0.9 + seed / 50}, steps=0, seed=seed) for seed in range(3)))
    assert {row.cells["mig"].mark for row in table.untrained} == {""}
    assert {row.cells["mig"].mark for row in table.rows} == {"best"}


def test_untrained_encoders_of_several_methods_are_told_apart(make_record: Make) -> None:
    table = table_of(*(make_record({"mig": 0.1}, steps=0, method=name) for name in ("vae", "mine_vae")))
    assert [row.label for row in table.untrained] == ["untrained encoder, mine_vae", "untrained encoder, vae"]


def test_an_ablation_shows_the_settings_that_differ_and_no_others(make_record: Make) -> None:
    table = table_of(
        make_record({"mig": 0.1}, method="mine_vae", hparams={"beta": 1, "critic": "joint"}),
        make_record({"mig": 0.1}, method="mine_vae", hparams={"beta": 1, "critic": "split"}),
        make_record({"mig": 0.1}, method="mine_vae", hparams={"beta": 1}),
        make_record({"mig": 0.1}, method="vae", hparams={"beta": 1}),
    )
    assert [row.label for row in table.rows] == [
        "mine_vae",
        "mine_vae (critic=joint)",
        "mine_vae (critic=split)",
        "vae",
    ]


def test_each_row_of_an_ablation_names_its_own_change_alone(make_record: Make) -> None:
    common = {"lr": 0.001, "latent_dim": 10}
    changes = [{}, {"tc_weight": 0}, {"entropy": 0}, {"latent_dim": 32}, {"tc_weight": 0, "entropy": 0}]
    table = table_of(*(make_record({"mig": 0.1}, method="mine_vae", hparams={**common, **own}) for own in changes))
    assert [row.label for row in table.rows] == [
        "mine_vae",
        "mine_vae (entropy=0)",
        "mine_vae (tc_weight=0)",
        "mine_vae (latent_dim=32)",
        "mine_vae (entropy=0, tc_weight=0)",
    ]


def test_two_values_of_which_neither_is_usual_are_both_named(make_record: Make) -> None:
    table = table_of(*(make_record({"mig": 0.1}, hparams={"beta": beta}) for beta in (4, 4.5)))
    assert [row.label for row in table.rows] == ["vae (beta=4)", "vae (beta=4.5)"]


def two_views(make_record: Make, mean: float, group: float, **fields: object) -> Record:
    record = make_record({"mig": mean}, floor={"mig": 0.01}, **fields)
    record.views["group"] = {"mig": group}
    record.further_views["group"] = FurtherView(codes=["group 1", "group 2"], floor={"mig": 0.2})
    return record


def test_a_further_view_is_a_row_of_its_own_with_its_own_floor_and_never_marked(make_record: Make) -> None:
    table = table_of(
        *(two_views(make_record, 0.1 + s / 50, 0.8 + s / 50, method="mine_vae", seed=s) for s in range(3)),
        *(make_record({"mig": 0.4 + s / 50}, floor={"mig": 0.03}, seed=s) for s in range(3)),
    )
    (row,) = table.further
    assert (row.label, row.view, row.of_row) == ("mine_vae, group view", "group", "mine_vae")
    assert row.cells["mig"].values == pytest.approx({0: 0.8, 1: 0.82, 2: 0.84})
    assert row.cells["mig"].mark == ""
    assert {each.label: each.cells["mig"].mark for each in table.rows} == {"mine_vae": "", "vae": "best"}
    assert table.further_floors["group"]["mig"].mean == pytest.approx(0.2)
    assert table.floor["mig"].mean == pytest.approx(0.02)
    assert any("must not be set beside another method's mean view" in notice for notice in table.notices)


def test_a_seed_without_the_further_view_says_why(make_record: Make) -> None:
    without = make_record({"mig": 0.1}, seed=1, missing_views={"group": "all nuisance"})
    table = table_of(two_views(make_record, 0.1, 0.8), without)
    (row,) = table.further
    assert (row.cells["mig"].values, row.cells["mig"].reasons) == ({0: 0.8}, {1: "all nuisance"})
    assert list(skipped(table)) == [("MIG", "vae, group view seed 1", "all nuisance")]


def test_a_metric_that_a_view_does_not_allow_keeps_the_views_own_reason(make_record: Make) -> None:
    record = make_record({"mig": 0.1, "irs": 0.4})
    record.views["group"] = {"mig": 0.3}
    record.further_views["group"] = FurtherView(codes=["group 1"], skipped={"irs": "one code is too few"})
    (row,) = table_of(record).further
    assert row.cells["irs"].reasons == {0: "one code is too few"}


def test_methods_with_one_view_have_no_further_rows(make_record: Make) -> None:
    table = table_of(make_record({"mig": 0.1}))
    assert (table.further, table.further_floors) == ((), {})
    assert not any("view" in notice for notice in table.notices)


def test_reconstructions_are_averaged_over_seeds_and_what_is_missing_has_a_reason(make_record: Make) -> None:
    table = table_of(
        make_record({}, reconstruction={"psnr": 20.0, "ssim": 0.5}, reconstruction_skipped={"fid": "no weights"}),
        make_record({}, seed=1, reconstruction={"psnr": 24.0}, reconstruction_skipped={"fid": "no weights"}),
    )
    quality = row_of(table, "vae").quality
    assert quality["psnr"].mean == pytest.approx(22.0)
    assert quality["ssim"].values == {0: 0.5}
    assert quality["fid"].reasons == {0: "no weights", 1: "no weights"}
    assert ("FID ↓", "no weights") in list(without_quality(table))


@pytest.mark.parametrize("change", [{"steps": 9}, {"batch_size": 8}, {"precision": "16-mixed"}, {"rows": 99}])
def test_trials_that_differ_in_more_than_the_seed_are_not_averaged(make_record: Make, change: dict[str, int]) -> None:
    table = table_of(make_record({"mig": 0.1}), make_record({"mig": 0.3}, seed=1, **change))
    assert [row.cells["mig"].n for row in table.rows] == [1, 1]
    (name,) = change
    assert all(f"{name}=" in row.label for row in table.rows)


@pytest.mark.parametrize(
    "change",
    [{"dataset": "other"}, {"dataset_options": {"hues": 2}}, {"dataset_version": "2"}, {"provenance": "official"}],
)
def test_different_data_never_share_a_table(make_record: Make, change: dict[str, object]) -> None:
    assert len(tabulate(make_record({"mig": 0.1}), make_record({"mig": 0.1}, seed=1, **change))) == 2


def test_a_copied_record_counts_once_and_is_mentioned(make_record: Make) -> None:
    table = table_of(make_record({"mig": 0.1}), make_record({"mig": 0.1}), make_record({"mig": 0.4}, seed=1))
    assert row_of(table, "vae").cells["mig"].values == {0: 0.1, 1: 0.4}
    assert any("1 further copy" in notice for notice in table.notices)


def test_a_repeated_trial_that_finished_replaces_its_failure(make_record: Make) -> None:
    table = table_of(make_record(status="failed"), make_record({"mig": 0.1}))
    assert row_of(table, "vae").seeds == "1"
    assert not table.failed


def test_floor_and_ceiling_are_means_over_the_finished_trials(make_record: Make) -> None:
    table = table_of(
        make_record({"mig": 0.1}, floor={"mig": 0.02}, ceiling={"mig": 0.9}),
        make_record({"mig": 0.1}, steps=0, floor={"mig": 0.04}, ceiling={"mig": 0.9}),
        make_record({"mig": 0.1}, seed=5, floor={"mig": 0.9}, ceiling={"mig": 0.1}, status="failed"),
    )
    assert table.floor["mig"].mean == pytest.approx(0.03)
    assert table.ceiling["mig"].mean == pytest.approx(0.9)


def test_a_skipped_metric_keeps_its_reason_and_is_left_out_of_the_mean(make_record: Make) -> None:
    table = table_of(
        make_record({"mig": 0.1, "irs": 0.4}), make_record({"mig": 0.1}, seed=1, skipped={"irs": "one row a group"})
    )
    cell = row_of(table, "vae").cells["irs"]
    assert (cell.mean, cell.n, cell.reasons) == (0.4, 1, {1: "one row a group"})
    assert list(skipped(table)) == [("IRS", "vae seed 1", "one row a group")]


def test_columns_come_in_the_registrys_order_and_unknown_ones_last(make_record: Make) -> None:
    table = table_of(make_record({"own": 2.0, "mig": 0.1, "z_diff": 1.0}), make_record({"own": 1.0}, method="b"))
    assert [column.key for column in table.columns] == ["z_diff", "mig", "own"]
    assert {row.cells["own"].mark for row in table.rows} == {""}


@pytest.mark.parametrize(
    ("cells", "higher", "expected"),
    [
        # Deviations of .1 each: Welch's margin is t(4) sqrt(2 .01 / 3) = 2.776 x .0816 = .227, and the means are .2 apart. The
        # combined deviation would be .141.
        ([cell_of(0.2, 0.3, 0.4), cell_of(0.0, 0.1, 0.2)], True, ["best", "noise"]),
        ([cell_of(0.2, 0.3, 0.4), cell_of(0.0, 0.1, 0.2)], False, ["noise", "best"]),
        # .24 apart.
        ([cell_of(0.24, 0.34, 0.44), cell_of(0.0, 0.1, 0.2)], True, ["best", ""]),
        ([cell_of(0.24, 0.34, 0.44), cell_of(0.0, 0.1, 0.2)], False, ["", "best"]),
        # Ten seeds of deviation .105: the margin is t(18) sqrt(2 .0111 / 10) = 2.101 x .0471 = .099, the means .12 apart, the
        # combined deviation .149.
        ([cell_of(*[0.32, 0.12] * 5), cell_of(*[0.2, 0.0] * 5)], True, ["best", ""]),
        # A tie in the mean: both are best.
        ([cell_of(0.4, 0.5, 0.6), cell_of(0.5, 0.5, 0.5), cell_of(0.1, 0.1, 0.1)], True, ["best", "best", ""]),
        ([cell_of(1.0, 1.0, 1.0), cell_of(1.0, 1.0, 1.0)], True, ["best", "best"]),
        # Two seeds can neither win nor be within noise.
        ([cell_of(0.9, 0.8), cell_of(0.1, 0.2, 0.3)], True, ["", ""]),
        ([cell_of(0.7, 0.9), cell_of(0.7, 0.8, 1.0)], True, ["", "best"]),
        # Nobody wins alone, or in an unknown direction.
        ([cell_of(0.1, 0.2, 0.3)], True, [""]),
        ([cell_of(0.1, 0.2, 0.3), Cell()], True, ["", ""]),
        ([cell_of(0.1, 0.2, 0.3), cell_of(0.3, 0.4, 0.5)], None, ["", ""]),
    ],
)
def test_marks_follow_the_rule(cells: Sequence[Cell], higher: bool | None, expected: list[str]) -> None:
    assert marks(cells, higher) == expected


def test_the_lowest_error_rate_is_best(make_record: Make) -> None:
    records = [
        make_record({"z_min_var": v + s / 100}, method=m, seed=s) for m, v in (("a", 0.1), ("b", 0.7)) for s in range(3)
    ]
    table = table_of(*records)
    assert [row.cells["z_min_var"].mark for row in table.rows] == ["best", ""]


def test_a_method_no_better_than_untrained_is_flagged(make_record: Make) -> None:
    def seeds(method: str, steps: int, *values: float) -> list[Record]:
        return [make_record({"mig": v}, method=method, steps=steps, seed=s) for s, v in enumerate(values)]

    table = table_of(
        *seeds("good", 9, 0.30, 0.32, 0.31), *seeds("noisy", 9, 0.0, 0.2, 0.1), *seeds("good", 0, 0.02, 0.03, 0.01)
    )
    assert not row_of(table, "good").below_untrained
    assert row_of(table, "noisy").below_untrained


def test_a_method_is_held_against_its_own_untrained_encoder(make_record: Make) -> None:
    table = table_of(
        make_record({"mig": 0.2}, method="a"),
        make_record({"mig": 0.2}, method="b"),
        make_record({"mig": 0.1}, method="a", steps=0),
        make_record({"mig": 0.3}, method="b", steps=0),
    )
    assert [row.below_untrained for row in table.rows] == [False, True]


def test_unequal_budgets_samples_and_options_are_said(make_record: Make) -> None:
    table = table_of(
        make_record({"mig": 0.1}, metric_options={"mig": {"bins": 20}}),
        make_record({"mig": 0.1}, method="b", steps=9, rows=50, metric_options={"mig": {"bins": 40}}),
    )
    said = " ".join(table.notices)
    assert "Unequal budgets: the rows of this table were trained for different numbers of steps (9, 3,000)" in said
    assert "50, 12,000" in said
    assert "MIG was scored under different options" in said


def test_tables_do_not_depend_on_the_order_of_records(make_record: Make) -> None:
    pairs = [(Path(f"{m}{s}"), make_record({"mig": s / 7}, method=m, seed=s)) for m in "ba" for s in (2, 0, 1)]
    assert tables(pairs) == tables(reversed(pairs))


def test_short_runs_are_announced_with_their_steps(make_record: Make) -> None:
    assert short_runs([make_record({}, steps=300_000), make_record({}, steps=0)]) is None
    notice = short_runs([make_record({}, steps=500), make_record({}, steps=3000), make_record({}, steps=0)])
    assert notice is not None
    assert notice.startswith("These are short runs: they show that the path works, not who wins")
    assert "500 to 3,000 steps" in notice
