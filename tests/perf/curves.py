"""The curves of each method in float32 and in bf16, over seeds: alike until a seed leaves its plateau, which is up to rounding.

    python tests/perf/curves.py

Of beta-VAE it prints the loss, of the others the reconstruction, nats an image: for every seed the mean over each hundred steps.
"""

import argparse
import sys
from typing import Any

import torch

from disbench.benchmarks import METHODS
from disbench.benchmarks.training.batches import Images
from disbench.benchmarks.training.loop import build
from disbench.benchmarks.training.steps import Callback, Loop
from disbench.datasets import load
from disbench.reports.records import Trial

HUNDRED = 100


class EveryStep(Callback):
    """One term of the loss at every step."""

    def __init__(self, term: str) -> None:
        self.term = term
        self.values: list[float] = []

    def on_step(self, loop: Loop, step: int, terms: Any) -> None:
        self.values.append(terms[self.term].item())


def means(method: str, precision: str, seed: int, steps: int) -> list[float]:
    """Of each hundred steps the mean."""
    dataset = load("dsprites_like")
    fields = {"dataset": dataset.name, "dataset_version": dataset.version, "batch_size": 16, "hparams": {"lr": 5e-4}}
    trial = Trial(method=method, seed=seed, steps=steps, precision=precision, **fields)
    model = build(trial, dataset.image_shape, len(dataset))
    curve = EveryStep("loss" if method == "beta_vae" else "reconstruction")
    images = Images(dataset, trial, model.sampling)
    loop = Loop(steps, [curve], precision=precision, accelerator="cpu")
    loop.fit(model, images.stream(loop.device))
    return [sum(part) / HUNDRED for part in zip(*[iter(curve.values)] * HUNDRED, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=["beta_vae", "beta_tcvae", "factor_vae", "mine_vae"]
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400, help="a multiple of a hundred")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for method in chosen.methods:
        for precision in ("32-true", "bf16-mixed"):
            curves = [means(method, precision, seed, chosen.steps) for seed in range(chosen.seeds)]
            for part, values in enumerate(zip(*curves, strict=True)):
                steps = f"{part * HUNDRED + 1}-{(part + 1) * HUNDRED}"
                shown = ", ".join(f"{value:.0f}" for value in values)
                sys.stdout.write(f"{method:10}  {precision:10}  {steps:8} {shown}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
