"""How a trial's cost grows with steps and with images, and whether a long training's memory stays flat.

    python tests/perf/growth.py

A tiny perceptron, so that what is seen is the trainer and not its network. Times are CPU seconds of the process.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from disbench.baselines.method import Independent
from disbench.benchmarks.training.batches import Images
from disbench.benchmarks.training.loop import Curves, build, train
from disbench.benchmarks.training.steps import Loop
from disbench.benchmarks.trials.encode import encode
from disbench.datasets import load
from disbench.reports.records import Trial

PAGE = os.sysconf("SC_PAGE_SIZE")
HPARAMS = {"network": "mlp", "hidden_dim": 32}


def resident() -> float:
    """MB that this process has in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


def trial(steps: int) -> Trial:
    fields = {"method": "beta_vae", "dataset": "dsprites_like", "dataset_version": "1", "seed": 0, "batch_size": 64}
    return Trial(**fields, steps=steps, hparams=HPARAMS)


def seconds(function: Callable[[], Any]) -> float:
    started = time.process_time()
    function()
    return time.process_time() - started


def memory_over(steps: int) -> list[float]:
    """MB at ten moments of one training."""
    readings = []
    dataset, one = load("dsprites_like"), trial(steps)
    method = build(one, dataset.image_shape, len(dataset))

    class Read(Curves):
        def on_step(self, loop: Loop, step: int, terms: Any) -> None:
            super().on_step(loop, step, terms)
            if step % (steps // 10) == 0:
                readings.append(resident())

    loop = Loop(steps, [Read(steps)])
    loop.fit(method, Images(dataset, one, Independent()).stream(loop.device))
    return readings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory-steps", type=int, default=20_000)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    dataset = load("dsprites_like")
    method = build(trial(1), dataset.image_shape, len(dataset))
    write = sys.stdout.write
    with TemporaryDirectory() as folder:
        train(trial(50), dataset, f"{folder}/model.ckpt")
        for steps in (500, 1000, 2000, 4000):
            spent = seconds(lambda steps=steps: train(trial(steps), dataset, f"{folder}/model.ckpt"))
            write(f"train {steps:6} steps: {spent:6.2f} CPU s, {spent / steps * 1e3:.3f} ms a step\n")
    for images in (2500, 5000, 10_000, 20_000):
        rows = torch.arange(images)
        spent = seconds(lambda rows=rows: encode(method, dataset, rows, torch.device("cpu")))
        write(f"encode {images:6} images: {spent:6.3f} CPU s, {spent / images * 1e6:.1f} us an image\n")
    readings = memory_over(chosen.memory_steps)
    write(
        f"MB in memory at each tenth of {chosen.memory_steps} steps: {' '.join(f'{each:.1f}' for each in readings)}\n"
    )


if __name__ == "__main__":
    main()
