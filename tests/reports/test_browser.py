"""The page as a reader meets it: opened from disk in a real browser."""

import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pandas as pd
import pytest

from disbench.metrics import METRICS
from disbench.reports.export import Statistic, export
from disbench.reports.page.render import render
from disbench.reports.records import Record, Trial, write_record
from disbench.reports.records.collect import collect
from disbench.reports.tables.aggregate import tables

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on this machine"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, fill: Callable[[Path], Path]) -> str:
    """Two datasets with pictures, views and a failed trial."""
    return render(fill(tmp_path_factory.mktemp("runs"))).as_uri()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, fill_study: Callable[[Path], Path]) -> Path:
    """Three datasets with ties, a missing method and two budgets."""
    return fill_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def study_address(study: Path) -> str:
    return render(study).as_uri()


def watched(page: Any) -> Any:
    page.complaints, page.requests, page.dialogs = [], [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("dialog", lambda dialog: (page.dialogs.append(dialog.message), dialog.dismiss()))
    return page


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Any]:
    page = watched(browser.new_page())
    page.goto(address)
    yield page
    assert page.complaints == []
    page.close()


@pytest.fixture
def reader(browser: Any, study_address: str) -> Iterator[Any]:
    """At the table of grid_a in the study; nothing that a test does may raise a complaint or a request."""
    page = watched(browser.new_page(accept_downloads=True))
    page.goto(f"{study_address}#tab=data-grid_a")
    yield page
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith(("data:", "blob:", study_address))] == []
    page.close()


def rows(page: Any, panel: str = "data-grid_a") -> list[str]:
    """Labels of the trained rows that are shown, in order."""
    found: list[str] = page.eval_on_selector_all(
        f"#{panel} tbody.trained tr:not([hidden])", "rows => rows.map(row => row.dataset.label)"
    )
    return found


def heads(page: Any, panel: str = "data-grid_a") -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        f"#{panel} table.board th[data-key]:not([hidden])", "heads => heads.map(head => head.dataset.key)"
    )
    return found


def head_of(page: Any, key: str, panel: str = "data-grid_a") -> Any:
    return page.locator(f"#{panel} th[data-key={key}]")


def sorted_by(page: Any, key: str) -> None:
    head_of(page, key).locator("button:not(.about)").click()


def shown_panels(page: Any) -> list[str]:
    found: list[str] = page.eval_on_selector_all(".panel:not([hidden])", "panels => panels.map(panel => panel.id)")
    return found


def state(page: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).fragment)


def test_the_page_opens_without_a_complaint_or_a_request(opened: Any, address: str) -> None:
    for tab in opened.get_by_role("tab").all():
        tab.click()
    opened.wait_for_load_state()
    assert [url for url in opened.requests if not url.startswith("data:")] == [address]
    assert opened.eval_on_selector_all("img", "pictures => pictures.every(one => one.naturalWidth > 0)")


def test_a_click_on_a_header_sorts_best_first_and_a_second_turns_it_round(reader: Any) -> None:
    head = head_of(reader, "mig")
    sorted_by(reader, "mig")
    assert head.get_attribute("aria-sort") == "descending"
    assert rows(reader) == ["a", "b", "c"]
    sorted_by(reader, "mig")
    assert head.get_attribute("aria-sort") == "ascending"
    assert rows(reader) == ["c", "b", "a"]
    assert state(reader)["sort"] == ["-mig"]


def test_sorting_an_error_rate_puts_the_lowest_first_and_works_by_keyboard(opened: Any) -> None:
    opened.get_by_role("tab", name="dsprites").click()
    head = head_of(opened, "z_min_var", "data-dsprites")
    head.locator("button:not(.about)").focus()
    opened.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert rows(opened, "data-dsprites")[0] == "beta_tcvae"
    assert opened.locator("#data-dsprites th[aria-sort]").count() == 1


