"""The shell of every method: encoder, posterior, decoder, one training step. By itself it is the plain VAE.

Kingma & Welling 2014, arXiv:1312.6114v11. The loss of one image, in nats, is

    -log p(x|z) + regulariser(z, q),        z ~ q(z|x),        p(x|z) a product of Bernoullis

and a method says what its regulariser is; here it is KL(q(z|x) || N(0, I)).
"""

import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict

import torch
from pytorch_lightning import LightningModule
from torch import Tensor

from disbench.baselines import networks
from disbench.baselines.bernoulli import bernoulli_loss
from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.optim import adam


class ShellOptions(TypedDict, total=False):
    """The keywords that every method takes and hands on to `VAE`."""

    latent_dim: int
    lr: float
    network: str
    hidden_dim: int


class PartitionReport(NamedTuple):
    """How a method spreads its D latents over K factors and nuisance (column 0), for records and pictures.

    assignment (D, K+1): shares, rows sum to 1. complexities (K,): of each factor, in nats. target (K+1,): shares of the KL nats.
    """

    assignment: Tensor
    complexities: Tensor
    target: Tensor


class VAE(LightningModule):
    """A variational autoencoder; methods override `regulariser`; those with several optimisers see `alternating`.

    image_shape: (C, H, W). n_train: number of training images N, which density estimates need. latent_dim: D. lr: Adam's
    (Locatello et al. 2019: 1e-4). network: 'conv' or 'mlp' (see `networks`); hidden_dim: the width of 'mlp'.
    """

    batches_per_step = 1  # minibatches that one call of training_step is given, concatenated
    mean_over_images = (
        True  # the loss; not inherited, so that several devices only train a class that says so of itself
    )

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
        self.remarks: list[str] = []  # what a reader of the results should know of this training, for its record
        self.encoder = networks.encoder(network, image_shape, 2 * latent_dim, hidden_dim)
        self.decoder = networks.decoder(network, image_shape, latent_dim, hidden_dim)
        # In bf16 convolutions take a quarter less time so, in float32 a tenth.
        self.to(memory_format=torch.channels_last)

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning keeps the name of the running hook there, 44 times a step, and torch looks each time whether it is a module.
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def posterior(self, x: Tensor) -> Posterior:
        """q(z|x) of images (B, C, H, W) in [0, 1]. In float32 at any precision, as the encoder's last layers are."""
        mean, logvar = self.encoder(x).chunk(2, dim=1)
        return Posterior(mean, logvar)

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, D): the posterior means, the table that is scored. Deterministic."""
        return self.posterior(x).mean

    def groups(self) -> Tensor | None:
        """(D,) integers, the group of each latent, for a method that partitions them (0: nuisance); else None."""
        return None

    def partition(self) -> PartitionReport | None:
        """The numbers behind `groups`, for a method that has them; else None."""
        return None

    def logits(self, z: Tensor) -> Tensor:
        """(B, D) -> (B, C, H, W): Bernoulli logits of every pixel."""
        return self.decoder(z)

    def decode(self, z: Tensor) -> Tensor:
        """(B, D) -> (B, C, H, W) in [0, 1]: the mean image."""
        return torch.sigmoid(self.logits(z).float())

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct images through their posterior means."""
        return self.decode(self.encode(x))

    def reconstruction_loss(self, x: Tensor, z: Tensor) -> Tensor:
        """-log p(x|z), summed over pixels, mean over images: a scalar in nats."""
        return bernoulli_loss(self.logits(z), x)

    def regulariser(self, z: Tensor, q: Posterior) -> tuple[Tensor, dict[str, Tensor]]:
        """The penalty in nats per image (a scalar), and its named parts for the curves. z (B, D) is a draw from q."""
        kl = kl_to_prior(q).sum(1).mean()
        return kl, {"kl": kl}

    def training_step(self, batch: Tensor, batch_idx: int) -> dict[str, Tensor]:
        """Loss and terms of one minibatch of images (B, C, H, W) in [0, 1]."""
        q = self.posterior(batch)
        z = q.sample()
        reconstruction = self.reconstruction_loss(batch, z)
        penalty, terms = self.regulariser(z, q)
        return {"loss": reconstruction + penalty, "reconstruction": reconstruction, **terms}

    # Lightning asks at each step whether it takes `batch_idx`, and finds this without taking the function apart.
    training_step.__signature__ = inspect.signature(training_step)  # type: ignore[attr-defined]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return adam(self.parameters(), self.lr)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        # What `optimizer.zero_grad()` does, without its marks for profilers and compilers, which take ten times as long.
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        # Lightning's checks the algorithm's name and looks for a scaler even where nothing is clipped.
        if gradient_clip_val is not None:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
