"""Total correlation with MINE for the marginals: one-dimensional critics around a Gaussian fit of each latent.

    TC = sum_d I(z_d; n) - I(z; n),     n the image that z came from

The posterior q(z|x_n) is known, so only the marginals q(z_d) need an estimate:

    log r_d(z) = log N(z; m_d, s_d^2) + T_d(u) - log Z_d,     u = (z - m_d) / s_d

m and s are fitted by moments, T_d is a critic, and Z_d = E_{u ~ N(0,1)}[exp T_d(u)] a one-dimensional integral, done by
quadrature: nothing is permuted. r_d is a normalized density, so E[log q(z_d|x) - log r_d(z_d)] bounds I(z_d; n) from *above*
for any critic, and the bound's slack is KL(q(z_d) || r_d) >= 0. The critic ascends E[log r_d], which is the Donsker-Varadhan
objective for KL(q(z_d) || N(m_d, s_d^2)) (Belghazi et al. 2018, arXiv:1801.04062v5, Eq. 5). Encoder and critic pull the same
way, and a critic that lags makes the penalty too large, never too small.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from disbench.baselines.beta_tcvae import log_batch_weights
from disbench.baselines.gaussian import LOG_TWO_PI, Posterior, log_density
from disbench.mine_vae.mine import BatchedLinear, soft_clip

RANGE = 5.0  # critics see u clamped to [-RANGE, RANGE], and the quadrature covers it; N(0,1) has 6e-7 outside


class MarginalCritics(nn.Module):
    """D normalized one-dimensional densities r_d. Gradients reach z through `log_density`.

    At most `live` latents at a time have a critic, those that the Gaussian fit says most about; the rest have the fit alone
    (T_d = 0), which still bounds from above. So the cost stays what it is as latents are added.
    """

    mean: Tensor
    scale: Tensor
    mean_logvar: Tensor
    frequencies: Tensor

    def __init__(
        self,
        latent_dim: int,
        *,
        hidden_dim: int = 64,
        bound: float = 8.0,
        fit_rate: float = 0.05,
        nodes: int = 256,
        live: int = 32,
    ) -> None:
        super().__init__()
        self.bound = bound
        self.fit_rate = fit_rate
        self.nodes = nodes
        self.n_live = min(live, latent_dim)
        waves = torch.tensor([1.0, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64])
        self.register_buffer("frequencies", waves * math.pi / RANGE)
        self.register_buffer("mean", torch.zeros(latent_dim))
        self.register_buffer("scale", torch.ones(latent_dim))
        self.register_buffer("mean_logvar", torch.zeros(latent_dim))
        self.features = BatchedLinear(latent_dim, 1 + 2 * len(waves), hidden_dim)
        self.score = BatchedLinear(latent_dim, hidden_dim, 1)
        with torch.no_grad():
            self.score.weight.mul_(0.1)  # start near the Gaussian fit

    @torch.no_grad()
    def fit(self, q: Posterior) -> None:
        """Move m, s towards the moments of the aggregate posterior: var z = var(mean) + mean(var)."""
        self.mean.lerp_(q.mean.mean(0), self.fit_rate)
        variance = q.mean.var(0) + q.logvar.exp().mean(0)
        self.scale.copy_(self.scale.square().lerp(variance, self.fit_rate).sqrt().clamp(min=1e-3))
        self.mean_logvar.lerp_(q.logvar.mean(0), self.fit_rate)

    def live(self) -> Tensor:
        """Find the latents that have a critic, (n_live,) indices: most nats by the Gaussian fit, log s_d - E[log sigma_d]."""
        return (self.scale.log() - 0.5 * self.mean_logvar).topk(self.n_live).indices

    def critic(self, u: Tensor, which: Tensor | None = None) -> Tensor:
        """T_d(u) of all latents, or of those in `which` (L,): (L, B) -> (L, B)."""
        u = u.clamp(-RANGE, RANGE)[..., None]
        waves = u * self.frequencies
        features = torch.cat([u / 2, waves.sin(), waves.cos()], dim=-1)
        hidden = functional.leaky_relu(self.features(features, which), 0.1)
        return soft_clip(self.score(hidden, which)[..., 0], self.bound)

    def log_normaliser(self, which: Tensor | None = None) -> Tensor:
        """Compute log Z_d of all latents, or of those in `which` (L,), by the midpoint rule.

        Its offset is random, so that no critic can hide between the nodes.
        """
        step = 2 * RANGE / self.nodes
        like = self.mean
        u = -RANGE + step * (torch.arange(self.nodes, dtype=like.dtype, device=like.device) + torch.rand_like(like[:1]))
        log_integrand = self.critic(u.expand(len(like) if which is None else len(which), -1), which) - 0.5 * u.square()
        return torch.logsumexp(log_integrand, dim=1) + math.log(step) - 0.5 * LOG_TWO_PI

    def log_density(self, z: Tensor) -> Tensor:
        """Compute log r_d(z_d), (B, D) -> (B, D), in nats."""
        u = (z - self.mean) / self.scale
        gaussian = -0.5 * (u.square() + LOG_TWO_PI) - self.scale.log()
        which = self.live()
        learnt = self.critic(u.T[which], which) - self.log_normaliser(which)[:, None]  # (L, B)
        return gaussian.index_add(1, which, learnt.T)

    def critic_loss(self, z: Tensor) -> Tensor:
        """Minus the mean log-likelihood of z (B, D) under r, summed over latents: the critic descends it."""
        return -self.log_density(z).mean(0).sum()


def marginal_information(z: Tensor, q: Posterior, critics: MarginalCritics) -> Tensor:
    """Upper bounds of I(z_d; n), (D,), in nats: minus the posterior's entropy minus the mean log density of the marginal."""
    negative_entropy = -0.5 * (LOG_TWO_PI + 1 + q.logvar)  # E[log q(z_d|x)], exact
    return (negative_entropy - critics.log_density(z)).mean(0)


def total_correlation(z: Tensor, q: Posterior, critics: MarginalCritics, n_train: int) -> Tensor:
    """TC of the latents, a scalar in nats: the marginals by `critics`, I(z; n) by minibatch stratified sampling.

    z (B, D) is one draw from each posterior of q. No (B, B, D) array is made.
    """
    joint = log_density(z, q)  # (B, B)
    log_q = torch.logsumexp(joint + log_batch_weights(len(z), n_train, "mss", z), dim=1)
    return marginal_information(z, q, critics).sum() - (joint.diagonal() - log_q).mean()