def test_mean_ranks_sort_the_smallest_first_and_incomplete_methods_last_either_way(reader: Any) -> None:
    reader.goto(f"{reader.url.split('#')[0]}#sort=mig")
    assert rows(reader, "ranks-procedural")[2:] == ["c", "easy"]
    reader.goto(f"{reader.url.split('#')[0]}#sort=-mig")
    assert rows(reader, "ranks-procedural")[2:] == ["c", "easy"]
    assert "incomplete" in reader.locator("#ranks-procedural tr[data-label=easy]").inner_text()


def test_tabs_work_by_click_and_by_arrow_key_and_the_back_button_returns(reader: Any) -> None:
    assert shown_panels(reader) == ["data-grid_a"]
    reader.get_by_role("tab", name="real").click()
    assert shown_panels(reader) == ["data-real"]
    reader.keyboard.press("ArrowLeft")
    assert shown_panels(reader) == ["data-grid_b"]
    assert reader.evaluate("document.activeElement.textContent") == "grid_b"
    reader.keyboard.press("Home")
    assert shown_panels(reader) == ["overview"]
    assert reader.locator("[role=tab][tabindex='0']").count() == 1
    reader.go_back()
    assert shown_panels(reader) == ["data-grid_b"]


def test_the_address_holds_the_whole_view_and_gives_it_back(browser: Any, reader: Any) -> None:
    sorted_by(reader, "mig")
    reader.get_by_label("place").check()
    reader.get_by_label("seeds as dots").check()
    reader.locator("[name=q]").fill("beta")
    reader.locator(".menu", has_text="Columns").locator("summary").click()
    reader.get_by_role("checkbox", name="Z-min Var").check()
    assert state(reader) == {
        "tab": ["data-grid_a"],
        "sort": ["mig"],
        "show": ["rank"],
        "dots": ["1"],
        "q": ["beta"],
        "hide": ["z_min_var"],
    }
    other = watched(browser.new_page())
    other.goto(reader.url)
    assert (shown_panels(other), rows(other), heads(other)) == (
        ["data-grid_a"],
        ["b"],
        ["method", "steps", "seeds", "mig"],
    )
    assert head_of(other, "mig").get_attribute("aria-sort") == "descending"
    assert other.locator("#data-grid_a tr[data-label=b] .as-rank").last.is_visible()
    assert other.locator("#data-grid_a tr[data-label=b] svg.dots").last.is_visible()
    other.close()


def test_rows_are_filtered_by_method_budget_and_provenance_and_reset_shows_all(reader: Any) -> None:
    reader.get_by_role("tab", name="real").click()
    reader.locator(".menu", has_text="Budget").locator("summary").click()
    reader.get_by_label("9,000 steps").check()
    assert len(rows(reader, "data-real")) == 1
    assert rows(reader, "data-grid_a") == []
    assert reader.locator("#data-grid_a .none").get_attribute("hidden") is None
    assert "ranks, places and marks are still over all rows" in reader.locator("[role=status]").inner_text()
    reader.get_by_role("button", name="Reset").click()
    assert len(rows(reader, "data-real")) == 2
    assert state(reader) == {"tab": ["data-real"]}
    reader.goto(f"{reader.url.split('#')[0]}#method=a&method=c&provenance=procedural")
    assert (rows(reader), rows(reader, "data-grid_b"), rows(reader, "data-real")) == (["a", "c"], ["a"], [])
    # What methods are compared with stays.
    assert (
        reader.locator("#data-grid_a tr.reference:not([hidden]), #data-grid_a tr.untrained:not([hidden])").count() == 3
    )


def test_search_finds_settings_and_a_column_is_found_among_many(reader: Any) -> None:
    reader.locator("[name=q]").fill("BETA=4")
    assert rows(reader) == ["b"]
    reader.locator("[name=q]").fill("nobody")
    assert rows(reader) == []
    reader.locator("[name=q]").fill("")
    reader.locator(".menu", has_text="Columns").locator("summary").click()
    reader.locator(".columns").fill("z-min")
    assert reader.locator(".menu label:has([name=hide]):not([hidden])").all_inner_texts() == ["Z-min Var"]
    reader.keyboard.press("Escape")
    assert reader.locator(".menu[open]").count() == 0


