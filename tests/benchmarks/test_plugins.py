"""Methods, metrics and datasets of others: of installed packages, of files that --plugin names, in every process of a run."""

import importlib
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import yaml
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.plugins import packages, registries
from disbench.benchmarks.plugins.files import load_plugin, load_sources, loaded
from disbench.benchmarks.plugins.registries import KINDS, registry
from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.studies.engines import Job, job, run_job
from disbench.benchmarks.studies.engines.slurm import slurm_engine
from disbench.benchmarks.studies.engines.stacked import stacked_engine
from disbench.benchmarks.studies.run import planned, run_suite
from disbench.benchmarks.studies.status import begun_with_others
from disbench.benchmarks.studies.suite import load_suite
from disbench.reports.records import Record, UsedPlugin, read_record

METHOD = """
from disbench.baselines.beta_vae import BetaVAE
from disbench.benchmarks import METHODS

class Mine(BetaVAE):
    data_parallel = True

METHODS["mine"] = Mine
"""
METRIC = """
from dataclasses import replace
from disbench.metrics import METRICS

METRICS["half"] = replace(METRICS["mig"], label="Half")
"""
DATASET = """
import torch
from disbench.datasets import DATASETS, FactorDataset, FactorSpace

class Squares(FactorDataset):
    name, version, provenance, image_shape = "squares", "1", "procedural", (1, 64, 64)
    space = FactorSpace(("row", "shade"), (16, 8))

    def __init__(self, root=None):
        pass

    def batch(self, indices):
        row, shade = self.factors(indices).unbind(1)
        lines = torch.arange(64) // 4 == row[:, None]
        return (lines[:, None, :, None] * (31 * (shade + 1))[:, None, None, None]).expand(-1, 1, 64, 64).to(torch.uint8)

DATASETS["squares"] = Squares
"""
SUITE = {
    "name": "mine",
    "plugins": ["plugins/mine.py"],
    "datasets": [{"name": "squares"}],
    "methods": [{"name": "mine"}],
    "metrics": {"half": {}},
    "hparams": {"network": "mlp", "hidden_dim": 8},
    "seeds": [0, 1],
    "steps": 2,
    "batch_size": 16,
    "untrained": False,
}


def forget() -> None:
    """As in a process that has loaded no plugin and looked at no package."""
    registries.SOURCES.clear()
    packages._refused.clear()
    packages.offered.cache_clear()
    job._opened.cache_clear()
    for kind in KINDS:
        registry(kind).clear()
        registry(kind).update(registries.built_in(kind))
    for name in [name for name in sys.modules if name.startswith(("disbench_plugin_", "plug_"))]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    forget()
    yield
    forget()


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite file beside the folder of its plugin."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "mine.py").write_text(METHOD + METRIC + DATASET)
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(SUITE))
    return tmp_path / "suite.yaml"


def called(*words: str | Path) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})


def told(result: Any) -> str:
    return " ".join(result.output.split())


def package(folder: Path, name: str, code: str, *entries: str) -> str:
    """Install a package of one module, plug_NAME, with entry points such as 'methods: mine = Mine'."""
    (folder / f"plug_{name}.py").write_text(code)
    info = folder / f"plug_{name}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plug-{name}\nVersion: 1.5\n")
    lines = [entry.partition(": ") for entry in entries]
    points = [f"[disbench.{kind}]\n{point.replace('= ', f'= plug_{name}:')}\n" for kind, _, point in lines]
    (info / "entry_points.txt").write_text("\n".join(points))
    importlib.invalidate_caches()
    return f"plug_{name}"


# Installed packages


def test_an_installed_package_is_imported_when_one_of_its_names_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module = package(tmp_path, "good", METHOD, "methods: mine = Mine")
    assert packages.provide("method", "vae")
    assert "mine" in packages.names("method")
    assert module not in sys.modules
    assert packages.provide("method", "mine")
    assert registry("method")["mine"] is sys.modules[module].Mine
    (used,) = registries.used([("method", "mine"), ("dataset", "dsprites_like")])
    assert (used.name, used.version, used.used_for) == ("plug-good", "1.5", ["method mine"])


