"""`disbench score --groups`: groups that are found, or read from a file."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tiny_trial import tiny_trial
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.trials.encode import encode_checkpoint, regrouped
from disbench.benchmarks.trials.trial import CHECKPOINT, run_trial
from disbench.datasets import load
from disbench.metrics import METRICS, find_groups

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


def test_the_codes_of_a_checkpoint_are_scored_with_groups_found_afterwards(tmp_path):
    trial = tiny_trial("vae", {"latent_dim": 6}, steps=2)
    dataset = load(trial.dataset, **trial.dataset_options)
    run_trial(trial, dataset, tmp_path, {"mig": {}}, machine=Machine(accelerator="cpu"))
    path = tmp_path / trial.id / CHECKPOINT
    (codes, *_) = encode_checkpoint(path)[2].values()
    expected = find_groups(codes.codes, std=codes.codes_std)
    tables, words = regrouped({"all": codes, "few": replace(codes, codes=codes.codes * 0)}, "found")
    assert [table.group.tolist() for table in tables.values()] == 2 * [expected.tolist()]
    assert words.startswith("Groups found afterwards, without factors.")
    grouping = tmp_path / "g.json"
    grouping.write_text("[1, 2, 1, 2, 1, 2]", encoding="utf-8")
    words = ["evaluate", str(path), "--metrics", "group_explicitness", "--groups"]
    shown = CliRunner().invoke(app, [*words, str(grouping)])
    assert shown.exit_code == 0, shown.output
    score = METRICS["group_explicitness"](codes.codes, codes.factors, groups=[1, 2, 1, 2, 1, 2])
    assert f"{score:.3f}" in shown.output
    assert "1: z0 z2 z4; 2: z1 z3 z5." in " ".join(shown.output.split())
    refused = CliRunner().invoke(app, [*words, "nowhere.json"])
    assert refused.exit_code != 0
    assert "there is no such file" in " ".join(refused.output.split())
