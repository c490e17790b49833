"""Encode a dataset with any encoder: a function, a torch module, a scikit-learn transformer, or a method of disbench."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from disbench.baselines.method import Codes, Method, codes_of
from disbench.benchmarks.runtime.seeds import generator_for
from disbench.datasets import FactorDataset, load as load_dataset
from disbench.scoring import Metrics, ScoreTable, score


@dataclass(frozen=True, repr=False)
class EncodedTable:
    """Codes of a dataset's images with their factors.

    Attributes
    ----------
    codes : ndarray of shape (N, D) or (N, G, F)
        What the encoder returned.
    factors : ndarray of shape (N, K)
        Factor values of the same images.
    rows : ndarray of shape (N,)
        Row of each image in the dataset.
    factor_names : tuple of str
        The K names.
    codes_std : ndarray or None
        Standard deviations of the codes, if the encoder returned any.
    quantized : bool
        Whether each code takes one of few values.
    """

    codes: NDArray[np.float32]
    factors: NDArray[np.int64]
    rows: NDArray[np.int64]
    factor_names: tuple[str, ...]
    codes_std: NDArray[np.float32] | None = None
    quantized: bool = False

    def score(self, metrics: Metrics | None = None, **options: Any) -> ScoreTable:
        """Score these codes, as `disbench.score` does."""
        columns = {"codes_std": self.codes_std, "quantized": self.quantized, **options}
        return score(self.codes, self.factors, metrics=metrics, **columns)

    def save(self, path: str | Path) -> Path:
        """Write an .npz file that `disbench score` reads."""
        path = Path(path).with_suffix(".npz")
        arrays: dict[str, Any] = {"codes": self.codes, "factors": self.factors}
        arrays["factor_names"] = np.array(self.factor_names)
        if self.codes_std is not None:
            arrays["codes_std"] = self.codes_std
        if self.quantized:
            arrays["quantized"] = True
        np.savez(path, **arrays)
        return path

    def __repr__(self) -> str:
        return f"EncodedTable(codes {self.codes.shape}, factors {self.factors.shape}: {', '.join(self.factor_names)})"


def dataset_of(
    dataset: str | FactorDataset, select: Mapping[str, str | int] | None, data_dir: str | Path | None
) -> FactorDataset:
    """Return an opened dataset as it is, and open a named one."""
    if isinstance(dataset, str):
        return load_dataset(dataset, data_dir, select=select)
    if select is not None:
        raise ValueError("select needs the name of a dataset; open it with disbench.datasets.load(name, select=...).")
    return dataset


@torch.no_grad()
def encode(
    encoder: Any,
    dataset: str | FactorDataset,
    *,
    rows: int | None = 10_000,
    batch_size: int = 100,
    select: Mapping[str, str | int] | None = None,
    data_dir: str | Path | None = None,
    device: str | torch.device = "cpu",
) -> EncodedTable:
    """Encode images of a dataset with any encoder.

    Parameters
    ----------
    encoder : callable, torch.nn.Module, Method or transformer
        Takes images (B, C, H, W), float32 from 0 to 1, and returns codes (B, D) or (B, G, F) as a tensor or an array. A module is
        put into evaluation mode. An object with `transform`, such as PCA of scikit-learn, gets images (B, C * H * W).
    dataset : str or FactorDataset
        A name of `disbench.datasets.names()`, or an opened dataset.
    rows : int, optional
        Number of images, drawn at random but the same in each call. None encodes all of them.
    batch_size : int, default 100
        Images in a call of the encoder.
    select : mapping, optional
        Ranges of factor values, as in `disbench.datasets.load`.
    data_dir : str or Path, optional
        Folder of the files of official and imported datasets.
    device : str or device, default "cpu"
        Where the images are. A module is moved there.

    Returns
    -------
    EncodedTable
        Codes and factors of the same images.

    Raises
    ------
    ValueError
        If the encoder does not return a row for each image, or returns numbers that are not finite.

    Examples
    --------
    >>> import disbench
    >>> def encoder(images):
    ...     return images.mean((2, 3))  # the mean color
    >>> table = disbench.encode(encoder, "shapes3d_like", rows=50)
    >>> table.codes.shape, table.factors.shape
    ((50, 3), (50, 6))
    """
    opened = dataset_of(dataset, select, data_dir)
    size, device = len(opened), torch.device(device)
    if rows is not None and rows < 2:
        raise ValueError(f"rows needs at least 2 images, got {rows}.")
    chosen = torch.arange(size)
    if rows is not None and rows < size:
        generator = generator_for(type(opened).__name__, size, "encoded rows")
        chosen = torch.randperm(size, generator=generator)[:rows].sort().values
    if isinstance(encoder, torch.nn.Module):
        encoder = encoder.to(device).eval()
    values, deviations = [], []
    for chunk in chosen.to(opened.preferred_device(device)).split(batch_size):
        found = codes_by(encoder, opened.batch(chunk).to(device).float().div_(255))
        values.append(found.values.float().cpu())
        deviations += [] if found.std is None else [found.std.float().cpu()]
    codes = torch.cat(values).numpy()
    if not np.isfinite(codes).all():
        raise ValueError("The encoder returned codes that are not finite.")
    std = torch.cat(deviations).numpy() if deviations else None
    factors, names = opened.factors(chosen).numpy(), tuple(opened.factor_names)
    return EncodedTable(codes, factors, chosen.numpy(), names, std, bool(getattr(encoder, "quantized", False)))


def codes_by(encoder: Any, images: torch.Tensor) -> Codes:
    """Encode images (B, C, H, W). Raises ValueError where the result is not one row of numbers for each image."""
    if isinstance(encoder, Method):
        return codes_of(encoder, images)
    if hasattr(encoder, "transform") and not isinstance(encoder, torch.nn.Module):
        found = encoder.transform(images.flatten(1).cpu().numpy())
    else:
        found = encoder(images)
    codes = found if isinstance(found, Codes) else Codes(torch.as_tensor(found))
    shape = tuple(codes.values.shape)
    if len(shape) not in (2, 3) or shape[0] != len(images):
        raise ValueError(f"The encoder needs to return codes ({len(images)}, D) for {len(images)} images, got {shape}.")
    return codes
