"""What a page leaves out it says, and what it links to is there."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from disbench.reports.estimators.page import render_study
from disbench.reports.markup import score_charts
from disbench.reports.page import layout, trials
from disbench.reports.page.render import render
from disbench.reports.records import Record, write_record
from disbench.reports.records.collect import CULPRITS, Found, collect, without_culprits


def put(folder: Path, make_record: Callable[..., Record], count: int) -> Path:
    for seed in range(count):
        write_record(make_record({"mig": seed / 100}, seed=seed), folder / f"{seed:02}")
    return folder


@pytest.mark.parametrize("broken", [{0}, {6}, {2, 3}, {0, 1, 2, 3, 4, 5}])
def test_the_records_that_make_a_computation_fail_are_found(
    tmp_path: Path, make_record: Callable[..., Record], broken: set[int]
) -> None:
    collection = collect(put(tmp_path, make_record, 7))

    def work(found: Sequence[Found]) -> list[int]:
        seeds = [record.trial.seed for _, record in found]
        if wrong := broken & set(seeds):
            raise OverflowError(f"seed {min(wrong)}\x1b[31m")
        return seeds

    done, kept = without_culprits(collection, work)
    assert done == [seed for seed in range(7) if seed not in broken] == [r.trial.seed for _, r in kept.found]
    assert {path for path, _ in kept.unreadable} == {f"{seed:02}/record.json" for seed in broken}
    assert all(reason.startswith("OverflowError: seed") and "\x1b" not in reason for _, reason in kept.unreadable)
    assert without_culprits(collection, len)[1] is collection


def test_a_pair_that_fails_only_together_loses_one(tmp_path: Path, make_record: Callable[..., Record]) -> None:
    collection = collect(put(tmp_path, make_record, 5))

    def work(found: Sequence[Found]) -> int:
        if {1, 3} <= {record.trial.seed for _, record in found}:
            raise ZeroDivisionError
        return len(found)

    done, kept = without_culprits(collection, work)
    assert done == 4 and [path for path, _ in kept.unreadable] == ["03/record.json"]


def test_a_fault_of_no_record_is_raised(tmp_path: Path, make_record: Callable[..., Record]) -> None:
    def work(found: Sequence[Found]) -> None:
        raise TypeError("a bug")

    with pytest.raises(ValueError, match="cannot be shown: TypeError: a bug"):
        without_culprits(collect(put(tmp_path, make_record, 3)), work)
    assert CULPRITS < 1000


def test_a_full_disk_is_no_fault_of_a_record(tmp_path: Path, make_record: Callable[..., Record]) -> None:
    def work(found: Sequence[Found]) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        without_culprits(collect(put(tmp_path, make_record, 3)), work)


def fail_for_seed_1(monkeypatch: pytest.MonkeyPatch, place: Any, name: str) -> None:
    """Let a function of a record raise for one."""
    whole = getattr(place, name)

    def fail(*arguments: Any) -> Any:
        if any(isinstance(one, Record) and one.trial.seed == 1 for one in arguments):
            raise OverflowError("too large")
        return whole(*arguments)

    monkeypatch.setattr(place, name, fail)


def test_a_trial_that_cannot_be_drawn_still_has_its_scores_on_the_page(
    tmp_path: Path, make_record: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_for_seed_1(monkeypatch, score_charts, "trial_curves")
    page = render(put(tmp_path, make_record, 3)).read_text(encoding="utf-8")
    assert page.count("<code>01/record.json</code>") == 1 and "Not drawn: OverflowError: too large" in page
    assert all(f"vae, seed {seed}</summary>" in page for seed in range(3))


def test_a_trial_whose_details_cannot_be_shown_leaves_those_of_the_others(
    tmp_path: Path, make_record: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_for_seed_1(monkeypatch, trials, "whole")
    page = render(put(tmp_path, make_record, 3)).read_text(encoding="utf-8")
    assert "No details: OverflowError: too large" in page
    assert [f"vae, seed {seed}</summary>" in page for seed in range(3)] == [True, False, True]


def dead_links(page: Path) -> list[str]:
    """The relative links of a page that lead to no file."""
    links = re.findall(r'(?:href|src)="([^"]*)"', page.read_text(encoding="utf-8"))
    relative = [link for link in links if not link.startswith(("#", "data:"))]
    return [link for link in relative if not (page.parent / unquote(link)).is_file()]


def links(page: Path) -> list[str]:
    found = re.findall(r'(?:href|src)="([^"]*)"', page.read_text(encoding="utf-8"))
    return [link for link in found if not link.startswith(("#", "data:"))]


def test_a_page_links_only_to_files_that_are_there(tmp_path: Path, fill: Callable[[Path], Path]) -> None:
    page = render(fill(tmp_path / "runs"))
    assert links(page) and dead_links(page) == []
    page = render(tmp_path / "runs", tmp_path / "elsewhere" / "page.html")
    assert links(page) and dead_links(page) == []


def test_a_page_with_pages_of_trials_links_only_to_files_that_are_there(
    tmp_path: Path, make_record: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "INLINE", 2)
    page = render(put(tmp_path / "runs", make_record, 4))
    own = sorted((tmp_path / "runs" / "trials").glob("*.html"))
    assert len(own) == 4 and links(page) and dead_links(page) == []
    assert all(dead_links(one) == [] for one in own)
    fail_for_seed_1(monkeypatch, trials, "whole")
    shutil.rmtree(tmp_path / "runs" / "trials")
    page = render(tmp_path / "runs")
    assert "./01/record.json" in links(page) and dead_links(page) == []
    assert "No page: OverflowError: too large" in page.read_text(encoding="utf-8")


def test_a_standalone_page_has_its_pictures_and_no_link_to_another_file(
    tmp_path: Path, fill: Callable[[Path], Path]
) -> None:
    page = render(fill(tmp_path / "runs"), linked=False)
    content = page.read_text(encoding="utf-8")
    assert links(page) == [] and "data:image/png;base64," in content and "codes" in content


def test_the_page_of_the_first_study_has_no_dead_link() -> None:
    assert dead_links(Path(__file__).parents[2] / "results" / "first" / "leaderboard.html") == []


def test_a_study_of_estimators_with_a_number_missing_is_named(tmp_path: Path) -> None:
    cell = {"kind": "timing", "task": "grid", "estimator": "mss", "batch": 64, "dims": 10, "numbers": {}}
    content = {"profile": "quick", "settings": {"batch": 64, "swept": "easy"}, "machine": {}, "cells": {"a": cell}}
    (tmp_path / "estimators.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"estimators.json lacks a number that the page needs.*use_ms"):
        render_study(tmp_path)
