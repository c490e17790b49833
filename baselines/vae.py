"""Base class of methods with a Gaussian posterior. On its own, it is the standard VAE.

Kingma & Welling 2014, arXiv:1312.6114v11. The loss of one image, in nats, is

    -log p(x|z) + regulariser(z, q, step),        z ~ q(z|x),        p(x|z) a product of Bernoullis

and a method says what its regulariser is; here it is KL(q(z|x) || N(0, I)).
"""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from disbench.baselines.autoencoder import (
    Autoencoder,
    NetworkOptions as NetworkOptions,
    ShellOptions as ShellOptions,
)
from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.method import START, Batch, Codes, Step, accepts, as_batch


class VAE(Autoencoder):
    """Train a variational autoencoder. A method derives from it and overrides `regulariser`.

    The loss of an image is -log p(x|z) + regulariser(z, q, step) in nats, with z ~ q(z|x) and p(x|z) a product of Bernoullis,
    unless `likelihood` is another. A method with several optimizers derives from `AlternatingVAE`.

    Parameters
    ----------
    image_shape : sequence of int
        (C, H, W).
    n_train : int
        Number of training images, which density estimates need.
    latent_dim : int, default 10
        Number of latents D.
    lr : float, default 1e-4
        Learning rate of Adam; the default is that of Locatello et al. 2019, arXiv:1811.12359.
    network : {"conv", "mlp", "style", "residual"}, default "conv"
        Convolutional networks for 64 x 64 images, perceptrons for any size, or the larger networks of QLAE ("style") and Tripod
        ("residual") for 64 x 64 images (see `docs/methods/networks.md`).
    hidden_dim : int, default 1200
        Width of "mlp".
    likelihood : {"bernoulli", "gaussian", "mse"}, default "bernoulli"
        Loss of a reconstruction: Bernoulli pixels or Gaussian pixels of variance 1, in nats per image, summed over pixels; or the
        squared error averaged over pixels, which needs other weights (see `docs/methods/likelihoods.md`).
    width_multiplier : float, default 1.0
        Factor of all widths of "style" and "residual".

    References
    ----------
    Kingma and Welling 2014, arXiv:1312.6114v11

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.gaussian import kl_to_prior
    >>> from disbench.baselines.vae import VAE
    >>> class WarmUp(VAE):
    ...     def regulariser(self, z, q, step):
    ...         kl = kl_to_prior(q).sum(1).mean()
    ...         return step.fraction * kl, {"kl": kl}
    >>> method = WarmUp((1, 64, 64), n_train=100, latent_dim=3)
    >>> codes = method.encode(torch.zeros(2, 1, 64, 64))
    >>> codes.values.shape, codes.std.shape, method.decode(codes.values).shape
    (torch.Size([2, 3]), torch.Size([2, 3]), torch.Size([2, 1, 64, 64]))
    """

    data_parallel = True
    outputs_per_latent = 2

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        own = vars(cls).get("regulariser")
        if callable(own) and not accepts(own, 4) and accepts(own, 3):
            warnings.warn(
                f"{cls.__name__}.regulariser(z, q) is deprecated and removed in the next release. Write: "
                "regulariser(self, z, q, step)",
                DeprecationWarning,
                stacklevel=2,
            )
            cls.regulariser = _without_step(own)  # type: ignore[method-assign]

    def posterior(self, x: Tensor) -> Posterior:
        """Compute q(z|x).

        Parameters
        ----------
        x : Tensor of shape (B, C, H, W)
            Images in [0, 1].

        Returns
        -------
        Posterior
            Tensors (B, D) in float32, at any precision of training.
        """
        mean, logvar = self.encoder(x).chunk(2, dim=1)
        return Posterior(mean, logvar)

    def encode(self, x: Tensor) -> Codes:
        """Compute the means and standard deviations of the posterior.

        Parameters
        ----------
        x : Tensor of shape (B, C, H, W)
            Images in [0, 1].

        Returns
        -------
        Codes
            Tensors (B, D).
        """
        q = self.posterior(x)
        return Codes(q.mean, torch.exp(0.5 * q.logvar))

    def regulariser(self, z: Tensor, q: Posterior, step: Step = START) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the penalty of a minibatch, the method's part of the loss.

        Parameters
        ----------
        z : Tensor
            (B, D): a draw from `q`.
        q : Posterior
            Means and log-variances, (B, D) each.
        step : Step
            Where training is, for a weight or a capacity that changes with it.

        Returns
        -------
        tuple of Tensor and dict of str to Tensor
            The penalty in nats per image, a scalar, and its named parts for the curves, scalars.
        """
        kl = kl_to_prior(q).sum(1).mean()
        return kl, {"kl": kl}

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Compute the loss and its terms on one minibatch.

        Parameters
        ----------
        batch : Batch or Tensor
            Images (B, C, H, W) in [0, 1].
        batch_idx : int
            Number of the call.

        Returns
        -------
        dict of str to Tensor
            "loss", which is minimized, and further scalars for the curves, in nats per image.
        """
        x = as_batch(batch).images
        q = self.posterior(x)
        z = q.sample()
        reconstruction = self.reconstruction_loss(x, z)
        penalty, terms = self.regulariser(z, q, self.current_step(batch_idx))
        return {"loss": reconstruction + penalty, "reconstruction": reconstruction, **terms}


def _without_step(regulariser: Callable[..., Any]) -> Callable[..., Any]:
    """Make a `regulariser` that ignores its step of a `regulariser(self, z, q)`."""

    @functools.wraps(regulariser)
    def ignoring(self: VAE, z: Tensor, q: Posterior, step: Step = START) -> Any:
        return regulariser(self, z, q)

    return ignoring
