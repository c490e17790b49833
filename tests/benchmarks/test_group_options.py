"""`disbench score --groups`: groups that are found, or read from a file."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app

RNG = np.random.default_rng(0)
FACTORS = RNG.integers(0, 6, (800, 2))
ANGLE = FACTORS * np.pi / 3
CODES = np.column_stack([np.cos(ANGLE), np.zeros(800), np.sin(ANGLE)]) + [0.1, 0.1, 0, 0.1, 0.1] * RNG.normal(
    size=(800, 5)
)
GROUPS = [1, 2, 0, 1, 2]


@pytest.fixture
def table(tmp_path):
    np.savez(tmp_path / "t.npz", codes=CODES, factors=FACTORS, code_names=["a", "b", "c", "d", "e"])
    return tmp_path / "t.npz"


def run(table, groups, *more):
    return CliRunner().invoke(app, ["score", str(table), "--metrics", "group_mig", "--groups", str(groups), *more])


def write(path):
    if path.suffix == ".npy":
        np.save(path, GROUPS)
    else:
        text = {".csv": "1,2,0,1,2\n", ".json": json.dumps(GROUPS)}[path.suffix]
        path.write_text(text, encoding="utf-8")
    return path


def test_found_groups_are_scored_and_named_as_found_afterwards(table):
    shown = run(table, "found")
    assert shown.exit_code == 0, shown.output
    assert "Groups found afterwards, without factors. 1: a d; 2: b e; nuisance: c." in " ".join(shown.output.split())
    content = json.loads(run(table, "found", "--json").stdout)
    assert content["scores"]["group_mig"] > 0.95
    assert (content["groups"], content["groups_source"]) == (GROUPS, "found")
    as_csv = run(table, "found", "--csv")
    assert as_csv.stdout.startswith("metric,score")
    assert "1: a d; 2: b e" not in as_csv.stdout
    assert "1: a d; 2: b e" in " ".join(as_csv.stderr.split())


@pytest.mark.parametrize("name", ["g.npy", "g.csv", "g.json"])
def test_groups_of_a_file_are_scored_and_named_by_the_file(table, tmp_path, name):
    path = write(tmp_path / name)
    content = json.loads(run(table, path, "--json").stdout)
    assert content["scores"]["group_mig"] > 0.95
    assert (content["groups"], content["groups_source"]) == (GROUPS, str(path))


def test_found_groups_have_a_group_view(table):
    content = json.loads(run(table, "found", "--view", "group", "--metrics", "mig", "--json").stdout)
    assert content["code_names"] == ["group 1", "group 2"]


def test_each_vector_may_have_one_number(tmp_path):
    vectors = np.stack([CODES[:, [0, 3]], CODES[:, [1, 4]], CODES[:, [2, 2]]], axis=1)
    np.savez(tmp_path / "v.npz", codes=vectors, factors=FACTORS)
    (tmp_path / "g.json").write_text("[4, 5, 0]", encoding="utf-8")
    content = json.loads(run(tmp_path / "v.npz", tmp_path / "g.json", "--json").stdout)
    assert content["groups"] == [4, 4, 5, 5, 0, 0]


def test_without_the_option_nothing_is_said_of_groups(table):
    shown = CliRunner().invoke(app, ["score", str(table), "--metrics", "mig", "--json"])
    assert "groups" not in json.loads(shown.stdout)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("g.json", None, "there is no such file"),
        ("fuond", None, "--groups needs the word found or an .npy, .csv or .json file"),
        ("g.json", "[1, 2, 0]", "5 numbers for this table, got shape (3,)"),
        ("g.json", "[1, 2, 0, 1, 0.5]", "one whole number for each code, 0 for nuisance, got float64"),
        ("g.json", '{"a": 1}', "one whole number for each code"),
        ("g.json", "[1, [2]]", "cannot be read as .json"),
        ("g.json", "1, 2", "cannot be read as .json"),
        ("g.csv", "a,b,c,d,e\n", "cannot be read as .csv"),
        ("g.npy", "no array", "cannot be read as .npy"),
        ("g.npy", "", "cannot be read as .npy"),
        ("g.csv", "", "5 numbers for this table, got shape (0,)"),
        ("g.json", "[" * 100_000, "cannot be read as .json"),
        ("g.json", "[1e300, 1, 2, 0, 1]", "less than 2**31"),
        ("g.json", "[-9223372036854775808, 1, 2, 0, 1]", "less than 2**31"),
    ],
)
def test_groups_that_do_not_fit_are_an_error_that_says_what_is_needed(table, tmp_path, name, text, expected):
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    shown = run(table, tmp_path / name if name != "fuond" else name)
    assert shown.exit_code != 0
    assert expected in " ".join(shown.output.split()), shown.output
    assert "Traceback" not in shown.output


@pytest.mark.parametrize(("name", "text"), [("g.csv", "1,2,0,1,2"), ("g.json", "[1, 2, 0, 1, 2]")])
def test_a_file_that_begins_with_a_byte_order_mark_is_read(table, tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    assert json.loads(run(table, tmp_path / name, "--json").stdout)["groups"] == GROUPS