def shown_cell(page: Any) -> str:
    """The MIG of b on grid_a, without spaces."""
    at = heads(page).index("mig")
    return "".join(page.locator("#data-grid_a tr[data-label=b] > *").nth(at).inner_text().split())


def test_a_switch_shows_mean_interquartile_mean_or_place(reader: Any) -> None:
    assert shown_cell(reader) == "0.510≈±0.020"
    reader.get_by_label("interquartile mean").check()
    assert shown_cell(reader) == "0.510≈[0.490,0.530]"
    reader.get_by_label("place").check()
    assert shown_cell(reader) == "=1≈[1,2]"


def test_a_card_tells_what_a_metric_cannot_see_by_keyboard(reader: Any) -> None:
    head_of(reader, "mig").locator(".about").focus()
    reader.keyboard.press("Enter")
    card = reader.locator("#about-mig")
    assert card.is_visible()
    for words in (METRICS["mig"].definition, METRICS["mig"].insensitive_to, METRICS["mig"].source, "bins=20"):
        assert words in card.inner_text()
    reader.keyboard.press("Escape")
    assert not card.is_visible()


def saved(page: Any, form: str, panel: str = "data-grid_a") -> str:
    with page.expect_download() as found:
        page.locator(f"#{panel} .export").get_by_role("button", name=form, exact=True).click()
    return Path(found.value.path()).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("show", "statistic"), [("mean ± sd", "mean"), ("interquartile mean", "iqm"), ("place", "rank")]
)
def test_latex_and_markdown_from_the_page_are_those_of_the_command_line(
    reader: Any, study: Path, show: str, statistic: Statistic
) -> None:
    (table,) = [one for one in tables(collect(study).found) if one.dataset == "grid_a"]
    reader.get_by_label(show).check()
    assert saved(reader, "LaTeX") == export([table], "latex", statistic=statistic).decode()
    assert saved(reader, "Markdown") == export([table], "markdown", statistic=statistic).decode()


def test_csv_and_json_from_the_page_hold_what_the_command_line_gives(reader: Any, study: Path) -> None:
    (table,) = [one for one in tables(collect(study).found) if one.dataset == "grid_a"]
    wanted = pd.read_csv(io.BytesIO(export([table], "csv")))
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(saved(reader, "CSV"))), wanted, check_dtype=False)
    assert json.loads(saved(reader, "JSON")) == json.loads(export([table], "json"))


def test_an_export_holds_the_rows_and_columns_that_are_shown_in_their_order(reader: Any) -> None:
    reader.goto(f"{reader.url.split('#')[0]}#tab=data-grid_a&hide=z_min_var&method=a&method=c&sort=-mig")
    found = saved(reader, "Markdown")
    assert [line.split(" |")[0] for line in found.splitlines() if line.startswith("| ")][2:] == [
        "| c",
        "| a",
        "| untrained encoder",
    ]
    assert "Z-min" not in found
    lines = json.loads(saved(reader, "JSON"))["leaderboard"]
    assert {(line["method"], line["metric"]) for line in lines} == {
        ("a", "mig"),
        ("c", "mig"),
        ("untrained encoder", "mig"),
    }
    assert all(line["tied_with"] == ["b"] for line in lines if line["method"] == "a")  # the rules saw every row


def test_the_overview_is_exported_without_a_mean_for_the_incomplete(reader: Any) -> None:
    reader.get_by_role("tab", name="Overview").click()
    assert "| easy | 1 | – | – |" in saved(reader, "Markdown", "ranks-procedural")
    found = pd.read_csv(io.StringIO(saved(reader, "CSV", "ranks-procedural"))).query("metric == 'mig'")
    means = dict(zip(found["method"], found["mean_rank"], strict=True))
    assert (means["a"], means["b"]) == (1.5, 1.5)
    assert found["mean_rank"].isna().sum() == 2
    assert "\\begin{tabular}" in saved(reader, "LaTeX", "ranks-procedural")


