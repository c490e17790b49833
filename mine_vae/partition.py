"""The partition of the latents over factors, and the bi-level alternation that finds it.

It needs latents z and nothing else, so it can be fitted on its own to draws from any posterior. Three parties move:

    outer        encoder, factor encoder   (1/K) sum_k w_k (leak_k - kept_k)
    critics      leak, kept, group TC      each its own bound, upwards
    assignment   cross-attention           group_tc_weight TC_G + capacity_weight KL(p || use)
                                           + entropy_reg_weight H(A) + attention_reg_weight mean logits^2

    leak_k = I(z outside group k; e_k)             kept_k = I(z in group k; e_k)       both of e_k with noise: `factor_encoder`
    TC_G   = KL(q(z) || prod_k q(z in group k))    0 if and only if the groups are independent
    w_k    from the Gaussian fit of e_k; p gives nuisance a tenth of the KL nats and factor k a share in proportion to w_k

TC_G is the Donsker-Varadhan bound (Belghazi et al. 2018, arXiv:1801.04062v5, Eq. 5) between z and z whose groups are each
permuted over the batch: FactorVAE's permutation (Kim & Mnih 2018, arXiv:1802.05983v3, Algorithm 1) with groups in the place
of latents.
Dependent latents that lie in different groups are torn apart by it, so TC_G falls when the assignment unites them; capacity
keeps that from uniting everything. Capacity is counted on a drawn partition, for a soft one meets any target by sharing every
latent out evenly.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from disbench.mine_vae.attention import CrossAttention, capacity_mismatch, entropy, split_by_factor
from disbench.mine_vae.factor_encoder import FactorEncoder, with_noise
from disbench.mine_vae.gaussian_fit import GaussianFitEstimator, capacity_target, factor_weights
from disbench.mine_vae.mine import (
    MutualInformationEstimator,
    donsker_varadhan,
    logistic_loss,
    nguyen_wainwright_jordan,
    soft_clip,
)

Party = Literal["outer", "critics", "assignment"]
Data = Literal["minibatch", "recent"]


class Move(NamedTuple):
    """One descent: the parties whose parameters it moves, and the latents that it reads. All other parties are frozen."""

    parties: tuple[Party, ...]
    data: Data


def moves(step: int, *, outer_steps: int = 5, inner_steps: int = 3, bi_level: bool = True) -> Iterator[Move]:
    """The descents of training step `step` (1, 2, ...), in order.

    Two levels: outer on the minibatch and critics on recent draws at each step; at each `outer_steps`-th the assignment too,
    `inner_steps` times on other recent draws. Joint: the assignment moves with outer, at each step on the same minibatch.
    """
    yield Move(("outer",) if bi_level else ("outer", "assignment"), "minibatch")
    yield Move(("critics",), "recent")
    if bi_level and step % outer_steps == 0:
        for _ in range(inner_steps):
            yield Move(("assignment",), "recent")


def permute_groups(z: Tensor, partition: Tensor) -> Tensor:
    """z (B, D) -> (B, D): each group of `partition` (D, K+1) takes its values from rows of its own order.

    Linear in the partition, so that a straight-through partition has a gradient: what latent d would be in another group.
    """
    order = torch.rand(partition.shape[1], len(z), device=z.device).argsort(dim=1)  # (K+1, B)
    return torch.einsum("dk,kbd->bd", partition, z[order])


class GroupTotalCorrelation(nn.Module):
    """One critic T(z), a perceptron with two hidden layers, that reads TC_G in nats.

    bound: as of `MutualInformationEstimator`. The value is `nwj` or, for all others, Donsker-Varadhan, for a value without
    permuted rows (`ratio`) has no gradient to the partition, and no row of a permuted batch is another's negative (`infonce`).
    With `smile` and `ratio` T learns by logistic loss.
    """

    def __init__(self, latent_dim: int, *, bound: str = "mine", hidden_dim: int = 128, clip: float = 5.0) -> None:
        super().__init__()
        self.bound = bound
        self.clip = clip
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, 1),
        )

    def scores(self, z: Tensor, partition: Tensor) -> tuple[Tensor, Tensor]:
        """T of z, (1, B), and of z with its groups permuted, (1, 1, B)."""
        both = self.layers(torch.cat([z, permute_groups(z, partition)]))[:, 0]
        joint, product = soft_clip(both, self.clip).chunk(2)
        return joint[None], product[None, None]

    def estimate(self, z: Tensor, partition: Tensor) -> Tensor:
        """TC_G, a scalar in nats, with a gradient to z and to the partition."""
        value = nguyen_wainwright_jordan if self.bound == "nwj" else donsker_varadhan
        return value(*self.scores(z, partition))[0]

    def critic_loss(self, z: Tensor, partition: Tensor) -> Tensor:
        """A scalar for the critic's optimiser to descend."""
        if self.bound in ("smile", "ratio"):
            return logistic_loss(*self.scores(z, partition))[0]
        return -self.estimate(z, partition)


