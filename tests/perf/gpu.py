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
from disbench.benchmarks.settings.defaults import resolved_trial
from disbench.benchmarks.training.loop import train
from disbench.benchmarks.trials.tables.tables import read_named_table
from disbench.benchmarks.trials.trial import run_trial
from disbench.datasets import FactorDataset, load
from disbench.reports.records import Trial

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
        """Add a row to a table; an error becomes a failure of the report."""
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


def seconds(study: Study, method: str, steps: int, compiler: str) -> float:
    with tempfile.TemporaryDirectory(dir=study.folder) as folder:
        started = time.perf_counter()
        train(
            study.trial(method, steps=steps), study.dataset(), f"{folder}/model.ckpt", study.machine(compiler=compiler)
        )
        return time.perf_counter() - started


def step_time(study: Study, method: str, compiler: str) -> dict[str, Any]:
    """Milliseconds a step: a training of three times the steps less one of `steps`, so that start and compilation cancel."""
    seconds(study, method, study.steps, compiler)  # the first compiles, and finds the kernels
    short, long = (seconds(study, method, count, compiler) for count in (study.steps, 3 * study.steps))
    return {"ms per step": (long - short) / (2 * study.steps) * 1e3}


def encode_and_score(study: Study, method: str) -> dict[str, Any]:
    """Seconds that a finished trial took to encode and to score."""
    found = run_trial(study.trial(method), study.dataset(), study.folder / "fp32", METRICS, machine=study.machine())
    rows = len(read_named_table(study.folder / "fp32" / found.trial.id / "codes.h5").codes)
    return {"rows": rows, "encode s": found.seconds["encode"], "score s": found.seconds["score"]}


def seeds_together(study: Study, method: str) -> dict[str, Any]:
    """Seconds of k seeds trained as one model, beside k processes at once, each with one seed."""
    from disbench.benchmarks.training.experimental.seed_ensemble import train_stacked

    trials = [study.trial(method, seed) for seed in range(study.seeds)]
    device = torch.device(study.device)
    train_stacked(trials, study.dataset(), device)
    started = time.perf_counter()
    train_stacked(trials, study.dataset(), device)
    stacked = time.perf_counter() - started
    processes = []
    started = time.perf_counter()
    for trial in trials:
        words = [
            sys.executable,
            "-m",
            "disbench.benchmarks.cli.main",
            "train",
            "--method",
            method,
            "--dataset",
            DATASET,
        ]
        words += ["--steps", str(trial.steps), "--seed", str(trial.seed), "--rows", "100", "--metrics", "mig"]
        words += [word for name, value in study.select.items() for word in ("--select", f"{name}={value}")]
        words += [word for name, value in study.hparams.items() for word in ("--set", f"{name}={value}")]
        words += ["--batch-size", str(study.batch_size), "--out", str(study.folder / "processes")]
        processes.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    if any(process.wait() for process in processes):
        raise RuntimeError("a process of one seed failed.")
    return {"seeds": study.seeds, "one model s": stacked, "processes s": time.perf_counter() - started}


class Interrupting(FactorDataset):
    """A dataset that sends this process Ctrl-C when its `at`-th minibatch is asked for."""

    def __init__(self, dataset: FactorDataset, at: int) -> None:
        self.name, self.version, self.provenance = dataset.name, dataset.version, dataset.provenance
        self.space, self.image_shape, self.labels = dataset.space, dataset.image_shape, dataset.labels
        self._dataset, self._left = dataset, at

    def preferred_device(self, device: torch.device) -> torch.device:
        return self._dataset.preferred_device(device)

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return self._dataset.batch(indices)


def resumed(study: Study, method: str) -> dict[str, Any]:
    """The largest difference of codes between a training that was stopped and resumed, and one that was not."""
    machine, trial, tables = study.machine(deterministic=True), study.trial(method), []
    for name in ("alone", "stopped"):
        folder = study.folder / name
        if name == "stopped":
            try:
                run_trial(trial, Interrupting(study.dataset(), study.steps // 2), folder, {}, machine=machine)
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
