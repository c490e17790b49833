"""MINEDisentangleVAE: a VAE whose latents are made independent and assigned to factors by neural information estimates.

Who moves on what, in one call of `training_step`:

    outer    encoder, decoder, factor encoder, the attention's value map, on the minibatch x:
                 reconstruction + beta KL + ramp * disentanglement_weight * { tc_weight * TC + 1/K sum_k w_k (leak_k - kept_k) }
    critics  every critic, on draws from recent posteriors: each ascends its own bound
    inner    every `bi_level_outer_steps` steps, `bi_level_inner_steps` times: the attention's assignment, on other draws:
                 1/K sum_k w_k (leak_k - kept_k) + KL(p || use) + entropy_reg_weight H(A) + attention_reg_weight L2(logits)

    TC      = sum_d I(z_d; n) - I(z; n)     `marginals` for the first sum, minibatch stratified sampling for I(z; n)
    leak_k  = I(z outside group k; e_k)     Donsker-Varadhan, minimised
    kept_k  = I(z in group k; e_k)          InfoNCE, maximised
    w_k     from the Gaussian fit of e_k; p gives nuisance a tenth of the KL nats and factor k a share in proportion to w_k

While one party moves, the others are frozen. TC does not depend on the partition, so it is absent from inner.
"""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.vae import VAE, ShellOptions, bernoulli_loss
from disbench.mine_vae.attention import CrossAttention, capacity_mismatch, entropy, split_by_factor
from disbench.mine_vae.factor_encoder import FactorEncoder, with_noise
from disbench.mine_vae.gaussian_fit import GaussianFitEstimator, capacity_target, factor_weights
from disbench.mine_vae.marginals import MarginalCritics, total_correlation
from disbench.mine_vae.mine import CRITIC_CLIP, MutualInformationEstimator
from disbench.mine_vae.recent import Recent


