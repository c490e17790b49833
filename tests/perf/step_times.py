"""Milliseconds of a training step of each method beside another installation of disbench, or beside one method, by turns.

    python tests/perf/step_times.py --against /path/to/other/.venv/bin/python
    python tests/perf/step_times.py --beside beta_vae --json results/methods/step_times.json

Each side trains in a process of its own, as `disbench train` does, and takes some steps when it is its turn. CPU time: the
median over the rounds, and the median of each round's own ratio. Where a process's arrays happen to lie makes it some
hundredths faster or slower for as long as it lives, so several pairs of processes take part.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

NETWORKS = {
    "mlp 32": {"network": "mlp", "hidden_dim": 32},
    "mlp 256": {"network": "mlp", "hidden_dim": 256},
    "conv": {"network": "conv"},
}
WARM_UP = 1  # rounds
# What a process does: `sys.argv` is a method, a network's hyperparameters, a precision and the steps of a round.
WORKER = """
import json, logging, sys, time, warnings
import torch
from disbench.benchmarks import METHODS
from disbench.reports.records import Trial
name, hparams, precision, steps = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], int(sys.argv[4])
logging.disable(logging.WARNING)
warnings.simplefilter("ignore")
try:
    from disbench.benchmarks.runtime.allocator import keep_memory
except ImportError:
    from disbench.benchmarks.allocator import keep_memory
keep_memory()
torch.set_num_threads(1)
torch.manual_seed(0)
method = METHODS[name]((1, 64, 64), 4096, **hparams)
rows = method.sampling.rows if hasattr(method, "sampling") else method.batches_per_step
images = (torch.rand(64 * rows, 1, 64, 64) > 0.8).byte().mul_(255)
endless = 10**6

def batches():
    began = None
    while True:
        if not sys.stdin.readline():
            return
        began = time.process_time()
        for _ in range(steps):
            yield images.float().div_(255)
        # The last of these steps is finished when the next batch is asked for, or one is made ahead in every round.
        print(time.process_time() - began, flush=True)

trial = Trial(method=name, dataset="none", dataset_version="1", seed=0, steps=endless, batch_size=64, precision=precision)
try:
    from disbench.benchmarks.training.loop import Curves
    from disbench.benchmarks.training.steps import Loop
    Loop(endless, [Curves(endless)], precision=precision, accelerator="cpu").fit(method, batches())
except ImportError:
    from disbench.benchmarks.train import Curves, make_trainer
    make_trainer(trial, [Curves(endless, plain_log=False)], accelerator="cpu").fit(method, batches())
"""


def start(python: str, words: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [python, "-c", WORKER, *words], env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    )


def turn(process: subprocess.Popen[str]) -> float:
    """Seconds of one round."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def measure(sides: list[tuple[str, list[str]]], rounds: int) -> list[list[float]]:
    """Seconds of each round on each side, which is a Python and what its process is told."""
    running = [start(python, words) for python, words in sides]
    times: list[list[float]] = [[] for _ in running]
    try:
        for number in range(rounds + WARM_UP):
            order = range(len(running)) if number % 2 else reversed(range(len(running)))
            for place in order:
                seconds = turn(running[place])
                if number >= WARM_UP:
                    times[place].append(seconds)
    finally:
        for process in running:
            process.kill()
            process.wait()
    return times


def main() -> None:
    from disbench.baselines.method import Independent
    from disbench.benchmarks import METHODS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sides = parser.add_mutually_exclusive_group(required=True)
    sides.add_argument("--against", metavar="PYTHON", help="The Python of another installation.")
    sides.add_argument("--beside", metavar="METHOD", choices=METHODS, help="A method of this installation.")
    of_images = [name for name, method in METHODS.items() if isinstance(method.sampling, Independent)]
    parser.add_argument("--methods", nargs="+", choices=of_images, default=of_images)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=2, help="of processes, one after another")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the ratios there, by network and method.")
    chosen = parser.parse_args()
    ratios: dict[str, dict[str, float]] = {network: {} for network in chosen.networks}
    sys.stdout.write(f"{'ms a step':24}{'here':>8}{'other':>8}{'ratio':>8}\n")
    for network in chosen.networks:
        steps = 30 if network != "conv" else 5
        for name in chosen.methods:
            options = [json.dumps(NETWORKS[network]), chosen.precision, str(steps)]
            pair = [
                (sys.executable, [name, *options]),
                (chosen.against or sys.executable, [chosen.beside or name, *options]),
            ]
            here: list[float] = []
            other: list[float] = []
            for _ in range(chosen.pairs):
                found = measure(pair, chosen.rounds)
                here, other = here + found[0], other + found[1]
            ratio = statistics.median(one / two for one, two in zip(here, other, strict=True))
            ratios[network][name] = round(ratio, 3)
            means = [statistics.median(times) / steps * 1e3 for times in (here, other)]
            sys.stdout.write(f"{name + ', ' + network:24}{means[0]:8.2f}{means[1]:8.2f}{ratio:8.3f}\n")
            sys.stdout.flush()
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(ratios, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
