"""Total correlation by Monte Carlo: the mixture's density at each draw, from some of its components, without learning.

TC = E[log q(z) - sum_d log q(z_d)],     q(z_i) ~ sum_j w_ij q(z_i | x_j)

Between groups of latents, q(z_Gk) takes the place of q(z_d), with the same weights.

batch average  the B posteriors of the minibatch, 1/B each
mws            Chen et al. 2018 (arXiv:1802.04942v5), Eq. 3: 1/(NB) each, so (D - 1) log N above batch average, same gradient
mss            the same paper's appendix C.2: 1/N for the own posterior, the others share the rest
column 0       `mss` as four public copies have it: the weights meant for the diagonal in fixed columns. Here as the
               documented error
nested         the own posterior 1/N, K posteriors drawn from all N share the rest (Rainforth et al. 2018, arXiv:1709.06181v4:
               exact as K grows); they must be encoded, too
full N         all N posteriors: exact but for the draw of z
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from disbench.baselines.beta_tcvae import kl_terms, log_batch_weights
from disbench.baselines.gaussian import Posterior, log_normal
from disbench.benchmarks.estimators.tasks import Draw, log_densities, log_ratios, uniform


class MonteCarlo:
    """A function of a minibatch as an estimator."""

    def __init__(self, value: Callable[..., Tensor], **options: Any) -> None:
        self.value = value
        self.options = options

    def update(self, draw: Draw) -> None:
        """There is nothing to learn."""

    def estimate(self, draw: Draw) -> Tensor:
        return self.value(draw, **self.options)


def batch_average(draw: Draw) -> Tensor:
    return log_ratios(draw.z, draw.q, uniform(len(draw.z), draw.z), draw.width).mean()


def weighted(draw: Draw) -> Tensor:
    """MWS, by the code that beta-TCVAE trains with."""
    return as_trained(draw, "mws")


def stratified(draw: Draw) -> Tensor:
    """MSS, by the code that beta-TCVAE trains with."""
    return as_trained(draw, "mss")


def as_trained(draw: Draw, estimator: str) -> Tensor:
    if draw.width == 1:
        return kl_terms(draw.z, draw.q, len(draw.encoder), estimator).total_correlation
    weights = log_batch_weights(len(draw.z), len(draw.encoder), estimator, draw.z)
    return log_ratios(draw.z, draw.q, weights, draw.width).mean()


def column_zero_log_weights(batch: int, n_train: int, like: Tensor) -> Tensor:
    """(B, B) log weights of the erroneous `mss`: with M = B - 1, column 0 is 1/N, column 1 (N - M)/(N M), the others 1/M.

    This is what indexing a flat B x B matrix with stride M + 1 = B gives, where B + 1 was meant.
    """
    others = batch - 1
    rest = (n_train - others) / (n_train * others)
    weights = torch.full((batch, batch), 1 / others, dtype=like.dtype, device=like.device)
    weights[:, 0] = 1 / n_train
    weights[:, 1] = rest
    weights[others - 1, 0] = rest
    return weights.log()


def column_zero(draw: Draw) -> Tensor:
    weights = column_zero_log_weights(len(draw.z), len(draw.encoder), draw.z)
    return log_ratios(draw.z, draw.q, weights, draw.width).mean()


def nested(draw: Draw, *, references: int) -> Tensor:
    """`references` posteriors, the same for all of the minibatch, drawn from all N without repetition."""
    n_train = len(draw.encoder)
    if not 2 <= references <= n_train:
        raise ValueError(f"nested needs 2 <= references <= {n_train}, the posteriors there are; got {references}.")
    rows = torch.randperm(n_train, device=draw.rows.device)[:references]
    own = log_normal(draw.z, *draw.q).unflatten(1, (-1, draw.width)).sum(2)[:, None]  # (B, 1, groups)
    per_group = torch.cat([own, log_densities(draw.z, draw.encoder(rows), draw.width)], dim=1)  # (B, 1 + K, groups)
    itself = rows[None] == draw.rows[:, None]  # (B, K): a reference that is the row's own counts once
    share = math.log((n_train - 1) / n_train) - (~itself).sum(1, keepdim=True).log()
    others = share.expand(-1, references).masked_fill(itself, -math.inf).to(draw.z.dtype)
    weights = torch.cat([torch.full_like(others[:, :1], -math.log(n_train)), others], dim=1)
    joint = torch.logsumexp(per_group.sum(2) + weights, dim=1)
    return (joint - torch.logsumexp(per_group + weights[..., None], dim=1).sum(1)).mean()


def full(draw: Draw) -> Tensor:
    components: Posterior = draw.encoder.everything()
    return log_ratios(draw.z, components, uniform(len(draw.encoder), draw.z), draw.width).mean()
