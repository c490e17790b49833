"""The metrics' pages: every metric has one, and every number, snippet, command and link on them is tried.

In a `python` block a statement followed by `# value` must have that value, to one unit of the last digit written, or raise
the named error. Blocks of a page run in order, after those of the index, which make the tables of all examples.
"""

import ast
import io
import re
import shlex
import tokenize
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from disbench.benchmarks.cli import app
from disbench.benchmarks.seeds import seed_for
from disbench.metrics import METRICS, NotApplicable, as_codes, shuffled, udr

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "metrics"
PAGES = sorted(DOCS.glob("*.md"))
METRIC_PAGES = [page for page in PAGES if page.stem not in ("README", "which")]
HEADINGS = [
    "Formula",
    "Range, floor, ceiling",
    "What it cannot see",
    "Protocols",
    "Other implementations",
    "Call",
    "Source",
]
TEXT = {page: page.read_text(encoding="utf-8") for page in PAGES}
INDEX, WHICH = DOCS / "README.md", DOCS / "which.md"


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT[page], flags=re.MULTILINE | re.DOTALL)


def rows(page):
    """The rows of a page's tables whose first cell begins with a key in code font: {key: cells}."""
    found = {}
    for line in TEXT[page].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        key = re.match(r"\[?`(\w+)`", cells[0])
        if line.startswith("|") and key:
            found[key[1]] = cells
    return found


def expected_comment(code, statement):
    """What the comment at the end of a statement promises, or None."""
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT and token.start[0] == statement.end_lineno:
            return token.string.removeprefix("#").strip()
    return None


def tolerance(text):
    """A little over one unit of the last digit written; whole numbers and words are exact."""
    decimals = max((len(digits) for digits in re.findall(r"\d\.(\d+)", text)), default=None)
    return 0.0 if decimals is None else 1.01 * 10.0**-decimals


def run_block(code, namespace):
    for statement in ast.parse(code).body:
        source = ast.get_source_segment(code, statement)
        promise = expected_comment(code, statement) if isinstance(statement, ast.Expr) else None
        if promise is None:
            exec(source, namespace)
        elif promise.startswith("NotApplicable"):
            with pytest.raises(NotApplicable):
                eval(source, namespace)
        else:
            value = eval(source, namespace)
            assert value == pytest.approx(ast.literal_eval(promise), abs=tolerance(promise)), source


@cache
def tables():
    """What the blocks of the index define."""
    namespace = {}
    for code in blocks(INDEX, "python"):
        run_block(code.replace('"tests/', f'"{ROOT.as_posix()}/tests/'), namespace)
    return namespace


@cache
def oracle(case):
    with np.load(ROOT / "tests" / "metrics" / "oracle" / f"{case}.npz") as file:
        return file["codes"], file["factors"]


def floor_and_ceiling(key, case):
    """As `disbench score` measures them; for UDR the same codes in unrelated rows, and a copy."""
    codes, factors = oracle(case)
    if key == "udr":
        return udr([codes, *(shuffled(codes, seed) for seed in range(3))])[0], udr([codes, codes])[0]
    noise = shuffled(codes, seed_for(0, "floor"))
    return METRICS[key].fn(noise, factors), METRICS[key].fn(as_codes(factors), factors)


def test_every_metric_is_on_the_index_and_has_a_page():
    listed = rows(INDEX)
    assert set(listed) >= {*METRICS, "udr"}
    for key, cells in listed.items():
        page = DOCS / re.search(r"\((.+?)\)", cells[0])[1]
        assert page in METRIC_PAGES
        assert f"`{key}`" in TEXT[page]
    assert {re.search(r"\((.+?)\)", cells[0])[1] for cells in listed.values()} == {page.name for page in METRIC_PAGES}


@pytest.mark.parametrize("page", METRIC_PAGES, ids=lambda page: page.stem)
def test_a_page_answers_every_question(page):
    assert re.findall(r"^## (.+)$", TEXT[page], flags=re.MULTILINE) == HEADINGS
    assert TEXT[page].startswith("# ")
    assert TEXT[page].count("$") > 2


@pytest.mark.parametrize("key", METRICS)
def test_the_index_says_what_the_registry_says(key):
    label, arrow, limits = rows(INDEX)[key][1:4]
    metric = METRICS[key]
    assert label == metric.label
    assert arrow == ("↑" if metric.higher_is_better else "↓")
    assert limits == "{:g} to {:g}".format(*metric.bounds).replace("inf", "∞")


@pytest.mark.parametrize("key", [*METRICS, "udr"])
def test_the_floor_and_the_ceiling_on_the_index_are_measured(key):
    case, *written = rows(INDEX)[key][4:7]
    measured = floor_and_ceiling(key, case)
    assert [float(number) for number in written] == pytest.approx(measured, abs=0.011)


@pytest.mark.parametrize("key", [key for key in METRICS if key != "tad"])  # the tables' factors are not binary
def test_what_each_metric_sees_is_measured(key):
    header = next(line for line in TEXT[WHICH].splitlines() if line.startswith("| key"))
    names = re.findall(r"`(\w+)`", header)
    written = rows(WHICH)[key][1:]
    assert len(written) == len(names)
    measured = []
    for name in names:
        try:
            measured.append(f"{METRICS[key].fn(tables()[name], tables()['grid']):.2f}")
        except NotApplicable:
            measured.append("–")
    row = f"| `{key}` | {' | '.join(measured)} |"
    for ours, theirs in zip(written, measured, strict=True):
        assert (ours == "–") == (theirs == "–"), row
        assert ours == "–" or abs(float(ours) - float(theirs)) <= 0.021, row


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_snippets_of_a_page_do_what_it_says(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    namespace = dict(tables())
    for code in blocks(page, "python"):
        run_block(code, namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    factors = tables()["grid"][::4]
    if page.stem == "tad":
        factors = np.minimum(factors, 1)
    np.savez("t.npz", codes=factors + 0.3 * np.random.default_rng(0).normal(size=factors.shape), factors=factors)
    for line in "".join(blocks(page, "sh")).splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program == "disbench"
        keys = arguments[arguments.index("--metrics") + 1].split(",")
        if set(keys) <= set(METRICS):
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, result.output
            assert "not applicable" not in result.output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", TEXT[page]):
        if not target.startswith("https://"):
            name, _, anchor = target.partition("#")
            linked = page.parent / name
            assert linked.exists(), target
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in ["", *(re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings)]
