"""What a command imports: help and the commands that read records start without torch and what comes with it."""

import gc
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.cli.terminal.commands import COMMANDS as HELP, without_garbage_collection
from disbench.benchmarks.estimators.profiles import PROFILES
from disbench.benchmarks.settings import choices
from disbench.metrics import METRICS, PROTOCOLS, views
from disbench.reports import export
from disbench.reports.records import RECORD_FILE, Record, Trial

TRAINING = ("torch", "torchvision", "torchmetrics", "pytorch_lightning")
NUMBERS = ("sklearn", "scipy", "pandas", "matplotlib")
COMMANDS = (
    ["run"],
    ["search"],
    ["train"],
    ["evaluate"],
    ["traverse"],
    ["score"],
    ["profile"],
    ["estimators"],
    ["data", "info"],
    ["compare"],
)


def imported(*arguments: str | Path) -> set[str]:
    """The packages that a process of the command has imported at its end, which has to be a success."""
    program = (
        "import json, sys\n"
        "from disbench.benchmarks.cli.main import app\n"
        "try:\n    app(sys.argv[1:])\n"
        "except SystemExit as end:\n    status = end.code or 0\n"
        "names = sorted({name.partition('.')[0] for name in sys.modules})\n"
        "print(json.dumps([status, names]), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    status, names = json.loads(done.stderr.splitlines()[-1])
    assert status == 0, done.stdout + done.stderr
    return set(names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the records of two methods."""
    out = tmp_path_factory.mktemp("records")
    for method in ("vae", "beta_vae"):
        trial = Trial(
            method=method,
            dataset="shapes3d_like",
            dataset_version="1",
            seed=0,
            steps=1,
            batch_size=64,
            precision="32-true",
            rows=10,
        )
        record = Record(trial=trial, status="ok", views={"mean": {"mig": 0.5}}, provenance="procedural")
        (out / trial.id).mkdir()
        (out / trial.id / RECORD_FILE).write_text(record.model_dump_json(), encoding="utf-8")
    return out


def test_help_imports_nothing_that_computes() -> None:
    assert not imported("--help") & {*TRAINING, *NUMBERS}


def test_help_of_no_command_imports_what_the_command_works_with() -> None:
    program = "import sys\nfrom typer.testing import CliRunner\nfrom disbench.benchmarks.cli.main import app\n"
    program += (
        f"for words in {COMMANDS!r}:\n    assert CliRunner().invoke(app, [*words, '--help']).exit_code == 0, words\n"
    )
    program += "print(*sys.modules)\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {*TRAINING, *NUMBERS}


def test_status_and_merge_import_nothing_that_computes(folder: Path, tmp_path: Path) -> None:
    assert not imported("status", folder) & {*TRAINING, *NUMBERS}
    assert not imported("merge", tmp_path / "merged", folder) & {*TRAINING, *NUMBERS}


@pytest.mark.parametrize("words", [["export"], ["report"], ["compare", "vae", "beta_vae"]], ids=lambda words: words[0])
def test_commands_that_read_records_import_no_torch(words: list[str], folder: Path) -> None:
    assert not imported(*words, folder) & {*TRAINING}


def test_the_package_gives_its_methods_without_importing_torch_before() -> None:
    program = "import sys, disbench.benchmarks as b\nassert 'torch' not in sys.modules\nprint(*b.METHODS)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "mine_vae" in done.stdout.split()


def test_the_package_has_no_other_name() -> None:
    import disbench.benchmarks

    with pytest.raises(AttributeError, match="METHOD"):
        _ = disbench.benchmarks.METHOD


def test_what_options_offer_is_what_there_is() -> None:
    assert set(choices.DEFAULT_METRICS) <= set(METRICS)
    assert tuple(PROTOCOLS) == choices.PROTOCOL_NAMES
    assert tuple(PROFILES) == choices.PROFILE_NAMES
    assert views.VIEWS == choices.VIEWS
    assert get_args(choices.Format) == get_args(export.Format)
    assert get_args(choices.Statistic) == get_args(export.Statistic)


def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from leaves(inner, (*words, name))
    if not hasattr(command, "commands"):
        yield words


EVERY = sorted(leaves(typer.main.get_command(app)))


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_help_has_an_example_that_runs_that_command_and_says_what_is_written(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert f"Example: disbench {' '.join(words)}" in result.output
    assert "Writes " in result.output


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_option_says_what_it_does_and_what_holds_without_it(words: tuple[str, ...]) -> None:
    command = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    for parameter in command.params:
        assert parameter.help, f"{parameter.name} has no help"
    shown = " ".join(CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200"}).output.split())
    for parameter in command.params:
        if parameter.required:
            assert "[required]" in shown
        elif isinstance(parameter.default, int | float | str) and not isinstance(parameter.default, bool):
            default = "(none)" if parameter.default == "" else parameter.default
            assert f"[default: {default}]" in shown, parameter.name


def test_train_marks_what_is_required_and_shows_its_defaults() -> None:
    shown = " ".join(CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "200"}).output.split())
    for option in ("--method", "--dataset", "--steps"):
        assert re.search(rf"{option} <?\w+>? Required, here or in the YAML file", shown)
    for option, default in (("--seed", "0"), ("--batch-size", "64"), ("--precision", "32-true"), ("--rows", "100000")):
        assert re.search(rf"{option} [^\[]*\[default: \(?{default}\)?\]", shown), option


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"disbench {version('disbench')}\n")


def test_without_arguments_there_is_help() -> None:
    assert "Usage:" in CliRunner().invoke(app, []).output


@pytest.mark.parametrize("words", [["score", "nowhere.npz"], ["list", "methods"]], ids=" ".join)
def test_a_command_that_loads_much_says_so_first(words: list[str]) -> None:
    program = "import sys\nfrom disbench.benchmarks.cli.main import app\napp(sys.argv[1:])\n"
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert re.match(r"\d\d:\d\d:\d\d disbench \S+: loading ", done.stderr)


def test_loading_leaves_garbage_collection_as_it_was() -> None:
    assert gc.isenabled()
    with without_garbage_collection():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_every_module_that_a_command_loads_is_there() -> None:
    for command in HELP.values():
        for name in command.loads:
            importlib.import_module(name)
    assert {" ".join(words) for words in EVERY} == set(HELP)


def test_the_metrics_are_listed_without_what_they_compute_with() -> None:
    program = "import sys, disbench.metrics as m\nassert m.METRICS['dci_completeness']\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"sklearn", "pandas", "matplotlib", "scipy.stats", "scipy.optimize", "torch"}
