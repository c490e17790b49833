"""The pages: every number, snippet, command, YAML and link on them is tried, and the whole is built with warnings as errors.

In a `python` block a statement followed by `# value` must have that value, to one unit of the last digit written, or raise
the named error. A block that begins with `# name.py` is that file, and the commands of its page are then run beside it.
Blocks of a metric's page run in order after those of the metrics' index, which make the tables of all examples.
"""

import ast
import io
import os
import re
import runpy
import shlex
import sys
import tokenize
import tomllib
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from html_links import broken
from sphinx.cmd.build import build_main
from typer.main import get_command
from typer.testing import CliRunner

from disbench.benchmarks import METHODS
from disbench.benchmarks.cli.main import app
from disbench.benchmarks.cli.scores import metric_options
from disbench.benchmarks.cli.terminal.options import assignments
from disbench.benchmarks.runtime.seeds import seed_for
from disbench.benchmarks.settings.training_file import training_file
from disbench.benchmarks.studies.suite import Suite, check_method, load_suite, suite_names
from disbench.datasets import DATASETS, SOURCES, load
from disbench.metrics import METRICS, NotApplicable, as_codes, seed_consistency, shuffled, udr
from disbench.metrics.stress_encoders import BINARY, SIZES, stress_encoders
from disbench.reports.comparison import compare, score_frame
from disbench.reports.records.collect import collect
from disbench.reports.tables.aggregate import tables as tables_of

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "metrics"
PAGES = sorted(DOCS.glob("*.md"))
METRIC_PAGES = [page for page in PAGES if page.stem not in ("README", "which", "agreement")]
GUIDES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
GUIDES += [page for page in sorted((ROOT / "docs").rglob("*.md")) if page.parent != DOCS]
OF_SEVERAL_TABLES = {"udr": udr, "seed_consistency": seed_consistency}
HEADINGS = [
    "Formula",
    "Range, floor, ceiling",
    "What it cannot see",
    "Protocols",
    "Other implementations",
    "Call",
    "Source",
]
TEXT = {page: page.read_text(encoding="utf-8") for page in [*PAGES, *GUIDES]}
INDEX, WHICH, README, RESULTS = DOCS / "README.md", DOCS / "which.md", ROOT / "README.md", ROOT / "docs" / "results.md"
FIRST = ROOT / "results" / "first"
EACH = ROOT / "results" / "methods"


def named(page):
    return page.relative_to(ROOT).with_suffix("").as_posix()


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT[page], flags=re.MULTILINE | re.DOTALL)


def files(page):
    """The files that a page shows: {name: text}."""
    return {found[1]: code for code in blocks(page, "python") if (found := re.match(r"# (\w+\.py)\n", code))}


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


def leaves(value):
    """The numbers and words in a value, which may be nested."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value


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
            value, promised = [*leaves(eval(source, namespace))], [*leaves(ast.literal_eval(promise))]
            assert len(value) == len(promised), source
            for ours, theirs in zip(value, promised, strict=True):
                near = theirs if isinstance(theirs, str) else pytest.approx(theirs, abs=tolerance(promise))
                assert ours == near, source


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
    """As `disbench score` measures them; for metrics of several tables the same codes in unrelated rows, and a copy."""
    codes, factors = oracle(case)
    if key in OF_SEVERAL_TABLES:
        compare_tables = OF_SEVERAL_TABLES[key]
        floor = compare_tables([codes, *(shuffled(codes, seed) for seed in range(3))])[0]
        return floor, compare_tables([codes, codes])[0]
    noise = shuffled(codes, seed_for(0, "floor"))
    return single_groups(key, noise, factors), single_groups(key, as_codes(factors), factors)


def single_groups(key, codes, factors):
    """Score a table; each code is a group of its own for a metric of groups."""
    groups = {"groups": np.arange(1, codes.shape[1] + 1)} if "groups" in METRICS[key].uses else {}
    return METRICS[key](codes, factors, **groups)


def index_row(key):
    """The row of a metric on the index, with what is measured."""
    metric = METRICS[key]
    limits = "{:g} to {:g}".format(*metric.bounds)
    measured = " | ".join(f"{number:.2f}" for number in floor_and_ceiling(key, "noisy_vae"))
    arrow = "↑" if metric.higher_is_better else "↓"
    return f"| [`{key}`]({key}.md) | {metric.label} | {arrow} | {limits} | noisy_vae | {measured} | what it asks |"


def commands(page):
    """Every command line of a page: words of a block's line, or of code in running text, that begin with `disbench`."""
    text = re.sub(r"\\\n\s*", "", TEXT[page])  # a line that goes on
    fenced = re.findall(r"^```(?:sh|bash)?\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in fenced for line in block.splitlines()]
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]
    for line in lines:
        if re.match(r"(disbench|python \w+\.py) ", line):
            yield shlex.split(line, comments=True)


