"""From a trained method to the one table that every metric reads."""

import os
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from disbench.baselines.vae import VAE
from disbench.benchmarks.seeds import generator_for
from disbench.datasets import FactorDataset
from disbench.reports.records import Trial

CHUNK = 1000  # images a call


@dataclass(frozen=True)
class Codes:
    """codes, codes_std (N, D): posterior means and standard deviations; factors (N, K); rows (N,); group (D,) or None."""

    codes: NDArray[np.float32]
    codes_std: NDArray[np.float32]
    factors: NDArray[np.int64]
    rows: NDArray[np.int64]
    group: NDArray[np.int64] | None = None


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
        means.append(method.encode(images).cpu())
        deviations.append(torch.exp(0.5 * method.posterior(images).logvar).cpu())
    groups = method.groups()
    return Codes(
        torch.cat(means).numpy(),
        torch.cat(deviations).numpy(),
        dataset.factors(rows).numpy(),
        rows.numpy(),
        None if groups is None else groups.cpu().numpy(),
    )


def write_codes(codes: Codes, path: Path) -> None:
    """Write an HDF5 table whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with h5py.File(partial, "w") as file:
        for name, array in vars(codes).items():
            if array is not None:
                file.create_dataset(name, data=array)
    partial.replace(path)


def read_table(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """codes (N, D) and factors (N, K) from an .npz or .h5 file of anybody's. Raises ValueError that says what is wrong."""
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file. A table is an .npz or .h5 with arrays 'codes' (N, D) and 'factors' (N, K)."
        )
    if path.suffix not in (".npz", ".h5", ".hdf5"):
        raise ValueError(f"{path}: a table is an .npz or .h5 file, got {path.suffix or 'no extension'}.")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                found = {name: np.asarray(file[name]) for name in ("codes", "factors") if name in file}
        else:
            with h5py.File(path, "r") as file:
                found = {name: np.asarray(file[name]) for name in ("codes", "factors") if name in file}
    except (OSError, ValueError, BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as {path.suffix}: {error}") from error
    missing = [name for name in ("codes", "factors") if name not in found]
    if missing:
        raise ValueError(f"{path} lacks {' and '.join(missing)}. It needs arrays 'codes' (N, D) and 'factors' (N, K).")
    return found["codes"], found["factors"]
