"""The page: nothing hostile runs, nothing is hidden, nothing is fetched, and equal records give an equal page."""

import datetime
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from disbench.datasets.untrusted import path_inside
from disbench.metrics import METRICS
from disbench.reports.page.render import as_text, render
from disbench.reports.records import RECORD_FILE, Record, write_record

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """Tags with their attributes, and the words outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.words.append(data)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, fill: Callable[[Path], Path]) -> Path:
    return fill(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def page(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(render(runs, tmp_path_factory.mktemp("page") / "page.html").read_text(encoding="utf-8"))


def test_a_hostile_record_stays_text(tmp_path: Path, make_record: Callable[..., Record]) -> None:
    fields = {
        "hparams": {HOSTILE: HOSTILE},
        "dataset_version": HOSTILE,
        "dataset_options": {HOSTILE: HOSTILE},
        "factor_names": [HOSTILE],
        "factor_sizes": [3],
        "environment": {HOSTILE: HOSTILE},
        "seconds": {HOSTILE: 1.0},
        "command": HOSTILE,
        "error": HOSTILE,
        "skipped": {HOSTILE: HOSTILE},
        "missing_views": {HOSTILE: HOSTILE},
        "further_views": {HOSTILE: {"codes": [HOSTILE], "skipped": {HOSTILE: HOSTILE}, "detail": {HOSTILE: HOSTILE}}},
        "views": {"mean": {"mig": 0.1, HOSTILE: 0.2}, HOSTILE: {"mig": 0.1}},
        "reconstruction": {HOSTILE: 1.0, "psnr": 2.0},
        "reconstruction_skipped": {"fid": HOSTILE},
        "remarks": [HOSTILE],
        "detail": {HOSTILE: HOSTILE},
        "metric_options": {"mig": {HOSTILE: HOSTILE}},
        "curves": {HOSTILE: [(0, 1.0), (1, 2.0)]},
        "artefacts": {"traversal": HOSTILE, HOSTILE: HOSTILE + ".png"},
    }
    trials = [("ok", 0), ("ok", 1), ("failed", 2)]
    for status, seed in trials:
        record = make_record({"mig": 0.1, HOSTILE: 0.2}, seed=seed, status=status, **fields)
        write_record(record, tmp_path / str(seed))
    found = Page(render(tmp_path).read_text(encoding="utf-8"))
    assert [tag for tag, _ in found.tags].count("script") == 2  # the page's own and its data
    assert not any(tag == "img" for tag, _ in found.tags)
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    assert "<script>alert(1)</script>" in found.text


def test_every_metric_header_has_its_arrow_range_and_a_card_with_definition_protocol_and_blind_spot(page: Page) -> None:
    targets = [a.get("popovertarget") for tag, a in page.tags if tag == "button" and a.get("popovertarget")]
    cards = [a.get("id") for _, a in page.tags if "popover" in a]
    assert set(targets) == set(cards)
    assert "Protocol bins=20, divide_by=factor, as in locatello2019" in page.text
    for metric in (METRICS[name] for name in ("z_diff", "z_min_var", "factor_vae_score", "irs", "mig", "jemmig")):
        arrow = "↑" if metric.higher_is_better else "↓"
        assert re.search(rf"{re.escape(metric.label)}\s{arrow} {metric.bounds[0]:g} to {metric.bounds[1]:g}", page.text)
        for words in (metric.definition, metric.insensitive_to, metric.source):
            assert words
            assert page.text.count(words) >= 2  # on the card and in the list of metrics


def test_reference_rows_stand_beside_the_methods(page: Page) -> None:
    for words in ("untrained encoder", "floor rows shuffled", "ceiling factors as codes"):
        assert page.text.count(words) >= 2


def test_a_further_view_stands_apart_under_its_own_heading_and_floor(page: Page) -> None:
    assert "factor_vae, group view first principal component of each group" in page.text
    assert "The same runs in another view of their representation" in page.text
    assert "must not be set beside another method's mean view without saying so" in page.text
    assert "floor, group view its rows shuffled 0.123" in page.text
    assert page.text.count("mean view gamma=100.0") == 1  # its row among the trained, in the one table with two views
    assert "mean view floor group view (2 codes) its floor ceiling" in page.text


def test_pictures_of_a_trial_have_captions(page: Page) -> None:
    assert "Factor-group traversal: a row moves all latents of one group together" in page.text


def test_a_failed_trial_is_listed_with_its_error(page: Page) -> None:
    assert "FloatingPointError: the loss is not finite." in page.text
    assert "2 of 3 seeds finished" in page.text


def test_a_skipped_metric_shows_its_reason(page: Page) -> None:
    assert "IRS needs a group of two rows or more for every value, got one." in page.text


def test_short_runs_are_announced(page: Page) -> None:
    assert (
        "These are short runs: they show that the path works, not who wins. They were trained for 3,000 steps"
        in page.text
    )


def test_provenance_is_a_badge(page: Page) -> None:
    badges = [(a.get("class") or "").split() for tag, a in page.tags if tag == "span"]
    assert sum("badge" in names for names in badges) == 4  # in each table and in the overview
    assert "official data" in page.text
    assert "procedural data" in page.text


def test_the_page_says_how_to_run_a_trial_again(page: Page) -> None:
    assert "disbench run quick --method vae --seed 1 --steps 3000 --out runs" in page.text


def test_missing_pictures_leave_a_note(page: Page) -> None:
    assert "the record names traversal.png, and the file is not there" in page.text


def test_nothing_is_loaded_from_outside(page: Page) -> None:
    sources = [a[name] for _, a in page.tags for name in ("src", "data", "action", "srcset") if name in a]
    assert sources
    assert all((source or "").startswith("data:") for source in sources)
    links = [a["href"] or "" for _, a in page.tags if "href" in a]
    assert not [link for link in links if re.match(r"(?!data:)\w+:|//|/", link)]  # beside the page or in it
    policies = [a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv")]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"]


def test_links_within_the_page_have_their_target(page: Page) -> None:
    names = [a["id"] for _, a in page.tags if "id" in a]
    assert len(names) == len(set(names))
    inside = {(a.get("href") or "")[1:] for tag, a in page.tags if tag == "a" and (a.get("href") or "").startswith("#")}
    assert inside <= set(names)


def test_a_record_cannot_pull_in_a_file_from_outside_its_folder(
    tmp_path: Path, make_record: Callable[..., Record], traversal_png: bytes
) -> None:
    (tmp_path / "private.png").write_bytes(traversal_png)
    write_record(make_record({"mig": 0.1}, artefacts={"traversal": "../private.png"}), tmp_path / "trial")
    found = Page(render(tmp_path).read_text(encoding="utf-8"))
    assert "../private.png lies outside its trial's folder" in found.text
    assert not any(tag == "img" for tag, _ in found.tags)


def test_a_broken_record_is_listed_and_loses_nothing_else(tmp_path: Path, make_record: Callable[..., Record]) -> None:
    write_record(make_record({"mig": 0.123}), tmp_path / "good")
    write_record(make_record({"mig": 0.456}, seed=1, schema_version=99), tmp_path / "later")
    for name, content in (("half", b'{"trial": {"method": "va'), ("bytes", b"\xff\xfe\x00")):
        (tmp_path / name).mkdir()
        (tmp_path / name / RECORD_FILE).write_bytes(content)
    found = Page(render(tmp_path).read_text(encoding="utf-8"))
    assert "3 records could not be read" in found.text
    assert "half/record.json" in found.text
    assert "schema version 99" in found.text
    assert "0.123" in found.text
    assert str(tmp_path) not in found.text
    assert "Unreadable: half/record.json" in as_text(tmp_path)


def test_nothing_but_broken_records_still_make_a_page(tmp_path: Path) -> None:
    (tmp_path / RECORD_FILE).write_text("{")
    assert "1 record could not be read" in Page(render(tmp_path).read_text(encoding="utf-8")).text


@pytest.mark.parametrize("make", [render, as_text])
def test_an_empty_folder_is_an_error_that_says_what_to_do(tmp_path: Path, make: Callable[[Path], object]) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FileNotFoundError) as caught:
            make(folder)
        for words in (str(folder), RECORD_FILE, f"disbench run quick --out {folder}"):
            assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_equal_records_give_an_equal_page(runs: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(runs, tmp_path / "elsewhere", copy_function=shutil.copy2)
    date = datetime.date(2024, 2, 29)
    first = render(runs, date=date).read_bytes()
    assert first == render(copy, date=date).read_bytes()
    assert b"2024-02-29" in first
    assert render(runs).read_bytes() == render(copy).read_bytes()


def test_a_second_rendering_replaces_the_page_and_leaves_no_other_file(
    tmp_path: Path, make_record: Callable[..., Record]
) -> None:
    write_record(make_record({"mig": 0.1}), tmp_path / "trial")
    assert render(tmp_path) == render(tmp_path) == tmp_path / "leaderboard.html"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["leaderboard.html", "trial"]


def test_the_text_table_fits_a_terminal_and_agrees_with_the_page(runs: Path, page: Page) -> None:
    lines = as_text(runs).splitlines()
    assert max(map(len, lines)) <= 110
    (line, *_) = [line for line in lines if line.startswith("beta_vae")]
    cells = ["0.995±0.007", "0.095±0.078", "0.905±0.078", "0.525±0.007", "0.190±0.028", "0.255±0.035"]
    assert line.split() == ["beta_vae", "2", *cells]
    assert "0.190 ± 0.028" in page.text
    assert any(line.startswith("factor_vae") and "2 of 3" in line for line in lines)
    for start in (
        "untrained encoder",
        "floor",
        "ceiling",
        "These are short runs",
        "Failed: factor_vae, seed 2",
        "No score: IRS",
    ):
        assert any(line.startswith(start) for line in lines)


def test_the_text_tables_columns_are_aligned(runs: Path) -> None:
    lines = as_text(runs).splitlines()
    header = next(number for number, line in enumerate(lines) if line.startswith("method"))
    at = lines[header].index("MIG")
    scored = [line for line in lines[header : header + 15] if "0." in line]
    assert len(scored) == 9
    assert all(re.match(r"\d\.\d{3}", line[at:]) and line[at - 1] == " " for line in scored)


def test_a_long_ablation_label_breaks_and_is_kept_whole(tmp_path: Path, make_record: Callable[..., Record]) -> None:
    for seed, critic in enumerate(("concatenated", "separable")):
        record = make_record({"mig": 0.1}, method="mine_vae", hparams={"critic": critic, "attention": seed == 0})
        write_record(record, tmp_path / critic)
    text = as_text(tmp_path)
    assert max(map(len, text.splitlines())) <= 110
    assert all(words in text for words in ("critic=concatenated", "attention=False"))


def test_a_link_out_of_a_trials_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "trial").mkdir()
    (tmp_path / "private.png").write_bytes(b"secret")
    (tmp_path / "trial" / "link.png").symlink_to(tmp_path / "private.png")
    (tmp_path / "trial" / "own.png").write_bytes(b"shown")
    (tmp_path / "trial" / "loop.png").symlink_to("loop.png")
    outside = ("link.png", "..", "../private.png", str(tmp_path / "private.png"), "../trial/../private.png")
    for name in (*outside, "loop.png", "n" * 300 + ".png", "with\0nul.png"):
        assert path_inside(tmp_path / "trial", name) is None, name
    for name in ("own.png", "missing.png", "../trial/own.png"):
        assert path_inside(tmp_path / "trial", name) is not None, name


def test_the_range_of_a_column_holds_under_the_options_of_its_records(
    tmp_path: Path, make_record: Callable[..., Record]
) -> None:
    scores = {"wasserstein_correlation": 7.5}
    for options, words in (({}, "0 to 2"), ({"wasserstein_correlation": {"normalised": False}}, "from 0")):
        write_record(make_record(scores, metric_options=options), tmp_path / "trial")
        text = render(tmp_path, tmp_path / "page.html").read_text(encoding="utf-8")
        assert f"Wasserstein correlation ↓ {words}" in Page(text).text
