"""From a trained method to the one table that every metric reads."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from disbench.baselines.vae import VAE
from disbench.benchmarks.seeds import generator_for
from disbench.datasets import FactorDataset
from disbench.datasets.atomic import write_atomic
from disbench.reports.records import Trial

CHUNK = 100  # images a call; a thousand took 1.7 times as long on a CPU, whose caches hold the activations of few
ARRAYS = ("codes", "factors", "factor_names", "code_names")
TABLE = "A table is an .npz or .h5 file with arrays 'codes' (N, D) and 'factors' (N, K)."


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


class NamedTable(NamedTuple):
    """codes (N, D) and factors (N, K) as they are in a file; the names of K factors and of D codes, () where it has none."""

    codes: NDArray[Any]
    factors: NDArray[Any]
    factor_names: tuple[str, ...] = ()
    code_names: tuple[str, ...] = ()


def read_table(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """codes (N, D) and factors (N, K) of `read_named_table`."""
    return read_named_table(path)[:2]


def read_named_table(path: Path) -> NamedTable:
    """A table from an .npz or .h5 file of anybody's. Raises ValueError that says what is wrong with the file.

    It holds arrays 'codes' (N, D) and 'factors' (N, K), and may hold 'factor_names' (K,) and 'code_names' (D,), text.
    Whether the numbers can be scored is the metrics' to say.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file. {TABLE}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder. {TABLE}")
    kind = path.suffix.lower()
    if kind not in (".npz", ".h5", ".hdf5"):
        raise ValueError(f"{path} has {path.suffix or 'no extension'}. {TABLE}")
    try:
        found, other = _read_npz(path) if kind == ".npz" else _read_hdf5(path)
    except Exception as error:  # a damaged file makes numpy, zipfile and h5py raise a dozen types
        raise ValueError(f"{path} cannot be read as {kind}: {str(error) or type(error).__name__}") from error
    missing = [name for name in ARRAYS[:2] if name not in found]
    if missing:
        holds = ", ".join(map(repr, (*found, *other))) or "nothing"
        raise ValueError(f"{path} lacks {' and '.join(missing)}; it holds {holds}. {TABLE}")
    codes, factors = found["codes"], found["factors"]
    names = {}
    for key, array in (("factor_names", factors), ("code_names", codes)):
        names[key] = _texts(found[key], f"{path}: {key}") if key in found else ()
        if names[key] and array.ndim == 2 and len(names[key]) != array.shape[1]:
            columns = f"{array.shape[1]} columns of {'factors' if array is factors else 'codes'}"
            raise ValueError(f"{path}: {key} has {len(names[key])} names for {columns}.")
    return NamedTable(codes, factors, **names)


def _read_npz(path: Path) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The arrays that a table has, and the names of any others."""
    found = {}
    with path.open("rb") as stream:
        file = np.load(stream, allow_pickle=False)
        if not isinstance(file, NpzFile):
            raise ValueError(
                "it is a single .npy array; save both with numpy.savez(path, codes=codes, factors=factors)."
            )
        for name in ARRAYS:
            if name in file:
                try:
                    found[name] = np.asarray(file[name])
                except ValueError as error:
                    if "allow_pickle" not in str(error):
                        raise
                    better = "str" if name.endswith("names") else "float"
                    raise ValueError(f"{name} holds Python objects; save {name}.astype({better}).") from error
        return found, [name for name in file.files if name not in found]


def _read_hdf5(path: Path) -> tuple[dict[str, NDArray[Any]], list[str]]:
    with h5py.File(path, "r") as file:
        datasets = [name for name in ARRAYS if isinstance(file.get(name), h5py.Dataset)]
        return {name: np.asarray(file[name][()]) for name in datasets}, [name for name in file if name not in datasets]


def _texts(array: NDArray[Any], what: str) -> tuple[str, ...]:
    """An array of text as a tuple; HDF5 keeps text as bytes."""
    if array.ndim != 1:
        raise ValueError(f"{what} needs a list of names, got shape {array.shape}.")
    values = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in array.tolist()]
    if not all(isinstance(value, str) for value in values):
        raise ValueError(f"{what} needs text, got dtype {array.dtype}; save numpy.array(names, dtype=str).")
    return tuple(values)
