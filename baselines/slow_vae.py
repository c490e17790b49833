"""SlowVAE: latents of an image predict those of the next one, by a Laplace law. Klindt et al. 2021, arXiv:2007.10930v2.

For pairs (x0, x1) with posteriors q0, q1 of means m0, m1, the loss is

    reconstruction + beta KL(q || N(0, 1)) + gamma 1/2 [ KL(q0 || Laplace(m1, 1/rate)) + KL(q1 || Laplace(m0, 1/rate)) ]

with the first two terms averaged over both images (Eq. 5 of the paper, both ways). The cross-entropy of a Gaussian N(m, s^2)
against a Laplace law around 0 is

    CE = -log(rate / 2) + rate { s sqrt(2/pi) exp(-m^2 / (2 s^2)) + m [1 - 2 Phi(-m/s)] }

The published code (slow_disentanglement, scripts/solver.py) is this loss times 2, but it subtracts the entropy of *one*
posterior from the cross-entropies of *two*. Its term is no KL divergence and can be negative. `entropies="published"` does the
same. Its beta of 1 is 0.5 here.
"""

import math
from collections.abc import Sequence
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.method import Batch, Grids, Pairs, Sampling, as_batch
from disbench.baselines.vae import VAE, ShellOptions

ENTROPIES = {"all": 1.0, "published": 0.5}  # share of the entropies that is subtracted


def laplace_cross_entropy(mean: Tensor, logvar: Tensor, rate: float) -> Tensor:
    """Compute the cross-entropy of Gaussians against a Laplace law around 0.

    Parameters
    ----------
    mean, logvar : Tensor
        Of the Gaussians.
    rate : float
        Of the Laplace law, whose deviation is sqrt(2) / rate.

    Returns
    -------
    Tensor
        In nats, shaped as `mean`.

    Examples
    --------
    A Gaussian without width has the cost of its distance from 0, times the rate, less log(rate / 2).

    >>> import torch
    >>> from disbench.baselines.slow_vae import laplace_cross_entropy
    >>> round(laplace_cross_entropy(torch.tensor(-3.0), torch.tensor(-30.0), 2.0).item(), 4)
    6.0
    """
    sd = torch.exp(0.5 * logvar)
    ratio = mean / sd
    spread = sd * math.sqrt(2 / math.pi) * torch.exp(-0.5 * ratio.square())
    return rate * (spread + mean * torch.erf(ratio / math.sqrt(2))) - math.log(rate / 2)


def gaussian_entropy(logvar: Tensor) -> Tensor:
    """Compute the entropy of Gaussians.

    Parameters
    ----------
    logvar : Tensor
        Log-variances.

    Returns
    -------
    Tensor
        In nats, shaped as `logvar`.

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.slow_vae import gaussian_entropy
    >>> round(gaussian_entropy(torch.zeros(())).item(), 4)
    1.4189
    """
    return 0.5 * (logvar + math.log(2 * math.pi * math.e))


class SlowVAE(VAE):
    """Train SlowVAE on pairs whose factors move a little.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    beta, gamma : float, default 0.5 and 10.0
        Weights of the divergence from the prior and of that from the Laplace law.
    rate : float, default 6.0
        Rate of the Laplace law of the latents.
    law : {"laplace", "uniform"}, default "laplace"
        How the factors of a pair differ: LAP and UNI of the paper.
    data_rate : float, default 1.0
        Rate of the factors' moves, for "laplace".
    entropies : {"all", "published"}, default "all"
        Whether both entropies are subtracted, or one as in the published code.
    **shell
        Other parameters of `VAE`.

    References
    ----------
    Klindt et al. 2021, arXiv:2007.10930v2, Eq. 5 and appendix
    """

    supervision = "pairs"
    published: ClassVar[Grids] = {"any": {"gamma": (10.0,), "rate": (6.0,)}}
    sampling: Sampling = Pairs(None, law="laplace")
    data_parallel = False

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        beta: float = 0.5,
        gamma: float = 10.0,
        rate: float = 6.0,
        law: str = "laplace",
        data_rate: float = 1.0,
        entropies: str = "all",
        **shell: Unpack[ShellOptions],
    ) -> None:
        if entropies not in ENTROPIES:
            raise ValueError(f"entropies must be one of {', '.join(ENTROPIES)}, got {entropies!r}.")
        if not rate > 0:
            raise ValueError(f"rate must be above 0, got {rate}.")
        super().__init__(image_shape, n_train, **shell)
        self.beta, self.gamma, self.rate, self.entropies = beta, gamma, rate, entropies
        self.sampling = Pairs(None, law=law, rate=data_rate)

    def slowness(self, one: Posterior, two: Posterior) -> Tensor:
        """Compute the mean divergence of the posteriors (B, D) of a pair from Laplace laws around each other, in nats."""
        gap = one.mean - two.mean
        cross = laplace_cross_entropy(gap, one.logvar, self.rate) + laplace_cross_entropy(gap, two.logvar, self.rate)
        entropy = gaussian_entropy(one.logvar) + gaussian_entropy(two.logvar)
        return 0.5 * (cross - ENTROPIES[self.entropies] * entropy).sum(1).mean()

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Compute the loss and its terms on one minibatch of pairs.

        Parameters
        ----------
        batch : Batch
            Images and partners (B, C, H, W) in [0, 1].
        batch_idx : int
            Number of the call.

        Returns
        -------
        dict of str to Tensor
            "loss", which is minimized, "reconstruction", "kl" and "slowness".
        """
        batch = as_batch(batch)
        if batch.partner is None:
            raise TypeError("SlowVAE needs pairs: Batch(images, partner=partner).")
        x = torch.cat([batch.images, batch.partner])
        q = self.posterior(x)
        one, two = (Posterior(*halves) for halves in zip(q.mean.chunk(2), q.logvar.chunk(2), strict=True))
        reconstruction, kl = self.reconstruction_loss(x, q.sample()), kl_to_prior(q).sum(1).mean()
        slowness = self.slowness(one, two)
        terms = {"reconstruction": reconstruction, "kl": kl, "slowness": slowness}
        return {"loss": reconstruction + self.beta * kl + self.gamma * slowness, **terms}
