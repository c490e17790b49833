"""Sections below the tables: numbers by hand and against scipy, words where there is nothing, and text of anybody's escaped."""

import base64
import gc
import html
import io
import math
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from disbench.reports.comparison import diagrams, score_frame
from disbench.reports.estimators.study import Study, write_study
from disbench.reports.markup import comparison_charts as charts, embedded_pictures as pictures, image_grids as figures
from disbench.reports.page import layout as page_layout, macros, trial_details
from disbench.reports.page.layout import Layout, layout_of
from disbench.reports.page.sections import dataset_sections, overall_sections
from disbench.reports.page.trials import write_trial_pages
from disbench.reports.records import Partition, Record, read_record, write_record
from disbench.reports.records.collect import Collection, Summary, collect, whole
from disbench.reports.tables.aggregate import tables
from disbench.reports.tables.table import Table

Make = Callable[..., Record]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = '<script>alert("x")</script>'


def seeds(make_record: Make, method: str, *scores: float, **fields: Any) -> list[Record]:
    return [make_record({"mig": value}, method, seed, **fields) for seed, value in enumerate(scores)]


def placed(records: Sequence[Record], folder: Path = Path("nowhere")) -> tuple[Collection, tuple[Table, ...]]:
    found = tuple((folder / record.trial.id, record) for record in records)
    return Collection(folder, found, (), 0.0), tables(found)


def overall(records: Sequence[Record]) -> dict[str, str]:
    collection, grouped = placed(records)
    found = overall_sections(collection, grouped, Layout(Path("nowhere"), inline=True))
    return {section.id: words(section.html) for section in found}


def of_dataset(records: Sequence[Record]) -> dict[str, str]:
    (table,) = placed(records)[1]
    return {
        section.id: words(section.html) for section in dataset_sections(table, Layout(Path("nowhere"), inline=True))
    }


