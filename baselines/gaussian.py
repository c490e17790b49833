"""The diagonal Gaussian posterior q(z|x) that every method here shares, and the densities that its penalties are made of.

Kingma & Welling 2014, arXiv:1312.6114v11, section 3 and appendix B. All quantities are in nats.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

LOG_TWO_PI = math.log(2 * math.pi)


class Posterior(NamedTuple):
    """N(mean, exp(logvar)) for each of B images, independent over D latents; both tensors are (B, D)."""

    mean: Tensor
    logvar: Tensor

    def sample(self) -> Tensor:
        """One reparameterised draw per image, (B, D)."""
        return self.mean + torch.exp(0.5 * self.logvar) * torch.randn_like(self.mean)

    def detach(self) -> "Posterior":
        return Posterior(self.mean.detach(), self.logvar.detach())


def kl_to_prior(q: Posterior) -> Tensor:
    """KL(q(z_d|x) || N(0, 1)) of each image and latent, (B, D), >= 0."""
    return 0.5 * (q.mean.square() + q.logvar.exp() - 1 - q.logvar)


def log_normal(z: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """log N(z; mean, exp(logvar)), elementwise with broadcasting."""
    return -0.5 * (LOG_TWO_PI + logvar + (z - mean).square() * torch.exp(-logvar))


def log_density_per_latent(z: Tensor, q: Posterior) -> Tensor:
    """(B, B, D): [i, j, d] is log q(z_id | x_j)."""
    return log_normal(z[:, None], q.mean[None], q.logvar[None])


def log_density(z: Tensor, q: Posterior) -> Tensor:
    """(B, B): [i, j] is log q(z_i | x_j), by matrix products: no (B, B, D) array is made."""
    precision = torch.exp(-q.logvar)
    square = z.square() @ precision.T - 2 * z @ (q.mean * precision).T + (q.mean.square() * precision).sum(1)
    return -0.5 * (square.clamp(min=0) + q.logvar.sum(1) + z.shape[1] * LOG_TWO_PI)
