"""Few labels: penalize the distance of the first latents of a VAE from the labels of some images.

Locatello et al. 2020 (ICLR), arXiv:1905.01258v2, Eq. 2, as in the authors' code (disentanglement_lib, commit 86a644d). The loss:

    E_x [the loss of an unsupervised method] + label_weight E_(x, v) sum_k R(mean_k(x), v_k)

with v_k the label of factor k, from 0 to 1, and R the cross-entropy or the squared error of sigmoid(mean_k) and v_k. Each step
has a minibatch of all images and a second one of images with labels, which has no other loss. Latents after the first K, where K
is the number of factors, see no labels. Unknown labels, and labels of a factor with a single value, are left out.

The code of the authors sums R over the minibatch, here it is a mean: their weight of 1 is a `label_weight` of the batch size. It
divides labels of n values by n, so that the largest is (n - 1) / n; here it is 1.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from disbench.baselines.beta_tcvae import BetaTCVAE
from disbench.baselines.beta_vae import BetaVAE
from disbench.baselines.dip_vae import DIPVAEI
from disbench.baselines.method import Batch, Grids, Labelled, Method, Sampling, as_batch
from disbench.baselines.vae import VAE

LABEL_LOSSES = ("cross_entropy", "squared_error")


def label_targets(labels: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Scale labels to [0, 1].

    Parameters
    ----------
    labels : Tensor of shape (B, K), int64
        Value of each factor, -1 where it is unknown.
    sizes : sequence of int
        Number of values of each factor.

    Returns
    -------
    tuple of Tensor and Tensor
        Targets (B, K) and whether each counts (B, K): it is known, and its factor has more than one value.

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.semi_supervised import label_targets
    >>> targets, known = label_targets(torch.tensor([[0, 3, 0], [2, -1, 0]]), (3, 4, 1))
    >>> targets.tolist(), known.tolist()
    ([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], [[True, True, False], [True, False, False]])
    """
    known = [
        column >= 0 if size > 1 else torch.zeros_like(column, dtype=torch.bool)
        for column, size in _columns(labels, sizes)
    ]
    targets = [column.clamp(min=0).float() / max(size - 1, 1) for column, size in _columns(labels, sizes)]
    return torch.stack(targets, dim=1), torch.stack(known, dim=1)


def _columns(labels: Tensor, sizes: Sequence[int]) -> list[tuple[Tensor, int]]:
    # A tensor of the sizes would have to be copied to an accelerator, which waits for it.
    return list(zip(labels.unbind(1), sizes, strict=True))


def label_loss(outputs: Tensor, targets: Tensor, known: Tensor, kind: str = "cross_entropy") -> Tensor:
    """Compare outputs with targets.

    Parameters
    ----------
    outputs : Tensor of shape (B, D)
        One number for each latent. Of the sigmoid of the first K, the distance from the targets is measured.
    targets : Tensor of shape (B, K)
        From 0 to 1.
    known : Tensor of shape (B, K), bool
        Whether a target counts.
    kind : {"cross_entropy", "squared_error"}
        The distance.

    Returns
    -------
    Tensor
        A scalar: sum over the targets that count, mean over images.

    References
    ----------
    Locatello et al. 2020, arXiv:1905.01258v2, Eq. 2

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.semi_supervised import label_loss
    >>> known = torch.tensor([[True, False]])
    >>> label_loss(torch.zeros(1, 3), torch.ones(1, 2), known, "squared_error")
    tensor(0.2500)
    """
    first = outputs[:, : targets.shape[1]]
    if kind == "cross_entropy":
        distance = functional.binary_cross_entropy_with_logits(first, targets, reduction="none")
    else:
        distance = (torch.sigmoid(first) - targets).square()
    return (distance * known).sum(1).mean()


def checked_label_loss(kind: str) -> str:
    """Return the name of a distance. Raises ValueError if there is none of that name."""
    if kind not in LABEL_LOSSES:
        raise ValueError(f"label_loss must be one of {', '.join(LABEL_LOSSES)}, got {kind!r}.")
    return kind


