"""FactorVAE: the VAE plus a total-correlation penalty that a discriminator estimates as a density ratio.

Kim & Mnih 2018, arXiv:1802.05983v3, Eq. 2 (the loss), Eq. 3 (the ratio) and Algorithm 2 (the alternation). The discriminator
tells z ~ q(z) from z whose every latent was permuted over a second, independent minibatch, which is z ~ prod_d q(z_d).
"""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional

from disbench.baselines import networks
from disbench.baselines.gaussian import kl_to_prior
from disbench.baselines.optim import adam
from disbench.baselines.vae import VAE, ShellOptions


def permute_latents(z: Tensor) -> Tensor:
    """(B, D) -> (B, D): each column in a random order of its own, so that only the marginals survive."""
    order = torch.rand_like(z).argsort(dim=0)
    return z.gather(0, order)


class FactorVAE(VAE):
    """gamma weighs the total correlation. The discriminator, of the paper's size by default, has its own Adam.

    Its one output is the logit of 'joint', the difference of the paper's two logits, and is itself log q(z)/prod_d q(z_d).
    """

    batches_per_step = 2  # the discriminator's permuted sample comes from the second

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        gamma: float = 35.0,
        discriminator_layers: int = 6,
        discriminator_dim: int = 1000,
        discriminator_lr: float = 1e-4,
        **shell: Unpack[ShellOptions],
    ) -> None:
        super().__init__(image_shape, n_train, **shell)
        self.automatic_optimization = False
        self.gamma = gamma
        self.discriminator_lr = discriminator_lr
        sizes = [self.latent_dim, *[discriminator_dim] * (discriminator_layers - 1), 1]
        self.discriminator = networks.perceptron(sizes, slope=0.2)

    def log_ratio(self, z: Tensor) -> Tensor:
        """(B, D) -> (B,): the discriminator's estimate of log q(z) - log prod_d q(z_d)."""
        return self.discriminator(z).float()[:, 0]

    def training_step(self, batch: Tensor, batch_idx: int) -> dict[str, Tensor]:
        autoencoder, discriminator = self.optimizers()
        first, second = batch.chunk(2)
        q = self.posterior(first)
        z = q.sample()
        reconstruction = self.reconstruction_loss(first, z)
        kl = kl_to_prior(q).sum(1).mean()
        total_correlation = self.log_ratio(z).mean()
        loss = reconstruction + kl + self.gamma * total_correlation
        self.descend(autoencoder, loss)

        with torch.no_grad():
            permuted = permute_latents(self.posterior(second).sample())
        # softplus(-t) and softplus(t) are the cross-entropies of 'joint' and 'permuted'.
        joint_loss = functional.softplus(-self.log_ratio(z.detach())).mean()
        discriminator_loss = 0.5 * (joint_loss + functional.softplus(self.log_ratio(permuted)).mean())
        self.descend(discriminator, discriminator_loss)
        return {
            "loss": loss.detach(),
            "reconstruction": reconstruction.detach(),
            "kl": kl.detach(),
            "total_correlation": total_correlation.detach(),
            "discriminator": discriminator_loss.detach(),
        }

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        autoencoder = [*self.encoder.parameters(), *self.decoder.parameters()]
        return [
            adam(autoencoder, self.lr),
            adam(self.discriminator.parameters(), self.discriminator_lr, betas=(0.5, 0.9)),
        ]
