"""Posteriors of a trained encoder as a task: of a table that a trial wrote, or of a small beta-VAE trained on the spot."""

from pathlib import Path

import numpy as np
import torch

from disbench.baselines.beta_vae import BetaVAE
from disbench.baselines.gaussian import Posterior
from disbench.baselines.method import Batch
from disbench.benchmarks.estimators.tasks import PosteriorTask
from disbench.benchmarks.runtime.seeds import generator_for
from disbench.datasets import load
from disbench.datasets.storage.hdf5 import open_hdf5, read_array

TRAINED = "trained encoder"
DATASET = "dsprites_like"


def from_table(path: Path, rows: int, device: torch.device) -> PosteriorTask:
    """A seeded sample of `rows` posteriors from a codes.h5 with `codes` and `codes_std`, both (N, D)."""
    try:
        with open_hdf5(path) as file:
            missing = [name for name in ("codes", "codes_std") if name not in list(file)]
            if missing:
                raise ValueError(f"{path} lacks {' and '.join(missing)}; a trial's codes.h5 holds both.")
            means, deviations = (read_array(file, name).astype(np.float32) for name in ("codes", "codes_std"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read as HDF5: {error}") from error
    if means.shape != deviations.shape or means.ndim != 2 or not (deviations > 0).all():
        raise ValueError(
            f"{path} needs codes and codes_std of one shape (N, D), deviations above 0; got {means.shape}, {deviations.shape}."
        )
    sample = torch.randperm(len(means), generator=generator_for("estimators", "rows of a table"))[:rows]
    mean, deviation = (torch.from_numpy(part)[sample].to(device) for part in (means, deviations))
    return PosteriorTask(TRAINED, f"{len(mean)} rows of {path.name}", Posterior(mean, 2 * deviation.log()))


def train_here(rows: int, steps: int, device: torch.device) -> PosteriorTask:
    """beta-VAE (beta 4, ten latents, the perceptron) on `rows` images of dsprites_like, `steps` minibatches of 64.

    It starts from torch's global generator; which images, and in what order, depends on names alone.
    """
    dataset = load(DATASET)
    chosen = torch.randperm(len(dataset), generator=generator_for("estimators", "images"))[:rows]
    images = dataset.batch(chosen.to(dataset.preferred_device(device))).to(device).float().div_(255)
    method = BetaVAE(dataset.image_shape, len(images), network="mlp", hidden_dim=400, lr=1e-3).to(device)
    optimizer = torch.optim.Adam(method.parameters(), lr=method.lr)
    for step in range(steps):
        batch = images[torch.randint(len(images), (64,), device=device)]
        optimizer.zero_grad()
        method.training_step(Batch(batch), step)["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        q = method.eval().posterior(images)
    told = f"beta-VAE after {steps} steps on {len(images)} images of {DATASET}, 10 latents"
    return PosteriorTask(TRAINED, told, q)
