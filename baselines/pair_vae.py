"""Pairs of images: latents that do not change within a pair get one posterior for both of its images.

    ada_gvae     Locatello et al. 2020, arXiv:2002.02886v3, section 4: which latents change is read from the posteriors
    ada_ml_vae   the same, with the other average
    gvae         Hosoya 2019, arXiv:1809.02383v2: which factors change is known, and latent k is for factor k
    ml_vae       Bouchacourt et al. 2018, arXiv:1705.08841v1: the same, with the other average

With d_j = KL(q(z_j|x1) || q(z_j|x2)), an adaptive method takes latent j as shared where d_j < (min d + max d) / 2 (section 4 of
the first paper, the threshold tau). Averages of the two posteriors of a shared latent:

    gvae      mean (m1 + m2) / 2, variance (v1 + v2) / 2
    ml_vae    variance v = 2 / (1/v1 + 1/v2), mean v / 2 (m1/v1 + m2/v2)

The loss is that of a beta-VAE with these posteriors, averaged over both images.

The code of disentanglement_lib (commit 86a644d) leaves out the factor 1/2 of KL, which does not change what is below a
threshold that lies between the smallest and the largest. It gets one changed factor for each pair; here any number.
"""

from collections.abc import Sequence
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.method import Batch, Grids, Pairs, Sampling, as_batch
from disbench.baselines.vae import VAE, ShellOptions

AVERAGES = ("gvae", "ml_vae")


def kl_between(one: Posterior, two: Posterior) -> Tensor:
    """Compute the divergence of each latent's posterior from another one.

    Parameters
    ----------
    one, two : Posterior
        Means and log-variances, (B, D) each.

    Returns
    -------
    Tensor of shape (B, D)
        KL(one || two) in nats.

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.gaussian import Posterior
    >>> from disbench.baselines.pair_vae import kl_between
    >>> kl_between(Posterior(torch.ones(1, 1), torch.zeros(1, 1)), Posterior(torch.zeros(1, 1), torch.zeros(1, 1))).item()
    0.5
    """
    gap = (one.mean - two.mean).square() * torch.exp(-two.logvar)
    return 0.5 * (two.logvar - one.logvar + torch.exp(one.logvar - two.logvar) + gap - 1)


def adaptively_shared(divergence: Tensor) -> Tensor:
    """Decide which latents of a pair are shared.

    Parameters
    ----------
    divergence : Tensor of shape (B, D)
        KL divergence of each latent between the images of a pair.

    Returns
    -------
    Tensor of shape (B, D), bool
        Whether it is below the middle between the smallest and the largest of the pair.

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.pair_vae import adaptively_shared
    >>> adaptively_shared(torch.tensor([[0.0, 1.0, 4.0, 2.0]])).tolist()
    [[True, True, False, False]]
    """
    low, high = divergence.amin(1, keepdim=True), divergence.amax(1, keepdim=True)
    return divergence < (low + high) / 2


def average_posterior(one: Posterior, two: Posterior, average: str) -> Posterior:
    """Average the posteriors of two images.

    Parameters
    ----------
    one, two : Posterior
        Means and log-variances, (B, D) each.
    average : {"gvae", "ml_vae"}
        See the module.

    Returns
    -------
    Posterior
        (B, D) each.

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.gaussian import Posterior
    >>> from disbench.baselines.pair_vae import average_posterior
    >>> one, two = (Posterior(torch.full((1, 1), mean), torch.zeros(1, 1)) for mean in (0.0, 3.0))
    >>> average_posterior(one, two, "gvae").mean.item()
    1.5
    """
    first, second = one.logvar.exp(), two.logvar.exp()
    if average == "gvae":
        return Posterior((one.mean + two.mean) / 2, torch.log((first + second) / 2))
    variance = 2 / (1 / first + 1 / second)
    return Posterior(variance / 2 * (one.mean / first + two.mean / second), torch.log(variance))


