"""Check and time everything on a CUDA device, and write results/gpu/NAME.md and NAME.json. `make gpu`.

    python tests/perf/gpu.py                        # on the first CUDA device; without one it says so and exits with 0
    python tests/perf/gpu.py --device cpu --steps 8 --methods vae --skip-tests      # the same on a CPU, to try the script

It runs the tests of device placement; trains each method in fp32, TF32 and bf16 and compares its scores with the CPU's; times a
training step eager, compiled and as CUDA graphs, encoding and scoring; trains several seeds as one model and in one process each;
and stops and resumes a training. A part that fails is in the report with its reason, and the others are still run.
"""

# ruff: noqa: T201 -- a script for the terminal

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from disbench.benchmarks import METHODS
from disbench.benchmarks.runtime.environment import environment
from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.settings.command import reproducing_command
from disbench.benchmarks.settings.defaults import resolved_trial
from disbench.benchmarks.training.loop import train
from disbench.benchmarks.trials.tables.tables import read_named_table
from disbench.benchmarks.trials.trial import run_trial
from disbench.datasets import FactorDataset, load
from disbench.datasets.factors.selection import DerivedDataset
from disbench.reports.records import RECORD_FILE, Trial, read_record

ROOT = Path(__file__).parents[2]
DEVICE_TESTS = ("tests/baselines", "tests/mine_vae", "tests/datasets/test_contract.py", "tests/datasets/test_store.py")
DATASET = "dsprites_like"
METRICS: dict[str, dict[str, Any]] = {"mig": {}, "sap": {}, "irs": {}}
PRECISIONS = {"fp32": ("32-true", False), "TF32": ("32-true", True), "bf16": ("bf16-mixed", False)}
COMPILERS = {"eager": "", "compiled": "inductor", "CUDA graphs": "cudagraphs"}
Rows = list[dict[str, Any]]


@dataclass
class Study:
    """What is measured, and the rows of each table of the report."""

    device: str
    steps: int
    methods: Sequence[str]
    seeds: int
    select: dict[str, str | int]
    folder: Path
    batch_size: int = 64
    hparams: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, Rows] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def machine(self, **options: Any) -> Machine:
        return Machine(accelerator=self.device, **options)

    def dataset(self) -> FactorDataset:
        return load(DATASET, select=self.select)

    def trial(self, method: str, seed: int = 0, steps: int | None = None, precision: str = "32-true") -> Trial:
        return resolved_trial(
            Trial(
                method=method,
                dataset=DATASET,
                dataset_options={"select": self.select},
                dataset_version=self.dataset().version,
                seed=seed,
                steps=self.steps if steps is None else steps,
                batch_size=self.batch_size,
                precision=precision,
                rows=10_000,
                hparams=self.hparams,
            )
        )

    def part(self, table: str, make: Callable[[], dict[str, Any]], **names: str) -> None:
        """Add a row to a table. An error becomes a failure of the report, and the script then exits with 1."""
        what = " ".join((table, *names.values()))
        print(f"{what} ...", flush=True)
        try:
            self.tables.setdefault(table, []).append({**names, **make()})
        except Exception as error:  # noqa: BLE001 -- whatever fails on a device nobody has seen is what this looks for
            self.failures[what] = f"{type(error).__name__}: {error}".splitlines()[0]
            traceback.print_exc()


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Products and convolutions of float32 rounded to TF32 on the device, or not."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def trained(study: Study, method: str, precision: str) -> dict[str, Any]:
    """A whole trial on the device beside the same trial in fp32 on the CPU."""
    name, allowed = PRECISIONS[precision]
    with tf32(allowed):
        found = run_trial(
            study.trial(method, precision=name),
            study.dataset(),
            study.folder / precision,
            METRICS,
            machine=study.machine(),
        )
    if found.status != "ok":
        raise RuntimeError((found.error or "failed").strip().splitlines()[-1])
    cpu = run_trial(
        study.trial(method), study.dataset(), study.folder / "cpu", METRICS, machine=Machine(accelerator="cpu")
    )
    row: dict[str, Any] = {
        "images per second": found.images_per_second,
        "peak memory in MB": max(found.peak_memory.values(), default=0) / 1e6,
    }
    for metric, score in found.scores.items():
        row[metric] = score
        row[f"{metric} - CPU"] = score - cpu.scores[metric]
    return row


class Counting(DerivedDataset):
    """A dataset that calls `on_batch` with the number of each minibatch, from 1, when it is asked for."""

    def __init__(self, dataset: FactorDataset, on_batch: Callable[[int], None]) -> None:
        super().__init__(dataset)
        self._on_batch, self._asked = on_batch, 0

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        self._asked += 1
        self._on_batch(self._asked)
        return self._parent.batch(indices)


def step_time(study: Study, method: str, compiler: str) -> dict[str, Any]:
    """Milliseconds a step, over the second half of one training, so that neither start nor compilation is in it."""
    first, last = study.steps // 2 + 1, study.steps
    times = {}

    def note(step: int) -> None:
        if step in (first, last):
            if study.device != "cpu":
                torch.accelerator.synchronize()
            times[step] = time.perf_counter()

    with tempfile.TemporaryDirectory(dir=study.folder) as folder:
        dataset = Counting(study.dataset(), note)
        train(study.trial(method), dataset, f"{folder}/model.ckpt", study.machine(compiler=compiler))
    return {"ms per step": (times[last] - times[first]) / (last - first) * 1e3}


def encode_and_score(study: Study, method: str) -> dict[str, Any]:
    """Seconds that a finished trial took to encode and to score."""
    found = run_trial(study.trial(method), study.dataset(), study.folder / "fp32", METRICS, machine=study.machine())
    rows = len(read_named_table(study.folder / "fp32" / found.trial.id / "codes.h5").codes)
    return {"rows": rows, "encode s": found.seconds["encode"], "score s": found.seconds["score"]}


