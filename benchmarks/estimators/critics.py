"""Total correlation and information by critics that learn from samples, with one optimiser each.

Total correlation is KL(q(z) || prod_d q(z_d)), so the critic tells z from z whose every latent was permuted over the batch
(Kim & Mnih 2018, arXiv:1802.05983v3, Algorithm 2); any bound of a KL divergence then applies, as in `mine_vae.mine`. `marginal`
is the hybrid of `mine_vae.marginals`: critics for the marginals, Monte Carlo for the joint.

    club      I <= E_J[log q(y|x)] - E_P[log q(y|x)]     Cheng et al. 2020, arXiv:2006.12013v6, Eq. 13 (vCLUB): an upper bound
                                                         only where q(y|x), learnt by likelihood, fits p(y|x)
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from disbench.baselines import networks
from disbench.baselines.factor_vae import permute_latents
from disbench.baselines.gaussian import Posterior, log_density_per_latent, log_normal
from disbench.baselines.replay_buffer import ReplayBuffer
from disbench.benchmarks.estimators.tasks import Draw, Pairs
from disbench.mine_vae.marginals import MarginalCritics, total_correlation
from disbench.mine_vae.mine import CRITIC_CLIP, MutualInformationEstimator

Arrange = Callable[[Any], tuple[Tensor, Tensor]]


def descend(optimizer: torch.optim.Optimizer, module: nn.Module, loss: Tensor) -> None:
    """One clipped step."""
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), CRITIC_CLIP)
    optimizer.step()


class TotalCorrelationCritic(MutualInformationEstimator):
    """T(z), (G, B, D): x are draws, y the same draws permuted, `shifts` times over, one after the other: (G, shifts * B, D).

    All bounds, their losses and the moving average are those of the pairs' critic; only what the product pairs are differs.
    """

    def __init__(self, latent_dim: int, **options: Any) -> None:
        super().__init__(latent_dim, 1, **options)

    def _table(self, x: Tensor, y: Tensor, shifts: int) -> Tensor:
        rows = torch.cat([x, y[:, : shifts * x.shape[1]]], dim=1)
        nothing = rows.new_zeros(*rows.shape[:2], 1)
        found: Tensor = super()._table(rows, nothing, 0)[:, 0].unflatten(1, (shifts + 1, -1))
        return found


def with_permuted(shifts: int) -> Arrange:
    """From a draw to z and its permutations, both with a leading axis of one group."""

    def arrange(draw: Draw) -> tuple[Tensor, Tensor]:
        return draw.z[None], torch.cat([permute_latents(draw.z) for _ in range(shifts)])[None]

    return arrange


def as_pairs(pairs: Pairs) -> tuple[Tensor, Tensor]:
    return pairs.x[None], pairs.y[None]


class Critic:
    """A critic of (x, y), the function that makes them from a batch, and an Adam optimizer."""

    def __init__(self, module: "MutualInformationEstimator | CLUB", arrange: Arrange, lr: float = 1e-3) -> None:
        self.module = module
        self.arrange = arrange
        self.optimizer = torch.optim.Adam(module.parameters(), lr=lr)

    def update(self, batch: Any) -> None:
        """One step of the critic; nothing reaches the encoder."""
        x, y = self.arrange(batch)
        descend(self.optimizer, self.module, self.module.critic_loss(x.detach(), y.detach()))

    def estimate(self, batch: Any) -> Tensor:
        """A scalar in nats, with a gradient to what the batch was made of."""
        return self.module.estimate(*self.arrange(batch))[0]


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
        """q(y|x) of each row; log variances within (-6, 6), so that no pair decides alone."""
        mean, logvar = self.network(x).chunk(2, dim=-1)
        return Posterior(mean, 6 * torch.tanh(logvar / 6))

    def estimate(self, x: Tensor, y: Tensor) -> Tensor:
        q = self.conditional(x[0])
        joint = log_normal(y[0], *q).sum(1).mean()
        return (joint - log_density_per_latent(y[0], q).sum(2).mean())[None]

    def critic_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Minus the log-likelihood, for the optimiser to descend."""
        return -log_normal(y, *self.conditional(x)).sum(-1).mean()
