"""Programs, modules and system files that may be absent: nothing fails without them, and nothing wrong is recorded."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.runtime import environment as environment_module, locks, optional
from disbench.benchmarks.runtime.environment import PACKAGES, code_version, environment, peaks, version_in
from disbench.benchmarks.runtime.optional import module, output_of, package_version, signals, system_lines

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("disbench")
SUITE = {
    "name": "tiny",
    "datasets": [
        {
            "name": "dsprites_like",
            "options": {"select": {"shape": 1, "orientation": "0-3", "position_x": "10-13", "position_y": "10-13"}},
        }
    ],
    "methods": [{"name": "vae"}],
    "hparams": {"network": "mlp", "hidden_dim": 8},
    "seeds": [0],
    "steps": 2,
    "batch_size": 16,
    "metrics": {"mig": {}},
    "untrained": False,
}


def program(folder: Path, name: str, content: str) -> str:
    """A PATH with one program."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content)
    (folder / name).chmod(0o755)
    return str(folder)


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def package(root: Path) -> Path:
    """A file where `environment.py` lies in a checkout and in an installed package."""
    (root / "benchmarks").mkdir(parents=True)
    path = root / "benchmarks" / "environment.py"
    path.write_text("")
    return path


def test_a_trial_is_trained_without_programs_and_without_a_home(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(yaml.safe_dump(SUITE))
    bare = {"PATH": "/nonexistent", "OMP_NUM_THREADS": "1", "LC_ALL": "C"}
    ran = subprocess.run(
        [COMMAND, "run", suite, "--out", tmp_path / "runs"], env=bare, cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    (path,) = (tmp_path / "runs").glob("*/record.json")
    record = json.loads(path.read_text())
    assert record["status"] == "ok"
    assert record["environment"]["code"] in ("unknown", "installed")


@pytest.mark.parametrize("content", ["#!/bin/sh\nexit 3\n", "#!/nonexistent\n", "no program"])
def test_a_program_that_fails_says_nothing(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", program(tmp_path / "bin", "git", content))
    assert output_of(["git", "describe"], tmp_path) is None
    file = package(tmp_path / "checkout")
    (tmp_path / "checkout" / ".git").mkdir()
    assert version_in(file) == "unknown"


def test_a_program_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    script = program(tmp_path / "bin", "hangs", "#!/bin/sh\nsleep 60 &\necho $! > pid\nwait\n")
    began = time.monotonic()
    assert output_of([f"{script}/hangs"], tmp_path, patience=0.5) is None
    assert time.monotonic() - began < 20
    number = int((tmp_path / "pid").read_text())
    for _ in range(50):
        status = system_lines(f"/proc/{number}/status")
        if not status or any(line.startswith("State:\tZ") for line in status):
            break
        time.sleep(0.1)
    else:
        pytest.fail("what the program started is still running")


def test_the_version_of_a_checkout_is_its_commit(tmp_path: Path) -> None:
    file = package(tmp_path)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True).stdout.strip()
    assert version_in(file) == head[:12]
    file.write_text("changed")
    assert version_in(file) == head[:12] + "+changes"


def test_the_repository_around_an_installed_package_is_not_its_version(tmp_path: Path) -> None:
    file = package(tmp_path / ".venv" / "lib" / "site-packages" / "disbench")
    (tmp_path / "own.txt").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "own.txt")
    git(tmp_path, "commit", "-qm", "somebody's")
    assert version_in(file) == "installed"
    git(tmp_path, "add", "-f", ".")
    git(tmp_path, "commit", "-qm", "somebody keeps his environment, too")
    assert version_in(file) == "installed"


def test_a_repository_that_does_not_hold_the_file_is_not_its_version(tmp_path: Path) -> None:
    file = package(tmp_path)
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "--allow-empty", "-qm", "empty")
    assert version_in(file) == "unknown"


def test_variables_that_name_another_repository_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = version_in(ROOT / "benchmarks" / "__init__.py")
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    git(other, "commit", "--allow-empty", "-qm", "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert version_in(ROOT / "benchmarks" / "__init__.py") == expected


def test_a_record_names_the_environment_without_git_resource_proc_and_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    code_version.cache_clear()
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(environment_module, "system_lines", lambda path: [])
    try:
        assert environment(torch.device("cpu"))["code"] in ("unknown", "installed")
    finally:
        code_version.cache_clear()
    assert peaks(torch.device("cpu")) == {}
    assert module("resource") is None
    assert package_version("no-such-package") == "unknown"
    assert all(package_version(name) != "unknown" for name in PACKAGES)


def test_the_peak_of_memory_is_read_with_or_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = peaks(torch.device("cpu"))["resident"]
    monkeypatch.setattr(environment_module, "system_lines", lambda path: [])
    assert peaks(torch.device("cpu"))["resident"] == pytest.approx(usual, rel=0.5)


def test_signals_that_a_system_lacks_are_left_out() -> None:
    assert signals("SIGTERM", "SIGNEVER") == (signal.SIGTERM,)


def test_windows_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional.sys, "platform", "win32")
    result = CliRunner().invoke(app, ["list", "metrics"])
    monkeypatch.undo()
    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1
    assert "Linux and macOS" in result.output


def test_a_file_system_without_locks_is_used_without_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoLocks:
        def __init__(self, *_: object) -> None: ...

        def acquire(self, **_: object) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks, "FileLock", NoLocks)
    with locks.try_lock(tmp_path / "trial") as ours:
        assert ours


def test_nothing_else_runs_a_program_or_imports_a_module_that_may_be_absent() -> None:
    wanted = ("subprocess", "import resource", "import fcntl", "import pwd", "os.fork", "SIGUSR")
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for folder in ("baselines", "benchmarks", "datasets", "metrics", "mine_vae", "reports")
        for path in (ROOT / folder).rglob("*.py")
        for word in wanted
        if word in path.read_text() and path.name != "optional.py"
    ]
    assert set(found) <= {
        "benchmarks/training/checkpoint.py: SIGUSR",
        "benchmarks/training/experimental/data_parallel.py: SIGUSR",
    }