def words(markup: str) -> str:
    """The text of a piece of markup, white space as one blank."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


class Tags(HTMLParser):
    """The tags and the text of a page as a browser's parser meets them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, fill: Callable[[Path], Path]) -> Path:
    return fill(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def page(filled: Path) -> str:
    """All sections of a filled folder, as the page holds them."""
    collection = collect(filled)
    grouped = tables(collection.found)
    layout = layout_of(grouped, filled / "leaderboard.html")
    found = overall_sections(collection, grouped, layout)
    return "".join(s.html for s in found) + "".join(s.html for t in grouped for s in dataset_sections(t, layout))


def three_datasets(make_record: Make, **fields: Any) -> list[Record]:
    return [
        record
        for dataset in ("d1", "d2", "d3")
        for method, low in (("one", 0.7), ("two", 0.4), ("three", 0.1))
        for record in seeds(make_record, method, low, low + 0.1, low + 0.2, dataset=dataset, **fields)
    ]


def test_a_critical_difference_diagram_has_demsars_numbers(make_record: Make) -> None:
    # Demsar 2006: of 3 methods over 3 datasets CD = 2.343 sqrt(3 * 4 / 18) = 1.913, and Friedman's chi2 = 6 where all agree.
    found = overall(three_datasets(make_record))["critical-differences"]
    assert "CD = 1.91" in found and "χ² = 6.00" in found and "p = 0.050" in found
    assert re.search(r"one 1\.00.*two 2\.00.*three 3\.00", found)
    assert "Unequal budgets" not in found


def test_a_method_hangs_from_the_axis_at_its_mean_rank(make_record: Make) -> None:
    records = [r for r in three_datasets(make_record) if (r.trial.method, r.trial.dataset) != ("two", "d3")]
    records += seeds(
        make_record, "two", 0.9, 0.95, 0.99, dataset="d3"
    )  # ahead of the others there: mean ranks 4/3, 5/3 and 3
    (diagram,) = diagrams(score_frame(placed(records)[1]))
    drawn = charts.critical_difference(diagram, "x")
    left, right = map(float, re.findall(r"M([\d.]+) 58\.0H([\d.]+)", drawn)[0])
    hung = sorted(float(at) for at in re.findall(r"M([\d.]+) 58\.0V", drawn))
    assert hung == pytest.approx([left + (right - left) * share for share in (1 / 6, 1 / 3, 1)], abs=0.1)
    ticks = [float(at) for at in re.findall(r'<text x="([\d.]+)"[^>]*>[123]</text>', drawn)]
    assert ticks == pytest.approx([left, (left + right) / 2, right], abs=0.1)


def test_two_data_sets_have_no_diagram_and_the_page_says_why_and_compares_pairs(make_record: Make) -> None:
    found = overall([record for record in three_datasets(make_record) if record.trial.dataset != "d3"])
    assert "needs three or more" in found["critical-differences"] and "are 2 (d1, d2)" in found["critical-differences"]
    assert "CD =" not in found["critical-differences"]
    assert "row beats column" in found["pairs"]


def test_official_and_procedural_data_never_share_a_diagram(make_record: Make) -> None:
    records = three_datasets(make_record)
    records = [r.model_copy(update={"provenance": "official"}) if r.trial.dataset == "d3" else r for r in records]
    found = overall(records)["critical-differences"]
    assert "Procedural data: no critical-difference diagram" in found
    assert "Official data: no critical-difference diagram" in found and "there is one (d3)" in found


def test_a_method_that_lacks_a_data_set_is_in_no_comparison_over_data_sets(make_record: Make) -> None:
    records = three_datasets(make_record) + seeds(make_record, "easy", 0.99, 0.98, 0.97, dataset="d1")
    found = overall(records)
    assert "Left out, without a score on a dataset: easy" in found["critical-differences"]
    assert "easy" not in found["pairs"]


def test_unequal_budgets_within_a_data_set_are_said_and_between_data_sets_are_named(make_record: Make) -> None:
    records = three_datasets(make_record)
    longer = [seeds(make_record, "long", 0.5, 0.6, dataset=name, steps=9000) for name in ("d1", "d2", "d3")]
    found = overall(records + [record for own in longer for record in own])
    assert "Unequal budgets" in found["critical-differences"] and "Unequal budgets" in found["pairs"]
    moved = [r for r in records if r.trial.dataset != "d3"]
    moved += [r for r in three_datasets(make_record, steps=9000) if r.trial.dataset == "d3"]
    found = overall(moved)
    assert "Unequal budgets" not in found["critical-differences"]
    assert "set for each dataset: steps differs" in found["critical-differences"]


def test_a_label_of_any_length_leaves_the_diagram_its_width(make_record: Make) -> None:
    records = three_datasets(make_record)
    records += [
        r
        for name in ("d1", "d2", "d3")
        for r in seeds(make_record, "m" * 100, 0.3, dataset=name, hparams={"x": "y" * 5000})
    ]
    records += [r for name in ("d1", "d2", "d3") for r in seeds(make_record, "m" * 100, 0.2, dataset=name)]
    (diagram,) = diagrams(score_frame(placed(records)[1]))
    drawn = charts.critical_difference(diagram, "x")
    assert float(re.findall(r'viewBox="0 0 (\d+)', drawn)[0]) < 1000 and f"{'m' * 43}…" in drawn


def test_no_difference_is_drawn_as_one_bar_and_said(make_record: Make) -> None:
    records = []
    for dataset, order in (("d1", "abc"), ("d2", "bca"), ("d3", "cab")):
        for place, method in enumerate(order):
            records += seeds(make_record, method, 0.1 * place, dataset=dataset)
    _, grouped = placed(records)
    (diagram,) = diagrams(score_frame(grouped))
    drawn = charts.critical_difference(diagram, "x")
    assert drawn.count("no difference:") == 1 and "no difference: a, b, c" in drawn
    assert "no difference found" in overall(records)["critical-differences"]


def test_pairs_show_the_share_of_pairs_won_and_a_star_where_welch_tells_them_apart(make_record: Make) -> None:
    records = seeds(make_record, "good", 0.80, 0.82, 0.81) + seeds(make_record, "bad", 0.10, 0.12, 0.11)
    records += seeds(make_record, "loose", 0.05, 0.81, 0.95)
    found = of_dataset(records)["pairs"]
    # Of good against loose 3 of 9 pairs are lost outright, 0.81 and 0.80, 0.81, 0.82 give one each of win, tie and loss.
    assert "good loose bad" in found
    assert re.search(r"good 0\.50 1\.00\* loose 0\.50 0\.67 bad 0\.00\* 0\.33", found)


def test_the_shade_of_a_matrix_is_where_a_value_lies_between_its_ends() -> None:
    shaded = [
        macros.heat(value, *scale) for value, *scale in ((3.0, 1.0, 5.0), (-0.5, -1.0, 1.0, 0.0), (0.5, -1.0, 1.0, 0.0))
    ]
    assert ["--v:0.50" in cell for cell in shaded] == [True] * 3
    assert [" below" in cell for cell in shaded] == [False, True, False]
    assert macros.heat(None) == '<td class="heat none">–</td>\n'
    assert macros.heats([0.25, None]) == macros.heat(0.25) + macros.heat(None)


def test_agreement_is_spearmans_with_lower_is_better_turned_round(make_record: Make) -> None:
    mig, error = [0.1, 0.5, 0.3, 0.2, 0.6], [0.9, 0.4, 0.5, 0.8, 0.45]
    records = [
        make_record({"mig": a, "z_min_var": b}, "vae", seed) for seed, (a, b) in enumerate(zip(mig, error, strict=True))
    ]
    found = of_dataset(records)["agreement"]
    wanted = spearmanr(mig, [-value for value in error]).statistic
    assert "Over 5 trials" in found and f"MIG {wanted:.2f} 1.00" in found
    assert "methods' means" not in found  # one method has no order
    assert "agreement" not in of_dataset(records[:4])


def test_cost_is_a_mean_over_seeds_and_speed_is_images_over_seconds(make_record: Make) -> None:
    records = seeds(make_record, "vae", 0.1, 0.2, images_seen=1000, parameters=77)
    for record, seconds, device in zip(records, (10.0, 20.0), ("cpu", "NVIDIA H100"), strict=True):
        record.seconds, record.environment = {"train": seconds}, {"device": device}
        record.peak_memory = {"resident": int(seconds) << 28, "cuda": 5 << 20}
    found = of_dataset(records)["cost"]
    assert re.search(
        r"vae 15\.0 ± 7\.1 75 ± 35 5\.00 GiB resident 5 MiB cuda 77 1,000 cpu \(1\), NVIDIA H100 \(1\)", found
    )
    records[0].images_per_second = 400.0  # as the trial itself counted
    assert "225 ± 247" in of_dataset(records)["cost"]
    assert "ran on different devices (cpu, NVIDIA H100), so their times are not comparable" in found


def test_a_trial_without_times_is_in_the_table_and_not_in_the_plot(make_record: Make) -> None:
    found = of_dataset(seeds(make_record, "vae", 0.1, 0.2))["cost"]
    assert "vae – – – not recorded" in found and "small dot" not in found


def test_a_sweep_joins_rows_that_differ_in_one_number_and_in_nothing_else(make_record: Make) -> None:
    records = []
    for beta in (1, 4, 16):
        for lr in (0.1, 0.2):
            hparams = {"beta": beta, "lr": lr, "flag": beta > 2}
            records += seeds(make_record, "beta_vae", 0.1, 0.2, hparams=hparams)
    records += seeds(make_record, "vae", 0.1, 0.2)
    (table,) = placed(records)[1]
    found = charts.sweeps(table)
    # beta 1 differs from the others in its flag as well.
    assert [(sweep.name, sweep.values) for sweep in found] == [
        ("beta", (4.0, 16.0)),
        ("beta", (4.0, 16.0)),
        ("lr", (0.1, 0.2)),
        ("lr", (0.1, 0.2)),
        ("lr", (0.1, 0.2)),
    ]
    told = of_dataset(records)["sensitivity"]
    assert "beta_vae, beta: 2 values at lr=0.1." in told
    assert "sensitivity" not in of_dataset(seeds(make_record, "vae", 0.1, 0.2))


def test_sweeps_past_the_first_panels_are_counted(make_record: Make) -> None:
    records = []
    for value in (1.0, 2.0):
        for method in range(charts.PANELS + 2):
            records += seeds(make_record, f"m{method:02d}", 0.1, hparams={"beta": value})
    told = of_dataset(records)["sensitivity"]
    assert "2 shorter sweeps are not drawn" in told
    assert "m08, beta" in told and "m09, beta" not in told


def test_what_failed_and_what_was_skipped_stands_in_tables_with_its_reason(make_record: Make) -> None:
    records = seeds(make_record, "vae", 0.1, 0.2, skipped={"irs": "IRS needs groups."})
    records.append(
        make_record(
            None, "vae", 5, status="failed", failure="diverged", error="Traceback\n  line\nFloatingPointError: nan"
        )
    )
    found = of_dataset(records)["missing"]
    assert re.search(r"vae 5 diverged FloatingPointError: nan", found)
    assert re.search(r"IRS every row IRS needs groups\.", found)
    assert "missing" not in of_dataset(seeds(make_record, "vae", 0.1))
    alone = of_dataset(records[2:])
    assert list(alone) == ["missing", "trials"]


def test_every_trial_is_told_in_full_on_a_page_of_few(page: str, filled: Path) -> None:
    text = words(page)
    for _, record in collect(filled).found:
        assert record.trial.id in text and record.command in text
    assert "code version not recorded" in text.lower() and "torch=2.6.0" in text
    assert "FloatingPointError: the loss is not finite." in text
    assert page.count('<details class="trial">') == 21
    assert '"gaps"' in text  # details, which `collect` leaves in the file
    assert page.count("<h5>Training curves</h5>") == 16


def test_a_section_is_well_formed_and_its_links_and_ids_are_unique(page: str) -> None:
    ids = re.findall(r' id="([^"]+)"', page)
    assert ids and len(ids) == len(set(ids))
    for used in re.findall(r'<use[^>]* href="#([^"]+)"', page):
        assert used in ids
    for tag in ("table", "svg", "details", "figure", "div", "dl", "section"):
        assert len(re.findall(rf"<{tag}[ >]", page)) == page.count(f"</{tag}>"), tag


def test_pictures_of_one_trial_a_method_are_taken_in_and_the_others_are_links(page: str, filled: Path) -> None:
    # Two pictures of three methods on two datasets; the fourth's went astray.
    assert page.count("data:image/png") == 12 and "the record names traversal.png, and the file is not there" in page
    linked = re.findall(r'<a href="([^"]+traversal.png)">', page)
    assert len(linked) == len(set(linked)) and all((filled / link).exists() for link in linked)


def test_pictures_stop_at_the_pages_share_and_every_method_has_its_traversal_first(filled: Path) -> None:
    table = tables(collect(filled).found)[0]
    whole_size = next(s for s in dataset_sections(table, Layout(filled, True)) if s.id == "pictures").html
    size = len(re.findall(r"data:image/png;base64,[^\"]+", whole_size)[0])
    some = next(s for s in dataset_sections(table, Layout(filled, True, 3 * size)) if s.id == "pictures").html
    assert some.count("data:image/png") == 3 and some.count('<svg class="strip"') == 3
    assert "holds enough pictures" in some and "compressed with loss" in some
    assert "compressed with loss" not in whole_size


def test_a_link_to_a_file_outside_its_trial_or_to_none_is_not_made(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a trial"
    folder.mkdir(parents=True)
    for path in (tmp_path / "runs" / "other.png", folder / "x.png"):
        path.write_bytes(b"")
    assert pictures.address(folder, "x.png", tmp_path) == "runs/a%20trial/x.png"
    assert pictures.address(folder, "x.png", tmp_path / "trials") == "../runs/a%20trial/x.png"
    assert pictures.address(folder, "../other.png", tmp_path) is None
    assert pictures.address(folder, "gone.png", tmp_path) is None


def test_a_large_picture_made_smaller_keeps_its_size_in_pixels_and_its_columns() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 9, 3, 64, 64), dtype=np.uint8)
    content = figures.png(figures.image_grid(images, list("abcdef")))
    exact = pictures.Picture(
        "traversal", f"data:image/png;base64,{base64.b64encode(content).decode()}", strip=pictures.strip(content)
    )
    found = pictures.smaller(exact)
    assert found.uri.startswith("data:image/webp;base64,") and len(found.uri) < len(exact.uri) / 2
    assert found.strip == exact.strip
    with Image.open(io.BytesIO(base64.b64decode(found.uri.partition(",")[2]))) as file:
        assert file.size == (exact.strip.width, exact.strip.height) if exact.strip else False
    damaged = pictures.Picture("traversal", f"data:image/png;base64,{base64.b64encode(content[:90_000]).decode()}")
    assert pictures.smaller(damaged) == damaged


