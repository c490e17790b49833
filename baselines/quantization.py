"""Base class of autoencoders with quantized codes: each latent takes one of a few values.

Rounding has no gradient. The straight-through estimator (Bengio et al. 2013, arXiv:1308.3432v1, section 4) takes that of the
identity in its place.
"""

import math
from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor
from torch.optim import Optimizer

from disbench.baselines.autoencoder import Autoencoder, ShellOptions, SizeOptions
from disbench.baselines.method import Batch, Codes, as_batch

EPSILON = 1e-3  # of the paper: the bound stays so much, relatively, within the outermost levels


def straight_through(values: Tensor, continuous: Tensor) -> Tensor:
    """Return `values`, to the last bit, with the gradient of `continuous`.

    `continuous + (values - continuous).detach()`, as often written, is off by a rounding error, so that equal levels differ.
    """
    return values.detach() + (continuous - continuous.detach())


def finite_scalar(z: Tensor, levels: int) -> Tensor:
    """Bound numbers and round them to `levels` equally spaced values, straight through.

    Zero stays zero. An even number of levels has one more below zero than above.

    Parameters
    ----------
    z : Tensor
        Any numbers, of any shape.
    levels : int
        Number of values, at least 1.

    Returns
    -------
    Tensor
        Multiples of 1 / (levels // 2) in [-1, 1], of the shape of `z`; zeros with one level.

    References
    ----------
    Mentzer et al. 2023, arXiv:2309.15505v2, appendix A.1

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.quantization import finite_scalar
    >>> finite_scalar(torch.tensor([-9.0, 0.1, 0.9, 9.0]), levels=4)
    tensor([-1.0000,  0.0000,  0.5000,  0.5000])
    """
    half = (levels - 1) * (1 - EPSILON) / 2
    offset = 0.5 if levels % 2 == 0 else 0.0
    shift = math.tan(offset / half) if offset else 0.0
    bounded = torch.tanh(z + shift) * half - offset
    return straight_through(bounded.round() + 0.0, bounded) / max(levels // 2, 1)  # + 0.0 makes -0.0 zero


class OptionsWithoutRate(SizeOptions, total=False):
    """Type the keywords of `Autoencoder` without `lr`, for a method with another default for it."""

    latent_dim: int
    likelihood: str


class QuantizedAutoencoder(Autoencoder):
    """Hold an autoencoder whose code is quantized. A method derives from it and writes `quantize`.

    Parameters
    ----------
    image_shape, n_train, **shell
        As in `Autoencoder`.

    Attributes
    ----------
    pixels : int
        Factor by which the loss of a reconstruction is larger than its mean over pixels: C * H * W, or 1 for "mse". Published
        weights belong to the mean.
    clip : float
        Largest absolute value of a number of the gradient, for a loss averaged over pixels; infinite, which clips nothing.
    """

    data_parallel = True
    quantized = True

    def __init__(self, image_shape: Sequence[int], n_train: int, **shell: Unpack[ShellOptions]) -> None:
        super().__init__(image_shape, n_train, **shell)
        self.clip = math.inf
        self.pixels = 1 if self.likelihood == "mse" else math.prod(image_shape)

    def quantize(self, z: Tensor) -> Tensor:
        """Quantize the outputs of the encoder, (B, D) in float32, straight through: (B, D)."""
        raise NotImplementedError(f"{type(self).__name__} needs quantize(z), which returns values of shape (B, D).")

    def encode(self, x: Tensor) -> Codes:
        """Compute the quantized values.

        Parameters
        ----------
        x : Tensor of shape (B, C, H, W)
            Images in [0, 1].

        Returns
        -------
        Codes
            Values (B, D), without deviations.
        """
        return Codes(self.quantize(self.encoder(x)))

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Compute the loss of the reconstruction; see `VAE.training_step`."""
        x = as_batch(batch).images
        reconstruction = self.reconstruction_loss(x, self.quantize(self.encoder(x)))
        return {"loss": reconstruction, "reconstruction": reconstruction}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip each number of the gradient by `clip`, or as a Trainer says. The training loop calls it.

        Lightning's clipping refuses a fused optimizer in mixed precision, whose gradients are still scaled. So is the limit here.
        """
        if self.clip == math.inf:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        limit = self.clip * self.pixels * self.loss_scale()
        for parameter in (each for group in optimizer.param_groups for each in group["params"]):
            if (
                gradient := parameter.grad
            ) is not None:  # an infinite one stays, for the scaler of 16-bit gradients to see
                parameter.grad = torch.where(gradient.isfinite(), gradient.clamp(-limit, limit), gradient)
