"""FactorVAE: the VAE plus a total-correlation penalty that a discriminator estimates as a density ratio.

Kim & Mnih 2018, arXiv:1802.05983v3, Eq. 2 (the loss), Eq. 3 (the ratio) and Algorithm 2 (the alternation). The discriminator
tells z ~ q(z) from z whose every latent was permuted over a second, independent minibatch, which is z ~ prod_d q(z_d).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from disbench.baselines import networks
from disbench.baselines.alternating import AlternatingVAE, Stage, StageResult
from disbench.baselines.gaussian import kl_to_prior
from disbench.baselines.method import Batch, Grids, Independent, Step
from disbench.baselines.optim import adam
from disbench.baselines.precision import float32
from disbench.baselines.vae import ShellOptions


def permute_latents(z: Tensor) -> Tensor:
    """Permute each column of z, (B, D) or vectors (B, D, K), in a random order, so that only the marginals survive."""
    if z.dim() == 2:
        return z.gather(0, torch.rand_like(z).argsort(dim=0))
    order = torch.rand_like(z[..., 0]).argsort(dim=0)  # a vector stays whole
    return z.gather(0, order[..., None].expand_as(z))


def discriminator(inputs: int, layers: int, width: int) -> nn.Sequential:
    """Make a perceptron (B, inputs) -> (B, 1) of `layers` layers, whose output is the logarithm of a density ratio."""
    return networks.perceptron([inputs, *[width] * (layers - 1), 1], slope=0.2)


def density_ratio_loss(log_ratio: Callable[[Tensor], Tensor], joint: Tensor, permuted: Tensor) -> Tensor:
    """Compute the cross-entropy, in nats, of telling samples (B, ...) from samples whose latents were permuted.

    The discriminator runs in float32 at any precision here. Its gradient is the difference of two means that all but cancel,
    over samples of nearly one distribution, and rounded to bf16 it would point up to five degrees elsewhere.
    """
    with float32(joint.device):
        joint_logit, permuted_logit = log_ratio(torch.cat([joint.detach(), permuted])).chunk(2)
    # softplus(-t) and softplus(t) are the cross-entropies of 'joint' and 'permuted'.
    return 0.5 * (functional.softplus(-joint_logit).mean() + functional.softplus(permuted_logit).mean())


class FactorVAE(AlternatingVAE):
    """Train a VAE with a total-correlation penalty that a discriminator estimates.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    gamma : float, default 35.0
        Weight of the total correlation.
    discriminator_layers, discriminator_dim : int, default 6 and 1000
        Number of layers and their width; the defaults are those of the paper. The single output is log q(z) / prod_d q(z_d), the
        difference of the paper's two logits.
    discriminator_lr : float, default 1e-4
        Learning rate of the discriminator's own Adam.
    **shell
        Other parameters of `VAE`.

    References
    ----------
    Kim and Mnih 2018, arXiv:1802.05983v3, Eq. 2 and Algorithm 2
    """

    published: ClassVar[Grids] = {"any": {"gamma": (10.0, 20.0, 30.0, 40.0, 50.0, 100.0)}}
    sampling = Independent(2)  # the discriminator's permuted sample comes from the second minibatch

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
        self.gamma = gamma
        self.discriminator_lr = discriminator_lr
        self.discriminator = discriminator(self.latent_dim, discriminator_layers, discriminator_dim)

    def log_ratio(self, z: Tensor) -> Tensor:
        """Estimate log q(z) - log prod_d q(z_d) by the discriminator: (B, D) to (B,)."""
        logits: Tensor = self.discriminator(z)
        return logits.float()[:, 0]

    def autoencoder_terms(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Compute the autoencoder's loss on images (B, C, H, W) with its terms, in nats per image; and the draw z (B, D)."""
        q = self.posterior(x)
        z = q.sample()
        reconstruction = self.reconstruction_loss(x, z)
        kl = kl_to_prior(q).sum(1).mean()
        total_correlation = self.log_ratio(z).mean()
        loss = reconstruction + kl + self.gamma * total_correlation
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl, "total_correlation": total_correlation}, z

    def discriminator_loss(self, z: Tensor, second: Tensor) -> Tensor:
        """Compute the cross-entropy, in nats, of telling z (B, D) from latents permuted over a second minibatch of B images."""
        with torch.no_grad():
            permuted = permute_latents(self.posterior(second).sample())
        return density_ratio_loss(self.log_ratio, z, permuted)

    def stages(self, step: Step) -> Iterator[Stage]:
        """Yield the stage of the autoencoder, then that of the discriminator."""
        yield Stage("autoencoder", type(self).autoencoder_stage, (0,))
        yield Stage("discriminator", type(self).discriminator_stage, (1,))

    def autoencoder_stage(self, batch: Batch, context: Any) -> StageResult:
        """Compute the autoencoder's loss on the first minibatch."""
        terms, z = self.autoencoder_terms(batch.images.chunk(2)[0])
        return StageResult((terms["loss"],), terms, z)

    def discriminator_stage(self, batch: Batch, z: Tensor) -> StageResult:
        """Compute the discriminator's loss."""
        loss = self.discriminator_loss(z, batch.images.chunk(2)[1])
        return StageResult((loss,), {"discriminator": loss}, z)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Make an Adam for the autoencoder and one for the discriminator."""
        autoencoder = [*self.encoder.parameters(), *self.decoder.parameters()]
        return [
            adam(autoencoder, self.lr),
            adam(self.discriminator.parameters(), self.discriminator_lr, betas=(0.5, 0.9)),
        ]
