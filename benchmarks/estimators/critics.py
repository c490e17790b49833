"""Total correlation and information by critics that learn from samples, with one optimizer each.

Total correlation is KL(q(z) || prod_d q(z_d)), so the critic tells z from z whose every latent was permuted over the batch
(Kim & Mnih 2018, arXiv:1802.05983v3, Algorithm 2); any bound of a KL divergence then applies, as in `mine_vae.total_correlation`.
`marginal` is the hybrid of `mine_vae.marginals`: critics for the marginals, Monte Carlo for the joint.

    club      I <= E_J[log q(y|x)] - E_P[log q(y|x)]     Cheng et al. 2020, arXiv:2006.12013v6, Eq. 13 (vCLUB): an upper bound
                                                         only where q(y|x), learnt by likelihood, fits p(y|x)
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from disbench.baselines import networks
from disbench.baselines.gaussian import Posterior, log_normal
from disbench.baselines.replay_buffer import ReplayBuffer
from disbench.benchmarks.estimators.tasks import Draw, Pairs
from disbench.mine_vae.marginals import MarginalCritics, total_correlation
from disbench.mine_vae.mine import CRITIC_CLIP, MutualInformationEstimator
from disbench.mine_vae.total_correlation import (
    SequentialCLUB,
    bounded_posterior,
    contrast,
    with_permuted,
)

Arrange = Callable[[Any], tuple[Tensor, ...]]


def descend(optimizer: torch.optim.Optimizer, module: nn.Module, loss: Tensor) -> None:
    """One clipped step."""
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), CRITIC_CLIP)
    optimizer.step()


def permuted(copies: int) -> Arrange:
    """From a draw to z and its permutations, both with a leading axis of one pair of variables."""
    return lambda draw: with_permuted(draw.z, copies, None if draw.width == 1 else equal_groups(draw.z, draw.width))


def equal_groups(z: Tensor, width: int) -> Tensor:
    """(D,): the group of each latent of z (B, D), where `width` latents in a row are one group."""
    return torch.arange(z.shape[1], device=z.device) // width


def as_draw(draw: Draw) -> tuple[Tensor]:
    return (draw.z,)


def as_pairs(pairs: Pairs) -> tuple[Tensor, Tensor]:
    return pairs.x[None], pairs.y[None]


class Critic:
    """A critic, the function that makes its arguments from a batch, and an Adam optimizer."""

    def __init__(
        self, module: "MutualInformationEstimator | CLUB | SequentialCLUB", arrange: Arrange, lr: float = 1e-3
    ) -> None:
        self.module = module
        self.arrange = arrange
        self.optimizer = torch.optim.Adam(module.parameters(), lr=lr)

    def update(self, batch: Any) -> None:
        """One step of the critic; nothing reaches the encoder."""
        samples = [sample.detach() for sample in self.arrange(batch)]
        descend(self.optimizer, self.module, self.module.critic_loss(*samples))

    def estimate(self, batch: Any) -> Tensor:
        """A scalar in nats, with a gradient to what the batch was made of."""
        return self.module.estimate(*self.arrange(batch)).sum()


class Marginal:
    """`mine_vae.marginals` as MINEDisentangleVAE uses it: the fit and each critic step on draws from recent posteriors."""

    def __init__(self, latent_dim: int, batch: int, *, recent_batches: int = 8, lr: float = 3e-3) -> None:
        self.batch = batch
        self.critics = MarginalCritics(latent_dim)
        self.recent = ReplayBuffer(recent_batches * batch, 2, latent_dim)
        self.optimizer = torch.optim.Adam(self.critics.parameters(), lr=lr, betas=(0.5, 0.9))

    def to(self, device: torch.device) -> "Marginal":
        self.critics.to(device)
        self.recent.to(device)
        return self

    def update(self, draw: Draw) -> None:
        self.recent.add(torch.stack(draw.q.detach(), dim=1))
        q = Posterior(*self.recent.sample(self.batch).unbind(1))
        self.critics.fit(q)
        descend(self.optimizer, self.critics, self.critics.critic_loss(q.sample()))

    def estimate(self, draw: Draw) -> Tensor:
        return total_correlation(draw.z, draw.q, self.critics, len(draw.encoder))


class CLUB(nn.Module):
    """q(y|x) = N(m(x), diag s^2(x)) and its contrastive value over all B^2 pairs of a batch.

    x (1, B, x_dim), y (1, B, y_dim). Above I even where q(y|x) is exact: rho^2 / (1 - rho^2) for a Gaussian pair.
    """

    def __init__(self, x_dim: int, y_dim: int, *, hidden_dim: int = 128) -> None:
        super().__init__()
        self.network = networks.perceptron([x_dim, hidden_dim, hidden_dim, 2 * y_dim], slope=0.0)

    def conditional(self, x: Tensor) -> Posterior:
        """q(y|x) of each row."""
        return bounded_posterior(*self.network(x).chunk(2, dim=-1))

    def estimate(self, x: Tensor, y: Tensor) -> Tensor:
        return contrast(y, self.conditional(x))

    def critic_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Minus the log-likelihood, for the optimizer to descend."""
        return -log_normal(y, *self.conditional(x)).sum(-1).mean()
