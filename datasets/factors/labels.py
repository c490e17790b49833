"""A few labeled rows of a dataset, drawn at random or in balance, and models of imprecise labels.

Locatello et al. 2020 (ICLR), arXiv:1905.01258v2, section 2 has the models of imprecise labels: binned, noisy, partial and
permuted. Here `missing` takes the place of partial labels: each label is unknown with a probability, not a whole column.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from disbench.datasets.factors.dataset import FactorDataset
from disbench.datasets.wording import listed, shown

NOISE = ("none", "permuted", "binned", "noisy", "missing")
NOISE_LEVELS = {"binned": 5.0, "noisy": 0.1, "missing": 0.5}  # where none is given: number of values, probabilities
UNKNOWN = -1


@dataclass(frozen=True)
class LabelledRows:
    """Hold rows of a dataset and their labels.

    Parameters
    ----------
    rows : Tensor of shape (n,), int64
        Distinct rows of the dataset.
    labels : Tensor of shape (n, K), int64
        A value of each factor, 0 to its number of values less 1, or -1 where it is unknown.
    sizes : tuple of int
        Number of values that the labels of each factor can have.
    """

    rows: Tensor
    labels: Tensor
    sizes: tuple[int, ...]


def labelled_rows(
    dataset: FactorDataset,
    count: int,
    generator: torch.Generator,
    *,
    balanced: bool = False,
    noise: str = "none",
    noise_level: float | None = None,
) -> LabelledRows:
    """Draw rows of a dataset and label them.

    Parameters
    ----------
    dataset : FactorDataset
        Images with factors.
    count : int
        Number of rows n, from 1 to the number of rows of the dataset. They are drawn by weight where the dataset has weights.
    generator : torch.Generator
        Source of all random numbers, on the CPU. With the same state of the generator, fewer rows are the first of more rows
        unless they are balanced.
    balanced : bool, default False
        Each value of each factor occurs equally often among the rows, or once more. Needs a full grid of factors.
    noise : {"none", "permuted", "binned", "noisy", "missing"}, default "none"
        What is wrong with the labels: the values of each factor are permuted, so that their order is lost; neighboring values
        are merged into few; a label is replaced by a random value; or it is unknown.
    noise_level : float, optional
        Number of values that are left of each factor for "binned" (default 5), or the probability that a label is replaced for
        "noisy" (default 0.1) or unknown for "missing" (default 0.5).

    Returns
    -------
    LabelledRows

    Raises
    ------
    ValueError
        If there are too few rows, the dataset is no grid, or noise or its level is none of those above.

    References
    ----------
    Locatello et al. 2020, arXiv:1905.01258v2, section 2

    Examples
    --------
    >>> import torch
    >>> from disbench.datasets import load
    >>> from disbench.datasets.factors import labelled_rows
    >>> dataset = load("dsprites_like", select={"orientation": 0, "position_x": "0-1", "position_y": "0-1"})
    >>> found = labelled_rows(dataset, 12, torch.Generator().manual_seed(0), balanced=True)
    >>> found.labels.shape, found.labels[:, 0].bincount().tolist()
    (torch.Size([12, 5]), [4, 4, 4])
    """
    level = checked_noise(noise, noise_level)
    if not 1 <= count <= len(dataset):
        raise ValueError(
            f"{dataset.name} with these options has {len(dataset):,} images, so 1 to {len(dataset):,} of them can have labels, "
            f"got {shown(count)}."
        )
    random = random_rows(dataset, count, generator)
    rows = balanced_rows(dataset, count, generator) if balanced else random
    labels, sizes = imprecise(dataset.factors(rows), dataset.factor_sizes, noise, level, generator)
    return LabelledRows(rows, labels, sizes)


def checked_noise(noise: str, level: float | None) -> float:
    """Return the level of a model of imprecise labels, 0 where it has none. Raises ValueError if it makes no sense."""
    if noise not in NOISE:
        raise ValueError(f"Labels have the noise {listed(NOISE)}, got {shown(noise)}.")
    if level is None:
        return NOISE_LEVELS.get(noise, 0.0)
    if noise not in NOISE_LEVELS:
        raise ValueError(f"Labels with the noise {noise!r} have no noise level, got {shown(level)}. Leave it out.")
    if noise == "binned":
        if level != int(level) or level < 2:
            raise ValueError(f"Binned labels need a whole number of 2 or more values, got {shown(level)}.")
    elif not 0 <= level <= 1:
        raise ValueError(f"The noise {noise!r} needs a probability from 0 to 1, got {shown(level)}.")
    return float(level)


def random_rows(dataset: FactorDataset, count: int, generator: torch.Generator) -> Tensor:
    """Draw distinct rows (n,), by weight where the dataset has weights."""
    if dataset.weights is None:
        return torch.randperm(len(dataset), generator=generator)[:count]
    uniform = torch.rand(len(dataset), generator=generator, dtype=torch.float64)
    # The greatest sums of log weight and Gumbel noise are weighted draws without replacement.
    return (dataset.weights.log() - (-uniform.log()).log()).topk(count).indices


def balanced_rows(dataset: FactorDataset, count: int, generator: torch.Generator) -> Tensor:
    """Draw distinct rows (n,) of a grid in which each value of each factor occurs equally often, or once more."""
    if not dataset.is_grid:
        raise ValueError(
            f"Balanced labels need every combination of factors, a full grid; {dataset.name} with these options is not one. "
            "Draw the rows at random."
        )
    if 2 * count > len(
        dataset
    ):  # what is left of a grid without balanced rows is balanced, and few rows are found sooner
        taken = torch.zeros(len(dataset), dtype=torch.bool)
        if count < len(dataset):
            taken[balanced_rows(dataset, len(dataset) - count, generator)] = True
        left = (~taken).nonzero()[:, 0]
        return left[torch.randperm(count, generator=generator)]
    sizes = dataset.factor_sizes
    columns = []
    for size in sizes:
        more = torch.randperm(size, generator=generator)[: count % size]  # the values that occur once more
        column = torch.cat([torch.arange(size).repeat(count // size), more])
        columns.append(column[torch.randperm(count, generator=generator)])
    factors = torch.stack(columns, dim=1)
    while True:
        rows = dataset.space.indices(factors)
        ordered, order = torch.sort(rows, stable=True)
        repeated = order[1:][ordered[1:] == ordered[:-1]]
        if not len(repeated):
            return rows
        for row in repeated.tolist():  # two rows exchange a value, which leaves every column as balanced as it was
            factor = int(torch.randint(len(sizes), (), generator=generator))
            other = int(torch.randint(count, (), generator=generator))
            factors[[row, other], factor] = factors[[other, row], factor]


def imprecise(
    labels: Tensor, sizes: tuple[int, ...], noise: str, level: float, generator: torch.Generator
) -> tuple[Tensor, tuple[int, ...]]:
    """Make labels (n, K) imprecise, and count the values that each factor then has."""
    if noise == "none":
        return labels, sizes
    if noise == "permuted":
        orders = [torch.randperm(size, generator=generator) for size in sizes]
        return torch.stack([order[column] for order, column in zip(orders, labels.T, strict=True)], dim=1), sizes
    if noise == "binned":
        bins = torch.tensor(sizes).clamp(max=int(level))
        # The first of several values has label 0, the last the greatest, and between them each bin has equally many, or one more.
        return labels * bins // torch.tensor(sizes), tuple(bins.tolist())
    hit = torch.rand(labels.shape, generator=generator) < level
    if noise == "missing":
        return labels.masked_fill(hit, UNKNOWN), sizes
    others = torch.stack([torch.randint(size, (len(labels),), generator=generator) for size in sizes], dim=1)
    return torch.where(hit, others, labels), sizes
