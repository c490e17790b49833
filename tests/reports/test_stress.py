"""The page of the stress suite, its CSV, and the command that writes them."""

import csv
import html
import io
import json
import re

import pytest
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.metrics import METRICS
from disbench.metrics.stress import stress
from disbench.reports.stress import COLUMNS, sentences, stress_csv, stress_page

NAMES = ["mig", "z_min_var", "tad", "gaussian_total_correlation"]


@pytest.fixture(scope="module")
def run():
    return stress(NAMES)


@pytest.fixture(scope="module")
def page(run):
    return stress_page(run, "disbench metrics stress")


def test_the_page_needs_no_other_file(page):
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)", page)
    assert "<script" not in page


def test_a_cell_has_its_number_beside_its_shade(page, run):
    row = re.search(r"<tr><th[^>]*><a href=\"#metric-mig\">.*?</tr>", page, flags=re.DOTALL)[0]
    cells = re.findall(r"<td.*?</td>", row, flags=re.DOTALL)
    assert len(cells) == len(run.encoders)
    dropped = run.metrics[[one.metric for one in run.metrics].index("mig")].cells["dropped"]
    assert any(f">{dropped.score:.2f}<" in cell and f">{100 * dropped.place:.0f} %<" in cell for cell in cells)
    assert all("--at:" in cell for cell in cells)


def test_the_page_says_the_direction_and_the_reason_where_there_is_no_score(page):
    text = html.unescape(page)
    assert text.count('aria-label="lower is better"') == 2
    assert text.count('aria-label="higher is better"') == 2
    assert "n/a" in text and "binary factors" in text
    assert "Not applicable" in text


def test_the_page_has_each_metrics_card_and_each_encoder(page, run):
    text = html.unescape(page)
    for name in NAMES:
        assert METRICS[name].definition in text and METRICS[name].insensitive_to in text
    assert all(encoder["what"] in text for encoder in run.encoders.values())


def test_sentences_name_what_is_seen_and_missed(run):
    words = sentences(next(row for row in run.metrics if row.metric == "mig"), run)
    assert "merged" in words["Does not see"] and "duplicated" in words["Sees"]


def test_the_csv_has_a_line_for_each_score(run):
    lines = list(csv.DictReader(io.StringIO(stress_csv(run))))
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) == len(NAMES) * len(run.encoders)


def test_the_command_writes_a_page_and_a_line_for_each_metric(tmp_path):
    path = tmp_path / "new" / "page.html"
    found = CliRunner().invoke(app, ["metrics", "stress", "--metrics", "mig,irs", "--rows", "120", "--out", str(path)])
    assert found.exit_code == 0, found.output
    assert found.stdout.strip() == str(path)
    assert re.findall(r"^\d/2 (\w+),", found.stderr, flags=re.MULTILINE) == ["IRS", "MIG"]
    assert "disbench metrics stress --rows 120 --seed 0 --metrics mig,irs" in path.read_text(encoding="utf-8")


def test_the_command_prints_json_or_csv_and_then_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["metrics", "stress", "--metrics", "mig", "--rows", "120"]
    assert json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["rows"] == 120
    assert CliRunner().invoke(app, [*words, "--csv"]).stdout.startswith("metric,encoder,score")
    assert list(tmp_path.iterdir()) == []
    both = CliRunner().invoke(app, [*words, "--csv", "--json"])
    assert both.exit_code == 2 and "exclude each other" in both.stderr


@pytest.mark.parametrize("words, reason", [(["--metrics", "mig,nonsense"], "nonsense"), (["--rows", "100"], "120")])
def test_the_command_refuses_what_it_cannot_do(words, reason):
    found = CliRunner().invoke(app, ["metrics", "stress", *words])
    assert found.exit_code == 2
    assert reason in found.stderr
