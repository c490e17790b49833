"""Malformed suites, training files and flags: each is refused before anything runs, in a short message that names the field."""

import importlib
import math
import os
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from disbench.benchmarks import METHODS
from disbench.benchmarks.cli.main import app
from disbench.benchmarks.cli.terminal.options import assignments
from disbench.benchmarks.settings.hyperparameters import check_method
from disbench.benchmarks.settings.training_file import read_training_file, training_file
from disbench.benchmarks.settings.trial_settings import checked_trial
from disbench.benchmarks.settings.validation import (
    LIMITS,
    canonical_precision,
    check_metric,
    check_metrics,
    metric_keywords,
)
from disbench.benchmarks.settings.yaml_file import parse_yaml
from disbench.benchmarks.studies.search import seeds_of
from disbench.benchmarks.studies.suite import load_suite
from disbench.datasets.wording import did_you_mean, shown
from disbench.metrics import METRICS

SUITE = {"name": "x", "datasets": [{"name": "dsprites_like"}], "methods": [{"name": "vae"}], "seeds": [0], "steps": 10}
TRIAL = {"method": "vae", "dataset": "dsprites_like", "steps": 10}
HUGE = "9" * 5000
NUMBERS = (-1, 10**30, True, 2.5, math.nan, math.inf, "many", None, [1], {"a": 1})
DEEP: Any = 1
for _ in range(3000):
    DEEP = [DEEP]


def refused(field: str, check: Any, *arguments: Any) -> None:
    """The check raises ValueError, short, with the field's name, and without a library's own words."""
    with pytest.raises(ValueError) as caught:
        check(*arguments)
    text = str(caught.value)
    assert field in text
    assert len(text) < 500, text
    assert "further information" not in text


def with_values(fields: dict[str, tuple[Any, ...]]) -> list[tuple[str, Any]]:
    return [(field, value) for field, values in fields.items() for value in values]


WRONG_FIELDS = with_values(
    {
        "steps": NUMBERS,
        "batch_size": (*NUMBERS, 1),
        "rows": (*NUMBERS, 1),
        "precision": ("64-true", "bf16-true", "fp16", "16-true", "transformer-engine", 64, True, None, [16]),
    }
)


@pytest.mark.parametrize(("field", "value"), WRONG_FIELDS)
def test_a_wrong_number_or_precision_is_refused_in_a_suite_and_in_a_trial_alike(
    field: str, value: Any, tmp_path: Path
) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump({**SUITE, field: value}))
    refused(field, load_suite, str(path))
    refused(field, checked_trial, {**TRIAL, field: value})


@pytest.mark.parametrize("seed", [value for value in NUMBERS if value is not None])
def test_a_wrong_seed_is_refused_in_a_suite_and_in_a_trial_alike(seed: Any, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump({**SUITE, "seeds": [0, seed]}))
    refused("seeds.1", load_suite, str(path))
    refused("seed", checked_trial, {**TRIAL, "seed": seed})