def test_all_that_packages_have_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    code = METHOD + METRIC + DATASET + "\nhalf = METRICS['half']"
    package(tmp_path, "all", code, "methods: mine = Mine", "metrics: half = half", "datasets: squares = Squares")
    words = told(called("list"))
    assert re.search(r"mine . beta=", words)
    assert re.search(r"half . higher", words)
    assert re.search(r"squares . plugin plug-all 1\.5", words)


BROKEN = {
    "import": ("import no_such_module_at_all", "Mine", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
    "exit": ("raise SystemExit(3)", "Mine", "SystemExit: 3"),
    "type": ("Mine = 3", "Mine", "needs a class derived from disbench.baselines.method.Method, got 3"),
    "attribute": ("", "Mine", "has no attribute 'Mine'"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_package_is_left_out_with_its_name_and_breaks_nothing_else(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    code, name, reason = BROKEN[kind]
    package(tmp_path, "bad", code, f"methods: broken = {name}")
    package(tmp_path, "good", METHOD, "methods: mine = Mine")
    packages.provide_all("method")
    (line,) = caplog.messages
    assert "plug-bad" in line
    assert reason in line
    assert "\n" not in line
    assert "mine" in registry("method")
    assert "broken" not in registry("method")
    result = called("train", "--method", "broken", "--dataset", "dsprites_like", "--steps", "1")
    assert result.exit_code == 2
    assert reason in told(result)


def test_names_that_are_taken_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    package(tmp_path, "one", METHOD, "methods: vae = Mine", "methods: both = Mine")
    package(tmp_path, "two", METHOD, "methods: both = Mine", "methods: ../up = Mine")
    packages.provide_all("method")
    assert len(caplog.messages) == 3
    assert any("plug-one" in line and "vae" in line and "taken by disbench" in line for line in caplog.messages)
    assert any("plug-one and plug-two both" in line for line in caplog.messages)
    assert any("plug-two" in line and "name needs 1 to 100 letters" in line for line in caplog.messages)
    assert registry("method") == registries.built_in("method")
    with pytest.raises(ValueError, match="plug-one and plug-two both"):
        packages.provide("method", "both")


def test_what_a_package_registers_besides_its_entry_point_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    package(tmp_path, "greedy", METHOD + "METHODS['vae'] = METHODS['other'] = Mine", "methods: mine = Mine")
    assert packages.provide("method", "mine")
    assert {*registry("method")} - {*registries.built_in("method")} == {"mine"}
    assert registry("method")["vae"] is registries.built_in("method")["vae"]


def test_help_and_status_look_at_no_package(suite: Path) -> None:
    program = "import sys\nfrom disbench.benchmarks.cli.main import app\n"
    program += "try:\n    app(sys.argv[1:])\nexcept SystemExit:\n    print(*sys.modules, file=sys.stderr)\n"
    for words in (["--help"], ["status", str(suite.parent)]):
        done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
        assert not [name for name in done.stderr.split() if name.startswith("disbench.benchmarks.plugins")]


# Files


def test_every_command_that_takes_names_takes_plugins() -> None:
    def with_plugin(command: Any, words: tuple[str, ...] = ()) -> Iterator[str]:
        for name, inner in getattr(command, "commands", {}).items():
            yield from with_plugin(inner, (*words, name))
        if any("--plugin" in parameter.opts for parameter in command.params):
            yield " ".join(words)

    data = {f"data {name}" for name in ("list", "info", "download", "verify", "preview")}
    one = {"run", "search", "train", "list", "score", "evaluate", "traverse", "profile", "report", "export", "compare"}
    one |= {"select"}
    assert {*with_plugin(typer.main.get_command(app))} == data | one | {"metrics stress"}


def test_a_file_is_used_by_train_evaluate_score_and_data(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(suite.parent)
    plugin = ["--plugin", "plugins/mine.py"]
    words = ["--method", "mine", "--dataset", "squares", "--steps", "1", "--batch-size", "8", "--metrics", "half"]
    result = called("train", *words, "--set", "network=mlp", "--set", "hidden_dim=8", *plugin, "--out", "runs")
    assert result.exit_code == 0, result.output
    assert "Half" in result.output
    (path,) = Path("runs").glob("mine-squares-*/record.json")
    assert "--plugin plugins/mine.py" in read_record(path).command
    result = called("evaluate", path.with_name("model.ckpt"), "--metrics", "half", *plugin)
    assert result.exit_code == 0, result.output
    codes = np.random.default_rng(0).normal(size=(100, 2))
    np.savez("t.npz", codes=codes, factors=(codes > 0).astype(int))
    assert "Half" in called("score", "t.npz", "--metrics", "half", *plugin).output
    assert "squares" in called("data", "info", "squares", *plugin).output
    assert called("data", "preview", "squares", *plugin).exit_code == 0

    forget()
    result = called("evaluate", path.with_name("model.ckpt"))
    assert result.exit_code == 2
    assert re.search(
        r"names the plugin mine\.py \(sha256 \w{12}\) for method mine.*: add --plugin mine\.py", told(result)
    )


MALFORMED = {
    "syntax": ("x = 1\nclass 3:\n", r"line 2: SyntaxError: invalid syntax"),
    "error": (METHOD + "\n1 / 0\n", r"line 10: ZeroDivisionError: division by zero"),
    "nothing": ("x = 1\n", r"registers nothing\. It needs a line such as METHODS"),
    "type": (
        "from disbench.benchmarks import METHODS\nMETHODS['m'] = dict\n",
        r"the method m needs a class derived from",
    ),
    "function": (
        "from disbench.metrics import METRICS\nMETRICS['m'] = len\n",
        r"the metric m needs a disbench.metrics.M",
    ),
    "dataset": (
        "from disbench.datasets import DATASETS\nDATASETS['d'] = dict\n",
        r"the dataset d needs a class derived",
    ),
    "built in": (METHOD + "METHODS['vae'] = Mine\n", r"registers the method vae, a name that is taken by disbench"),
    "name": (METHOD + "METHODS['../up'] = Mine\n", r"A method name needs 1 to 100 letters"),
    "unguarded": (
        "from disbench.benchmarks.cli.main import app\napp(['--help'])\n",
        r"it ends the process\. Call app\(\)",
    ),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_plugin_is_one_line_and_registers_nothing(kind: str, tmp_path: Path) -> None:
    code, reason = MALFORMED[kind]
    path = tmp_path / "bad.py"
    path.write_text(code)
    result = called("list", "methods", "--plugin", path)
    assert result.exit_code == 2
    assert str(path) in result.output
    assert re.search(reason, told(result))
    assert "Traceback" not in result.output
    assert [dict(registry(kind)) for kind in KINDS] == [registries.built_in(kind) for kind in KINDS]
    assert loaded() == ()


def test_a_plugin_that_is_not_there_is_named(tmp_path: Path) -> None:
    for word in (tmp_path / "gone.py", "no_such_module_at_all", "no.such.module", tmp_path):
        result = called("list", "metrics", "--plugin", word)
        assert result.exit_code == 2
        assert f"The plugin {word} cannot be read" in told(result)


def test_two_plugins_cannot_have_one_name_nor_register_one_name(tmp_path: Path) -> None:
    for folder, name in (("a", "x.py"), ("b", "x.py"), ("b", "y.py")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(METHOD)
    load_plugin(str(tmp_path / "a" / "x.py"))
    with pytest.raises(ValueError, match=r"Two plugins are called x\.py"):
        load_plugin(str(tmp_path / "b" / "x.py"))
    with pytest.raises(ValueError, match=r"the method mine, a name that is taken by the plugin x\.py"):
        load_plugin(str(tmp_path / "b" / "y.py"))


def test_a_file_is_not_a_second_source_of_a_packages_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    package(tmp_path, "good", METHOD, "methods: mine = Mine")
    (tmp_path / "x.py").write_text(METHOD)
    with pytest.raises(ValueError, match="taken by the installed package plug-good"):
        load_plugin(str(tmp_path / "x.py"))


@pytest.mark.parametrize("before", [False, True], ids=["first", "imported before"])
def test_a_module_is_a_plugin_by_its_name(before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "plug_module.py").write_text(METHOD)
    if before:
        importlib.import_module("plug_module")
    source = load_plugin("plug_module")
    assert registry("method")["mine"].__module__ == "plug_module"
    assert (source.name, source.sha256) == ("plug_module", registries.sha256_of(tmp_path / "plug_module.py"))


def test_a_file_runs_once_a_process_and_may_import_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "plug_beside.py").write_text("runs = []\n")
    (tmp_path / "mine.py").write_text(METHOD + "import plug_beside\nplug_beside.runs.append(1)\n")
    first = load_plugin("mine.py", tmp_path)
    assert load_plugin(str(tmp_path / "mine.py")) == first
    load_sources(loaded())
    assert sys.modules["plug_beside"].runs == [1]


@pytest.mark.parametrize("kind", ["package", "file"])
def test_a_plugins_metric_has_its_label_in_reports(
    kind: str, suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(run_suite(load_suite(str(suite)), tmp_path / "runs", only={"seed": ["0"]}))
    forget()
    words = ["export", tmp_path / "runs", "--format", "markdown"]
    assert "half ?" in called(*words).output
    if kind == "package":
        monkeypatch.syspath_prepend(str(tmp_path))
        package(tmp_path, "half", METRIC + "half = METRICS['half']", "metrics: half = half")
        packages.offered.cache_clear()
        assert "Half ↑" in called(*words).output
    else:
        assert "Half ↑" in called(*words, "--plugin", suite.parent / "plugins" / "mine.py").output


# Workers


def test_a_worker_refuses_another_file_of_the_same_name(suite: Path, tmp_path: Path) -> None:
    (entry, _) = planned(load_suite(str(suite)))
    sources = loaded()
    forget()
    plugin = suite.parent / "plugins" / "mine.py"
    plugin.write_text(plugin.read_text() + "\n# another\n")
    record = run_job(Job(entry.trial, tmp_path, None, entry.metrics, Machine(), plugins=sources))
    assert record is not None
    assert record.status == "failed"
    assert re.search(
        r"mine\.py is not the file that the command began with: sha256 \w{12} is needed", record.error or ""
    )
    assert "mine" not in registry("method")


def test_a_plugins_class_is_unpickled_by_a_process_that_has_loaded_it(suite: Path) -> None:
    load_suite(str(suite))
    content = pickle.dumps((loaded(), pickle.dumps(registry("method")["mine"])))
    forget()
    sources, inner = pickle.loads(content)
    load_sources(sources)
    assert pickle.loads(inner) is registry("method")["mine"]


def results(records: list[Record]) -> dict[str, Any]:
    assert all(record.status == "ok" for record in records), [record.error for record in records]
    assert all([plugin.name for plugin in record.plugins] == ["mine.py"] for record in records)
    return {record.trial.id: (record.views, record.curves) for record in records}


def test_a_suites_plugins_run_in_jobs_of_submitit_and_stacked(suite: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    here = results(list(run_suite(load_suite(str(suite)), tmp_path / "here")))
    engine = slurm_engine(cluster="local", settings={"time": 5}, workers=2)
    assert results(list(run_suite(load_suite(str(suite)), tmp_path / "jobs", engine=engine))) == here
    stacked = results(list(run_suite(load_suite(str(suite)), tmp_path / "stacked", engine=stacked_engine(2))))
    assert stacked.keys() == here.keys()
    (record, *_) = (read_record(path) for path in (tmp_path / "jobs").glob("*/record.json"))
    digest = registries.sha256_of(suite.parent / "plugins" / "mine.py")
    what = ["method mine", "dataset squares", "metric half"]
    assert record.plugins == [UsedPlugin(name="mine.py", sha256=digest, used_for=what)]
    assert f"--plugin {suite.parent}/plugins/mine.py" in record.command


def test_a_plugin_trains_on_several_devices(suite: Path, tmp_path: Path) -> None:
    suite.write_text(yaml.safe_dump(SUITE | {"seeds": [0]}))
    machine = Machine(devices=2, accelerator="cpu")
    (record,) = run_suite(load_suite(str(suite)), tmp_path / "devices", machine=machine)
    assert record.status == "ok", record.error


def test_a_script_that_registers_something_reaches_workers_as_a_plugin(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    lines = "\nif __name__ == '__main__':\n    from disbench.benchmarks.plugins.files import loaded\n"
    script.write_text(METHOD + lines + "    import pickle, sys\n    sys.stdout.buffer.write(pickle.dumps(loaded()))\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, check=True)
    (source,) = pickle.loads(done.stdout)
    assert (source.name, source.place) == ("script.py", str(script))
    load_sources([source])
    assert "mine" in registry("method")


# Changes


def test_a_plugin_that_was_changed_under_one_version_is_told_and_a_new_version_runs_again(
    suite: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, plugin = tmp_path / "runs", suite.parent / "plugins" / "mine.py"
    assert called("run", suite, "--out", out).exit_code == 0
    forget()
    plugin.write_text(plugin.read_text() + "\n# a change\n")
    caplog.clear()
    result = called("run", suite, "--out", out, "--only", "seed=0")
    assert result.exit_code == 0
    (line,) = [line for line in caplog.messages if "has changed" in line]
    assert re.search(
        r"mine\.py has changed \(was \w{12}, is \w{12}\), but the version of its method mine has not", line
    )
    assert len([*out.glob("mine-*")]) == 2  # nothing was run again
    words = told(called("status", out))
    assert re.search(r"method mine, version 1, of mine\.py, was changed between trials here \(\w{12}, \w{12}\)", words)
    forget()
    plugin.write_text(plugin.read_text().replace("data_parallel = True", "data_parallel = True; version = 2"))
    caplog.clear()
    assert called("run", suite, "--out", out).exit_code == 0
    assert not [line for line in caplog.messages if "method mine has not" in line]
    assert len([*out.glob("mine-*")]) == 4


def test_an_unfinished_trial_that_goes_on_with_a_changed_plugin_is_told(
    suite: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, plugin = tmp_path / "runs", suite.parent / "plugins" / "mine.py"
    list(run_suite(load_suite(str(suite)), out))
    (folder, _) = sorted(out.glob("mine-*"))
    record = read_record(folder / "record.json")
    (folder / "record.json").unlink()
    (folder / "trial.json").write_text(record.trial.model_dump_json())
    assert begun_with_others(out, record.plugins) == []
    forget()
    plugin.write_text(plugin.read_text() + "\n# a change\n")
    list(run_suite(load_suite(str(suite)), out))
    assert "method mine, version 1, of mine.py has changed since 1 unfinished trial" in " ".join(caplog.messages)


def test_scores_of_a_changed_metric_do_not_rewrite_what_trained(suite: Path, tmp_path: Path) -> None:
    out, plugin = tmp_path / "runs", suite.parent / "plugins" / "mine.py"
    trained = next(iter(run_suite(load_suite(str(suite)), out))).plugins[0].sha256
    forget()
    plugin.write_text(plugin.read_text().replace('label="Half"', 'label="Half", version=9'))
    record = next(iter(run_suite(load_suite(str(suite)), out)))
    now = registries.sha256_of(plugin)
    noted = [(used.sha256, used.used_for) for used in record.plugins]
    assert noted == [(trained, ["method mine", "dataset squares"]), (now, ["metric half"])]
    assert record.metric_versions == {"half": 9}


def test_a_record_without_plugins_is_read(suite: Path, tmp_path: Path) -> None:
    record = next(iter(run_suite(load_suite(str(suite)), tmp_path)))
    path = tmp_path / record.trial.id / "record.json"
    content = json.loads(path.read_text())
    del content["plugins"]
    path.write_text(json.dumps(content))
    assert read_record(path).plugins == []
