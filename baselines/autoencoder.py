"""Base class of every autoencoder: an encoder, a decoder, a reconstruction loss and one Adam optimizer.

`VAE` adds a posterior; a method with a deterministic or a discrete code derives from `Autoencoder` itself.
"""

from collections.abc import Sequence
from typing import TypedDict

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from disbench.baselines import networks
from disbench.baselines.likelihoods import LIKELIHOODS, check_likelihood
from disbench.baselines.method import Method
from disbench.baselines.optim import adam


class SizeOptions(TypedDict, total=False):
    """Type the keywords of `Autoencoder` that choose the networks, for a method with other defaults for the rest."""

    network: str
    hidden_dim: int
    width_multiplier: float


class NetworkOptions(SizeOptions, total=False):
    """Type the keywords of `Autoencoder` without `latent_dim`, for a method with another default for it."""

    lr: float
    likelihood: str


class ShellOptions(NetworkOptions, total=False):
    """Type the keywords that every method passes on to `Autoencoder`."""

    latent_dim: int


class Autoencoder(Method):
    """Hold an encoder and a decoder. A method derives from it and writes `encode` and `training_step`.

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

    Attributes
    ----------
    outputs_per_latent : int
        Number of outputs of the encoder for each latent: 1, or 2 for a mean and a log-variance. Where a hyperparameter decides
        it, a method sets it before it calls the constructor of `Autoencoder`.

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.autoencoder import Autoencoder
    >>> from disbench.baselines.method import Codes
    >>> class Plain(Autoencoder):
    ...     def encode(self, x):
    ...         return Codes(self.encoder(x))
    ...
    ...     def training_step(self, batch, batch_idx):
    ...         return {"loss": self.reconstruction_loss(batch.images, self.encoder(batch.images))}
    >>> method = Plain((1, 64, 64), n_train=100, latent_dim=3)
    >>> codes = method.encode(torch.zeros(2, 1, 64, 64))
    >>> codes.values.shape, method.decode(codes.values).shape
    (torch.Size([2, 3]), torch.Size([2, 1, 64, 64]))
    """

    data_parallel = True
    outputs_per_latent: int = 1

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        latent_dim: int = 10,
        lr: float = 1e-4,
        network: str = "conv",
        hidden_dim: int = 1200,
        likelihood: str = "bernoulli",
        width_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        self.likelihood = check_likelihood(likelihood)
        self.n_train = n_train
        self.latent_dim = latent_dim
        self.lr = lr
        outputs = self.outputs_per_latent * latent_dim
        self.encoder = networks.encoder(network, image_shape, outputs, hidden_dim, width_multiplier)
        self.decoder = networks.decoder(network, image_shape, latent_dim, hidden_dim, width_multiplier)
        # In bf16 convolutions take a quarter less time so, in float32 a tenth.
        self.to(memory_format=torch.channels_last)

    def networks(self) -> dict[str, nn.Module]:
        """List the encoder and the decoder."""
        found = {name: getattr(self, name, None) for name in ("encoder", "decoder")}
        return {name: network for name, network in found.items() if isinstance(network, nn.Module)}

    def logits(self, z: Tensor) -> Tensor:
        """Compute the decoder's output: (B, D) to (B, C, H, W). Its sigmoid is the mean image."""
        logits: Tensor = self.decoder(z)
        return logits

    def decode(self, z: Tensor) -> Tensor:
        """Compute mean images, in [0, 1]: (B, D) to (B, C, H, W)."""
        return torch.sigmoid(self.logits(z).float())

    def image_loss(self, logits: Tensor, x: Tensor) -> Tensor:
        """Compare the decoder's output with images x, (B, C, H, W) each, by the likelihood: a scalar, mean over images."""
        return LIKELIHOODS[self.likelihood](logits, x)

    def reconstruction_loss(self, x: Tensor, z: Tensor) -> Tensor:
        """Compute -log p(x|z), summed over pixels, averaged over images: a scalar in nats. "mse" averages over pixels, too."""
        return self.image_loss(self.logits(z), x)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make an Adam over all parameters."""
        return adam(self.parameters(), self.lr)
