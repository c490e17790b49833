"""The shell of every method: encoder, posterior, decoder, one training step. By itself it is the plain VAE.

Kingma & Welling 2014, arXiv:1312.6114v11. The loss of one image, in nats, is

    -log p(x|z) + regulariser(z, q, step),        z ~ q(z|x),        p(x|z) a product of Bernoullis

and a method says what its regulariser is; here it is KL(q(z|x) || N(0, I)).
"""

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from disbench.baselines import networks
from disbench.baselines.bernoulli import bernoulli_loss
from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.method import START, Batch, Codes, Method, Step, accepts, as_batch
from disbench.baselines.optim import adam


class NetworkOptions(TypedDict, total=False):
    """The keywords of `VAE` without `latent_dim`, for a method that has a default of its own for that one."""

    lr: float
    network: str
    hidden_dim: int


class ShellOptions(NetworkOptions, total=False):
    """The keywords that every method takes and hands on to `VAE`."""

    latent_dim: int


class VAE(Method):
    """A variational autoencoder; methods override `regulariser`; those with several optimisers see `alternating`.

    image_shape: (C, H, W). n_train: number of training images N, which density estimates need. latent_dim: D. lr: Adam's
    (Locatello et al. 2019: 1e-4). network: 'conv' or 'mlp' (see `networks`); hidden_dim: the width of 'mlp'.
    """

    data_parallel = True

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        latent_dim: int = 10,
        lr: float = 1e-4,
        network: str = "conv",
        hidden_dim: int = 1200,
    ) -> None:
        super().__init__()
        self.n_train = n_train
        self.latent_dim = latent_dim
        self.lr = lr
        self.encoder = networks.encoder(network, image_shape, 2 * latent_dim, hidden_dim)
        self.decoder = networks.decoder(network, image_shape, latent_dim, hidden_dim)
        # In bf16 convolutions take a quarter less time so, in float32 a tenth.
        self.to(memory_format=torch.channels_last)

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
        """q(z|x) of images (B, C, H, W) in [0, 1]. In float32 at any precision, as the encoder's last layers are."""
        mean, logvar = self.encoder(x).chunk(2, dim=1)
        return Posterior(mean, logvar)

    def encode(self, x: Tensor) -> Codes:
        """Images (B, C, H, W) in [0, 1] -> posterior means and standard deviations, both (B, D). Deterministic."""
        q = self.posterior(x)
        return Codes(q.mean, torch.exp(0.5 * q.logvar))

    def networks(self) -> dict[str, nn.Module]:
        found = {name: getattr(self, name, None) for name in ("encoder", "decoder")}
        return {name: network for name, network in found.items() if isinstance(network, nn.Module)}

    def logits(self, z: Tensor) -> Tensor:
        """(B, D) -> (B, C, H, W): Bernoulli logits of every pixel."""
        return self.decoder(z)

    def decode(self, z: Tensor) -> Tensor:
        """(B, D) -> (B, C, H, W) in [0, 1]: the mean image."""
        return torch.sigmoid(self.logits(z).float())

    def reconstruction_loss(self, x: Tensor, z: Tensor) -> Tensor:
        """-log p(x|z), summed over pixels, mean over images: a scalar in nats."""
        return bernoulli_loss(self.logits(z), x)

    def regulariser(self, z: Tensor, q: Posterior, step: Step = START) -> tuple[Tensor, dict[str, Tensor]]:
        """The penalty of a minibatch; the method's part of the loss.

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
        """Loss and terms of one minibatch. A bare tensor of images works, too."""
        x = as_batch(batch).images
        q = self.posterior(x)
        z = q.sample()
        reconstruction = self.reconstruction_loss(x, z)
        penalty, terms = self.regulariser(z, q, self.current_step(batch_idx))
        return {"loss": reconstruction + penalty, "reconstruction": reconstruction, **terms}

    # Lightning asks at each step whether it takes `batch_idx`, and finds this without taking the function apart.
    training_step.__signature__ = inspect.signature(training_step)  # type: ignore[attr-defined]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return adam(self.parameters(), self.lr)


def _without_step(regulariser: Callable[..., Any]) -> Callable[..., Any]:
    """A `regulariser(self, z, q)` that ignores the step it is given."""

    @functools.wraps(regulariser)
    def ignoring(self: VAE, z: Tensor, q: Posterior, step: Step = START) -> Any:
        return regulariser(self, z, q)

    return ignoring
