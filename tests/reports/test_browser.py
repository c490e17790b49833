"""The page as a reader meets it: opened from disk in a real browser."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from disbench.reports.render import render

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
    return render(fill(tmp_path_factory.mktemp("runs"))).as_uri()


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Any]:
    page = browser.new_page()
    page.complaints, page.requests = [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto(address)
    yield page
    page.close()


def methods(page: Any) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        "section:first-of-type tbody.trained th", "cells => cells.map(cell => cell.dataset.value)"
    )
    return found


def test_the_page_opens_without_a_complaint_or_a_request(opened: Any, address: str) -> None:
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [address]
    assert opened.eval_on_selector_all("img", "pictures => pictures.every(one => one.naturalWidth > 0)")


def test_a_click_on_a_header_sorts_best_first_and_a_second_turns_it_round(opened: Any) -> None:
    head = opened.locator("section").first.locator("th", has_text="MIG").first
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert methods(opened) == ["beta_tcvae", "beta_vae", "factor_vae", "vae"]
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert methods(opened) == ["vae", "factor_vae", "beta_vae", "beta_tcvae"]


def test_sorting_an_error_rate_puts_the_lowest_first_and_works_by_keyboard(opened: Any) -> None:
    head = opened.locator("section").first.locator("th", has_text="Z-min Var").first
    head.locator("button").focus()
    opened.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert methods(opened)[0] == "beta_tcvae"
    assert opened.locator("section").first.locator("th[aria-sort]").count() == 1


def test_the_page_is_whole_without_javascript(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator("table.board").count() == 2
    assert page.locator("th", has_text="MIG").first.is_visible()
    context.close()


def test_a_narrow_window_scrolls_the_table_and_not_the_page(opened: Any) -> None:
    opened.set_viewport_size({"width": 400, "height": 800})
    assert opened.evaluate("document.documentElement.scrollWidth") <= 400
    assert opened.eval_on_selector("table.board", "table => table.offsetWidth") > 400
