"""Pictures of latent traversals, of reconstructions, and of the factors of a dataset."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL.Image import Image

from disbench.baselines.method import Method
from disbench.benchmarks.runtime.failures import classify
from disbench.benchmarks.training.contracts import no_pictures
from disbench.benchmarks.trials.encode import Codes
from disbench.benchmarks.trials.reconstruction import decoded, fixed_rows
from disbench.datasets import FactorDataset
from disbench.datasets.storage.atomic import write_atomic
from disbench.metrics.views import NUISANCE, column_names, first_components
from disbench.reports.markup.image_grids import capacity_bars, image_grid, information_matrix, png
from disbench.reports.records import Record

log = logging.getLogger(__name__)

COLUMNS = 9
REACH = 2.0  # a latent is swept over its mean plus and minus this many standard deviations of the codes
NAMED = 4  # latents of a group that its label names


@contextmanager
def optional(record: Record, what: str) -> Iterator[None]:
    """An error within becomes a remark in the record, whose scores are finished and kept. A full disk remains an error."""
    try:
        yield
    except Exception as error:
        if classify(error) == "disk full":
            raise
        log.exception("%s: %s failed", record.trial.id, what)
        record.remarks.append(f"{what} failed and is left out: {type(error).__name__}: {error}")


def draw(record: Record, method: Method, dataset: FactorDataset, codes: Codes, folder: Path) -> None:
    """Draw what the trained method does, each picture a file in the trial's folder that its record names.

    A picture that fails is left out, with a remark; of a method that decodes nothing only those of its partition are drawn.
    """

    def keep(name: str, figure: Figure | Image) -> None:
        write_atomic(folder / f"{name}.png", png(figure))
        record.artefacts[name] = f"{name}.png"

    if no_pictures(method) is None:
        with optional(record, "The picture of the latents"):
            if rows_of_pictures(method) > 0:
                keep("traversal", image_grid(*latent_traversals(method, codes.codes)))
        with optional(record, "The picture of reconstructions"):
            count = decoded(method, COLUMNS)
            shown = reconstructions(method, dataset, fixed_rows(torch.from_numpy(codes.rows), count))
            keep("reconstructions", image_grid(shown, ["original", "reconstruction"]))
        with optional(record, "The picture of the groups of latents"):
            if codes.group is not None:
                pictures, labels = group_traversals(method, codes.codes, codes.group)
                if labels:
                    keep("group_traversal", image_grid(pictures, labels))
    with optional(record, "The picture of the partition"):
        if (partition := record.partition) is not None:
            shares = np.clip(np.array(partition.assignment), 0.0, 1.0)  # (D, K+1); a softmax may round above 1
            order = np.lexsort((-shares.max(1), partition.group))  # by group, the surest latent first
            names = ["nuisance", *(f"group {k}" for k in range(1, shares.shape[1]))]
            latents = [f"z{d}" for d in order]
            title = "share of each latent in each group"
            keep("assignment", information_matrix(shares[order].T, names, latents, title))
            keep("capacity", capacity_bars(names, partition.nats, partition.target, partition.complexities))


def limit_remark(method: Method, latents: int, images: int) -> str:
    """What a method's `decode_limit` leaves of the pictures."""
    rows = rows_of_pictures(method)
    shown = (
        "no latent"
        if rows == 0
        else f"the {rows} of {latents} latents that vary most"
        if rows < latents
        else "all latents"
    )
    return (
        f"{type(method).__name__} decodes at most {method.decode_limit} images for each picture (decode_limit): the picture of "
        f"the latents shows {shown}, and the quality of reconstructions is of {images:,} images."
    )


def latent_traversals(method: Method, codes: NDArray[np.float32]) -> tuple[NDArray[np.uint8], list[str]]:
    """Decode one code with each latent swept in turn: images (rows, COLUMNS, C, H, W), and a label for each row.

    codes (N, D) or (N, G, F) are the scored table; the code nearest its mean is swept, over each latent's own spread. A quantized
    latent walks over the values that occur in the table, evenly chosen, or repeated if they are few. Each number of a vector
    has a row. A method with a `decode_limit` has rows of the latents of the largest spread, as many as it allows.
    """
    codes, shape, names = codes.reshape(len(codes), -1), codes.shape[1:], column_names(codes.shape[1:])
    centre, spread = codes.mean(0), codes.std(0)
    latents = np.arange(codes.shape[1])
    if (most := rows_of_pictures(method)) < len(latents):
        latents = np.sort(np.argsort(-spread, kind="stable")[:most])
    z = np.tile(_typical(codes), (len(latents), COLUMNS, 1))
    if method.quantized:
        for row, d in enumerate(latents):
            values = np.unique(codes[:, d])
            z[row, :, d] = values[np.linspace(0, len(values) - 1, COLUMNS).round().astype(int)]
    else:
        z[np.arange(len(latents)), :, latents] = centre[latents, None] + spread[latents, None] * _sweep()
    return _decoded(method, z, shape), [f"{names[d]} (sd {spread[d]:.2f})" for d in latents]


def rows_of_pictures(method: Method) -> int:
    """The most rows of COLUMNS images that a picture of what a method decodes has."""
    return sys.maxsize if method.decode_limit is None else method.decode_limit // COLUMNS


def group_traversals(
    method: Method, codes: NDArray[np.float32], group: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], list[str]]:
    """Decode one code with each group swept in turn along its first principal component, all its latents moving together.

    codes (N, D), group (D,), 0 for nuisance; or (N, G, F) and (G F,). Returns images (groups, COLUMNS, C, H, W), nuisance last,
    and a label for each row. Groups whose latents do not vary have no row; without any there is an image array of no rows.
    """
    codes, shape, names = codes.reshape(len(codes), -1), codes.shape[1:], column_names(codes.shape[1:])
    components = first_components(codes, group)
    order = sorted(components, key=lambda number: (number == NUISANCE, number))[: rows_of_pictures(method)]
    z = np.tile(_typical(codes), (len(order), COLUMNS, 1))
    labels = []
    for row, number in enumerate(order):
        latents, direction, deviation = components[number]
        offsets = deviation * direction[None] * _sweep()[:, None]  # (COLUMNS, M)
        z[row][:, latents] = codes[:, latents].mean(0) + offsets
        members = " ".join(names[d] for d in latents) if len(latents) <= NAMED else f"{len(latents)} latents"
        labels.append(f"{'nuisance' if number == NUISANCE else f'group {number}'}: {members} (sd {deviation:.2f})")
    return _decoded(method, z, shape), labels


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
def _decoded(method: Method, z: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Flat codes (rows, columns, D), of the shape (D,) or (G, F), as images (rows, columns, C, H, W)."""
    images = method.decode(torch.from_numpy(z).reshape(-1, *shape).to(_device(method)))
    return _bytes(images).reshape(*z.shape[:2], *images.shape[1:])


def _bytes(images: torch.Tensor) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = (images.cpu() * 255).round().to(torch.uint8).numpy()
    return found


def random_samples(dataset: FactorDataset, rows: int, columns: int, generator: torch.Generator) -> NDArray[np.uint8]:
    """(rows, columns, C, H, W) images drawn at random."""
    indices = torch.randint(len(dataset), (rows * columns,), generator=generator)
    images: NDArray[np.uint8] = dataset.batch(indices).unflatten(0, (rows, columns)).numpy()
    return images


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
