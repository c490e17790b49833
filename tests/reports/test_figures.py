"""Grids keep every pixel, and charts are well-formed SVG that says each value."""

import io
import math
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.image import imread

from disbench.reports.markup import score_charts as plots
from disbench.reports.markup.embedded_pictures import strip
from disbench.reports.markup.image_grids import capacity_bars, image_grid, information_matrix, png
from disbench.reports.records import GRID, Record
from disbench.reports.records.collect import collect
from disbench.reports.tables.aggregate import tables
from disbench.reports.tables.table import Table

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, fill: Callable[[Path], Path]) -> tuple[Table, ...]:
    return tables(collect(fill(tmp_path_factory.mktemp("runs"))).found)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_shows_every_pixel_unchanged(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, channels, 16, 12), dtype=np.uint8)
    shown = np.round(imread(io.BytesIO(png(image_grid(images, ["a", "b"], ["1", "2", "3"], "title")))) * 255)
    for picture in images.reshape(6, channels, 16, 12):
        wanted = np.broadcast_to(picture, (3, 16, 12)).transpose(1, 2, 0)
        windows = np.lib.stride_tricks.sliding_window_view(shown[..., :3], (16, 12, 3))[:, :, 0]
        assert (windows == wanted).all(axis=(2, 3, 4)).any()


def test_equal_grids_give_equal_files() -> None:
    images = np.full((1, 2, 1, 8, 8), 7, dtype=np.uint8)
    assert png(image_grid(images, ["z0"])) == png(image_grid(images, ["z0"]))


def test_a_formula_in_a_label_stays_text() -> None:
    images = np.zeros((1, 1, 1, 8, 8), dtype=np.uint8)
    assert png(image_grid(images, [r"$\undefined$"], ["$"], r"$\frac"))


@pytest.mark.parametrize(
    "label", ["two\nlines", "\r\n", "tab\t", "nothing\0", "\ud800", "\x1b[31m", "אבג", "😀", "Größe β"]
)
def test_a_grid_takes_any_label(label: str) -> None:
    images = np.zeros((1, 1, 1, 8, 8), dtype=np.uint8)
    assert png(image_grid(images, [label], [label], label))


def test_a_grids_words_are_grey_and_stand_beside_the_images() -> None:
    images = np.zeros((2, 3, 1, 64, 64), dtype=np.uint8)
    bare, told = (
        np.asarray(image_grid(images, rows, *more))
        for rows, *more in ([["", ""], ["", "", ""], ""], [["z0", "z1"], ["-1", "0", "1"], ""])
    )
    top, bottom, left = 4, 4 + 2 * 64 + 3, told.shape[1] - 8 - 3 * 64 - 2 * 3
    assert told[..., 3].any(axis=1)[bottom:].any() and told[top:bottom, :left, 3].any()
    assert not bare[bottom:, :, 3].any()
    outside = np.ones(told.shape[:2], dtype=bool)
    outside[top:bottom, left : left + 3 * 64 + 2 * 3] = False
    assert (told[outside][:, :3] == 128).all()
    for row in (0, 1):  # each label beside the middle of its own images
        inked = np.flatnonzero(told[top + row * 67 : top + row * 67 + 64, :left, 3].any(axis=1))
        assert inked.min() >= 24 and inked.max() <= 40
    for column in range(3):
        inked = np.flatnonzero(told[bottom:, left + column * 67 : left + column * 67 + 64, 3].any(axis=0))
        assert abs((inked.min() + inked.max()) / 2 - 31.5) <= 2


@pytest.mark.parametrize("shape", [(2, 3, 1, 8), (2, 3, 2, 8, 8), (0, 3, 1, 8, 8)])
def test_a_grid_names_the_shape_it_cannot_draw(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="uint8 \\(rows, columns"):
        image_grid(np.zeros(shape, dtype=np.uint8), ["a", "b"])


def test_a_grid_refuses_images_that_are_not_bytes() -> None:
    with pytest.raises(ValueError, match="got float64"):
        image_grid(np.zeros((1, 1, 1, 8, 8)), ["a"])  # type: ignore[arg-type]


def test_a_grid_needs_a_label_for_every_row() -> None:
    with pytest.raises(ValueError, match="needs 2 row labels"):
        image_grid(np.zeros((2, 1, 1, 8, 8), dtype=np.uint8), ["a"])


def test_the_dot_plot_has_a_dot_for_every_score_and_a_mean_for_every_cell(filled: tuple[Table, ...]) -> None:
    table = filled[0]
    drawn = ElementTree.fromstring(plots.scores(table))
    said = [circle.findtext(f"{SVG}title") for circle in drawn.iter(f"{SVG}circle")]
    expected = [
        f"{row.label}, seed {seed}: {value:.3f}"
        for row in (*table.rows, *table.untrained)
        for column in table.columns
        for seed, value in row.cells[column.key].values.items()
    ]
    assert sorted(map(str, said)) == sorted(expected)
    words = [text.text for text in drawn.iter(f"{SVG}text")]
    assert "Z-min Var ↓" in words
    assert "← better" in words


