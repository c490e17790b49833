"""Pictures of what a latent or a group of latents does, of reconstructions, and of what a data set's factors do."""

import numpy as np
import torch
from numpy.typing import NDArray

from disbench.baselines.method import Method
from disbench.datasets import FactorDataset
from disbench.metrics.views import NUISANCE, first_components

COLUMNS = 9
REACH = 2.0  # a latent is swept over its mean plus and minus this many standard deviations of the codes
NAMED = 4  # latents of a group that its label names


def latent_traversals(method: Method, codes: NDArray[np.float32]) -> tuple[NDArray[np.uint8], list[str]]:
    """Decode one code with each latent swept in turn: images (D, COLUMNS, C, H, W), and a label for each row.

    codes (N, D) are the scored table; the code nearest its mean is swept, over each latent's own spread.
    """
    centre, spread = codes.mean(0), codes.std(0)
    z = np.tile(_typical(codes), (codes.shape[1], COLUMNS, 1))
    latents = np.arange(codes.shape[1])
    z[latents, :, latents] = centre[:, None] + spread[:, None] * _sweep()
    return _decoded(method, z), [f"z{d} (sd {spread[d]:.2f})" for d in latents]


def group_traversals(
    method: Method, codes: NDArray[np.float32], group: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], list[str]]:
    """Decode one code with each group swept in turn along its first principal component, all its latents moving together.

    codes (N, D), group (D,), 0 for nuisance. Returns images (groups, COLUMNS, C, H, W), nuisance last, and a label for each
    row. Groups whose latents do not vary have no row; without any there is an image array of no rows.
    """
    components = first_components(codes, group)
    order = sorted(components, key=lambda number: (number == NUISANCE, number))
    z = np.tile(_typical(codes), (len(order), COLUMNS, 1))
    labels = []
    for row, number in enumerate(order):
        latents, direction, deviation = components[number]
        offsets = deviation * direction[None] * _sweep()[:, None]  # (COLUMNS, M)
        z[row][:, latents] = codes[:, latents].mean(0) + offsets
        members = " ".join(f"z{d}" for d in latents) if len(latents) <= NAMED else f"{len(latents)} latents"
        labels.append(f"{'nuisance' if number == NUISANCE else f'group {number}'}: {members} (sd {deviation:.2f})")
    return _decoded(method, z), labels


@torch.no_grad()
def reconstructions(method: Method, dataset: FactorDataset, rows: torch.Tensor) -> NDArray[np.uint8]:
    """(2, N, C, H, W): the images of rows (N,), and what the method makes of each through its posterior mean."""
    originals = dataset.batch(rows.to(dataset.preferred_device(_device(method))))
    copies = method(originals.to(_device(method)).float().div_(255))
    return np.stack([originals.cpu().numpy(), _bytes(copies)])


def _typical(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """The code nearest the mean, each latent measured in its own spread."""
    nearest: NDArray[np.float32] = codes[
        np.square((codes - codes.mean(0)) / np.maximum(codes.std(0), 1e-6)).sum(1).argmin()
    ]
    return nearest


def _sweep() -> NDArray[np.float32]:
    return np.linspace(-REACH, REACH, COLUMNS, dtype=np.float32)


def _device(method: Method) -> torch.device:
    return next(method.parameters()).device


@torch.no_grad()
def _decoded(method: Method, z: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Codes (rows, columns, D) as images (rows, columns, C, H, W)."""
    images = method.decode(torch.from_numpy(z).flatten(0, 1).to(_device(method)))
    return _bytes(images).reshape(*z.shape[:2], *images.shape[1:])


def _bytes(images: torch.Tensor) -> NDArray[np.uint8]:
    return (images.cpu() * 255).round().to(torch.uint8).numpy()


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
