"""Training steps of disbench beside a plain loop, pythae and disent: each in a process of its own, all taking turns on one core.

    python3.11 -m venv /tmp/peers && /tmp/peers/bin/pip install pythae disent
    python tests/perf/against_peers.py --peers /tmp/peers/bin/python

Times are CPU seconds of the process; ratios are medians over the rounds, each round's own against the fastest of the others in
it, so that a machine that slows down for a minute slows all. The others have the default allocator; `ours` has the settings that
`disbench` makes when it starts (`disbench.benchmarks.runtime.allocator`), and stands in the table without them too.

Where a process's arrays happen to lie makes it up to an eighth faster or slower for as long as it lives, so every trainer is
started `--processes` times, and the fastest of several is not the luckiest.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

WORKER = Path(__file__).with_name("worker.py")
OTHERS = ("plain", "pythae", "pythae-trainer", "disent", "disent-trainer")
OURS = (("ours-default-allocator", "fp32"), ("ours", "fp32"), ("ours", "bf16"))
METHODS = ("beta_vae", "beta_tcvae", "factor_vae")
BATCHES = {"factor_vae": 2}  # minibatches of 64 that a step takes


class Trainer(NamedTuple):
    """One row of the table."""

    implementation: str
    precision: str

    def is_ours(self) -> bool:
        return self.implementation.startswith("ours")


def start(trainer: Trainer, method: str, python: str, core: str) -> subprocess.Popen[str]:
    command = [python, str(WORKER), trainer.implementation, method, trainer.precision]
    process = subprocess.Popen(
        ["taskset", "-c", core, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise RuntimeError(f"{trainer.implementation} did not start: run {' '.join(command)} to see why.")
    return process


def seconds_for(process: subprocess.Popen[str], steps: int) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{steps}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def compare(method: str, processes: int, rounds: int, steps: int, peers: str, core: str) -> str:
    trainers = [Trainer(name, "fp32") for name in OTHERS if name == "plain" or peers]
    if method == "factor_vae":  # which disent has not
        trainers = [trainer for trainer in trainers if not trainer.implementation.startswith("disent")]
    trainers += [Trainer(*row) for row in OURS]
    times: dict[Trainer, list[float]] = {trainer: [] for trainer in trainers}
    for _ in range(processes):
        for trainer, seconds in taking_turns(trainers, method, rounds, steps, peers, core).items():
            times[trainer] += seconds
    return table(method, times)


def taking_turns(
    trainers: list[Trainer], method: str, rounds: int, steps: int, peers: str, core: str
) -> dict[Trainer, list[float]]:
    """Seconds a step in each round, every trainer in a new process."""
    running = {}
    for trainer in trainers:
        python = sys.executable if trainer.is_ours() or trainer.implementation == "plain" else peers
        running[trainer] = start(trainer, method, python, core)
    times: dict[Trainer, list[float]] = {trainer: [] for trainer in trainers}
    for number in range(rounds):
        # Each round starts with another trainer, so that none always follows the same one.
        turn = number % len(trainers)
        for trainer in trainers[turn:] + trainers[:turn]:
            times[trainer].append(seconds_for(running[trainer], steps) / steps)
    for process in running.values():
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
    return times


def table(method: str, times: dict[Trainer, list[float]]) -> str:
    others = [times[trainer] for trainer in times if not trainer.is_ours()]
    fastest = min(others, key=statistics.median)
    images = 64 * BATCHES.get(method, 1)
    lines = [f"{method:34}  ms a step   (range)      images/CPU s   times the fastest other"]
    for trainer, values in times.items():
        middle = statistics.median(values)
        ratio = statistics.median(other / own for other, own in zip(fastest, values, strict=True))
        spread = f"({min(values) * 1e3:.0f}-{max(values) * 1e3:.0f})"
        lines.append(
            f"  {' '.join(trainer):32}  {middle * 1e3:9.1f}   {spread:12} {images / middle:12.0f} {ratio:14.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="", help="the Python of an environment with pythae and disent")
    parser.add_argument("--processes", type=int, default=5, help="started for each trainer, one after another")
    parser.add_argument("--rounds", type=int, default=3, help="in which the processes take turns")
    parser.add_argument("--steps", type=int, default=10, help="in a row, for each reading")
    parser.add_argument("--core", default="0")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    chosen = parser.parse_args()
    for method in chosen.methods:
        sys.stdout.write(
            compare(method, chosen.processes, chosen.rounds, chosen.steps, chosen.peers, chosen.core) + "\n\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