def test_a_better_score_lies_further_along_the_arrow(filled: tuple[Table, ...]) -> None:
    drawn = ElementTree.fromstring(plots.scores(filled[0]))
    at = {circle.findtext(f"{SVG}title"): float(circle.attrib["cx"]) for circle in drawn.iter(f"{SVG}circle")}
    assert at["vae, seed 0: 0.110"] < at["beta_vae, seed 0: 0.210"] < at["beta_tcvae, seed 0: 0.300"]


def test_curves_have_a_line_for_every_seed_and_term(filled: tuple[Table, ...]) -> None:
    drawn = ElementTree.fromstring(plots.curves(filled[0].rows)[0])
    titles = [path.findtext(f"{SVG}title") for path in drawn.iter(f"{SVG}path") if path.find(f"{SVG}title") is not None]
    assert sorted(map(str, titles)) == sorted(
        2 * [f"{m}, seed {s}" for m in (row.label for row in filled[0].rows) for s in (0, 1)]
    )


def test_curves_leave_out_what_is_not_finite(make_record: Callable[..., Record]) -> None:
    curves = {"kl": [(0, 1.0), (1, math.nan), (2, math.inf), (3, 2.0)], "lost": [(0, math.nan)]}
    (table,) = tables([(Path("x"), make_record({"mig": 0.1}, curves=curves))])
    drawn, _ = plots.curves(table.rows)
    ElementTree.fromstring(drawn)
    assert "nan" not in drawn
    assert "inf" not in drawn.replace("no finite value", "")


def test_a_term_of_one_method_among_several_stands_apart(make_record: Callable[..., Record]) -> None:
    shared, own = [(1, 5.0), (2, 4.0)], [(1, 0.5), (2, 0.25)]
    records = [
        make_record({"mig": 0.1}, "vae", curves={"kl": shared}),
        make_record({"mig": 0.2}, "factor_vae", curves={"kl": shared, "discriminator": own}),
    ]
    (both,) = tables([(Path(str(i)), record) for i, record in enumerate(records)])
    together, apart = plots.curves(both.rows)
    assert "kl" in together and "discriminator" not in together
    assert "discriminator" in apart and ">kl<" not in apart
    (one,) = tables([(Path("1"), records[1])])
    together, apart = plots.curves(one.rows)
    assert "discriminator" in together and apart == ""


def test_no_curves_give_no_chart(make_record: Callable[..., Record]) -> None:
    (table,) = tables([(Path("x"), make_record({"mig": 0.1}))])
    assert plots.curves(table.rows) == ("", "")


def test_charts_escape_what_methods_call_themselves(make_record: Callable[..., Record]) -> None:
    record = make_record({"mig": 0.1}, hparams={"x": "<script>&\"'"}, curves={"<b>": [(0, 1.0), (1, 2.0)]})
    (table,) = tables([(Path("x"), record), (Path("y"), make_record({"mig": 0.1}))])
    for drawn in (plots.scores(table), plots.curves(table.rows)[0]):
        ElementTree.fromstring(drawn)
        assert "<script>" not in drawn
        assert "<b>" not in drawn


def grid(columns: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, columns, channels, 16, 12), dtype=np.uint8)


@pytest.mark.parametrize("columns", [2, 9])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_grids_file_says_where_its_columns_are(columns: int, channels: int) -> None:
    images = grid(columns, channels)
    drawn = png(image_grid(images, ["a", "bb", "a long label"], title="title"))
    found = strip(drawn)
    assert found is not None and found.columns == columns and (found.cell, found.pitch) == (12, 15)
    shown = np.round(imread(io.BytesIO(drawn)) * 255)
    top = int(np.flatnonzero((shown[..., 3] == 255).sum(axis=1) >= 12 * columns)[0])
    for column in range(columns):
        left = found.left + column * found.pitch
        wanted = np.broadcast_to(images[0, column], (3, 16, 12)).transpose(1, 2, 0)
        assert (shown[top : top + 16, left : left + found.cell, :3] == wanted).all()
    silent = image_grid(images, ["a", "bb", "a long label"], title="title")
    del silent.info[GRID]
    assert strip(png(silent)) is None


def test_other_pictures_have_no_columns() -> None:
    assert strip(png(image_grid(grid(1), ["a", "b", "c"]))) is None  # one column does not move
    assert strip(png(information_matrix(SHARES, ["0", "1"], ["a", "b", "c"]))) is None
    assert strip(b"\x89PNG\r\n\x1a\n and nothing more") is None
    lying = image_grid(grid(3), ["a", "b", "c"])
    for words in ("0 12 15 4000", "-3 12 15 3", "5 0 15 3", "5 12 3 3", "a b c d", "5 12 15 99999999999999999999"):
        lying.info[GRID] = words
        assert strip(png(lying)) is None, words


def test_past_many_dots_a_rows_seeds_are_one_path_and_none_is_lost(make_record: Callable[..., Record]) -> None:
    records = [make_record({"mig": seed / 1000}, "vae", seed) for seed in range(plots.MANY + 1)]
    few, many = (tables([(Path(str(i)), r) for i, r in enumerate(own)])[0] for own in (records[:-1], records))
    assert plots.scores(few).count("<circle") == plots.MANY
    drawn = plots.scores(many)
    assert drawn.count("<circle") == 0 and drawn.count("h0") == plots.MANY + 1
    assert len(drawn) < len(plots.scores(few)) / 5


