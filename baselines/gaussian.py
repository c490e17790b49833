"""The diagonal Gaussian posterior q(z|x) of the methods, and the densities that their penalties use.

Kingma & Welling 2014, arXiv:1312.6114v11, section 3 and appendix B. All quantities are in nats.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

LOG_TWO_PI = math.log(2 * math.pi)


class Posterior(NamedTuple):
    """Hold a normal distribution with independent latents for each of B images.

    Parameters
    ----------
    mean : Tensor of shape (B, D)
        Means.
    logvar : Tensor of shape (B, D)
        Logarithms of the variances.
    """

    mean: Tensor
    logvar: Tensor

    def sample(self) -> Tensor:
        """Draw one reparameterized sample per image, (B, D)."""
        return self.mean + torch.exp(0.5 * self.logvar) * torch.randn_like(self.mean)

    def detach(self) -> "Posterior":
        """Copy the posterior without its gradient."""
        return Posterior(self.mean.detach(), self.logvar.detach())


def kl_to_prior(q: Posterior) -> Tensor:
    """Compute the KL divergence from the standard normal prior, of each image and latent.

    Parameters
    ----------
    q : Posterior
        Posteriors of B images.

    Returns
    -------
    Tensor of shape (B, D)
        KL(q(z_d|x) || N(0, 1)) in nats, at least 0.

    References
    ----------
    Kingma and Welling 2014, arXiv:1312.6114v11, appendix B

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.gaussian import Posterior, kl_to_prior
    >>> kl_to_prior(Posterior(torch.tensor([[0.0, 2.0]]), torch.zeros(1, 2)))
    tensor([[0., 2.]])
    """
    return 0.5 * (q.mean.square() + q.logvar.exp() - 1 - q.logvar)


def log_normal(z: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """Compute log N(z; mean, exp(logvar)), elementwise with broadcasting."""
    return -0.5 * (LOG_TWO_PI + logvar + (z - mean).square() * torch.exp(-logvar))


def log_density_per_latent(z: Tensor, q: Posterior) -> Tensor:
    """Compute log densities (B, B, D): [i, j, d] is log q(z_id | x_j)."""
    return log_normal(z[:, None], q.mean[None], q.logvar[None])


def log_density(z: Tensor, q: Posterior) -> Tensor:
    """Compute log densities (B, B) by matrix products, without a (B, B, D) array: [i, j] is log q(z_i | x_j)."""
    precision = torch.exp(-q.logvar)
    square = z.square() @ precision.T - 2 * z @ (q.mean * precision).T + (q.mean.square() * precision).sum(1)
    return -0.5 * (square.clamp(min=0) + q.logvar.sum(1) + z.shape[1] * LOG_TWO_PI)