def seeds_together(study: Study, method: str) -> dict[str, Any]:
    """Seconds of training of k seeds as one model, beside those of the slowest of k processes at once with one seed each."""
    from disbench.benchmarks.training.experimental.seed_ensemble import train_stacked

    trials = [study.trial(method, seed) for seed in range(study.seeds)]
    device, folder = torch.device(study.device), study.folder / "processes" / method
    train_stacked(trials, study.dataset(), device)  # finds the kernels
    started = time.perf_counter()
    train_stacked(trials, study.dataset(), device)
    stacked = time.perf_counter() - started
    start = [sys.executable, "-c", "from disbench.benchmarks.cli.main import app; app()"]
    commands = [shlex.split(reproducing_command(trial, {"mig": {}}))[1:-1] for trial in trials]  # without the folder
    processes = [subprocess.Popen([*start, *words, str(folder)], stdout=subprocess.DEVNULL) for words in commands]
    for process in processes:
        process.wait()
    records = [read_record(folder / trial.id / RECORD_FILE) for trial in trials]
    if failed := [record.error for record in records if record.status != "ok"]:
        raise RuntimeError(f"a process of one seed failed: {failed[0]}")
    return {
        "seeds": study.seeds,
        "one model s": stacked,
        "processes s": max(record.seconds["train"] for record in records),
    }


def resumed(study: Study, method: str) -> dict[str, Any]:
    """The largest difference of codes between a training that was stopped and resumed, and one that was not."""
    machine, trial, tables = study.machine(deterministic=True), study.trial(method), []

    def interrupt(step: int) -> None:
        if step == study.steps // 2:
            os.kill(os.getpid(), signal.SIGINT)

    for name in ("alone", "stopped"):
        folder = study.folder / name
        if name == "stopped":
            try:
                run_trial(trial, Counting(study.dataset(), interrupt), folder, {}, machine=machine)
            except (KeyboardInterrupt, SystemExit):
                pass
            else:
                raise RuntimeError("Ctrl-C did not stop the training.")
        record = run_trial(trial, study.dataset(), folder, {}, machine=machine)
        if record.status != "ok":
            raise RuntimeError((record.error or "failed").strip().splitlines()[-1])
        tables.append(read_named_table(folder / trial.id / "codes.h5").codes)
    if not record.resumed_at:
        raise RuntimeError("The stopped training began anew.")
    return {"resumed at step": record.resumed_at[0], "largest difference": float(np.abs(tables[0] - tables[1]).max())}


def device_tests() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *DEVICE_TESTS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {"result": done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-200:]}


def measure(study: Study, tests: bool = True) -> None:
    """Every part of the report."""
    if tests:
        study.part("Tests of device placement", device_tests, tests=" ".join(DEVICE_TESTS))
    for method in study.methods:
        for precision in PRECISIONS:
            study.part(
                "Training", lambda m=method, p=precision: trained(study, m, p), method=method, precision=precision
            )
        study.part("Encoding and scoring", lambda m=method: encode_and_score(study, m), method=method)
        for name, compiler in COMPILERS.items():
            study.part("Step", lambda m=method, c=compiler: step_time(study, m, c), method=method, form=name)
        study.part("Several seeds", lambda m=method: seeds_together(study, m), method=method)
        study.part("Resume", lambda m=method: resumed(study, m), method=method)


def markdown(study: Study, title: str) -> str:
    """The report: a table for each part, then what failed."""
    lines = [f"# {title}", "", f"`make gpu`: {study.steps} steps a training, batches of {study.batch_size} images.", ""]
    for name, rows in study.tables.items():
        heads = list(dict.fromkeys(key for row in rows for key in row))
        lines += [f"## {name}", "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
        for row in rows:
            cells = [f"{value:.4g}" if isinstance(value := row.get(head, ""), float) else str(value) for head in heads]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    lines += ["## What failed", ""]
    lines += [f"- {what}: {reason}" for what, reason in study.failures.items()] or ["Nothing."]
    return "\n".join(lines) + "\n"


def write(study: Study, out: Path) -> Path:
    """Write the report under the name of the device; the Markdown file's path."""
    device = torch.device(study.device)
    found = environment(device)
    name = re.sub(r"[^A-Za-z0-9]+", "-", str(found["device"])).strip("-").lower()
    out.mkdir(parents=True, exist_ok=True)
    content = {"environment": found, "steps": study.steps, "tables": study.tables, "failures": study.failures}
    (out / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    path = out / f"{name}.md"
    path.write_text(markdown(study, str(found["device"])))
    return path


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the script")
    parser.add_argument("--steps", type=int, default=200, help="of each training")
    parser.add_argument("--seeds", type=int, default=4, help="that are trained together")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "gpu")
    parser.add_argument("--skip-tests", action="store_true", help="leave the tests of device placement out")
    asked = parser.parse_args(words)
    if asked.device == "cuda" and not torch.cuda.is_available():
        print("skipped: torch sees no CUDA device on this machine.")
        return 0
    small = asked.device == "cpu"
    with tempfile.TemporaryDirectory() as folder:
        study = Study(
            asked.device,
            asked.steps,
            asked.methods,
            asked.seeds,
            {"shape": 1, "orientation": "0-3", **({"position_x": "0-7", "position_y": "0-7"} if small else {})},
            Path(folder),
            batch_size=16 if small else 64,
            hparams={"network": "mlp", "hidden_dim": 16} if small else {},
        )
        measure(study, tests=not asked.skip_tests)
        path = write(study, asked.out)
    print(f"{path}: {len(study.failures)} parts failed.")
    return 1 if study.failures else 0


if __name__ == "__main__":
    sys.exit(main())