def parsed(words):
    """The last command that `words` name, and its parameters; none where nothing comes after its name."""
    command, name = get_command(app), "disbench"
    while hasattr(command, "commands") and words:
        assert words[0] in command.commands, f"{name} has no command {words[0]}"
        name, command, words = words[0], command.commands[words[0]], words[1:]
    return name, command.make_context(name, list(words)).params if words else {}


def check_names(name, given, own):
    """Every method, metric, dataset, suite, setting in parsed parameters exists, or is one of the page's own."""
    wanted = given.get("method")
    if wanted and wanted not in own:
        assert wanted in METHODS
        if "sets" in given:
            check_method(wanted, assignments(list(given["sets"] or [])))
    for key, values in assignments(list(given.get("grid") or [])).items():
        check_method(wanted, {key: values[0]})
    if name == "search":
        for key, ends in assignments(list(given.get("ranges") or [])).items():
            check_method(wanted, {key: ends["low"]})
    for word in given.get("only") or ():
        for field, value in (part.split("=") for part in word.split(",")):
            assert value in {"method": METHODS, "dataset": DATASETS, "seed": {value}}[field]
    if name == "compare" and given:
        folder = Path(given["folder"]).name
        there = [entry.name for entry in load_suite(folder).methods] if folder in suite_names() else METHODS
        assert {given["one"].split(" (")[0], given["other"].split(" (")[0]} <= {*there}
    dataset = given.get("name") if name in ("info", "download", "verify", "preview") else given.get("dataset")
    if dataset and dataset not in own:
        assert dataset in DATASETS
        if dataset not in SOURCES:
            options = assignments(list(given.get("options") or []))
            load(dataset, select=assignments(list(given.get("select") or [])) or None, **options)
    if "suite" in given and not given["suite"].endswith(".yaml"):
        assert given["suite"] in suite_names()
    assert given.get("metric", "mig") in METRICS
    if {"metrics", "settings"} <= set(given) and not own.intersection((given.get("metrics") or "").split(",")):
        metric_options(given["metrics"], list(given["settings"] or []), given.get("protocol"))


def test_every_metric_is_on_the_index_and_has_a_page():
    listed = rows(INDEX)
    assert set(listed) >= {*METRICS, *OF_SEVERAL_TABLES}
    for key, cells in listed.items():
        page = DOCS / re.search(r"\((.+?)\)", cells[0])[1]
        assert page in METRIC_PAGES
        assert f"`{key}`" in TEXT[page]
    assert {re.search(r"\((.+?)\)", cells[0])[1] for cells in listed.values()} == {page.name for page in METRIC_PAGES}


@pytest.mark.parametrize("kind, registry", [("methods", METHODS), ("datasets", DATASETS)])
def test_every_method_and_every_data_set_is_on_its_index_and_has_a_page(kind, registry):
    index = ROOT / "docs" / kind / "README.md"
    listed = rows(index)
    assert set(listed) == set(registry), f"{index.relative_to(ROOT)} needs a row for each of {kind}."
    for key, cells in listed.items():
        assert "](" in cells[0], f"The row of {key} in {index.relative_to(ROOT)} needs a link to a page that names it."
        page = (index.parent / re.search(r"\((.+?)\)", cells[0])[1]).resolve()
        assert key == page.stem or re.search(rf"(`|--dataset ){key}\b", TEXT[page])


@pytest.mark.parametrize("key", [key for key in DATASETS if key not in SOURCES])
def test_the_index_says_what_a_drawn_data_set_is(key):
    dataset = load(key)
    images, factors, shape = rows(ROOT / "docs" / "datasets" / "README.md")[key][2:5]
    assert (images, factors) == (f"{len(dataset):,}", str(len(dataset.factor_names)))
    assert shape == str(dataset.image_shape)


@pytest.mark.parametrize("page", METRIC_PAGES, ids=named)
def test_a_page_answers_every_question(page):
    assert re.findall(r"^## (.+)$", TEXT[page], flags=re.MULTILINE) == HEADINGS
    assert TEXT[page].startswith("# ")
    assert TEXT[page].count("$") > 2
    assert ("### Continuous factors" in TEXT[page]) == (
        page.stem not in (*OF_SEVERAL_TABLES, "lsbd", "unsupervised")
    )  # they read no factors, or a grid of them