def test_information_in_codes_that_are_the_factors_is_the_identity(make_record: Make, tmp_path: Path) -> None:
    factors = np.stack([np.repeat([0, 1, 2, 3], 8), np.tile([0, 1], 16)], axis=1)
    record = make_record({"mig": 0.1}, factor_names=["shape", "size"], artefacts={"codes": "codes.h5"})
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        file["codes"], file["factors"] = np.c_[factors, np.zeros(32)].astype(np.float32), factors
    found = trial_details.information(tmp_path, record)
    assert (found.factors, found.codes, found.note) == (("shape", "size"), ("z0", "z1", "z2"), "")
    assert np.allclose(found.shares, [[1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize(
    ("name", "note"),
    [
        (None, "recorded no table"),
        ("../codes.h5", "outside its trial's folder"),
        ("gone.h5", "not there"),
        ("a.h5", "No matrix"),
    ],
)
def test_a_table_of_codes_that_cannot_be_used_is_a_note(
    make_record: Make, tmp_path: Path, name: str, note: str
) -> None:
    folder = tmp_path / "trial"
    folder.mkdir()
    for path in (tmp_path / "codes.h5", folder / "a.h5"):
        with h5py.File(path, "w") as file:
            file["codes"], file["factors"] = np.zeros(3), np.zeros((3, 2))
    record = make_record({"mig": 0.1}, artefacts={"codes": name} if name else {})
    found = trial_details.information(folder, record)
    assert note in found.note and not found.shares


def test_a_matrix_of_many_codes_shows_those_that_know_most(make_record: Make, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    factors = generator.integers(0, 4, (400, 1))
    codes = generator.normal(size=(400, 40))
    codes[:, 33] = factors[:, 0]
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        file["codes"], file["factors"] = codes, factors
    found = trial_details.information(tmp_path, make_record({"mig": 0.1}, artefacts={"codes": "codes.h5"}))
    assert len(found.codes) == trial_details.CODES and found.left_out == 24
    assert found.shares[0][found.codes.index("z33")] == pytest.approx(1)
    assert found.factors == ("factor 0",)


def test_a_partition_is_drawn_in_the_order_of_its_groups_with_the_target_of_each(make_record: Make) -> None:
    record = make_record({"mig": 0.1}, "mine_vae")
    record.partition = Partition(
        assignment=[[0.1, 0.8, 0.1], [0.0, 0.1, 0.9], [0.9, 0.05, 0.05]],
        group=[1, 2, 0],
        nats=[0.5, 6.25, 3.25],
        target=[0.1, 0.5, 0.4],
        complexities=[9.5, 7.25],
    )
    found = of_dataset([record])["trials"]
    assert "z2 z0 z1 nuisance 0.90 0.10 0.00 group 1 0.05 0.80 0.10 group 2 0.05 0.10 0.90" in found
    assert "group 1 1 6.250 5.000 9.500 group 2 1 3.250 4.000 7.250" in found
    record.partition.complexities = [1.0]
    assert "do not belong together" in of_dataset([record])["trials"]


def many(make_record: Make, folder: Path, count: int = page_layout.INLINE + 1) -> Path:
    for seed in range(count):
        record = make_record(
            {"mig": 0.1 + seed / 1000},
            "vae",
            seed,
            curves={"loss": [(1, 2.0), (2, 1.0)]},
            detail={"mig": {"gap": seed}},
        )
        write_record(record, folder / record.trial.id)
    return folder


def test_past_a_hundred_trials_each_has_a_page_beside_the_leaderboard(make_record: Make, tmp_path: Path) -> None:
    folder = many(make_record, tmp_path / "runs")
    grouped = tables(collect(folder).found)
    layout = layout_of(grouped, tmp_path / "out" / "leaderboard.html")
    assert not layout.inline
    assert layout_of(tables(collect(folder).found[:-1]), tmp_path / "leaderboard.html").inline
    (section,) = [section for section in dataset_sections(grouped[0], layout) if section.id == "trials"]
    links = re.findall(r'href="([^"]+)"', section.html)
    assert write_trial_pages(grouped, layout) == len(links) == 101
    text = words((layout.folder / links[7]).read_text())
    assert "Training curves" in text and '"gap": 7' in text and "Code version" in text
    assert (layout.folder / "trials" / "trials.css").exists()
    assert write_trial_pages(grouped, layout) == 0  # nothing is new
    newer = read_record(grouped[0].rows[0].trials[3][0] / "record.json")
    (layout.folder / links[3]).unlink()
    write_record(newer, grouped[0].rows[0].trials[5][0])
    assert write_trial_pages(grouped, layout) == 2


def test_past_a_thousand_trials_the_median_and_the_failed_have_pages_and_the_others_their_records(
    make_record: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_layout, "PAGED", page_layout.INLINE)
    folder = many(make_record, tmp_path / "runs")
    failed = make_record(method="vae", seed=1000, status="failed", error="it fell")
    write_record(failed, folder / failed.trial.id)
    grouped = tables(collect(folder).found)
    output = tmp_path / "out" / "leaderboard.html"
    layout = layout_of(grouped, output)
    (section,) = [section for section in dataset_sections(grouped[0], layout) if section.id == "trials"]
    links = re.findall(r'href="([^"]+)"', section.html)
    assert write_trial_pages(grouped, layout) == 2
    assert len(links) == 102 and all((layout.folder / link).is_file() for link in links)
    paged = [words((layout.folder / link).read_text()) for link in links if link.startswith("trials/")]
    assert len(paged) == 2 and "it fell" in paged[0] and '"gap": 50' in paged[1]
    assert "--every-trial" in section.html
    everyone = layout_of(grouped, output, every_trial=True)
    assert write_trial_pages(grouped, everyone) == 100


def test_reading_leaves_the_search_for_garbage_as_it_was(make_record: Make, tmp_path: Path) -> None:
    folder = many(make_record, tmp_path, 1)
    assert gc.isenabled()
    collect(folder)
    assert gc.isenabled()
    with pytest.raises(FileNotFoundError):
        collect(tmp_path / "nothing")
    assert gc.isenabled()
    gc.disable()
    try:
        collect(folder)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_trials_name_cannot_lead_its_page_elsewhere(make_record: Make, tmp_path: Path) -> None:
    record = make_record({"mig": 0.1})
    # No file can hold this name, because reading it is refused; the page does not depend on that.
    record = record.model_copy(update={"trial": record.trial.model_copy(update={"method": "../../../evil/<b>"})})
    folder = tmp_path / "runs" / "trial"
    write_record(record, folder)
    found = tables([(folder, record)])
    layout = Layout(tmp_path / "out", inline=False)
    assert write_trial_pages(found, layout) == 1
    assert len(list((tmp_path / "out" / "trials").glob("*evil*.html"))) == 1
    assert not list(tmp_path.glob("evil*"))


def test_curves_and_details_stay_in_the_file_until_somebody_asks(make_record: Make, tmp_path: Path) -> None:
    folder = many(make_record, tmp_path, 1)
    ((place, record),) = collect(folder).found
    assert isinstance(record, Summary) and record.curves == {} and record.detail == {}
    assert whole(place, record) == read_record(place / "record.json")
    path = place / "record.json"
    path.write_text(path.read_text().replace('"loss"', "3"))
    assert "could not be read" in whole(place, record).remarks[0]
    path.write_text(path.read_text().replace('"status"', '"unheard_of"'))
    assert "record.json is not a disbench record" in collect(folder).unreadable[0][1]


def test_a_study_of_estimators_below_the_folder_gives_its_verdicts_and_a_link(
    make_record: Make, tmp_path: Path
) -> None:
    (tmp_path / "study").mkdir()
    collection, grouped = placed(seeds(make_record, "vae", 0.1, 0.2), tmp_path)
    layout = Layout(tmp_path, inline=True)
    assert "estimators" not in {section.id for section in overall_sections(collection, grouped, layout)}
    (tmp_path / "another").mkdir()
    (tmp_path / "another" / "estimators.json").write_text("{}")
    write_study(Study(profile="quick", settings={"batch": 64, "swept": "x"}, machine={}), tmp_path / "study")
    for place, record in collection.found:
        write_record(record, place)
    collection = collect(tmp_path)
    assert collection.studies == (tmp_path / "another", tmp_path / "study")
    found = {section.id: section.html for section in overall_sections(collection, grouped, layout)}["estimators"]
    assert 'href="study/estimators.json"' in found and "quick profile" in found
    assert '<span class="outcome not-measured">not measured</span> MINE lowers the variance of the value.' in found


def hostile_record(make_record: Make, seed: int, **fields: Any) -> Record:
    """A script in every string that a record has, as far as its schema lets it."""
    given: dict[str, Any] = {
        "floor": {HOSTILE: 0.1},
        "detail": {HOSTILE: {HOSTILE: HOSTILE}},
        "skipped": {HOSTILE: HOSTILE},
        "missing_views": {HOSTILE: HOSTILE},
        "remarks": [HOSTILE],
        "reconstruction_skipped": {"lpips": HOSTILE, HOSTILE: HOSTILE},
        "metric_options": {"mig": {HOSTILE: HOSTILE}},
        "factor_names": [HOSTILE],
        "factor_sizes": [2],
        "curves": {HOSTILE: [(1, 2.0), (2, 1.0)]},
        "seconds": {"train": 3.0 + seed, HOSTILE: 2.0},
        "environment": {"device": HOSTILE, "code": HOSTILE, HOSTILE: HOSTILE},
        "command": HOSTILE,
        "artefacts": {HOSTILE: f"{HOSTILE}.png", "traversal": f"{HOSTILE}.png", "codes": HOSTILE},
        "hparams": {HOSTILE: seed % 2, "beta": HOSTILE},
        "dataset_version": HOSTILE,
        "dataset_options": {HOSTILE: HOSTILE},
        "precision": HOSTILE,
        "error": HOSTILE,
        "images_seen": 10,
        **fields,
    }
    record = make_record({"mig": 0.1 * seed, HOSTILE: 0.2}, "vae", seed, **given)
    record.partition = Partition(
        assignment=[[0.5, 0.5]], group=[1], nats=[0.1, 0.2], target=[0.5, 0.5], complexities=[1.0]
    )
    return record


@pytest.mark.parametrize("inline", [True, False])
def test_a_script_in_every_string_of_a_record_is_text(make_record: Make, tmp_path: Path, inline: bool) -> None:
    records = [hostile_record(make_record, seed) for seed in range(6)]
    records.append(hostile_record(make_record, 9, status="failed", views={}))
    collection, grouped = placed(records, tmp_path)
    layout = Layout(tmp_path, inline)
    found = [*overall_sections(collection, grouped, layout)]
    found += [section for table in grouped for section in dataset_sections(table, layout)]
    pages = ["".join(section.html for section in found)]
    if not inline:
        for place, record in collection.found:
            write_record(record, tmp_path / "runs" / Path(place).name[-10:])
        folder = collect(tmp_path / "runs")
        assert write_trial_pages(tables(folder.found), layout) == 7
        pages += [path.read_text() for path in (tmp_path / "trials").glob("*.html")]
    for page in pages:
        read = Tags(page)
        assert "script" not in read.tags and HOSTILE in read.text
        assert not [name for name in read.attributes if name.startswith("on")]


def test_a_page_needs_no_versions_memory_or_numbers_to_be_finite(make_record: Make) -> None:
    records = seeds(make_record, "vae", 0.1, 0.2, seconds={"train": math.nan}, curves={"loss": [(1, math.nan)]})
    found = of_dataset(records)
    assert "no finite value" in found["curves"] and "vae –" in found["cost"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_a_traversal_moves_through_its_columns_unless_the_reader_asks_for_stillness(
    browser: Any, page: str, tmp_path: Path, motion: str
) -> None:
    style = macros.section_environment().get_template("sections.css.j2").render()
    path = tmp_path / "page.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><style>{style}</style>{page}", encoding="utf-8")
    opened = browser.new_context(reduced_motion=motion).new_page()
    opened.goto(path.as_uri())
    opened.eval_on_selector_all("details.play", "all => all.forEach(one => one.open = true)")
    moving = opened.eval_on_selector_all("svg.sweep .frames", "all => all.map(one => one.getAnimations().length)")
    assert moving and set(moving) == {1 if motion == "no-preference" else 0}
    assert opened.eval_on_selector(".still", "one => one.checkVisibility()") == (motion == "reduce")
    if motion == "no-preference":  # its eighth column, seven steps of 67 pixels to the left
        seen = opened.eval_on_selector(
            "svg.sweep .frames",
            "one => { const moving = one.getAnimations()[0]; moving.pause(); moving.currentTime = 2699; "
            "return getComputedStyle(one).transform }",
        )
        assert seen == "matrix(1, 0, 0, 1, -469, 0)"
    opened.context.close()


def test_a_trials_facts_name_the_plugins_that_it_used(make_record: Make) -> None:
    plugins = [
        {"name": "mine.py", "sha256": "ab" * 32, "used_for": ["method mine"]},
        {"name": "pack", "version": "1.5", "used_for": ["metric half", "dataset squares"]},
    ]
    found = trial_details.versions(make_record({"mig": 0.5}, environment={"torch": "2"}, plugins=plugins))
    assert found == {
        "torch": "2",
        "plugin mine.py": "sha256 abababababab, method mine",
        "plugin pack": "1.5, metric half, dataset squares",
    }
