"""What a command imports: help and the commands that read records start without torch and what comes with it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from disbench.benchmarks import choices, views
from disbench.benchmarks.estimators.profiles import PROFILES
from disbench.metrics import METRICS, PROTOCOLS
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
        "from disbench.benchmarks.cli import app\n"
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
    program = "import sys\nfrom typer.testing import CliRunner\nfrom disbench.benchmarks.cli import app\n"
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
