"""Old names of modules: they import the module at its new place, once, and say so."""

import subprocess
import sys

import pytest

OLD = {
    "benchmarks.score": "benchmarks.trials.score",
    "benchmarks.train": "benchmarks.training.loop",
    "benchmarks.views": "metrics.views",
    "benchmarks.engines": "benchmarks.studies.engines",
    "benchmarks.engines.slurm": "benchmarks.studies.engines.slurm",
    "datasets.own": "datasets.imported.dataset",
    "datasets.dsprites": "datasets.official.dsprites",
    "reports.aggregate": "reports.tables.aggregate",
    "reports.compare": "reports.comparison",
    "reports.fairness": "reports.tables.notices",
}


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, timeout=120)


def test_an_old_name_is_the_module_at_its_new_place_and_warns() -> None:
    lines = [
        f"import disbench.{old}, disbench.{new}\n"
        f"assert sys.modules['disbench.{old}'] is sys.modules['disbench.{new}'], {old!r}\n"
        f"assert sys.modules['disbench.{new}'].__spec__.name == 'disbench.{new}', {old!r}"
        for old, new in OLD.items()
    ]
    done = python("import sys\n" + "\n".join(lines))
    assert done.returncode == 0, done.stderr
    for old, new in OLD.items():
        assert f"DeprecationWarning: disbench.{old} is disbench.{new} now." in done.stderr


def test_the_command_keeps_its_old_name() -> None:
    done = python(
        "from disbench.benchmarks.cli import app\nfrom disbench.benchmarks.cli.main import app as new\nassert app is new"
    )
    assert done.returncode == 0, done.stderr
    assert "DeprecationWarning: disbench.benchmarks.cli.app" in done.stderr


def test_every_old_name_leads_to_a_module() -> None:
    found = python(
        "import importlib.util, sys\n"
        "import disbench.benchmarks, disbench.datasets, disbench.reports\n"
        "from disbench.datasets.moved import MovedModules\n"
        "finders = [finder for finder in sys.meta_path if isinstance(finder, MovedModules)]\n"
        "assert len(finders) == 3\n"
        "for finder in finders:\n"
        "    for new in finder.moved.values():\n"
        "        assert importlib.util.find_spec(new) is not None, new\n"
    )
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("name", ["disbench.benchmarks.nothing", "disbench.datasets.moved.nothing"])
def test_a_name_that_never_was_is_not_found(name: str) -> None:
    assert "ModuleNotFoundError" in python(f"import {name}").stderr