def batch_targets(method: Method, batch: Batch, latents: int) -> tuple[Tensor, Tensor]:
    """Make targets (B, K) of the labels of a minibatch, and say which count. Raises ValueError if there are too few latents."""
    labels, name = batch.labels, type(method).__name__
    if labels is None or method.label_sizes is None:
        raise ValueError(
            f"{name} needs labels in each minibatch, and the number of values of each factor. Yield Batch(images, labels=labels) "
            "and set label_sizes of the method, such as (10, 10, 4)."
        )
    if labels.shape[1] > latents:
        raise ValueError(
            f"{name} has {latents} latents for the labels of {labels.shape[1]} factors. "
            f"Set latent_dim to at least {labels.shape[1]}."
        )
    return label_targets(labels, method.label_sizes)


class SemiSupervised(VAE):
    """Add labels of some images to a VAE: a class derives from it first, and from an unsupervised method second.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    labels : int, default 100
        Number of training images that have labels.
    label_weight : float, default 1000.0
        Weight of the distance between latents and labels.
    label_loss : {"cross_entropy", "squared_error"}, default "cross_entropy"
        The distance.
    balanced_labels : bool, default False
        Each value of each factor occurs equally often among the labels, or once more. Needs a dataset that is a full grid.
    label_noise : {"none", "permuted", "binned", "noisy", "missing"}, default "none"
        What is wrong with the labels; see `disbench.datasets.factors.labelled_rows`.
    noise_level : float, optional
        How much of it is; see `disbench.datasets.factors.labelled_rows`.
    **unsupervised
        Parameters of the unsupervised method and of `VAE`.

    References
    ----------
    Locatello et al. 2020, arXiv:1905.01258v2, Eq. 2
    """

    published: ClassVar[Grids] = {}
    supervision = "labels"
    sampling: Sampling = Labelled(100, own_minibatch=True)

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        labels: int = 100,
        label_weight: float = 1000.0,
        label_loss: str = "cross_entropy",
        balanced_labels: bool = False,
        label_noise: str = "none",
        noise_level: float | None = None,
        **unsupervised: Any,
    ) -> None:
        super().__init__(image_shape, n_train, **unsupervised)
        self.label_weight = label_weight
        self.label_loss = checked_label_loss(label_loss)
        self.sampling = Labelled(
            labels, own_minibatch=True, balanced=balanced_labels, noise=label_noise, noise_level=noise_level
        )

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Compute the loss of the unsupervised method on one half of the images, and that of the labels on the other.

        Parameters
        ----------
        batch : Batch
            Images (2B, C, H, W) in [0, 1]: B with labels, then B of all. Labels (2B, K).
        batch_idx : int
            Number of the call.

        Returns
        -------
        dict of str to Tensor
            The terms of the unsupervised method, with "loss" the whole loss, and "labels", the distance without its weight.
        """
        both = as_batch(batch)
        labelled, images = both.images.chunk(2)
        targets, known = batch_targets(self, both, self.latent_dim)
        terms = super().training_step(Batch(images), batch_idx)
        distance = label_loss(
            self.posterior(labelled).mean, targets[: len(labelled)], known[: len(labelled)], self.label_loss
        )
        return {**terms, "loss": terms["loss"] + self.label_weight * distance, "labels": distance}


class S2BetaVAE(SemiSupervised, BetaVAE):
    """Train a beta-VAE with the labels of some images.

    Parameters
    ----------
    image_shape, n_train, labels, label_weight, label_loss, balanced_labels, label_noise, noise_level
        As in `SemiSupervised`.
    **unsupervised
        Parameters of `BetaVAE`.

    Examples
    --------
    >>> from disbench.baselines.semi_supervised import S2BetaVAE
    >>> method = S2BetaVAE((1, 64, 64), n_train=5000, labels=100, beta=2.0)
    >>> method.sampling.count, method.beta
    (100, 2.0)
    """

    data_parallel = True


class S2BetaTCVAE(SemiSupervised, BetaTCVAE):
    """Train a beta-TCVAE with the labels of some images.

    Parameters
    ----------
    image_shape, n_train, labels, label_weight, label_loss, balanced_labels, label_noise, noise_level
        As in `SemiSupervised`.
    **unsupervised
        Parameters of `BetaTCVAE`.
    """


class S2DIPVAE(SemiSupervised, DIPVAEI):
    """Train a DIP-VAE-I with the labels of some images.

    Parameters
    ----------
    image_shape, n_train, labels, label_weight, label_loss, balanced_labels, label_noise, noise_level
        As in `SemiSupervised`.
    **unsupervised
        Parameters of `DIPVAEI`.
    """
