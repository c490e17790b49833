"""Pictures of what a latent does, and of what a data set's factors do."""

import numpy as np
import torch
from numpy.typing import NDArray

from disbench.baselines.vae import VAE
from disbench.datasets import FactorDataset

COLUMNS = 9
REACH = 2.0  # a latent is swept over its mean plus and minus this many standard deviations of the codes


@torch.no_grad()
def latent_traversals(method: VAE, codes: NDArray[np.float32]) -> tuple[NDArray[np.uint8], list[str]]:
    """Decode one code with each latent swept in turn: images (D, COLUMNS, C, H, W), and a label for each row.

    codes (N, D) are the scored table; the code nearest its mean is swept, over each latent's own spread.
    """
    device = next(method.parameters()).device
    centre, spread = codes.mean(0), codes.std(0)
    start = codes[np.square((codes - centre) / np.maximum(spread, 1e-6)).sum(1).argmin()]
    sweep = np.linspace(-REACH, REACH, COLUMNS, dtype=np.float32)
    z = np.tile(start, (codes.shape[1], COLUMNS, 1))
    latents = np.arange(codes.shape[1])
    z[latents, :, latents] = centre[:, None] + spread[:, None] * sweep
    images = method.decode(torch.from_numpy(z).flatten(0, 1).to(device)).cpu()
    pictures = (images * 255).round().to(torch.uint8).unflatten(0, z.shape[:2]).numpy()
    return pictures, [f"z{d} (sd {spread[d]:.2f})" for d in latents]


def random_samples(dataset: FactorDataset, rows: int, columns: int, generator: torch.Generator) -> NDArray[np.uint8]:
    """(rows, columns, C, H, W) images drawn at random."""
    indices = torch.randint(len(dataset), (rows * columns,), generator=generator)
    return dataset.batch(indices).unflatten(0, (rows, columns)).numpy()


def factor_sweeps(dataset: FactorDataset, columns: int, generator: torch.Generator) -> NDArray[np.uint8]:
    """(K, columns, C, H, W): a row for each factor.

    On a grid one random image with the factor swept over its whole range, all else equal. Off a grid no two images need
    agree in all else, so a column shows a random image that has the value.
    """
    if not dataset.is_grid:
        return _examples(dataset, columns, generator)
    start = dataset.factors(torch.randint(len(dataset), (1,), generator=generator))[0]
    rows = []
    for k, size in enumerate(dataset.factor_sizes):
        factors = start.repeat(columns, 1)
        factors[:, k] = torch.linspace(0, size - 1, columns).round().long()
        rows.append(dataset.batch(dataset.space.indices(factors)))
    return torch.stack(rows).numpy()


def _examples(dataset: FactorDataset, columns: int, generator: torch.Generator) -> NDArray[np.uint8]:
    order = torch.randperm(len(dataset), generator=generator)
    factors = dataset.factors(order)
    rows = []
    for k in range(len(dataset.factor_sizes)):
        present = factors[:, k].unique()
        wanted = present[torch.linspace(0, len(present) - 1, columns).round().long()]  # (columns,), in order
        chosen = []
        for value, count in zip(*(found.tolist() for found in wanted.unique(return_counts=True)), strict=True):
            having = order[factors[:, k] == value]
            chosen.append(having[torch.arange(count) % len(having)])
        rows.append(dataset.batch(torch.cat(chosen)))
    return torch.stack(rows).numpy()