def test_past_many_trials_a_row_has_the_curve_of_its_median_seed(make_record: Callable[..., Record]) -> None:
    curves = [{"loss": [(1, 5.0), (2, float(seed))]} for seed in range(plots.LINES + 1)]
    records = [make_record({"mig": seed / 1000}, "vae", seed, curves=curve) for seed, curve in enumerate(curves)]
    few, many = (tables([(Path(str(i)), r) for i, r in enumerate(own)])[0] for own in (records[:-1], records))
    assert plots.curves(few.rows)[0].count("<title>") == plots.LINES
    assert [words for words in ElementTree.fromstring(plots.curves(many.rows)[0]).itertext() if "seed" in words] == [
        "vae, seed 30"
    ]


SHARES = np.array([[0.9, 0.05, 0.25], [0.1, 0.5, 0.85]])


def test_a_matrix_shows_every_share_with_its_factor_and_code() -> None:
    figure = information_matrix(SHARES, ["shape", "scale"], ["a", "b", "c"], "title")
    axes, scale = figure.axes
    (picture,) = axes.images
    assert np.array_equal(picture.get_array(), SHARES)
    assert picture.get_clim() == (0.0, 1.0)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["shape", "scale"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    said = {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in axes.texts}
    assert said == {(row, column): f"{share:.2f}" for (row, column), share in np.ndenumerate(SHARES)}
    assert [label.get_text() for label in scale.get_yticklabels()] == ["0.0", "0.5", "1.0"]


def test_more_information_is_darker_and_its_number_stays_readable() -> None:
    figure = information_matrix(SHARES, ["0", "1"], ["a", "b", "c"])
    (picture,) = figure.axes[0].images
    light = picture.to_rgba(np.linspace(0, 1, 11))[:, :3] @ [0.299, 0.587, 0.114]
    assert (np.diff(light) < 0).all()
    for text in figure.axes[0].texts:
        column, row = (round(at) for at in text.get_position())
        behind = picture.to_rgba(SHARES)[row, column, :3] @ [0.299, 0.587, 0.114]
        assert abs((1.0 if text.get_color() == "white" else 0.0) - behind) > 0.35


def test_a_large_matrix_has_no_numbers_and_fits_a_file() -> None:
    wide = information_matrix(np.zeros((40, 32)), [f"a factor {k}" for k in range(40)], [f"z{j}" for j in range(32)])
    assert not wide.axes[0].texts
    assert len(wide.axes[0].get_yticklabels()) == 40
    huge = information_matrix(np.zeros((3, 20_000)), ["a", "b", "c"], [f"z{j}" for j in range(20_000)])
    assert len(huge.axes[0].get_xticklabels()) < 2000
    assert imread(io.BytesIO(png(huge))).shape[1] < 30_000


def test_a_matrix_is_the_same_file_again_and_a_formula_in_a_name_stays_text() -> None:
    one, two = (png(information_matrix(SHARES, [r"$\undefined$", "$"], ["a", "$x$", "c"], r"$\frac")) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("shares", [np.zeros(3), np.zeros((0, 3)), np.full((2, 3), 1.1), np.full((2, 3), np.nan)])
def test_a_matrix_names_what_it_cannot_draw(shares: np.ndarray) -> None:
    with pytest.raises(ValueError, match="needs shares in"):
        information_matrix(shares, ["a", "b"], ["a", "b", "c"])


def test_a_matrix_needs_a_name_for_every_row_and_column() -> None:
    with pytest.raises(ValueError, match="needs 2 names of factors and 3 of codes, got 3 and 2"):
        information_matrix(SHARES, ["a", "b", "c"], ["a", "b"])


def test_capacity_bars_show_nats_beside_the_share_of_all_nats_meant_for_each_group() -> None:
    figure = capacity_bars(["nuisance", "group 1", "group 2"], [1.0, 4.0, 5.0], [0.1, 0.6, 0.3], [7.0, 8.0])
    capacity, complexity = figure.axes
    widths = [bar.get_width() for bar in capacity.patches]
    assert widths == pytest.approx([1.0, 4.0, 5.0, 1.0, 6.0, 3.0])
    assert [bar.get_fill() and bar.get_facecolor()[3] > 0 for bar in capacity.patches] == [True] * 3 + [False] * 3
    assert [label.get_text() for label in capacity.get_yticklabels()] == ["nuisance", "group 1", "group 2"]
    bars = [(bar.get_y() + bar.get_height() / 2, bar.get_width()) for bar in complexity.patches]
    assert bars == [pytest.approx((1.0, 7.0)), pytest.approx((2.0, 8.0))]  # in the lines of groups 1 and 2
    assert png(figure)


def test_capacity_bars_name_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="needs 2 nats, 2 targets and 1 complexities, got 2, 2 and 2"):
        capacity_bars(["nuisance", "group 1"], [1.0, 2.0], [0.5, 0.5], [1.0, 2.0])
