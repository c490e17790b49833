"""DIP-VAE-I and DIP-VAE-II: penalize the distance of the covariance of the latents from the identity.

Kumar et al. 2018, arXiv:1711.00848v3, Eq. 6 (I) and Eq. 7 (II). By the law of total covariance, and with a diagonal posterior,

    Cov_q(z) = Cov_x(E[z|x]) + E_x diag(Var[z|x])

DIP-VAE-I constrains the first term, the covariance of the posterior means; DIP-VAE-II constrains the sum. Every average is taken
over the images of the minibatch.
"""

from collections.abc import Sequence
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.method import START, Grids, Step
from disbench.baselines.precision import float32
from disbench.baselines.vae import VAE, ShellOptions


def covariance_of_means(q: Posterior) -> Tensor:
    """Compute the covariance (D, D) of the posterior means over B images, with the divisor B."""
    centered = q.mean - q.mean.mean(0)
    with float32(centered.device):  # autocast would round the product to bfloat16
        return centered.T @ centered / len(centered)


def covariance_of_latents(q: Posterior) -> Tensor:
    """Compute the covariance (D, D) of the latents over B images: of the means, and the mean variances on the diagonal."""
    return covariance_of_means(q) + torch.diag(q.logvar.exp().mean(0))


def identity_penalty(covariance: Tensor, off_diagonal: float, diagonal: float) -> Tensor:
    """Weigh the squared distance of a covariance from the identity.

    Parameters
    ----------
    covariance : Tensor of shape (D, D)
        A covariance.
    off_diagonal, diagonal : float
        Weights of the squares off the diagonal, where each pair of latents counts twice, and of those on the diagonal.

    Returns
    -------
    Tensor
        A scalar, 0 at best.

    References
    ----------
    Kumar et al. 2018, arXiv:1711.00848v3, Eq. 6

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.dip_vae import identity_penalty
    >>> identity_penalty(torch.tensor([[3.0, 0.5], [0.5, 1.0]]), off_diagonal=10.0, diagonal=100.0)
    tensor(405.)
    """
    variances = covariance.diagonal()
    others = covariance - torch.diag(variances)
    return off_diagonal * others.square().sum() + diagonal * (variances - 1).square().sum()


class DIPVAEI(VAE):
    """Train a VAE whose posterior means are drawn to have the identity as covariance.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    off_diagonal : float, default 10.0
        Weight of the covariances, lambda_od of the paper.
    diagonal_ratio : float, default 10.0
        Weight of the variances as a multiple of `off_diagonal`, lambda_d / lambda_od of the paper.
    **shell
        Other parameters of `VAE`.

    References
    ----------
    Kumar et al. 2018, arXiv:1711.00848v3, Eq. 6
    """

    published: ClassVar[Grids] = {"any": {"off_diagonal": (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)}}

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        off_diagonal: float = 10.0,
        diagonal_ratio: float = 10.0,
        **shell: Unpack[ShellOptions],
    ) -> None:
        super().__init__(image_shape, n_train, **shell)
        self.off_diagonal = off_diagonal
        self.diagonal_ratio = diagonal_ratio

    def covariance(self, q: Posterior) -> Tensor:
        """Compute the covariance (D, D) that is drawn to the identity."""
        return covariance_of_means(q)

    def regulariser(self, z: Tensor, q: Posterior, step: Step = START) -> tuple[Tensor, dict[str, Tensor]]:
        """Add the penalty of the covariance to the KL divergence; see `VAE.regulariser`."""
        kl = kl_to_prior(q).sum(1).mean()
        penalty = identity_penalty(self.covariance(q), self.off_diagonal, self.diagonal_ratio * self.off_diagonal)
        return kl + penalty, {"kl": kl, "covariance_penalty": penalty}


class DIPVAEII(DIPVAEI):
    """Train a VAE whose latents are drawn to have the identity as covariance.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    off_diagonal : float, default 10.0
        Weight of the covariances, lambda_od of the paper.
    diagonal_ratio : float, default 1.0
        Weight of the variances as a multiple of `off_diagonal`, lambda_d / lambda_od of the paper.
    **shell
        Other parameters of `VAE`.

    References
    ----------
    Kumar et al. 2018, arXiv:1711.00848v3, Eq. 7
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        off_diagonal: float = 10.0,
        diagonal_ratio: float = 1.0,
        **shell: Unpack[ShellOptions],
    ) -> None:
        super().__init__(image_shape, n_train, off_diagonal=off_diagonal, diagonal_ratio=diagonal_ratio, **shell)

    def covariance(self, q: Posterior) -> Tensor:
        """Compute the covariance (D, D) that is drawn to the identity."""
        return covariance_of_latents(q)