@pytest.mark.parametrize(
    ("named", "change"),
    [
        ("stepss", {"stepss": 3}),
        ("methods", {"methods": None}),
        ("methods", {"methods": []}),
        ("methods.0", {"methods": ["vae"]}),
        ("datasets", {"datasets": {}}),
        ("datasets.0", {"datasets": [["dsprites_like"]]}),
        ("dsprites_lik", {"datasets": [{"name": "dsprites_lik"}]}),
        ("colour", {"datasets": [{"name": "dsprites_like", "options": {"select": {"colour": 1}}}]}),
        ("shape", {"datasets": [{"name": "dsprites_like", "options": {"select": {"shape": ""}}}]}),
        ("shape", {"datasets": [{"name": "dsprites_like", "options": {"select": {"shape": "2-1"}}}]}),
        ("shape", {"datasets": [{"name": "dsprites_like", "options": {"select": {"shape": HUGE}}}]}),
        ("shape", {"datasets": [{"name": "dsprites_like", "options": {"select": {"shape": [0]}}}]}),
        ("scale", {"datasets": [{"name": "dsprites_like", "options": {"select": {"scale": 6}}}]}),
        ("select", {"datasets": [{"name": "dsprites_like", "options": {"select": []}}]}),
        ("select", {"datasets": [{"name": "dsprites_like", "options": {"select": "shape"}}]}),
        ("teir", {"datasets": [{"name": "mpi3d_like", "options": {"teir": "full"}}]}),
        ("tier", {"datasets": [{"name": "mpi3d_like", "options": {"tier": [1]}}]}),
        ("attributes", {"datasets": [{"name": "faces_like", "options": {"attributes": ["Hat"]}}]}),
        ("options", {"datasets": [{"name": "dsprites_like", "options": [1]}]}),
        ("metrics", {"metrics": []}),
        ("metrics", {"metrics": {}}),
        ("mgi", {"metrics": {"mgi": {}}}),
        ("mig", {"metrics": {"mig": 5}}),
        ("bins", {"metrics": {"mig": {"bins": 0}}}),
        ("quantile", {"metrics": {"irs": {"quantile": 2}}}),
        ("bta", {"methods": [{"name": "beta_vae", "hparams": {"bta": 1}}]}),
        ("beta", {"methods": [{"name": "beta_vae", "hparams": {"beta": math.nan}}]}),
        ("beta", {"methods": [{"name": "beta_vae", "hparams": {"beta": "1e400"}}]}),
        ("beta", {"methods": [{"name": "beta_vae", "hparams": {"beta": [1] * 1000}}]}),
        ("beta_vae", {"methods": [{"name": "beta_vae", "hparams": {"latent_dim": 10**18}}]}),
        ("beta_vae", {"methods": [{"name": "beta_vae", "hparams": {"network": "mlp", "hidden_dim": 10**6}}]}),
        ("beta", {"methods": [{"name": "beta_vae", "range": {"beta": {"low": 1, "high": 2, "n": 10**9}}}]}),
        ("beta", {"methods": [{"name": "beta_vae", "range": {"beta": {"low": True, "high": 2, "n": 2}}}]}),
        ("beta", {"methods": [{"name": "beta_vae", "range": {"beta": 3}}]}),
        ("combinations", {"methods": [{"name": "beta_vae", "grid": {"beta": [*range(100)], "lr": [*range(1, 101)]}}]}),
        ("trials", {"seeds": [*range(60_000)]}),
        ("hparams", {"hparams": [1]}),
        ("name", {"name": "a\x1b[31m"}),
        ("name", {"name": "x" * 1000}),
        ("name", {"name": ""}),
        ("name", {"name": [1]}),
    ],
)
def test_a_malformed_suite_is_refused(named: str, change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump({**SUITE, **change}))
    refused(named, load_suite, str(path))


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 30))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 500))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"steps: 1\nname: x\nsteps: 2\n", "line 3: the key 'steps' was given before, on line 1"),
        (b"methods: {vae: 1, vae: 2}\n", "the key 'vae'"),
        (BOMB.encode(), "100,000 values"),
        (CHAIN.encode(), "levels of nesting"),
        (b"a: &a [*a]\n", "an alias refers to the value that contains it"),
        (b"[" * 3000 + b"]" * 3000, "levels of nesting"),
        (b"{a: " * 3000 + b"1" + b"}" * 3000, "levels of nesting"),
        ("name: x\n".encode("utf-16"), "Save the file as UTF-8"),
        ("name: é\n".encode("latin-1"), "Save the file as UTF-8"),
        (b"name: x\0\n", "#x0000"),
        (b"a: 1\n---\na: 2\n", "starts a second one"),
        (b"", "is empty"),
        (b"# nothing\n", "is empty"),
        (b"- a\n- b\n", "must hold a mapping"),
        (b"just words\n", "must hold a mapping"),
        (b"a: [1, 2\n", "line 2 is no YAML"),
        (b"a: !!python/object/apply:os.system [true]\n", "the tag"),
        (b"a: !!binary aGk=\n", "the tag"),
        (b"a: !!int many\n", "'many' is no int"),
        (b"? [1, 2]\n: 3\n", "a key must be a name"),
        (b"seed: " + HUGE.encode(), "5,000 digits"),
        (b"a: *b\n", "undefined alias"),
        (b"#" * 1_000_001, "bytes"),
    ],
)
def test_a_file_that_is_no_plain_yaml_is_refused_with_its_name(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    for read in (lambda: load_suite(str(path)), lambda: read_training_file(path)):
        refused(words, read)
        refused("file.yaml", read)


def test_a_folder_a_pipe_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        refused("not a regular file", load_suite, str(path))
        refused("not a regular file", read_training_file, path)
    refused("No suite or file", load_suite, str(tmp_path / "none.yaml"))
    refused("no such file", read_training_file, tmp_path / "none.yaml")


def test_words_and_dates_stay_as_they_were_typed_and_numbers_are_numbers() -> None:
    text = "a: no\nb: 010\nc: 2024-01-01\nd: 1:30\ne: 1e-4\nf: 300_000\ng: 6-25\nh: true\ni:\non: 1\n"
    words = {"a": "no", "b": "010", "c": "2024-01-01", "d": "1:30", "g": "6-25"}
    assert parse_yaml(text, "x") == words | {"e": 1e-4, "f": 300_000, "h": True, "i": None, "on": 1}


def test_aliases_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    text = "name: 2024-01-01\nhparams: &h {lr: 1e-3}\ndatasets: [{name: dsprites_like, hparams: *h}]\nsteps: 1_000\n"
    path.write_bytes(b"\xef\xbb\xbf" + (text + "methods: [{name: vae, hparams: }]\nseeds: [0]\n").encode())
    suite = load_suite(str(path))
    assert (suite.name, suite.steps, suite.datasets[0].hparams) == ("2024-01-01", 1000, {"lr": 1e-3})


def test_every_spelling_of_a_precision_is_one_trial() -> None:
    for name, spellings in {"32-true": (32, "32", "32-true"), "16-mixed": (16, "16"), "bf16-mixed": ("bf16",)}.items():
        for spelling in spellings:
            assert canonical_precision(spelling) == name
            trial, _ = checked_trial({**TRIAL, "precision": spelling})
            assert trial.precision == name


def numbers_of_metrics() -> list[tuple[str, str]]:
    return [
        (metric, name)
        for metric in METRICS
        for name, parameter in metric_keywords(metric).items()
        if type(parameter.default) in (int, float)
    ]


@pytest.mark.parametrize(("metric", "name"), numbers_of_metrics())
def test_no_metric_takes_a_number_that_it_cannot_use(metric: str, name: str) -> None:
    for value in (-1, math.nan, math.inf, 1e9, True, "many", None, [1]):
        refused(f"{metric}.{name}", check_metric, metric, {name: value})
    default = metric_keywords(metric)[name].default
    assert check_metric(metric, {name: default}) == {name: default}


@pytest.mark.parametrize("metric", METRICS)
def test_words_that_a_metric_does_not_take_are_refused_before_it_is_called(metric: str) -> None:
    for name, parameter in metric_keywords(metric).items():
        if isinstance(parameter.default, str):
            refused(f"{metric}.{name}", check_metric, metric, {name: "nothing"})
            assert check_metric(metric, {name: parameter.default}) == {name: parameter.default}
    refused("nothing", check_metric, metric, {"nothing": 1})


@pytest.mark.parametrize("name", ["bins", "quantile", "captured", "model", "protocol", "correlation"])
def test_a_value_that_passes_the_check_is_one_that_the_metric_takes(name: str) -> None:
    """The ends of each range are tried on a small table."""
    factors = np.stack(np.meshgrid(np.arange(2), np.arange(2)), -1).reshape(-1, 2).repeat(40, 0)
    ends = {"bins": (2, 10_000), "quantile": (1e-9, 1), "captured": (0.5, 1)}
    few = {"train": 60, "test": 60, "few": 10}
    for metric in METRICS:
        known = metric_keywords(metric)
        if name not in known:
            continue
        for value in get_args(known[name].annotation) or ends.get(name) or get_args(LIMITS[name]):
            options = {key: number for key, number in few.items() if key in known}
            METRICS[metric](factors.astype(float), factors, **options, **check_metric(metric, {name: value}))


def test_numbers_in_words_become_numbers_before_a_metric_sees_them() -> None:
    assert check_metrics({"mig": {"bins": "30"}, "irs": None}) == {"mig": {"bins": 30}, "irs": {}}


@pytest.mark.parametrize(
    ("got", "known", "meant"),
    [
        ("mgi", METRICS, "mig"),
        ("frist", ["first", "full", "quick"], "first"),
        ("bta", ["beta", "lr"], "beta"),
        ("Beta-VAE", ["vae", "beta_vae"], "beta_vae"),
    ],
)
def test_the_nearest_name_is_offered(got: str, known: Any, meant: str) -> None:
    assert did_you_mean(got, known) == f" Did you mean {meant}?"
    assert did_you_mean("entirely else", known) == ""


def test_a_value_in_a_message_is_short() -> None:
    for value in (DEEP, {1: DEEP}, "x" * 10**6, [*range(10**6)], 10**5000, {"a": {"b": {"c": [1] * 99}}}):
        assert len(shown(value)) <= 80


@pytest.mark.parametrize("word", ["lr", "=1", "lr=[1", "lr={a: 1, a: 2}", "lr=" + "[" * 3000, "lr=!!set {a}", "lr=\0"])
def test_a_malformed_flag_is_refused_with_its_name(word: str) -> None:
    refused("--set", assignments, [word], "--set")


def test_a_flag_that_is_given_twice_is_refused() -> None:
    refused("'lr' twice", assignments, ["lr=1", "lr=2"], "--set")


@pytest.mark.parametrize("text", ["", "a", "1,,b", "-1", "1.5", HUGE, ",".join(map(str, range(2000)))])
def test_malformed_seeds_of_a_search_are_refused(text: str) -> None:
    refused("--seeds", seeds_of, text)


def test_a_batch_that_the_dataset_cannot_fill_is_refused_before_training() -> None:
    options = {"select": {"shape": 0, "scale": 0, "orientation": 0, "position_x": 0, "position_y": "0-3"}}
    refused("has 4", checked_trial, {**TRIAL, "dataset_options": options})


@pytest.mark.parametrize(
    ("named", "content"),
    [
        ("model_parms", {"model_parms": {}}),
        ("data_params", {"data_params": [1]}),
        ("exp_params", {"exp_params": "LR"}),
        ("train_batchsize", {"data_params": {"train_batchsize": 4}}),
        ("seed", {"exp_params": {"manual_seed": 1}, "logging_params": {"manual_seed": 2}}),
        ("lr", {"model_params": {"lr": 1}, "exp_params": {"LR": 2}}),
        ("max_epochs", {"trainer_params": {"max_epochs": 0}}),
        ("max_epochs", {"trainer_params": {"max_epochs": "many"}}),
        ("max_epochs", {"trainer_params": {"max_epochs": True}}),
        ("hparams", {"hparams": 3}),
    ],
)
def test_a_malformed_training_file_is_refused(named: str, content: dict[str, Any]) -> None:
    refused(named, training_file, content)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["train", "--method", "vae", "--dataset", "dsprites_like", "--steps", "1", "--precision", "64-true"],
            "precision",
        ),
        (
            ["train", "--method", "vae", "--dataset", "dsprites_like", "--steps", "1", "--precision", "fp16"],
            "16-mixed?",
        ),
        (["train", "--method", "vae", "--dataset", "dsprites_like", "--steps", "-1"], "steps"),
        (["train", "--method", "vae", "--dataset", "dsprites_like", "--steps", "1", "--seed", "-1"], "seed"),
        (["train", "--method", "bta_vae", "--dataset", "dsprites_like", "--steps", "1"], "Did you mean beta_vae?"),
        (["train", "--method", "vae", "--dataset", "dsprite_like", "--steps", "1"], "Did you mean dsprites_like?"),
        (["train", "--method", "vae", "--dataset", "dsprites_like"], "--steps must be given"),
        (["train", "--method", "vae", "--steps", "1"], "--dataset"),
        (["train", "--metrics", "mgi", "--method", "vae", "--dataset", "dsprites_like", "--steps", "1"], "mean mig?"),
        (["train", "--metric-option", "mig.bins=0", "--method", "vae", "--dataset", "dsprites_like"], "mig.bins"),
        (["run", "frist"], "Did you mean first?"),
        (["search", "vae", "dsprites_like", "--steps", "1", "--grid", "lr=[1]", "--seeds", "x"], "--seeds"),
        (["search", "vae", "dsprites_like", "--steps", "1", "--grid", "lr=[1]", "--precision", "fp16"], "precision"),
        (["list", "metrcs"], "Did you mean metrics?"),
        (["run", "quick", "--strategy", "dpp"], "Did you mean ddp?"),
        (["run", "quick", "--engine", "lcal"], "Did you mean local?"),
        (["run", "quick", "--only", "metod=vae"], "Did you mean method?"),
        (["estimators", "--device", "foo"], "--device"),
        (["estimators", "--profile", "quik"], "Did you mean quick?"),
    ],
)
def test_a_wrong_command_ends_with_status_two_and_writes_nothing(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.output.split())
    assert list(tmp_path.iterdir()) == []


def test_a_method_of_a_module_with_postponed_annotations_is_validated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "postponed.py").write_text(
        "from __future__ import annotations\n"
        "from typing import Annotated, TYPE_CHECKING\n"
        "from pydantic import Field\n"
        "from disbench.baselines.vae import VAE\n"
        "if TYPE_CHECKING:\n    from nowhere import Unknown\n"
        "class Postponed(VAE):\n"
        "    def __init__(self, image_shape, n_train, *, weight: float = 1.0, count: int = 2,\n"
        "                 share: Annotated[float, Field(le=1)] = 0.5, other: Unknown = 3.0, plain=4.0, **rest):\n"
        "        super().__init__(image_shape, n_train, **rest)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(METHODS, "postponed", importlib.import_module("postponed").Postponed)
    assert check_method("postponed", {"weight": 2, "count": 3, "share": 1}) == {"weight": 2, "count": 3, "share": 1}
    for name, value in {"weight": -3, "count": 1.5, "share": 2, "other": -1, "plain": math.nan}.items():
        refused(name, check_method, "postponed", {name: value})
