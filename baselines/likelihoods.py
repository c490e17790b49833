"""Reconstruction losses by the value of `likelihood`. The mean image is the sigmoid of the decoder's output.

bernoulli: -log p(x|z) of independent Bernoulli pixels. Locatello et al. 2019, arXiv:1811.12359v4, trained all models with it.
gaussian:  -log p(x|z) of independent Gaussian pixels with variance 1, without its constant, (C H W / 2) log(2 pi).
mse:       squared error averaged over pixels and channels: the Gaussian's loss times 2 / (C H W), so it is not in nats.

A sigmoid under a squared error, in place of the identity, keeps mean images in [0, 1]. disentanglement_lib (`l2_loss`) and
disentangling-vae have it, too.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from disbench.baselines.bernoulli import bernoulli_loss


def gaussian_loss(logits: Tensor, x: Tensor) -> Tensor:
    """-log p(x) of images x under Gaussians N(sigmoid(logits), 1), less its constant: summed over pixels, mean over images, nats.

    Raises ValueError where the shapes differ.
    """
    return 0.5 * _squared_error(logits, x).sum() / len(x)


def mean_squared_error(logits: Tensor, x: Tensor) -> Tensor:
    """Squared error of the mean images sigmoid(logits), averaged over pixels, channels and images.

    Raises ValueError where the shapes differ.
    """
    return _squared_error(logits, x).mean()


def _squared_error(logits: Tensor, x: Tensor) -> Tensor:
    if logits.shape != x.shape:
        raise ValueError(
            f"A squared error needs an output for each pixel, got {tuple(logits.shape)} for {tuple(x.shape)}."
        )
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))  # at any precision of training
    return (wide.sigmoid() - x).square()


LIKELIHOODS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bernoulli": bernoulli_loss,
    "gaussian": gaussian_loss,
    "mse": mean_squared_error,
}


def check_likelihood(likelihood: str) -> str:
    """Return a name of `LIKELIHOODS`, or raise ValueError."""
    if likelihood not in LIKELIHOODS:
        raise ValueError(f"likelihood must be one of {', '.join(LIKELIHOODS)}, got {likelihood!r}.")
    return likelihood
