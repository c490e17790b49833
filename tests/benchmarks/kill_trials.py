"""Kill trials with SIGKILL at random moments, run them again, and compare everything with a trial that was left alone.

    python tests/benchmarks/kill_trials.py --kills 20 --methods vae beta_vae factor_vae beta_tcvae mine_vae

Each trial is a forked process, so that none imports anything anew. The moments are uniform over the time that the trial left
alone took; one that has finished by then is run once more and killed at another. Prints a line for each method, and exits with
1 where anything differs. Leave the checkout alone meanwhile: a trial that another version of the code took up again says so in
its remarks, and differs.
"""

# ruff: noqa: T201 -- a script for the terminal

import argparse
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

from disbench.benchmarks import METHODS
from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.settings.defaults import resolved_trial
from disbench.benchmarks.training.position import position
from disbench.benchmarks.trials import trial as trial_module
from disbench.benchmarks.trials.trial import CHECKPOINT, run_trial
from disbench.datasets import FactorDataset, load
from disbench.mine_vae import model
from disbench.reports.records import RECORD_FILE, Trial, read_record

SELECT = {"shape": 1, "orientation": "0-3", "position_x": "10-13", "position_y": "10-13"}
SMALL = {
    # Critics, partition and audits all have their turns.
    "mine_vae": {"latent_dim": 6, "num_factors": 3, "mine_start": 0.3},
    "factor_vae": {"discriminator_dim": 16},
    "factor_qvae": {"discriminator_dim": 16},
}
METRICS = {"mig": {"bins": 20}, "irs": {}}


def small_trial(method: str, steps: int) -> Trial:
    return resolved_trial(
        Trial(
            method=method,
            dataset="dsprites_like",
            dataset_options={"select": SELECT},
            dataset_version=load("dsprites_like").version,
            seed=0,
            steps=steps,
            batch_size=16,
            hparams={"network": "mlp", "hidden_dim": 16, **SMALL.get(method, {})},
        )
    )


def forked(work: Callable[[], object]) -> int:
    """A process that does the work and nothing of ours afterwards."""
    if child := os.fork():
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def left_behind(folder: Path) -> dict[str, object]:
    """Everything that a trial leaves but when, where and how fast."""
    record = read_record(folder / RECORD_FILE)
    assert record.status == "ok", record.error
    found: dict[str, object] = record.model_dump(
        include={"views", "floor", "ceiling", "curves", "reconstruction", "remarks", "partition", "images_seen"}
    )
    with h5py.File(folder / "codes.h5") as file:
        found |= {name: np.asarray(file[name]).tobytes() for name in ("codes", "codes_std", "rows")}
    found |= {path.name: path.read_bytes() for path in folder.glob("*.png")}
    weights = torch.load(folder / CHECKPOINT, weights_only=True)["state_dict"]
    found |= {f"weights {name}": value.numpy().tobytes() for name, value in weights.items()}
    return found


def killed(work: Callable[[], object], after: float, folder: Path) -> bool:
    """Whether the trial of this folder was still at work when it was killed."""
    child = forked(work)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return not (folder / RECORD_FILE).exists()


def moment(folder: Path) -> str:
    """Where a trial was when it was killed."""
    if (folder / CHECKPOINT).exists():
        return "after training"
    return "between checkpoints" if position(folder) else "before a checkpoint"


def kill_one(
    trial: Trial, dataset: FactorDataset, out: Path, kills: int, draw: random.Random
) -> tuple[int, dict[str, int]]:
    """How many of the killed trials ended like the one left alone, and where they were when they were killed."""
    machine = Machine(checkpoint_seconds=0.05, accelerator="cpu")

    def run(to: Path) -> Callable[[], object]:
        return lambda: run_trial(trial, dataset, to, METRICS, machine=machine)

    started = time.monotonic()
    assert os.waitstatus_to_exitcode(os.waitpid(forked(run(out / "alone")), 0)[1]) == 0
    seconds = time.monotonic() - started
    expected = left_behind(out / "alone" / trial.id)
    same = 0
    moments = dict.fromkeys(("before a checkpoint", "between checkpoints", "after training"), 0)
    for number in range(kills):
        to = out / str(number)
        while not killed(run(to), draw.random() * seconds, to / trial.id):
            shutil.rmtree(to)
        moments[moment(to / trial.id)] += 1
        ended = os.waitstatus_to_exitcode(os.waitpid(forked(run(to)), 0)[1])
        found = left_behind(to / trial.id) if ended == 0 else {}
        if found == expected:
            same += 1
        else:
            names = [name for name in expected if found.get(name) != expected[name]]
            print(f"{trial.method}, kill {number}: {', '.join(names)} differ", file=sys.stderr)
        shutil.rmtree(to)
    return same, moments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in ("pytorch_lightning", "disbench"):
        logging.getLogger(name).setLevel(logging.ERROR)
    trial_module.IMAGES = 20  # reconstructions; neither their quality nor the audits' is what is asked here
    model.AUDIT_STEPS = 3
    draw = random.Random(asked.seed)
    failed = False
    for method in asked.methods:
        trial = small_trial(method, asked.steps)
        with tempfile.TemporaryDirectory() as out:
            started = time.monotonic()
            dataset = load(trial.dataset, **trial.dataset_options)
            same, moments = kill_one(trial, dataset, Path(out), asked.kills, draw)
            told = ", ".join(f"{count} {name}" for name, count in moments.items())
            print(
                f"{method}: {same} of {asked.kills} the same, killed {told}; {time.monotonic() - started:.0f} s",
                flush=True,
            )
            failed |= same < asked.kills
    sys.exit(failed)


if __name__ == "__main__":
    main()
