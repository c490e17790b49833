"""What one training step gets: images, where a method asks for them partner images or labels, and where training is."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Step(NamedTuple):
    """Tell how far training is.

    Parameters
    ----------
    number : int
        Number of calls of `training_step` before this one.
    total : int
        Number of calls in the whole training.
    """

    number: int
    total: int

    @property
    def fraction(self) -> float:
        """Share of the training that is done, in [0, 1)."""
        return self.number / self.total


START = Step(0, 1)


class Batch(NamedTuple):
    """The input of one training step.

    Parameters
    ----------
    images : Tensor
        (B, C, H, W), floats in [0, 1].
    partner : Tensor, optional
        (B, C, H, W): for each image one that differs from it in some factors. Present if the method samples `Pairs`.
    labels : Tensor, optional
        (B, K) int64: the value of each factor, -1 where it is unknown. Present if the method samples `Labelled`.
    changed : Tensor, optional
        (B, K) bool: whether each factor differs between an image and its partner. Present if the method samples `Pairs` with
        `known=True`.
    """

    images: Tensor
    partner: Tensor | None = None
    labels: Tensor | None = None
    changed: Tensor | None = None

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"A Batch has no {name!r}; it has images, partner, labels and changed. If this is a step that was written for a "
            "tensor of images, use batch.images."
        )


def as_batch(batch: Any) -> Batch:
    """Convert what a data loader yields into a `Batch`.

    Parameters
    ----------
    batch : Batch, Tensor, or sequence of Tensor
        Images (B, C, H, W) alone, or a tuple or list that starts with them. Of the tensors that follow, one of floats with the
        shape of the images, or of bytes like them, is `partner`, one of whole numbers with one or two axes is `labels`, and
        one of booleans with two axes is `changed`. Images of bytes (uint8) are divided by 255.

    Returns
    -------
    Batch

    Raises
    ------
    TypeError
        If there are no images, or something that is neither a partner nor labels.

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.method import as_batch
    >>> batch = as_batch((torch.zeros(4, 1, 64, 64), torch.tensor([0, 1, 1, 0])))
    >>> batch.labels.tolist(), batch.partner is None
    ([[0], [1], [1], [0]], True)
    """
    if isinstance(batch, Batch):
        partner = None if batch.partner is None else _as_floats(batch.partner)
        return Batch(_as_floats(batch.images), partner, batch.labels, batch.changed)
    if isinstance(batch, Tensor):
        return Batch(_as_floats(batch))
    if not isinstance(batch, list | tuple) or not batch or not all(isinstance(part, Tensor) for part in batch):
        raise TypeError(
            "A training step needs a tensor of images (B, C, H, W), or a tuple (images, partner) or (images, labels), got "
            f"{type(batch).__name__}. Let the data loader yield one of these."
        )
    images, *others = batch
    found: dict[str, Tensor] = {}
    for part in others:
        if part.shape == images.shape and "partner" not in found:
            found["partner"] = _as_floats(part)
        elif part.dtype == torch.bool and part.dim() == 2 and len(part) == len(images):
            found["changed"] = part
        elif not part.is_floating_point() and part.dim() in (1, 2) and len(part) == len(images):
            found["labels"] = part.reshape(len(part), -1).long()
        else:
            raise TypeError(
                f"A batch of images {tuple(images.shape)} has a tensor {part.dtype} {tuple(part.shape)} beside them. A partner "
                "has the shape of the images, labels are whole numbers (B,) or (B, K)."
            )
    return Batch(_as_floats(images), **found)


def _as_floats(images: Tensor) -> Tensor:
    return images.float().div_(255) if images.dtype == torch.uint8 else images


@dataclass(frozen=True)
class Independent:
    """Sample images in random order, each once per epoch.

    Parameters
    ----------
    minibatches : int, default 1
        Number of minibatches that one training step gets, concatenated: `Batch.images` holds `minibatches * batch_size` images.
    """

    minibatches: int = 1

    def __post_init__(self) -> None:
        _check_count("Independent", "minibatches", self.minibatches)

    @property
    def rows(self) -> int:
        """Number of rows of the random order that a step takes, per row of `batch_size`."""
        return self.minibatches

    @property
    def images(self) -> int:
        """Number of images that a step gets, per row of `batch_size`."""
        return self.minibatches


@dataclass(frozen=True)
class Pairs:
    """Sample images, each with a partner that differs from it in a number of factors.

    The dataset needs to be a full grid of factors, or a part of one.

    Parameters
    ----------
    changed : int, optional
        Number of factors that differ. None draws it for each pair, uniformly from 1 to K-1, where K is the number of factors.
    law : {"uniform", "laplace"}, default "uniform"
        What changes; "laplace" ignores `changed`. See `disbench.datasets.factors.pairs`.
    rate : float, default 1.0
        Rate of the Laplace law, above 0.
    known : bool, default False
        Whether a step gets the factors that differ, as `Batch.changed`.

    References
    ----------
    Locatello et al. 2020, arXiv:2002.02886v3, section 5; Klindt et al. 2021, arXiv:2007.10930v2, section 4.1
    """

    changed: int | None = 1
    law: str = "uniform"
    rate: float = 1.0
    known: bool = False

    def __post_init__(self) -> None:
        if self.changed is not None:
            _check_count("Pairs", "changed", self.changed)

    rows = 1
    images = 2


@dataclass(frozen=True)
class Labelled:
    """Sample images of which some have labels, the values of their factors.

    Which rows have labels depends on the dataset and the trial's seed.

    Parameters
    ----------
    count : int, optional
        Number of rows of the dataset that have labels. None gives every row a label.
    share : float, default 0.0
        Share of each minibatch, in [0, 1], that is drawn from the rows with labels, with replacement. At 0 they occur as often as
        in the random order, which is rarely if they are few.
    own_minibatch : bool, default False
        Whether a step gets a second minibatch, which is drawn from the rows with labels with replacement. `Batch.images` then
        holds `2 * batch_size` images: first those of the second minibatch, then those of the random order.
    balanced : bool, default False
        Each value of each factor occurs equally often among the labels, or once more. Needs a dataset that is a full grid.
    noise : {"none", "permuted", "binned", "noisy", "missing"}, default "none"
        What is wrong with the labels; see `disbench.datasets.factors.labelled_rows`.
    noise_level : float, optional
        How much of it is; see `disbench.datasets.factors.labelled_rows`.
    """

    count: int | None
    share: float = 0.0
    own_minibatch: bool = False
    balanced: bool = False
    noise: str = "none"
    noise_level: float | None = None

    def __post_init__(self) -> None:
        if self.count is not None:
            _check_count("Labelled", "count", self.count)
        if not 0 <= self.share <= 1:
            raise ValueError(f"Labelled needs a share from 0 to 1, got {self.share!r}.")

    rows = 1

    @property
    def images(self) -> int:
        """Number of images that a step gets, per row of `batch_size`."""
        return 1 + self.own_minibatch


Sampling = Independent | Pairs | Labelled


def _check_count(owner: str, name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{owner} needs {name} as a whole number of 1 or more, got {value!r}.")