@pytest.mark.parametrize("key", METRICS)
def test_the_index_says_what_the_registry_says(key):
    assert key in rows(INDEX), f"docs/metrics/README.md needs the row {index_row(key)}"
    label, arrow, limits = rows(INDEX)[key][1:4]
    metric = METRICS[key]
    assert label == metric.label
    assert arrow == ("↑" if metric.higher_is_better else "↓")
    assert limits == "{:g} to {:g}".format(*metric.bounds).replace("inf", "∞")


@pytest.mark.parametrize("key", [*METRICS, *OF_SEVERAL_TABLES])
def test_the_floor_and_the_ceiling_on_the_index_are_measured(key):
    case, *written = rows(INDEX)[key][4:7]
    measured = floor_and_ceiling(key, case)
    assert [float(number) for number in written] == pytest.approx(measured, abs=0.011)


@cache
def filler():
    return runpy.run_path(str(ROOT / "docs" / "fill_which.py"))


def test_what_each_metric_sees_is_filled_from_the_record():
    run = filler()["recorded"]()
    assert filler()["outdated"](run) == [], "run: python docs/fill_which.py"
    assert filler()["measured"](run, []) == run, "a card has changed; run: python docs/fill_which.py"
    assert filler()["filled"](TEXT[WHICH], run) == TEXT[WHICH], "run: python docs/fill_which.py"


def test_a_page_without_a_mark_is_not_filled():
    with pytest.raises(ValueError, match="needs the marks"):
        filler()["filled"](TEXT[WHICH].replace("<!-- stress:words -->", ""), filler()["recorded"]())