def test_a_link_to_a_part_of_another_tab_opens_it(reader: Any) -> None:
    reader.evaluate("location.hash = 'metric-mig'")
    reader.wait_for_function("!document.getElementById('metrics').hidden")
    assert reader.locator("#metric-mig").is_visible()


@pytest.mark.parametrize("hash_", ["#tab=nowhere&sort=nothing&show=odd&method=nobody&hide=x", "#%", "#=&&=", "#sort=-"])
def test_an_address_that_means_nothing_is_no_error(reader: Any, hash_: str) -> None:
    reader.goto(reader.url.split("#")[0] + hash_)
    assert shown_panels(reader) == ["overview"]
    assert reader.locator("#overview .as-mean").first.is_visible()


CONTRAST = """selector => {
  const element = document.querySelector(selector);
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let behind = element;
  while (behind && /, 0\\)|transparent/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
  const [a, b] = [getComputedStyle(element).color, getComputedStyle(behind ?? document.body).backgroundColor].map(light);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_are_readable_in_light_and_dark(browser: Any, study_address: str, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme)
    page.goto(f"{study_address}#tab=data-grid_a&dots=1")
    page_colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", page_colour))) < 300) is (scheme == "dark")
    for selector in (
        "h1",
        ".lead",
        ".notice",
        "#tabs a:last-child",
        "#data-grid_a .mean",
        "#data-grid_a .sd",
        "#data-grid_a .range",
        "#data-grid_a .mark",
        "tr.reference .mean",
        "tr.reference .sub",
        "#overview .flag",
        ".export button",
        "footer",
    ):
        assert page.evaluate(CONTRAST, selector) >= 4.5, selector  # WCAG 2.2, 1.4.3, level AA
    page.close()


def test_the_page_is_whole_without_javascript(browser: Any, study_address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(study_address)
    assert all(panel.is_visible() for panel in page.locator(".panel").all())
    assert page.locator("table.board").count() == 4
    assert not page.locator(".export").first.is_visible()
    page.get_by_label("place").check()
    assert shown_cell(page) == "=1≈[1,2]"
    head_of(page, "mig").locator(".about").click()
    assert page.locator("#about-mig").is_visible()
    context.close()


@pytest.mark.parametrize("tab", ["overview", "data-dsprites", "data-shapes3d", "metrics"])
def test_a_narrow_window_scrolls_the_table_and_not_the_page(opened: Any, tab: str) -> None:
    opened.set_viewport_size({"width": 390, "height": 844})
    opened.goto(f"{opened.url.split('#')[0]}#tab={tab}")
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    if tab.startswith("data"):
        assert opened.eval_on_selector(f"#{tab} table.board", "table => table.offsetWidth") > 390


def test_print_is_what_is_shown_without_the_controls(reader: Any) -> None:
    reader.emulate_media(media="print")
    assert reader.locator("#data-grid_a table.board").is_visible()
    for hidden in ("#tabs", "#controls", "#data-grid_a .export", "#overview", "#data-grid_a .about"):
        assert not reader.locator(hidden).first.is_visible()


HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def test_a_script_in_every_string_of_a_record_does_nothing_and_is_shown(
    browser: Any, tmp_path: Path, make_record: Callable[..., Record]
) -> None:
    fields = {
        "hparams": {HOSTILE: HOSTILE},
        "dataset_version": HOSTILE,
        "dataset_options": {HOSTILE: HOSTILE},
        "precision": HOSTILE,
        "factor_names": [HOSTILE],
        "factor_sizes": [3],
        "environment": {HOSTILE: HOSTILE, "code": HOSTILE, "device": HOSTILE, "torch": HOSTILE},
        "seconds": {HOSTILE: 1.0, "train": 1.0},
        "cpu_seconds": {HOSTILE: 1.0},
        "peak_memory": {HOSTILE: 1},
        "command": HOSTILE,
        "error": HOSTILE,
        "skipped": {HOSTILE: HOSTILE, "irs": HOSTILE},
        "missing_views": {HOSTILE: HOSTILE},
        "further_views": {HOSTILE: {"codes": [HOSTILE], "skipped": {HOSTILE: HOSTILE}, "detail": {HOSTILE: HOSTILE}}},
        "views": {"mean": {"mig": 0.1, HOSTILE: 0.2}, HOSTILE: {"mig": 0.1}},
        "floor": {HOSTILE: 0.0},
        "ceiling": {HOSTILE: 1.0},
        "reconstruction": {HOSTILE: 1.0, "psnr": 2.0},
        "reconstruction_skipped": {"fid": HOSTILE},
        "remarks": [HOSTILE],
        "detail": {HOSTILE: HOSTILE},
        "metric_options": {"mig": {HOSTILE: HOSTILE}, HOSTILE: {HOSTILE: HOSTILE}},
        "curves": {HOSTILE: [(0, 1.0), (1, 2.0)]},
        "selection_scores": {HOSTILE: 0.5},
        "score_curves": {HOSTILE: [(1, 0.1), (2, 0.2)], "mig": [(1, 0.1), (2, 0.2)]},
        "score_curve_settings": {HOSTILE: HOSTILE},
        "view_contents": {"mean": HOSTILE, HOSTILE: HOSTILE},
        "evaluation": "all",  # whose table has the other strings; a further one has a hostile name
        "evaluations": {HOSTILE + "2": {"rows": 9, "views": {"mean": {"mig": 0.1, HOSTILE: 0.2}}}},
        "evaluation_options": {HOSTILE: {HOSTILE: HOSTILE}},
        "metric_versions": {HOSTILE: 1, "mig": 2},
        "changed_hparams": [HOSTILE],
        "supervision": HOSTILE,
        "shift": {HOSTILE: HOSTILE},
        "artefacts": {"traversal": HOSTILE, HOSTILE: f"{HOSTILE}.png"},
    }
    of_few_words = {"trial", "status", "provenance", "failure", "method", "dataset"}  # checked when they are read
    models = {**Record.model_fields, **Trial.model_fields}
    assert {name for name, field in models.items() if "str" in str(field.annotation)} <= set(fields) | of_few_words
    for dataset in ("mine", "other"):
        for seed in range(4):
            status = "failed" if seed == 3 else "ok"
            record = make_record(None, seed=seed, status=status, dataset=dataset, **{**fields, "images_seen": 4})
            write_record(record, tmp_path / f"{dataset}{seed}")
            place = {name: fields[name] for name in ("dataset_options", "dataset_version", "evaluation_options")}
            plain = make_record({"mig": 0.1}, seed=seed, dataset=dataset, **place)
            write_record(plain, tmp_path / f"{dataset}{seed}plain")
    page = watched(browser.new_page(accept_downloads=True))
    page.goto(render(tmp_path).as_uri())
    for tab in page.get_by_role("tab").all():
        tab.click()
    for word in ("MIG", "Columns"):
        page.goto(f"{page.url.split('#')[0]}#tab=data-other&hide={quote(HOSTILE)}&q={quote(HOSTILE)}&sort={word}")
    assert rows(page, "data-other") == [f"vae ({HOSTILE}={HOSTILE}, precision={HOSTILE})"]
    assert "alert(1)" in saved(page, "Markdown", "data-other")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.locator("script").count() == 2
    assert page.locator("img, [onerror]").count() == 0
    assert "<script>alert(1)</script>" in page.locator("#data-other").inner_text()
    assert (page.dialogs, page.complaints) == ([], [])
    page.close()
