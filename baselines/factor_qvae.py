"""FactorQVAE: scalar quantization by one codebook for all latents, and FactorVAE's penalty of the total correlation.

Baykal et al. 2024, arXiv:2409.14851v3, as in the authors' code (ituvisionlab/FactorQVAE, commit 7d74cea). The loss of an image is

    mean-pixel squared error + kl_weight * mean_d KL(q(k_d|x) || uniform) + gamma * TC,    q(k_d|x) = softmax_k(-(f_d(x) - c_k)^2)

with one codebook c for all latents. In training a latent is the mean of c under a relaxed draw from q (Gumbel-softmax), and the
discriminator that estimates TC reads the relaxed one-hot vectors. The code of an image is the nearest value of the codebook.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Unpack

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from disbench.baselines.alternating import Alternating, Stage, StageResult
from disbench.baselines.autoencoder import Autoencoder, SizeOptions
from disbench.baselines.categorical import kl_to_uniform, relaxed_one_hot
from disbench.baselines.factor_vae import density_ratio_loss, discriminator, permute_latents
from disbench.baselines.method import START, Batch, Codes, Grids, Independent, Step
from disbench.baselines.optim import adam

PUBLISHED_STEPS = 50_000  # of the code's 100,000, of which each optimizer takes half


def geometric_schedule(step: Step, start: float, end: float) -> float:
    """Compute the value at a step: `start` at first, changing by a constant factor to `end` at the end of training."""
    return float(start * (end / start) ** step.fraction)


class FactorQVAE(Alternating, Autoencoder):
    """Train a quantized VAE with one codebook of numbers and a total-correlation penalty that a discriminator estimates.

    The weights belong to the squared error averaged over pixels, the default `likelihood`. With "gaussian", multiply `kl_weight`
    and `gamma` by half the number of values of an image, and with "bernoulli" start from the same product.

    Parameters
    ----------
    image_shape, n_train
        As in `Autoencoder`.
    codebook_size : int, default 64
        Number of values in the codebook, at least 2.
    kl_weight : float, default 0.001
        Weight of the KL divergence, averaged over latents. The defaults of both weights are those for Shapes3D.
    gamma : float, default 0.0001
        Weight of the total correlation.
    temperature_start, temperature_end : float, default 1.0 and 0.368
        Temperature of the relaxation at the first step and at the end of training, greater than 0.
    lr_end : float, default 1.25e-6
        Learning rate of both optimizers at the end of training, half a cosine from `lr` and `discriminator_lr`.
    discriminator_layers, discriminator_dim : int, default 6 and 1000
        Number of layers and their width, as in `FactorVAE`.
    discriminator_lr : float, default 0.001
        Learning rate of the discriminator's own Adam.
    latent_dim : int, default 12
        Number of latents D, twice the number of factors of Shapes3D.
    lr : float, default 0.001
        Learning rate of Adam.
    likelihood : {"mse", "gaussian", "bernoulli"}, default "mse"
        As in `Autoencoder`.
    **shell
        Other parameters of `Autoencoder`.

    References
    ----------
    Baykal et al. 2024, arXiv:2409.14851v3

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.factor_qvae import FactorQVAE
    >>> method = FactorQVAE((1, 64, 64), n_train=100, codebook_size=4)
    >>> values = method.encode(torch.rand(2, 1, 64, 64)).values
    >>> values.shape, bool(torch.isin(values, method.codebook).all())
    (torch.Size([2, 12]), True)
    """

    quantized = True
    published: ClassVar[Grids] = {
        "shapes3d": {"latent_dim": (12,), "kl_weight": (1e-3,), "gamma": (1e-4,)},
        "mpi3d_complex": {"latent_dim": (14,), "kl_weight": (5e-5,), "gamma": (1e-6,)},
    }
    sampling = Independent(2)  # the discriminator's permuted sample comes from the second minibatch

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        codebook_size: int = 64,
        kl_weight: float = 1e-3,
        gamma: float = 1e-4,
        temperature_start: float = 1.0,
        temperature_end: float = 0.368,
        lr_end: float = 1.25e-6,
        discriminator_layers: int = 6,
        discriminator_dim: int = 1000,
        discriminator_lr: float = 1e-3,
        latent_dim: int = 12,
        lr: float = 1e-3,
        likelihood: str = "mse",
        **shell: Unpack[SizeOptions],
    ) -> None:
        super().__init__(image_shape, n_train, latent_dim=latent_dim, lr=lr, likelihood=likelihood, **shell)
        if codebook_size < 2:
            raise ValueError(f"codebook_size needs at least 2 values, got {codebook_size}.")
        if not (temperature_start > 0 and temperature_end > 0):
            raise ValueError(
                f"temperature_start and temperature_end need to be greater than 0, got {temperature_start} and "
                f"{temperature_end}."
            )
        self.kl_weight = kl_weight
        self.gamma = gamma
        self.temperature = (temperature_start, temperature_end)
        self.lr_end = lr_end
        self.discriminator_lr = discriminator_lr
        self.codebook = nn.Parameter(torch.randn(codebook_size))
        self.discriminator = discriminator(latent_dim * codebook_size, discriminator_layers, discriminator_dim)

    def code_logits(self, x: Tensor) -> Tensor:
        """Compute log-probabilities of the codebook's values, up to a constant: (B, C, H, W) to (B, D, K), 0 at most."""
        outputs: Tensor = self.encoder(x)
        return -(outputs[..., None] - self.codebook).square()

    def encode(self, x: Tensor) -> Codes:
        """Compute the nearest value of the codebook for each latent, (B, D)."""
        return Codes(self.codebook[self.code_logits(x).argmax(-1)])

    def log_ratio(self, weights: Tensor) -> Tensor:
        """Estimate log q(y) - log prod_d q(y_d) of relaxed one-hot vectors by the discriminator: (B, D, K) to (B,)."""
        logits: Tensor = self.discriminator(weights.flatten(1))
        return logits.float()[:, 0]

    def autoencoder_terms(self, x: Tensor, step: Step = START) -> tuple[dict[str, Tensor], Tensor]:
        """Compute the autoencoder's loss on images (B, C, H, W) with its terms; and the relaxed draw (B, D, K)."""
        logits = self.code_logits(x)
        temperature = geometric_schedule(step, *self.temperature)
        weights = relaxed_one_hot(logits, temperature=temperature)
        reconstruction = self.reconstruction_loss(x, (weights * self.codebook).sum(-1))
        kl = kl_to_uniform(logits).sum(1).mean()
        total_correlation = self.log_ratio(weights).mean()
        loss = reconstruction + self.kl_weight * kl / self.latent_dim + self.gamma * total_correlation
        terms = {"loss": loss, "reconstruction": reconstruction, "kl": kl, "total_correlation": total_correlation}
        return {**terms, "temperature": kl.new_full((), temperature)}, weights

    def discriminator_loss(self, weights: Tensor, second: Tensor, step: Step = START) -> Tensor:
        """Compute the cross-entropy, in nats, of telling draws (B, D, K) from draws permuted over a second minibatch."""
        with torch.no_grad():
            temperature = geometric_schedule(step, *self.temperature)
            permuted = permute_latents(relaxed_one_hot(self.code_logits(second), temperature=temperature))
        return density_ratio_loss(self.log_ratio, weights, permuted)

    def stages(self, step: Step) -> Iterator[Stage]:
        """Yield the stage of the autoencoder, then that of the discriminator."""
        yield Stage("autoencoder", partial(type(self).autoencoder_stage, step=step), (0,))
        yield Stage("discriminator", partial(type(self).discriminator_stage, step=step), (1,))

    def autoencoder_stage(self, batch: Batch, context: Any, step: Step) -> StageResult:
        """Compute the autoencoder's loss on the first minibatch."""
        terms, weights = self.autoencoder_terms(batch.images.chunk(2)[0], step)
        return StageResult((terms["loss"],), terms, weights)

    def discriminator_stage(self, batch: Batch, weights: Tensor, step: Step) -> StageResult:
        """Compute the discriminator's loss."""
        loss = self.discriminator_loss(weights, batch.images.chunk(2)[1], step)
        return StageResult((loss,), {"discriminator": loss}, weights)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make an Adam for the autoencoder with the codebook and one for the discriminator, with falling learning rates."""
        optimizers = [
            adam([*self.encoder.parameters(), *self.decoder.parameters(), self.codebook], self.lr),
            adam(self.discriminator.parameters(), self.discriminator_lr),
        ]
        return optimizers, [CosineAnnealingLR(each, self._period(), eta_min=self.lr_end) for each in optimizers]

    def _period(self) -> int:
        """Count the steps of the whole training, over which learning rates fall; the published number without a trainer."""
        if self.total_steps is not None:
            return self.total_steps
        try:
            steps = self.trainer.estimated_stepping_batches
        except RuntimeError:  # not attached to a trainer
            return PUBLISHED_STEPS
        return int(steps) if 0 < steps < math.inf else PUBLISHED_STEPS
