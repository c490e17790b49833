"""From a trained method to the one table that every metric reads."""

import io
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from disbench.baselines.vae import VAE
from disbench.benchmarks.seeds import generator_for
from disbench.benchmarks.tables import NamedTable, read_named_table, read_table
from disbench.datasets import FactorDataset
from disbench.datasets.atomic import write_atomic
from disbench.reports.records import Trial

__all__ = ["Codes", "NamedTable", "encode", "read_named_table", "read_table", "scored_rows", "write_codes"]

CHUNK = 100  # images a call; a thousand took 1.7 times as long on a CPU, whose caches hold the activations of few


@dataclass(frozen=True)
class Codes:
    """codes, codes_std (N, D): posterior means and standard deviations; factors (N, K); rows (N,); group (D,) or None.

    `factor_names` (K,) and `code_names` (D,), or none, are for whoever reads the file without the data set.
    """

    codes: NDArray[np.float32]
    codes_std: NDArray[np.float32]
    factors: NDArray[np.int64]
    rows: NDArray[np.int64]
    group: NDArray[np.int64] | None = None
    factor_names: tuple[str, ...] = ()
    code_names: tuple[str, ...] = ()


def scored_rows(trial: Trial, size: int) -> torch.Tensor:
    """The rows that a trial is scored on, sorted: all, or a sample that depends on data set, options and size alone."""
    if size <= trial.rows:
        return torch.arange(size)
    options = sorted(trial.dataset_options.items())
    generator = generator_for(trial.dataset, trial.dataset_version, options, "scored rows")
    return torch.randperm(size, generator=generator)[: trial.rows].sort().values


@torch.no_grad()
def encode(method: VAE, dataset: FactorDataset, rows: torch.Tensor, device: torch.device) -> Codes:
    """Encode `rows` of a data set."""
    method = method.to(device).eval()
    means, deviations = [], []
    for chunk in rows.to(dataset.place(device)).split(CHUNK):
        images = dataset.batch(chunk).to(device).float().div_(255)
        posterior = method.posterior(images)  # its means are what `method.encode` gives, and the encoder runs once
        means.append(posterior.mean.cpu())
        deviations.append(torch.exp(0.5 * posterior.logvar).cpu())
    groups = method.groups()
    return Codes(
        torch.cat(means).numpy(),
        torch.cat(deviations).numpy(),
        dataset.factors(rows).numpy(),
        rows.numpy(),
        None if groups is None else groups.cpu().numpy(),
        tuple(dataset.factor_names),
        tuple(f"z{d}" for d in range(means[0].shape[1])),
    )


def write_codes(codes: Codes, path: Path) -> None:
    """Write an HDF5 table whole or not at all."""
    content = io.BytesIO()  # after a failed write to a disk h5py crashes the process at its end
    with h5py.File(content, "w") as file:
        for name, array in vars(codes).items():
            if array is not None and len(array):
                file.create_dataset(name, data=array)
    write_atomic(path, content.getbuffer())
