"""The script behind `make gpu`, on the CPU: every part of its report is made, and a part that fails stops no other."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "perf" / "gpu.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device, so nothing is skipped")
def test_without_a_device_it_says_so_and_succeeds(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--out", tmp_path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("skipped")
    assert not list(tmp_path.iterdir())


def test_every_part_is_in_the_report(script: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Both compile, which takes a minute here: test_compiled.py has that.
    monkeypatch.setitem(script["measure"].__globals__, "COMPILERS", {"eager": ""})
    words = ["--device", "cpu", "--steps", "6", "--seeds", "2", "--methods", "factor_vae", "--skip-tests"]
    status = script["main"]([*words, "--out", str(tmp_path)])
    report = (tmp_path / "cpu.md").read_text()
    content = json.loads((tmp_path / "cpu.json").read_text())
    assert content["failures"] == {}, report
    assert status == 0
    tables = content["tables"]
    assert set(tables) == {"Training", "Encoding and scoring", "Step", "Several seeds", "Resume"}
    assert [row["precision"] for row in tables["Training"]] == ["fp32", "TF32", "bf16"]
    assert tables["Training"][0]["mig - CPU"] == 0  # the same trial on the same device
    assert tables["Resume"] == [{"method": "factor_vae", "resumed at step": 3, "largest difference": 0.0}]
    (together,) = tables["Several seeds"]
    assert together["seeds"] == 2
    assert together["one model s"] > 0
    assert together["processes s"] > 0  # as their records say, so that a process that did nothing is a failure
    assert all(name in report for name in tables)


def test_a_part_that_fails_is_reported_and_the_others_are_run(script: dict[str, Any], tmp_path: Path) -> None:
    study = script["Study"]("cpu", 2, ["vae"], 2, {}, tmp_path)
    study.part("Step", lambda: 1 / 0, method="vae", form="eager")
    study.part("Step", lambda: {"ms per step": 1.5}, method="vae", form="compiled")
    report = script["markdown"](study, "a device")
    assert "- Step vae eager: ZeroDivisionError: division by zero" in report
    assert "| vae | compiled | 1.5 |" in report
