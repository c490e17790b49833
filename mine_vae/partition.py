"""The partition of the latents over factors, and the bi-level alternation that finds it.

It needs latents z and nothing else, so it can be fitted alone to draws from any posterior. Three groups of parameters are
updated:

    outer        encoder, factor encoder   (1/K) sum_k w_k (leak_k - kept_k)
    critics      leak, kept, pairwise      each its own bound, upwards
    assignment   cross-attention           cross_weight cross + capacity_weight E_M[chi^2(use(M), p)]
                                           + entropy_reg_weight H(A) + attention_reg_weight mean logits^2

    leak_k = I(z outside group k; e_k)             kept_k = I(z in group k; e_k)       both of e_k with noise: `factor_encoder`
    cross  = (1/D) sum_{d != e} I(z_d; z_e) (1 - sum_k A_dk A_ek)                      information between groups, nats a latent
    w_k    from the Gaussian fit of e_k; p gives nuisance a tenth of the KL nats and factor k a share in proportion to w_k

I(z_d; z_e) is a neural estimate (`mine`), and 1 - (A A^T)_de the odds that d and e lie in different groups of a partition M drawn
from A: cross is a graph cut. It falls when the assignment unites latents that depend on each other; capacity, which is how far
the use of the groups in nats is from p, keeps that from uniting everything. Both are exact expectations over M, so nothing is
sampled.
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from disbench.mine_vae.attention import CrossAttention, capacity_mismatch, entropy, split_by_factor
from disbench.mine_vae.audit import Audit, audit_pairs
from disbench.mine_vae.factor_encoder import FactorEncoder, with_noise
from disbench.mine_vae.gaussian_fit import GaussianFitEstimator, capacity_target, factor_weights
from disbench.mine_vae.mine import (
    BatchedLinear,
    MutualInformationEstimator,
    bound_value,
    logistic_loss,
    soft_clip,
)

ParameterGroup = Literal["outer", "critics", "assignment"]
Data = Literal["minibatch", "recent"]

PAIRED = 32  # latents whose pairs are read in one step


class Update(NamedTuple):
    """Optimizer steps on one loss: the groups of parameters that it updates, and the latents that it reads."""

    parameter_groups: tuple[ParameterGroup, ...]
    data: Data


def schedule(step: int, *, outer_steps: int = 5, inner_steps: int = 3, bi_level: bool = True) -> Iterator[Update]:
    """Iterate over the updates of training step `step` (1, 2, ...), in order.

    Two levels: outer on the minibatch and critics on recent draws at each step; at each `outer_steps`-th the assignment too,
    `inner_steps` times on other recent draws. Joint: the assignment is updated with outer, at each step on the same minibatch.
    """
    yield Update(("outer",) if bi_level else ("outer", "assignment"), "minibatch")
    yield Update(("critics",), "recent")
    if bi_level and step % outer_steps == 0:
        for _ in range(inner_steps):
            yield Update(("assignment",), "recent")


def cross_information(information: Tensor, assignment: Tensor, latent_dim: int) -> Tensor:
    """Nats that a latent shares with those of other groups, the mean over latents.

    information (L, L), with a zero diagonal, and assignment (L, K+1) may be of a sample of the latent_dim latents: it stands
    for all partners of each.
    """
    apart = 1 - assignment @ assignment.T
    partners = (latent_dim - 1) / max(len(information) - 1, 1)
    return partners * (information * apart).sum() / len(information)


class PairwiseInformation(nn.Module):
    """I(z_d; z_e) of every pair of latents, in nats: T_de = f_d(z_d) . f_e(z_e), each f_d a perceptron of one number.

    bound: as of `MutualInformationEstimator`; T is bounded by clip. z rolled by one row gives the product pairs.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        bound: str = "mine",
        hidden_dim: int = 16,
        features: int = 8,
        clip: float = 5.0,
    ) -> None:
        super().__init__()
        self.bound = bound
        self.clip = clip
        self.first = BatchedLinear(latent_dim, 1, hidden_dim)
        self.hidden = BatchedLinear(latent_dim, hidden_dim, hidden_dim)
        self.feature = BatchedLinear(latent_dim, hidden_dim, features)

    def scores(self, z: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        """T of the pairs among the L latents in `which`, joint (L^2, B) and product (L^2, 1, B). z is (B, D)."""
        x = functional.leaky_relu(self.first(z[:, which].T[..., None], which), 0.1)
        f = self.feature(functional.leaky_relu(self.hidden(x, which), 0.1), which).transpose(0, 1)  # (B, L, features)
        joint, product = f @ f.mT, f @ f.roll(1, dims=0).mT  # (B, L, L)
        joint, product = (soft_clip(scores.flatten(1).T, self.clip) for scores in (joint, product))
        return joint, product[:, None]

    def estimate(self, z: Tensor, which: Tensor) -> Tensor:
        """(L, L) in nats, symmetric, its diagonal 0. Lower bounds may read a little below 0."""
        table = bound_value(self.bound, *self.scores(z, which), self.clip).unflatten(0, (len(which), -1))
        symmetric: Tensor = 0.5 * (table + table.T)
        return symmetric.fill_diagonal_(0)

    def critic_loss(self, z: Tensor, which: Tensor) -> Tensor:
        """Compute a scalar to descend, summed over pairs of different latents."""
        joint, product = self.scores(z, which)
        if self.bound in ("smile", "ratio"):
            losses = logistic_loss(joint, product)
        else:
            losses = -bound_value(self.bound, joint, product, self.clip)
        return (losses * (1 - torch.eye(len(which), dtype=z.dtype, device=z.device)).flatten()).sum()


class Partition(nn.Module):
    """Cross-attention, factor encoder, Gaussian fit and critics of D latents, and the losses that move each.

    Ablations: attention="fixed" (K equal blocks, no assignment), gaussian_fit=False (w_k = 1), bi_level=False (joint),
    entropy_reg_weight=0, attention_reg_weight=0, cross_weight=0 (the assignment without MINE), num_factors, and
    critic, the bound of leak and of the pairwise critics. kept is always InfoNCE, for it is maximized and a bound without a low
    ceiling runs off. shifts: of leak and kept; kept cannot exceed log(1 + shifts) nats.
    """

    factor_weights: Tensor

    def __init__(
        self,
        latent_dim: int = 128,
        *,
        num_factors: int = 10,
        factor_dim: int = 32,
        attention_dim: int = 128,
        mine_hidden_dim: int = 128,
        attention_reg_weight: float = 0.1,
        entropy_reg_weight: float = 0.05,
        bi_level_outer_steps: int = 5,
        bi_level_inner_steps: int = 3,
        gaussian_fit_samples: int = 1000,
        cross_weight: float = 10.0,
        capacity_weight: float = 5.0,
        attention: Literal["learned", "fixed"] = "learned",
        gaussian_fit: bool = True,
        bi_level: bool = True,
        critic: str = "mine",
        shifts: int = 1,
    ) -> None:
        super().__init__()
        if attention not in ("learned", "fixed"):
            raise ValueError(f"attention must be 'learned' or 'fixed', got {attention!r}.")
        self.attention_reg_weight, self.entropy_reg_weight = attention_reg_weight, entropy_reg_weight
        self.outer_steps, self.inner_steps, self.bi_level = bi_level_outer_steps, bi_level_inner_steps, bi_level
        self.cross_weight, self.capacity_weight = cross_weight, capacity_weight
        self.latent_dim = latent_dim
        sizes = {"num_factors": num_factors, "factor_dim": factor_dim}
        learned = attention == "learned"
        self.factor_encoder = FactorEncoder(latent_dim, **sizes)
        self.attention = CrossAttention(latent_dim, **sizes, attention_dim=attention_dim, learned=learned)
        self.gaussian_fit = GaussianFitEstimator(**sizes, gaussian_fit_samples=gaussian_fit_samples)
        self.weigh = gaussian_fit
        pair = {"hidden_dim": mine_hidden_dim, "groups": num_factors, "shifts": shifts}
        self.leak = MutualInformationEstimator(latent_dim, factor_dim, bound=critic, **pair)
        self.kept = MutualInformationEstimator(latent_dim, factor_dim, bound="infonce", **pair)
        self.pairwise = PairwiseInformation(latent_dim, bound=critic)
        self.register_buffer("factor_weights", torch.ones(num_factors))

    def parameter_groups(self) -> dict[ParameterGroup, list[nn.Parameter]]:
        """Each parameter of this module, once, in the group that is updated together. A fixed assignment has none."""
        return {
            "outer": [*self.factor_encoder.parameters(), *self.attention.value.parameters()],
            "critics": [*self.leak.parameters(), *self.kept.parameters(), *self.pairwise.parameters()],
            "assignment": self.attention.assigning_parameters(),
        }

    def schedule(self, step: int) -> Iterator[Update]:
        """Iterate over the updates with this module's settings, without the assignment if it is fixed."""
        steps = {"outer_steps": self.outer_steps, "inner_steps": self.inner_steps}
        for update in schedule(step, **steps, bi_level=self.bi_level):
            groups = tuple(each for each in update.parameter_groups if each != "assignment" or self.attention.learned)
            if groups:
                yield Update(groups, update.data)

    def some_latents(self) -> Tensor:
        """Draw indices of PAIRED latents, or of all if there are fewer: D^2 pairs at once would cost too much."""
        return torch.rand_like(self.factor_weights[:1].expand(self.latent_dim)).argsort()[:PAIRED]

    def observe(self, embeddings: Tensor, step: int) -> None:
        """Take in embeddings (K, B, F) of training step `step`: for the attention's keys and the Gaussian fit.

        w_k are set anew at each `outer_steps`-th step, whatever is updated in it: the fit costs K covariances.
        """
        self.attention.track(embeddings)
        self.gaussian_fit.add(embeddings)
        if self.weigh and step % self.outer_steps == 0:
            self.factor_weights.copy_(factor_weights(self.gaussian_fit.complexities()))

    def outer_terms(self, z: Tensor, embeddings: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute what encoder and factor encoder minimize, (1/K) sum_k w_k (leak_k - kept_k), and the means of both; nats.

        z is (B, D), embeddings (K, B, F). The assignment has no gradient.
        """
        outside, inside = split_by_factor(z, self.attention.sampled_partition().detach())
        noisy = with_noise(embeddings)
        leak, kept = self.leak.estimate(outside, noisy), self.kept.estimate(inside, noisy)  # (K,)
        return (self.factor_weights * (leak - kept)).mean(), {"leak": leak.mean(), "kept": kept.mean()}

    def critic_loss(self, z: Tensor) -> Tensor:
        """For the critics alone: neither z nor the embeddings nor the assignment has a gradient."""
        with torch.no_grad():
            z = z.detach()
            outside, inside = split_by_factor(z, self.attention.sampled_partition())
            noisy = with_noise(self.factor_encoder(z))
        pairs = self.leak.critic_loss(outside, noisy) + self.kept.critic_loss(inside, noisy)
        return pairs + self.pairwise.critic_loss(z, self.some_latents())

    def inner_loss(self, z: Tensor, kl_per_latent: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute what the assignment minimizes, and its parts; z (B, D) and kl_per_latent (D,), in nats, have no gradient."""
        z, kl_per_latent = z.detach(), kl_per_latent.detach()
        assignment = self.attention.assignment()
        terms = {
            "capacity": capacity_mismatch(capacity_target(self.factor_weights), assignment, kl_per_latent),
            "entropy": entropy(assignment),
            "squares": self.attention.logits().square().mean(),
        }
        loss = self.capacity_weight * terms["capacity"] + self.entropy_reg_weight * terms["entropy"]
        loss = loss + self.attention_reg_weight * terms["squares"]
        if self.cross_weight:
            which = self.some_latents()
            with torch.no_grad():
                information = self.pairwise.estimate(z, which)
            terms["cross"] = cross_information(information, assignment[which], self.latent_dim)
            loss = loss + self.cross_weight * terms["cross"]
        return loss, terms

    def audits(self, draw: Callable[[], Tensor], steps: int) -> dict[str, Audit]:
        """Audit the critics of `leak` and `kept`; `draw()` gives fresh latents (B, D)."""

        def pairs(side: int) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                z, partition = draw(), self.attention.sampled_partition()
                return split_by_factor(z, partition)[side], with_noise(self.factor_encoder(z))

        def audited(estimator: MutualInformationEstimator, side: int) -> Audit:
            return audit_pairs(estimator, lambda: pairs(side), pairs(side), steps=steps)

        return {"leak": audited(self.leak, 0), "kept": audited(self.kept, 1)}