class Partition(nn.Module):
    """Cross-attention, factor encoder, Gaussian fit and critics of D latents, and the losses that move each.

    Ablations: attention="fixed" (K equal blocks, nobody to assign), gaussian_fit=False (w_k = 1), bi_level=False (joint),
    entropy_reg_weight=0, attention_reg_weight=0, group_tc_weight=0 (the assignment without MINE), num_factors, and
    critic, the bound of leak and group TC. kept is always InfoNCE, for it is maximised and a bound without a low
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
        group_tc_weight: float = 2.0,
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
        self.group_tc_weight, self.capacity_weight = group_tc_weight, capacity_weight
        sizes = {"num_factors": num_factors, "factor_dim": factor_dim}
        learned = attention == "learned"
        self.factor_encoder = FactorEncoder(latent_dim, **sizes)
        self.attention = CrossAttention(latent_dim, **sizes, attention_dim=attention_dim, learned=learned)
        self.gaussian_fit = GaussianFitEstimator(**sizes, gaussian_fit_samples=gaussian_fit_samples)
        self.weigh = gaussian_fit
        pair = {"hidden_dim": mine_hidden_dim, "groups": num_factors, "shifts": shifts}
        self.leak = MutualInformationEstimator(latent_dim, factor_dim, bound=critic, **pair)
        self.kept = MutualInformationEstimator(latent_dim, factor_dim, bound="infonce", **pair)
        self.group_tc = GroupTotalCorrelation(latent_dim, bound=critic, hidden_dim=mine_hidden_dim)
        self.register_buffer("factor_weights", torch.ones(num_factors))

    def parties(self) -> dict[Party, list[nn.Parameter]]:
        """Each parameter of this module, once, under who moves it. A fixed assignment has none."""
        return {
            "outer": [*self.factor_encoder.parameters(), *self.attention.value.parameters()],
            "critics": [*self.leak.parameters(), *self.kept.parameters(), *self.group_tc.parameters()],
            "assignment": self.attention.assigning_parameters(),
        }

    def moves(self, step: int) -> Iterator[Move]:
        """`moves` of this module's schedule, without the assignment where it is fixed."""
        schedule = {"outer_steps": self.outer_steps, "inner_steps": self.inner_steps, "bi_level": self.bi_level}
        for move in moves(step, **schedule):
            parties = tuple(party for party in move.parties if party != "assignment" or self.attention.learned)
            if parties:
                yield Move(parties, move.data)

    def observe(self, embeddings: Tensor, step: int) -> None:
        """Take in embeddings (K, B, F) of training step `step`: for the attention's keys and the Gaussian fit.

        w_k are set anew at each `outer_steps`-th step, whoever moves in it: the fit costs K covariances.
        """
        self.attention.track(embeddings)
        self.gaussian_fit.add(embeddings)
        if self.weigh and step % self.outer_steps == 0:
            self.factor_weights.copy_(factor_weights(self.gaussian_fit.complexities()))

    def outer_terms(self, z: Tensor, embeddings: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What encoder and factor encoder minimise, (1/K) sum_k w_k (leak_k - kept_k), and the means of both; nats.

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
            partition = self.attention.sampled_partition()
            outside, inside = split_by_factor(z, partition)
            noisy = with_noise(self.factor_encoder(z))
        pairs = self.leak.critic_loss(outside, noisy) + self.kept.critic_loss(inside, noisy)
        return pairs + self.group_tc.critic_loss(z, partition)

    def inner_loss(self, z: Tensor, kl_per_latent: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What the assignment minimises, and its parts; z (B, D) and kl_per_latent (D,), in nats, have no gradient."""
        z, kl_per_latent = z.detach(), kl_per_latent.detach()
        assignment, partition = self.attention.assignment(), self.attention.sampled_partition()
        terms = {
            "capacity": capacity_mismatch(capacity_target(self.factor_weights), partition, kl_per_latent),
            "entropy": entropy(assignment),
            "squares": self.attention.logits().square().mean(),
        }
        loss = self.capacity_weight * terms["capacity"] + self.entropy_reg_weight * terms["entropy"]
        loss = loss + self.attention_reg_weight * terms["squares"]
        if self.group_tc_weight:
            terms["group_tc"] = self.group_tc.estimate(z, partition)
            loss = loss + self.group_tc_weight * terms["group_tc"]
        return loss, terms