class PairVAE(VAE):
    """Train a beta-VAE on pairs, whose shared latents have one posterior.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    beta : float, default 1.0
        Weight of the KL divergence.
    changed : int, default 1
        Number of factors that differ within a pair.
    draw_changed : bool, default False
        Whether that number is drawn for each pair instead, uniformly from 1 to K-1, where K is the number of factors.
    **shell
        Other parameters of `VAE`.
    """

    published: ClassVar[Grids] = {"any": {"beta": (1.0, 2.0, 4.0, 6.0, 8.0, 16.0)}}
    average: ClassVar[str] = "gvae"
    known: ClassVar[bool] = False
    sampling: Sampling = Pairs(1)
    data_parallel = False  # a step sees two images a row

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        beta: float = 1.0,
        changed: int = 1,
        draw_changed: bool = False,
        **shell: Unpack[ShellOptions],
    ) -> None:
        super().__init__(image_shape, n_train, **shell)
        self.beta = beta
        self.sampling = Pairs(None if draw_changed else changed, known=self.known)

    def shared(self, one: Posterior, two: Posterior, changed: Tensor | None) -> Tensor:
        """Decide which latents of each pair are shared, (B, D)."""
        if changed is None:
            return adaptively_shared(kl_between(one, two))
        latents, factors = one.mean.shape[1], changed.shape[1]
        if latents < factors:
            raise ValueError(
                f"{type(self).__name__} has a latent for each factor, so {factors} factors need a latent_dim of {factors} or "
                f"more, got {latents}."
            )
        return ~torch.nn.functional.pad(changed, (0, latents - factors))

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Compute the loss and its terms on one minibatch of pairs.

        Parameters
        ----------
        batch : Batch
            Images and partners (B, C, H, W) in [0, 1], and what changed (B, K) if the method gets this.
        batch_idx : int
            Number of the call.

        Returns
        -------
        dict of str to Tensor
            "loss", which is minimized, "reconstruction", "kl" and "shared", the mean number of shared latents.
        """
        batch = as_batch(batch)
        if batch.partner is None:
            raise TypeError(f"{type(self).__name__} needs pairs: Batch(images, partner=partner).")
        x = torch.cat([batch.images, batch.partner])
        every = self.posterior(x)
        one, two = (Posterior(*halves) for halves in zip(every.mean.chunk(2), every.logvar.chunk(2), strict=True))
        shared = self.shared(one, two, batch.changed if self.known else None)
        both = average_posterior(one, two, self.average)
        q = Posterior(
            torch.where(shared.repeat(2, 1), both.mean.repeat(2, 1), every.mean),
            torch.where(shared.repeat(2, 1), both.logvar.repeat(2, 1), every.logvar),
        )
        reconstruction = self.reconstruction_loss(x, q.sample())
        kl = kl_to_prior(q).sum(1).mean()
        terms = {"reconstruction": reconstruction, "kl": kl, "shared": shared.float().sum(1).mean()}
        return {"loss": reconstruction + self.beta * kl, **terms}


class AdaGVAE(PairVAE):
    """Train Ada-GVAE: it is not told which factors change, and averages means and variances.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    beta : float, default 1.0
        Weight of the KL divergence.
    changed : int, default 1
        Number of factors that differ within a pair.
    draw_changed : bool, default False
        Whether that number is drawn for each pair instead, uniformly from 1 to K-1, where K is the number of factors.
    **shell
        Other parameters of `VAE`.
    """

    supervision = "pairs"


class AdaMLVAE(PairVAE):
    """Train Ada-ML-VAE: it is not told which factors change, and multiplies densities.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    beta : float, default 1.0
        Weight of the KL divergence.
    changed : int, default 1
        Number of factors that differ within a pair.
    draw_changed : bool, default False
        Whether that number is drawn for each pair instead, uniformly from 1 to K-1, where K is the number of factors.
    **shell
        Other parameters of `VAE`.
    """

    supervision = "pairs"
    average = "ml_vae"


class GVAE(PairVAE):
    """Train GVAE: it gets the factors that change, and averages means and variances.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    beta : float, default 1.0
        Weight of the KL divergence.
    changed : int, default 1
        Number of factors that differ within a pair.
    draw_changed : bool, default False
        Whether that number is drawn for each pair instead, uniformly from 1 to K-1, where K is the number of factors.
    **shell
        Other parameters of `VAE`.
    """

    supervision = "pairs, changed factors"
    known = True


class MLVAE(PairVAE):
    """Train ML-VAE: it gets the factors that change, and multiplies densities.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    beta : float, default 1.0
        Weight of the KL divergence.
    changed : int, default 1
        Number of factors that differ within a pair.
    draw_changed : bool, default False
        Whether that number is drawn for each pair instead, uniformly from 1 to K-1, where K is the number of factors.
    **shell
        Other parameters of `VAE`.
    """

    supervision = "pairs, changed factors"
    known = True
    average = "ml_vae"