@pytest.mark.parametrize("key", METRICS)
def test_what_each_metric_sees_is_measured(key):
    run = filler()["recorded"]()
    rows_of = {row.metric: row for row in run.metrics}
    assert key in rows_of, "run: python docs/fill_which.py"
    row = rows_of[key]
    encoders = stress_encoders(run.rows, run.seed, BINARY if row.binary else SIZES)
    assert row.cells.keys() == encoders.keys()
    for name in ("perfect", "circle", "duplicated", "merged", "noisy"):
        one = encoders[name]
        try:
            measured = METRICS[key](one.codes, one.factors, std=one.std, groups=one.groups, seed=run.seed)
        except NotApplicable as reason:
            assert row.cells[name].reason == str(reason)
        else:
            assert row.cells[name].score == pytest.approx(measured, abs=0.021), "run: python docs/fill_which.py --all"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_snippets_of_a_metrics_page_do_what_it_says(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    namespace = dict(tables())
    for code in blocks(page, "python"):
        run_block(code, namespace)


@pytest.mark.parametrize(
    "page",
    [page for page in GUIDES if blocks(page, "python") and not files(page) and page.stem != "gallery"],
    ids=named,
)
@pytest.mark.usefixtures("registries")
def test_the_snippets_of_a_page_do_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    with warnings.catch_warnings():
        if page.parent.name == "tutorials":  # a notebook shows every warning to its reader
            warnings.simplefilter("error")
        for code in blocks(page, "python"):
            run_block(code, namespace)


def test_the_tutorials_are_notebooks():
    pages = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
    assert len(pages) == 3
    for page in pages:
        _, header, _ = TEXT[page].split("---\n", 2)
        found = yaml.safe_load(header)["jupyter"]
        assert found["jupytext"]["text_representation"] == {"extension": ".md", "format_name": "markdown"}
        assert found["kernelspec"]["name"] == "python3"
        assert len(blocks(page, "python")) >= 4


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_commands_of_a_metrics_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    factors = tables()["grid"][::4]
    if page.stem == "tad":
        factors = np.minimum(factors, 1)
    codes = factors + 0.3 * np.random.default_rng(0).normal(size=factors.shape)
    np.savez("t.npz", codes=codes, factors=factors, group=1 + np.arange(codes.shape[1]))
    for line in "".join(blocks(page, "sh")).splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program == "disbench"
        keys = arguments[arguments.index("--metrics") + 1].split(",")
        if set(keys) <= set(METRICS):
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, result.output
            assert "not applicable" not in result.output


@pytest.mark.parametrize("page", [page for page in GUIDES if [*commands(page)]], ids=named)
def test_every_command_on_a_page_is_one_that_there_is(page):
    own = {words[words.index("--name") + 1] for words in commands(page) if "--name" in words}
    own |= set(re.findall(r'(?:METHODS|METRICS|DATASETS)\["(\w+)"\]', "".join(TEXT[guide] for guide in GUIDES)))
    for words in commands(page):
        script = words[1] if words[0] == "python" else None
        assert script is None or script in files(page) or not files(page), f"{script} is not on the page"
        try:
            check_names(*parsed(words[2:] if script else words[1:]), own)
        except BaseException as error:  # the parser and the command line leave by exceptions of their own
            raise AssertionError(f"{shlex.join(words)}: {getattr(error, 'message', error)!r}") from error


@pytest.mark.parametrize("name", get_command(app).commands)
def test_every_command_there_is_has_an_example(name):
    used = [words[1] for page in [*PAGES, *GUIDES] for words in commands(page) if len(words) > 2]
    assert name in used or name == "list"


@pytest.mark.parametrize("page", [page for page in GUIDES if blocks(page, "yaml")], ids=named)
@pytest.mark.usefixtures("registries")
def test_every_yaml_on_a_page_is_a_suite_or_a_training_file(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, code in files(page).items():
        Path(name).write_text(code, encoding="utf-8")  # plugins of the page's suites
    for block in blocks(page, "yaml"):
        content = yaml.safe_load(block)
        if "methods" in content:
            Suite.model_validate(content)
        else:
            fields = training_file(content).settings
            fields["hparams"].pop("in_channels", None)
            check_method(fields["method"], fields["hparams"])
            assert fields["dataset"] in DATASETS


@pytest.mark.parametrize("page", [page for page in GUIDES if files(page)], ids=named)
@pytest.mark.usefixtures("registries")
def test_the_worked_examples_run_as_they_stand(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    np.savez("table.npz", codes=tables()["perfect"] + 0.1 * tables()["noise"], factors=tables()["grid"])
    for name, code in files(page).items():
        Path(name).write_text(code, encoding="utf-8")
    scripts = [words[1:] for words in commands(page) if words[0] == "python" and words[1] in files(page)]
    run = [words for words in scripts if not any(word.endswith(".yaml") for word in words)]
    assert {words[0] for words in run} == {name for name in files(page) if not name.startswith("test_")}
    for words in run:
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as left:
            runpy.run_path(words[0], run_name="__main__")
        told = capsys.readouterr()
        assert not left.value.code, f"{shlex.join(words)}: {told.out}{told.err}"
    tests = [name for name in files(page) if name.startswith("test_")]
    assert len(tests) == len(files(page)) / 2
    for name in tests:
        promised = [value for key, value in runpy.run_path(name).items() if key.startswith("test_")]
        assert promised
        for test in promised:
            test()


@pytest.mark.parametrize("page", [*PAGES, *GUIDES], ids=named)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", TEXT[page], flags=re.M | re.DOTALL)):
        if not target.startswith(("https://", "http://")):
            name, _, anchor = target.partition("#")
            linked = page.parent / name if name else page
            assert linked.exists(), target
            if anchor:
                text = re.sub(r"^```.*?^```$", "", linked.read_text(encoding="utf-8"), flags=re.M | re.DOTALL)
                headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
                found = (re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings)
                assert anchor in [*found], target


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert f"## {cited['version']}" in TEXT[ROOT / "CHANGELOG.md"]


def test_the_figures_of_the_gallery_are_those_that_its_code_draws(tmp_path):
    page = ROOT / "docs" / "gallery.md"
    drawn = set(re.findall(r'savefig\("(\S+?)"', TEXT[page]))
    assert drawn == {path.name for path in (ROOT / "docs" / "gallery").iterdir()}
    assert drawn == set(re.findall(r"\]\(gallery/(\S+?)\)", TEXT[page]))
    script = ROOT / "docs" / "draw_gallery.py"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        runpy.run_path(str(script))["draw"](tmp_path / "drawn")
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == drawn


def test_links_that_lead_nowhere_are_found(tmp_path):
    (tmp_path / "index.html").write_text('<a href="x.html"></a><a href="#no"></a><a id="a" href="#a"></a>')
    (tmp_path / "y.html").write_text('<a href="index.html#a"></a><script src="https://example.org/x.js"></script>')
    assert [fault.partition(": ")[2] for fault in broken(tmp_path)] == [
        "x.html: no such file",
        "#no: no such anchor",
        "loads https://example.org/x.js",
    ]


def test_a_note_of_exported_tables_is_written_once_and_no_table_is_lost():
    notes_once = runpy.run_path(str(ROOT / "docs" / "fill_results.py"))["notes_once"]
    pages = [
        f"### {name}\n\n| a |\n| {name} |\n\nlegend\n\n{steps} steps\n"
        for name, steps in (("x", 3), ("y", 3), ("z", 5))
    ]
    parts = notes_once("\n".join(pages)).split("\n\n")
    assert parts == [
        "### x",
        "| a |\n| x |",
        "3 steps",
        "### y",
        "| a |\n| y |",
        "### z",
        "| a |\n| z |",
        "5 steps",
        "legend",
    ]


@pytest.mark.skipif(not FIRST.is_dir(), reason="the study's records are not in this checkout")
def test_the_tables_of_the_first_study_are_what_the_records_hold():
    fill, run = runpy.run_path(str(ROOT / "docs" / "fill_results.py")), "run: python docs/fill_results.py results/first"
    found = fill["exported"](FIRST)
    assert fill["filled"](TEXT[RESULTS], "table:first", found) == TEXT[RESULTS], run
    assert fill["filled"](TEXT[README], "table:short", fill["first_table"](found)) == TEXT[README], run
    with pytest.raises(ValueError, match="needs the lines"):
        fill["filled"](TEXT[README], "table:first", found)


def test_the_readme_is_short():
    assert len(TEXT[README].splitlines()) <= 120
    short = [row for row in rows_of_table(TEXT[README]) if "±" in row]
    assert 0 < len(short) <= 6


def rows_of_table(text):
    return [line for line in text.splitlines() if line.startswith("|")]


@pytest.mark.skipif(not EACH.is_dir(), reason="the study's records are not in this checkout")
def test_the_table_of_all_methods_is_what_the_records_say():
    fill, page = runpy.run_path(str(ROOT / "docs" / "fill_methods.py")), ROOT / "docs" / "methods" / "README.md"
    assert fill["filled"](TEXT[page], EACH) == TEXT[page], "run: python docs/fill_methods.py results/methods"


@pytest.mark.skipif(not EACH.is_dir(), reason="the study's records are not in this checkout")
def test_the_suite_of_all_methods_trains_what_the_records_hold():
    suite, there = load_suite("methods"), {record.trial.id for _, record in collect(EACH).found}
    wanted = {trial.id for entry in suite.datasets for trial in suite.trials(entry, DATASETS[entry.name].version)}
    assert there == wanted


@pytest.mark.skipif(not FIRST.is_dir(), reason="the study's records are not in this checkout")
def test_the_results_name_each_comparison_of_mine_vae_and_beta_tcvae_that_is_no_tie():
    found = compare(score_frame(tables_of(collect(FIRST).found)), "mine_vae", "beta_tcvae")
    found = found[(found["view"] == "mean") & (found["verdict"] != "tie")]
    told = re.findall(r"(\S+) on `(\w+)` \((better|worse|unknown)\)", TEXT[RESULTS])
    assert sorted(told) == sorted((METRICS[row.metric].label, row.dataset, row.verdict) for row in found.itertuples())


@pytest.mark.filterwarnings("ignore:.*is deprecated")  # Sphinx tells MyST of its next versions
def test_the_pages_build_without_a_warning(tmp_path, monkeypatch):
    if "CI" not in os.environ:  # an environment that was made before these were needed; CI has all of them
        for extension in ("sphinx-mathjax-offline", "sphinx_copybutton", "sphinx_design"):
            pytest.importorskip(extension, reason="run make install-test")
    monkeypatch.chdir(ROOT)
    assert build_main(["-q", "-W", "--keep-going", "-b", "html", "docs", str(tmp_path / "html")]) == 0
    assert broken(tmp_path / "html") == []
    assert "covariance_penalty" in (tmp_path / "html" / "adding.html").read_text(encoding="utf-8")
    index = (tmp_path / "html" / "metrics" / "mig.html").read_text(encoding="utf-8")
    assert "_static/mathjax/" in index and "cdn" not in index  # equations are typeset without a network
    assert [*(tmp_path / "html" / "_static" / "mathjax").glob("tex-*.js")]
    for page in (ROOT / "docs").rglob("*.md"):
        built = (tmp_path / "html" / page.relative_to(ROOT / "docs")).with_suffix(".html")
        assert built.is_file(), page
