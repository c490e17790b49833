"""MINEGroupVAE: a VAE whose groups of latents are made independent by a neural estimate of their total correlation.

    TC_G = KL( q(z) || prod_k q(z_k) )        z_k: the latents of group k; group 0 is nuisance

Latents of one group may depend on each other, so several of them can hold one complex factor. Training has two phases:

    first    reconstruction + beta KL + tc_weight TC      TC of single latents, by Monte Carlo as in beta-TCVAE
    second   reconstruction + beta KL + tc_weight TC_G    TC_G by a critic (see `total_correlation`)

After the first phase few latents depend on each other: those that cannot be made independent, such as the two latents of a
circle. Groups are made of them (see `grouping`). Monte Carlo estimates TC well and TC_G badly: where the posteriors of a group
hardly overlap, the density of z_k from a minibatch is that of the same image alone, so the estimate is nearly a constant,
whose gradient does not help. A critic needs no densities, but it has to keep up with the encoder.

What one call of `training_step` does, each group of parameters updated while the others stand still:

    outer        encoder and decoder, down the loss on the minibatch
    critics      from CRITICS_LEAD before the second phase, twice a step: the critic, up its own bound, on recent posteriors
    assignment   from half of the first phase: every `bi_level_outer_steps` steps, `bi_level_inner_steps` times, on recent ones

Networks may run in bf16; densities, critic and assignment are float32.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Unpack

import torch
from torch import Tensor
from torch.nn import Parameter, functional

from disbench.baselines.alternating import AlternatingVAE, Stage, StageResult
from disbench.baselines.beta_tcvae import kl_terms
from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.hf_vae import block_kl_terms
from disbench.baselines.method import Batch, PartitionReport, Step
from disbench.baselines.optim import adam
from disbench.baselines.precision import float32
from disbench.baselines.replay_buffer import ReplayBuffer
from disbench.baselines.vae import NetworkOptions
from disbench.mine_vae.audit import told
from disbench.mine_vae.grouping import GroupAttention, group_complexities, pairs_in_use, priced_loss, read_pairs
from disbench.mine_vae.mine import BOUNDS, CRITIC_CLIP
from disbench.mine_vae.total_correlation import PermutedCritic, audit_estimator

INFORMATION_RATE = 0.05  # of the moving average of the pairs' information
CRITICS_LEAD = 0.1  # of training, that the critic learns before the encoder listens to it
CRITIC_STEPS = 2
AUDIT_STEPS = 100
MONTE_CARLO_EVERY = 10  # steps between two Monte Carlo readings that are logged beside the critic's


class MINEGroupVAE(AlternatingVAE):
    """Train a VAE whose groups of latents are independent by a neural estimate; the groups are learned.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    latent_dim : int, default 32
        Number of latents D.
    num_factors : int, default 10
        Largest number of groups K besides nuisance, at least the number of factors. Groups may stay empty.
    attention_dim, mine_hidden_dim : int, default 128
        Sizes of the attention's keys and of the critic.
    beta, tc_weight : float, default 1.0 and 8.0
        Weights of the KL divergence and of the total correlation.
    mine_start : float, default 0.4
        Share of training that is the first phase, in [0, 1]; with 1 there is no second.
    mine : bool, default True
        False estimates TC_G by Monte Carlo, as `hf_vae` does.
    tc_estimator : {"ratio", "mine", "nwj", "infonce", "smile"}, default "ratio"
        Estimator of TC_G; see `mine_vae.total_correlation`.
    price, resolution : float, default 0.01 and 1.0
        Latents are united that share more nats than the price; see `mine_vae.grouping`.
    attention : {"learned", "fixed"}, default "learned"
        Whether the assignment is learned, or cuts the latents into K equal blocks.
    bi_level : bool, default True
        Whether the assignment is updated in turns, or jointly with the encoder.
    bi_level_outer_steps, bi_level_inner_steps : int, default 5 and 3
        The assignment is updated every so many steps, so many times.
    attention_reg_weight, entropy_reg_weight : float, default 0.01 and 0.005
        Weights of the squared attention logits and of the entropy of the assignment, per nat that a latent shares.
    critic_lr, assignment_lr : float, default 3e-3 and 1e-2
        Learning rates of Adam.
    recent_posteriors : int, default 512
        Number of the last posteriors that critic and assignment draw from.
    **shell
        Other parameters of `VAE`.

    References
    ----------
    Belghazi et al. 2018, arXiv:1801.04062v5, Eq. 5 (MINE); Chen et al. 2018, arXiv:1802.04942v5, Eq. 2 (first phase)

    Examples
    --------
    >>> import torch
    >>> from disbench.mine_vae import MINEGroupVAE
    >>> method = MINEGroupVAE((1, 8, 8), n_train=100, latent_dim=6, network="mlp", hidden_dim=16)
    >>> method.groups().shape, method.encode(torch.zeros(2, 1, 8, 8)).values.shape
    (torch.Size([6]), torch.Size([2, 6]))
    """

    audit_at = (0.8, 1.0)  # shares of training after which the critic is audited
    information: Tensor
    monte_carlo: Tensor

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        latent_dim: int = 32,
        num_factors: int = 10,
        attention_dim: int = 128,
        mine_hidden_dim: int = 128,
        beta: float = 1.0,
        tc_weight: float = 8.0,
        mine_start: float = 0.4,
        mine: bool = True,
        tc_estimator: str = "ratio",
        price: float = 0.01,
        resolution: float = 1.0,
        attention: str = "learned",
        bi_level: bool = True,
        bi_level_outer_steps: int = 5,
        bi_level_inner_steps: int = 3,
        attention_reg_weight: float = 0.01,
        entropy_reg_weight: float = 0.005,
        critic_lr: float = 3e-3,
        assignment_lr: float = 1e-2,
        recent_posteriors: int = 512,
        **shell: Unpack[NetworkOptions],
    ) -> None:
        if tc_estimator not in BOUNDS:
            raise ValueError(f"tc_estimator must be one of {', '.join(BOUNDS)}, got {tc_estimator!r}.")
        if attention not in ("learned", "fixed"):
            raise ValueError(f"attention must be 'learned' or 'fixed', got {attention!r}.")
        if not 0 <= mine_start <= 1:
            raise ValueError(f"mine_start must be a share of training, from 0 to 1, got {mine_start}.")
        if num_factors < 1:
            raise ValueError(f"num_factors must be at least 1, got {num_factors}.")
        super().__init__(image_shape, n_train, latent_dim=latent_dim, **shell)
        self.beta, self.tc_weight, self.mine_start, self.mine = beta, tc_weight, mine_start, mine
        self.price, self.resolution, self.bi_level = price, resolution, bi_level
        self.outer_steps, self.inner_steps = bi_level_outer_steps, bi_level_inner_steps
        self.regularity = (attention_reg_weight, entropy_reg_weight)
        self.critic_lr, self.assignment_lr = critic_lr, assignment_lr
        self.num_groups = num_factors + 1
        self.attention = GroupAttention(
            self.latent_dim,
            num_factors=num_factors,
            attention_dim=attention_dim,
            learned=attention == "learned",
        )
        self.critic = PermutedCritic(self.latent_dim, bound=tc_estimator, hidden_dim=mine_hidden_dim)
        self.recent = ReplayBuffer(recent_posteriors, 2, self.latent_dim)
        self.register_buffer("information", torch.zeros(self.latent_dim, self.latent_dim))  # of pairs of latents, nats
        self.register_buffer("monte_carlo", torch.zeros(()))  # the last reading of TC_G by Monte Carlo

    def groups(self) -> Tensor:
        """Find the group of each latent, (D,), 0 for nuisance."""
        return self.attention.groups()

    def partition(self) -> PartitionReport:
        """Report the assignment, the complexity of each group by a Gaussian fit, and the share of the nats that it stands for."""
        member = functional.one_hot(self.groups(), self.num_groups).T.float()
        complexities = group_complexities(*self.remembered(), member)
        share = complexities / complexities.sum().clamp(min=1e-6)
        return PartitionReport(self.attention.assignment().detach(), complexities[1:], share)

    def parameter_groups(self) -> dict[str, list[Parameter]]:
        """List every parameter that is trained once, in the group that is updated together. A fixed assignment has none."""
        groups = {
            "outer": [*self.encoder.parameters(), *self.decoder.parameters()],
            "critics": [*self.critic.parameters()],
            "assignment": [*self.attention.parameters()],
        }
        return {name: parameters for name, parameters in groups.items() if parameters}

    def remembered(self) -> tuple[Posterior, Tensor]:
        """Get all recent posteriors (S, D), and which of them are filled (S, 1)."""
        rows = self.recent.rows
        filled = (torch.arange(len(rows), device=rows.device) < self.recent.count())[:, None]
        return Posterior(*rows.unbind(1)), filled

    def draw(self, n: int) -> Posterior:
        """Draw n of the recent posteriors."""
        return Posterior(*self.recent.sample(n).unbind(1))

    def monte_carlo_tc(self, z: Tensor, q: Posterior) -> Tensor:
        """Estimate TC_G by minibatch stratified sampling, a scalar in nats."""
        return block_kl_terms(z, q, self.n_train, self.groups()).between_blocks

    def stages(self, step: Step) -> Iterator[Stage]:
        """Yield the stages of the phase that `step` is in; see the module."""
        count, done = step.number + 1, step.fraction
        second_phase = done >= self.mine_start
        # One step after the first posteriors are remembered: from none, nothing can be read.
        assigns = self.attention.learned and self.mine_start < 1 and done >= self.mine_start / 2 + 1 / step.total
        jointly = assigns and not self.bi_level
        number = {name: place for place, name in enumerate(self.parameter_groups())}
        own = type(self)
        first = (number["outer"], number["assignment"]) if jointly else (number["outer"],)
        outer = partial(own.outer_stage, second_phase=second_phase, joint=jointly)
        # What draws other noise has another name: the critic's estimate permutes, and the assignment draws.
        noise = f"{'second' if second_phase else 'first'}{', joint' if jointly else ''}"
        yield Stage(f"outer, {noise}", outer, first)
        if self.mine_start == 1 or done < min(self.mine_start / 2, self.mine_start - CRITICS_LEAD):
            return
        yield Stage("remember", own.buffer_stage)
        if self.mine and done >= self.mine_start - CRITICS_LEAD:
            for _ in range(CRITIC_STEPS):
                yield Stage("critics", own.critics_stage, (number["critics"],), CRITIC_CLIP)
        if assigns and self.bi_level and count % self.outer_steps == 0:
            for _ in range(self.inner_steps):
                yield Stage("assignment", own.assignment_stage, (number["assignment"],))
        if second_phase:
            audited = self.mine and count in [round(share * step.total) for share in self.audit_at]
            yield Stage("checked", partial(own.monitor_stage, step=count, audited=audited), data_dependent=audited)

    def outer_stage(self, batch: Batch, context: Any, *, second_phase: bool, joint: bool) -> StageResult:
        """Compute the loss on the minibatch, with the assignment's if both are updated jointly."""
        q = self.posterior(batch.images)
        z = q.sample()
        with float32(z.device):
            if not second_phase:
                tc = kl_terms(z, q, self.n_train).total_correlation
            elif self.mine:
                tc = self.critic.estimate(z, self.groups())
            else:
                tc = self.monte_carlo_tc(z, q)
        reconstruction, kl = self.reconstruction_loss(batch.images, z), kl_to_prior(q).sum(1).mean()
        loss = reconstruction + self.beta * kl + self.tc_weight * tc
        terms = {"loss": loss, "reconstruction": reconstruction, "kl": kl, "total_correlation": tc}
        if joint:
            loss = loss + self.assignment_loss()
        return StageResult((loss,), terms, (q.detach(), z.detach()))

    def buffer_stage(self, batch: Batch, context: tuple[Posterior, Tensor]) -> StageResult:
        """Take in the posteriors of a step, for those who learn from recent ones."""
        self.recent.add(torch.stack(context[0], dim=1))
        return StageResult((), {}, context)

    def critics_stage(self, batch: Batch, context: Any) -> StageResult:
        """Compute the critic's loss on draws from recent posteriors."""
        with float32(batch.images.device):
            z = self.draw(len(self.recent.rows)).sample()
            return StageResult((self.critic.critic_loss(z, self.groups()),), {}, context)

    def assignment_stage(self, batch: Batch, context: Any) -> StageResult:
        """Compute the assignment's loss on recent posteriors."""
        with float32(batch.images.device):
            return StageResult((self.assignment_loss(),), {}, context)

    def assignment_loss(self) -> Tensor:
        """Compute the attention's loss from what pairs of latents share; its terms are kept for the curves."""
        q, filled = self.remembered()
        self.information.lerp_(read_pairs(q, filled), INFORMATION_RATE)
        weights = (self.price, self.resolution, *self.regularity)
        loss, terms = priced_loss(self.information, pairs_in_use(q, filled), self.attention, *weights)
        self.diagnostics |= {f"assignment_{name}": value.detach() for name, value in terms.items()}
        return loss

    def monitor_stage(
        self, batch: Batch, context: tuple[Posterior, Tensor], *, step: int, audited: bool
    ) -> StageResult:
        """Log the last Monte Carlo estimate of TC_G, and those of the audits and the assignment."""
        q, z = context
        with float32(batch.images.device):
            if step % MONTE_CARLO_EVERY == 0:
                self.monte_carlo.copy_(self.monte_carlo_tc(z, q))
            if audited:
                with torch.random.fork_rng([z.device] if z.device.type == "cuda" else []):
                    self.audit(step)
        return StageResult((), {"total_correlation_monte_carlo": self.monte_carlo, **self.diagnostics}, context)

    def audit(self, step: int) -> None:
        """Set the critic's reading beside better ones; what is not in order is logged and stands in `remarks`."""
        audits = audit_estimator(self.critic, lambda: self.draw(len(self.recent.rows)), AUDIT_STEPS, self.groups())
        readings, remarks = told(audits, step)
        self.diagnostics |= readings
        self.remarks += remarks

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the last readings of audits and assignment."""
        checkpoint["diagnostics"] = self.diagnostics

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the last readings of audits and assignment."""
        self.diagnostics = checkpoint["diagnostics"]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Make an Adam for each group of parameters."""
        rates = {"outer": (self.lr, (0.9, 0.999)), "critics": (self.critic_lr, (0.5, 0.9))}
        return [
            adam(parameters, *rates.get(name, (self.assignment_lr,)))
            for name, parameters in self.parameter_groups().items()
        ]
