"""Find blocks of latents that depend on each other, during training and without waiting for the device.

This is `find_groups` of `disbench.metrics` for tensors: average linkage of the pairwise information, which stops where the mean
information of no two blocks exceeds the price. Nothing branches on a value, so it runs on any device and for many seeds at once.
"""

import math

import torch
from torch import Tensor

from disbench.baselines.gaussian import Posterior
from disbench.baselines.precision import float32

DEGREE = 4  # of the Legendre polynomials of ranks: even ones see circles, on which latents are uncorrelated
LEAST_NATS = 0.1  # that a latent carries through its posterior, or else it is nuisance


@torch.no_grad()
def find_blocks(q: Posterior, count: Tensor, price: float = 0.02) -> Tensor:
    """Group latents by their dependence on each other.

    Parameters
    ----------
    q : Posterior
        Means and log-variances (S, D) of recent images.
    count : Tensor
        Number of rows that are filled, the first ones; a scalar, at least 3.
    price : float, default 0.02
        Nats, at least 0: blocks are united while the mean information of their pairs of latents exceeds it.

    Returns
    -------
    Tensor of shape (D,), integer
        The block of each latent, numbered from 1 in the order of their first latents, or 0 for a latent that carries less than
        0.1 nats.

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.find_blocks import find_blocks
    >>> from disbench.baselines.gaussian import Posterior
    >>> angle = torch.linspace(0, 6.28, 1000)
    >>> circle = torch.stack([angle.cos(), 0 * angle, angle.sin()], dim=1)
    >>> find_blocks(Posterior(circle, torch.full((1000, 3), -4.0)), torch.tensor(1000))
    tensor([1, 0, 1])
    """
    filled = (torch.arange(len(q.mean), device=q.mean.device) < count)[:, None]  # (S, 1)
    mean = torch.where(filled, q.mean, 0).sum(0) / count
    spread = torch.where(filled, q.mean - mean, 0).square().sum(0) / count
    noise = torch.where(filled, q.logvar.exp(), 0).sum(0) / count
    live = spread >= noise * math.expm1(2 * LEAST_NATS)
    with float32(q.mean.device):
        return average_linkage(pairwise_information(q.mean, filled, count), live, price)


def pairwise_information(latents: Tensor, filled: Tensor, count: Tensor) -> Tensor:
    """Estimate the information of each pair of latents in nats, (D, D), from the rows (S, D) that are filled (S, 1)."""
    order = torch.where(filled, latents, torch.inf).argsort(0).argsort(0)  # the others come last
    x = torch.where(filled, (2 * order + 1) / count - 1, 0)
    powers = [x, (3 * x**2 - 1) / 2, (5 * x**3 - 3 * x) / 2, (35 * x**4 - 30 * x**2 + 3) / 8]
    polynomials = torch.stack(powers, dim=2).flatten(1)  # (S, D * DEGREE)
    polynomials = torch.where(filled, polynomials - torch.where(filled, polynomials, 0).sum(0) / count, 0)
    polynomials = polynomials / (polynomials.square().sum(0) / count).sqrt().clamp(min=1e-6)
    correlation = polynomials.T @ polynomials / count
    latent = latents.shape[1]
    contingency = correlation.view(latent, DEGREE, latent, DEGREE).square().sum((1, 3))
    return 0.5 * torch.log1p((contingency - DEGREE**2 / count).clamp(min=0))


def average_linkage(information: Tensor, live: Tensor, price: float) -> Tensor:
    """Unite the two blocks with the most information on average while it exceeds the price; (D, D) and (D,) to (D,)."""
    latents = torch.arange(len(live), device=live.device)
    member = torch.diag(live.to(information.dtype))  # (D, D): [k, d] is whether latent d is in block k
    ordered = latents[:, None] < latents
    for _ in range(len(live) - 1):
        size = member.sum(1)
        both = size[:, None] * size
        mean = torch.where(ordered & (both > 0), member @ information @ member.T / both, -torch.inf).flatten()
        best = mean.argmax()
        first, second = (latents == best // len(live))[:, None], (latents == best % len(live))[:, None]
        moved = torch.where(second, member, 0).sum(0) * (mean.amax() > price)  # (D,)
        member = member + torch.where(first, moved, 0) - torch.where(second, moved, 0)
    number = (member.sum(1) > 0).cumsum(0)  # a block stands in the row of its first latent
    return torch.where(live, number[member.argmax(0)], 0)