class MINEDisentangleVAE(VAE):
    """Defaults are the method's own. tc_weight and the critics' rates are ours: see `marginals` for what they weigh."""

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        num_factors: int = 10,
        factor_dim: int = 32,
        attention_dim: int = 128,
        mine_hidden_dim: int = 128,
        disentanglement_weight: float = 1.0,
        attention_reg_weight: float = 0.1,
        entropy_reg_weight: float = 0.05,
        bi_level_outer_steps: int = 5,
        bi_level_inner_steps: int = 3,
        gaussian_fit_samples: int = 1000,
        beta: float = 1.0,
        tc_weight: float = 20.0,
        warmup_steps: int = 1000,
        critic_lr: float = 3e-3,
        attention_lr: float = 1e-2,
        recent_posteriors: int = 512,
        **shell: Unpack[ShellOptions],
    ) -> None:
        super().__init__(image_shape, n_train, **{"latent_dim": 128, **shell})
        self.automatic_optimization = False
        self.disentanglement_weight, self.beta, self.tc_weight = disentanglement_weight, beta, tc_weight
        self.attention_reg_weight, self.entropy_reg_weight = attention_reg_weight, entropy_reg_weight
        self.outer_steps, self.inner_steps = bi_level_outer_steps, bi_level_inner_steps
        self.critic_lr, self.attention_lr, self.warmup_steps = critic_lr, attention_lr, warmup_steps
        sizes = {"num_factors": num_factors, "factor_dim": factor_dim}
        self.factor_encoder = FactorEncoder(self.latent_dim, **sizes)
        self.attention = CrossAttention(self.latent_dim, **sizes, attention_dim=attention_dim)
        self.gaussian_fit = GaussianFitEstimator(**sizes, gaussian_fit_samples=gaussian_fit_samples)
        self.marginals = MarginalCritics(self.latent_dim)
        pair = {"hidden_dim": mine_hidden_dim, "groups": num_factors}
        self.leak = MutualInformationEstimator(self.latent_dim, factor_dim, **pair)
        self.kept = MutualInformationEstimator(self.latent_dim, factor_dim, **pair)
        self.register_buffer("factor_weights", torch.ones(num_factors))
        self.recent = Recent(recent_posteriors, 2, self.latent_dim)

    def logits(self, z: Tensor) -> Tensor:
        return self.decoder(self.attention.refine(z, self.factor_encoder(z)))

    def groups(self) -> Tensor:
        return self.attention.assignment().argmax(1)

    def pair_terms(self, z: Tensor, embeddings: Tensor, partition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """1/K sum_k w_k (leak_k - kept_k), then the means of leak and kept."""
        (outside, inside), noisy = split_by_factor(z, partition), with_noise(embeddings)
        leak, kept = self.leak.donsker_varadhan(outside, noisy), self.kept.info_nce(inside, noisy)
        return (self.factor_weights * (leak - kept)).mean(), leak.mean(), kept.mean()

    def outer_loss(self, batch: Tensor, q: Posterior, z: Tensor, ramp: float) -> dict[str, Tensor]:
        embeddings = self.factor_encoder(z)
        logits = self.decoder(self.attention.refine(z, embeddings))
        reconstruction, kl = bernoulli_loss(logits, batch), kl_to_prior(q).sum(1).mean()
        tc = total_correlation(z, q, self.marginals, self.n_train)
        pairs, leak, kept = self.pair_terms(z, embeddings, self.attention.sampled_partition())
        penalty = ramp * self.disentanglement_weight * (self.tc_weight * tc + pairs)
        terms = {"reconstruction": reconstruction, "kl": kl, "total_correlation": tc, "leak": leak, "kept": kept}
        return {"loss": reconstruction + self.beta * kl + penalty, **terms}

    def critic_loss(self, batch: int) -> Tensor:
        z = self.draw(len(self.recent.rows)).sample()
        outside, inside = split_by_factor(z[:batch], self.attention.sampled_partition())
        noisy = with_noise(self.factor_encoder(z[:batch]))
        pairs = self.leak.critic_loss(outside, noisy) - self.kept.info_nce(inside, noisy).sum()
        return self.marginals.critic_loss(z) + pairs

    def inner_loss(self, batch: int) -> Tensor:
        q = self.draw(batch)
        z, assignment = q.sample(), self.attention.assignment()
        pairs = self.pair_terms(z, self.factor_encoder(z), self.attention.sampled_partition())[0]
        capacity = capacity_mismatch(capacity_target(self.factor_weights), assignment, kl_to_prior(q).mean(0))
        squares = self.attention.logits().square().mean()
        return pairs + capacity + self.attention_reg_weight * squares + self.entropy_reg_weight * entropy(assignment)

    def draw(self, n: int) -> Posterior:
        return Posterior(*self.recent.sample(n).unbind(1))

    def training_step(self, batch: Tensor, batch_idx: int) -> dict[str, Tensor]:
        outer, critics, inner = self.optimizers()
        with self.toggled_optimizer(outer):
            q = self.posterior(batch)
            z = q.sample()
            terms = self.outer_loss(batch, q, z, min(1.0, (batch_idx + 1) / self.warmup_steps))
            self.descend(outer, terms["loss"])

        self.recent.add(torch.stack(q, dim=1))
        embeddings = self.factor_encoder(z.detach()).detach()
        self.gaussian_fit.add(embeddings)
        self.attention.track(embeddings)
        self.marginals.fit(self.draw(len(self.recent.rows)))
        with self.toggled_optimizer(critics):
            self.descend(critics, self.critic_loss(len(batch)), CRITIC_CLIP)

        if (batch_idx + 1) % self.outer_steps == 0:
            self.factor_weights.copy_(factor_weights(self.gaussian_fit.complexities()))
            with self.toggled_optimizer(inner):
                for _ in range(self.inner_steps):
                    self.descend(inner, self.inner_loss(len(batch)))
        return {name: value.detach() for name, value in terms.items()}

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        outer = nn.ModuleList([self.encoder, self.decoder, self.factor_encoder, self.attention.value])
        critics = nn.ModuleList([self.marginals, self.leak, self.kept])
        assignment = [self.attention.queries, self.attention.tokens, self.attention.key.weight]
        return [
            torch.optim.Adam(outer.parameters(), lr=self.lr),
            torch.optim.Adam(critics.parameters(), lr=self.critic_lr, betas=(0.5, 0.9)),
            torch.optim.Adam(assignment, lr=self.attention_lr),
        ]
