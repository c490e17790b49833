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

While one party moves, the others' parameters are frozen. TC does not depend on the partition, so it is absent from inner.
"""

from collections.abc import Sequence
from typing import Unpack

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor

from disbench.baselines.beta_tcvae import log_batch_weights
from disbench.baselines.gaussian import Posterior, kl_to_prior, log_density
from disbench.baselines.vae import VAE, ShellOptions, bernoulli_loss
from disbench.mine_vae.attention import CrossAttention, capacity_mismatch, entropy
from disbench.mine_vae.factor_encoder import FactorEncoder, with_noise
from disbench.mine_vae.gaussian_fit import GaussianFitEstimator, factor_weights
from disbench.mine_vae.marginals import MarginalCritics, marginal_information
from disbench.mine_vae.mine import MutualInformationEstimator
from disbench.mine_vae.recent import Recent

NUISANCE_SHARE = 0.1  # of the KL nats
CRITIC_CLIP = 5.0


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
        self.attention_reg_weight = attention_reg_weight
        self.entropy_reg_weight = entropy_reg_weight
        self.disentanglement_weight = disentanglement_weight
        self.beta = beta
        self.tc_weight = tc_weight
        self.warmup_steps = warmup_steps
        self.outer_steps = bi_level_outer_steps
        self.inner_steps = bi_level_inner_steps
        self.critic_lr = critic_lr
        self.attention_lr = attention_lr
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

    def total_correlation(self, z: Tensor, q: Posterior) -> Tensor:
        """TC of the latents, a scalar in nats."""
        joint = log_density(z, q)  # (B, B)
        log_q = torch.logsumexp(joint + log_batch_weights(len(z), self.n_train, "mss", z), dim=1)
        return marginal_information(z, q, self.marginals).sum() - (joint.diagonal() - log_q).mean()

    def pairs(self, z: Tensor, embeddings: Tensor, partition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(K, B, D) latents outside each factor's group, (K, B, D) latents inside it, (K, B, F) the noisy embeddings."""
        inside = z * partition[:, 1:].T[:, None]
        return z - inside, inside, with_noise(embeddings)

    def pair_terms(self, z: Tensor, embeddings: Tensor, partition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """1/K sum_k w_k (leak_k - kept_k), then the means of leak and kept: scalars in nats."""
        outside, inside, noisy = self.pairs(z, embeddings, partition)
        leak, kept = self.leak.donsker_varadhan(outside, noisy), self.kept.info_nce(inside, noisy)
        return (self.factor_weights * (leak - kept)).mean(), leak.mean(), kept.mean()

    def outer_loss(self, batch: Tensor, q: Posterior, z: Tensor, ramp: float) -> dict[str, Tensor]:
        embeddings = self.factor_encoder(z)
        logits = self.decoder(self.attention.refine(z, embeddings))
        reconstruction, kl = bernoulli_loss(logits, batch), kl_to_prior(q).sum(1).mean()
        total_correlation = self.total_correlation(z, q)
        pairs, leak, kept = self.pair_terms(z, embeddings, self.attention.sampled_partition())
        penalty = ramp * self.disentanglement_weight * (self.tc_weight * total_correlation + pairs)
        terms = {"reconstruction": reconstruction, "kl": kl, "total_correlation": total_correlation}
        return {"loss": reconstruction + self.beta * kl + penalty, **terms, "leak": leak, "kept": kept}

    def critic_loss(self, batch: int) -> Tensor:
        z = self.draw(len(self.recent.rows)).sample()
        few = z[:batch]
        outside, inside, noisy = self.pairs(few, self.factor_encoder(few), self.attention.sampled_partition())
        pairs = self.leak.critic_loss(outside, noisy) - self.kept.info_nce(inside, noisy).sum()
        return self.marginals.critic_loss(z) + pairs

    def inner_loss(self, batch: int) -> Tensor:
        q = self.draw(batch)
        z, assignment = q.sample(), self.attention.assignment()
        pairs, _, _ = self.pair_terms(z, self.factor_encoder(z), self.attention.sampled_partition())
        shares = (1 - NUISANCE_SHARE) * self.factor_weights / self.factor_weights.sum()
        target = torch.cat([torch.full_like(shares[:1], NUISANCE_SHARE), shares])
        capacity = capacity_mismatch(target, assignment, kl_to_prior(q).mean(0))
        regularisation = self.attention_reg_weight * self.attention.logits().square().mean()
        return pairs + capacity + regularisation + self.entropy_reg_weight * entropy(assignment)

    def draw(self, n: int) -> Posterior:
        """n recent posteriors."""
        return Posterior(*self.recent.sample(n).unbind(1))

    def descend(self, optimizer: LightningOptimizer, loss: Tensor, clip: float | None = None) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        if clip is not None:
            self.clip_gradients(optimizer, gradient_clip_val=clip, gradient_clip_algorithm="norm")
        optimizer.step()

    def training_step(self, batch: Tensor, batch_idx: int) -> dict[str, Tensor]:
        outer, critics, inner = self.optimizers()
        with self.toggled_optimizer(outer):
            q = self.posterior(batch)
            z = q.sample()
            terms = self.outer_loss(batch, q, z, min(1.0, (batch_idx + 1) / self.warmup_steps))
            self.descend(outer, terms["loss"])

        self.recent.add(torch.stack(q, dim=1))
        with torch.no_grad():
            embeddings = self.factor_encoder(z)
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
        def parameters(*modules: torch.nn.Module) -> list[torch.nn.Parameter]:
            return [parameter for module in modules for parameter in module.parameters()]

        attention = self.attention
        outer = parameters(self.encoder, self.decoder, self.factor_encoder, attention.value)
        critics = parameters(self.marginals, self.leak, self.kept)
        inner = [attention.queries, attention.tokens, attention.key.weight]
        return [
            torch.optim.Adam(outer, lr=self.lr),
            torch.optim.Adam(critics, lr=self.critic_lr, betas=(0.5, 0.9)),
            torch.optim.Adam(inner, lr=self.attention_lr),
        ]
