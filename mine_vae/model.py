"""MINEDisentangleVAE: a VAE that makes latents independent and assigns them to factors with neural information estimates.

    loss = reconstruction + beta KL + disentanglement_weight { tc_weight TC + 1/K sum_k w_k (leak_k - kept_k) }

Training has two phases, because a critic that starts with the encoder lags behind it while the outcome is settled:

    before `mine_start` TC by minibatch stratified sampling, as beta-TCVAE has it; the rest of the sum is absent
    from there on       TC by `tc_estimator` (see `marginals`, `total_correlation`), with the partition and its three groups of
                        parameters (see `partition`); the critics of TC are trained from CRITICS_LEAD before

What one call of `training_step` does in the second phase, each group of parameters updated while the others are frozen:

    outer        encoder, decoder, factor encoder, the attention's value map, down the loss on the minibatch
    critics      every critic, up its own bound on draws from recent posteriors
    assignment   every `bi_level_outer_steps` steps, `bi_level_inner_steps` times: the attention, on other draws

Networks may run in bf16; densities, critics and everything else here is float32, for a density rounded to bf16 is a step.
"""

import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal, Unpack, cast

import torch
from torch import Tensor
from torch.nn import Parameter

from disbench.baselines.alternating import AlternatingVAE, Stage, StageResult
from disbench.baselines.beta_tcvae import kl_terms
from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.method import Batch, PartitionReport, Step
from disbench.baselines.optim import adam
from disbench.baselines.precision import float32
from disbench.baselines.replay_buffer import ReplayBuffer
from disbench.baselines.vae import NetworkOptions
from disbench.mine_vae.audit import Audit, told
from disbench.mine_vae.gaussian_fit import capacity_target
from disbench.mine_vae.marginals import MarginalCritics, total_correlation
from disbench.mine_vae.mine import CRITIC_CLIP
from disbench.mine_vae.partition import ParameterGroup, Partition
from disbench.mine_vae.total_correlation import PermutedCritic, SequentialCLUB, audit_estimator, make_estimator

CRITICS_LEAD = 0.1  # of training, that the critics of the total correlation learn before they are listened to
CRITIC_STEPS = 2  # a step in the second phase: with one, those of leak are further behind
AUDIT_STEPS = 100
MONTE_CARLO_EVERY = 10  # steps between two Monte Carlo readings that are logged beside MINE's


class MINEDisentangleVAE(AlternatingVAE):
    """Train a VAE whose latents are independent, and partitioned over factors, by neural information estimates.

    Parameters
    ----------
    image_shape, n_train
        As in `VAE`.
    latent_dim : int, default 128
        Number of latents D.
    num_factors : int, default 10
        Number of factors K to discover.
    factor_dim, attention_dim, mine_hidden_dim : int, default 32, 128 and 128
        Sizes of a factor's embedding, of the attention's keys, and of the critics.
    disentanglement_weight : float, default 1.0
        Weight of the sum of the total correlation and the partition's terms.
    attention_reg_weight, entropy_reg_weight : float, default 0.1 and 0.05
        Weights of the squared attention logits and of the entropy of the assignment.
    bi_level_outer_steps, bi_level_inner_steps : int, default 5 and 3
        The assignment is updated every so many steps, so many times.
    gaussian_fit_samples : int, default 1000
        Number of recent embeddings in the Gaussian fit of each factor.
    beta, tc_weight : float, default 1.0 and 20.0
        Weights of the KL divergence and of the total correlation.
    tc_estimator : {"marginal", "mine", "nwj", "infonce", "smile", "ratio", "club"}, default "marginal"
        Estimator of the total correlation in the second phase; see `mine_vae.total_correlation`.
    mine_start : float, default 0.6
        Share of training after which `tc_estimator` estimates the total correlation, in [0, 1]; 0 from the start, 1 never.
    mine : bool, default True
        False estimates the total correlation by Monte Carlo throughout, and learns the assignment without a critic.
    pair_weight : float, default 1.0
        Weight of leak minus kept information of the factors.
    refine, gaussian_fit : bool, default True
        Whether the decoder also reads the factor embeddings, and factors are weighted by their complexity.
    attention : {"learned", "fixed"}, default "learned"
        Whether the assignment is learned, or cuts the latents into K equal blocks.
    bi_level : bool, default True
        Whether the assignment is updated in turns, or jointly with the encoder.
    critic : {"mine", "nwj", "infonce", "smile", "ratio"}, default "mine"
        Bound of the information estimates.
    cross_weight : float, default 10.0
        Weight of the information between groups in the assignment's loss.
    critic_lr, assignment_lr : float, default 3e-3 and 1e-2
        Learning rates of Adam.
    recent_posteriors : int, default 512
        Number of the last posteriors that critics and assignment draw from.
    **shell
        Other parameters of `VAE`.

    References
    ----------
    Belghazi et al. 2018, arXiv:1801.04062v5, Eq. 5 (MINE)
    """

    audit_at = (0.8, 1.0)  # shares of training after which the critics are audited
    monte_carlo: Tensor

    def __init__(
        self,
        image_shape: Sequence[int],
        n_train: int,
        *,
        latent_dim: int = 128,
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
        tc_estimator: str = "marginal",
        mine_start: float = 0.6,
        mine: bool = True,
        pair_weight: float = 1.0,
        refine: bool = True,
        attention: str = "learned",
        gaussian_fit: bool = True,
        bi_level: bool = True,
        critic: str = "mine",
        cross_weight: float = 10.0,
        critic_lr: float = 3e-3,
        assignment_lr: float = 1e-2,
        recent_posteriors: int = 512,
        **shell: Unpack[NetworkOptions],
    ) -> None:
        if (renamed := cast(dict[str, Any], shell).pop("handover", None)) is not None:
            said = "handover is now mine_start. The old name is removed in the next release."
            warnings.warn(said, DeprecationWarning, stacklevel=2)
            mine_start = renamed
        super().__init__(image_shape, n_train, latent_dim=latent_dim, **shell)
        self.disentanglement_weight, self.beta, self.tc_weight = disentanglement_weight, beta, tc_weight
        self.mine_start, self.mine, self.pair_weight, self.refine = mine_start, mine, pair_weight, refine
        self.critic_lr, self.assignment_lr = critic_lr, assignment_lr
        critics = make_estimator(tc_estimator, self.latent_dim, mine_hidden_dim)
        self.marginals = critics if isinstance(critics, MarginalCritics) else None
        self.tc_critic = None if isinstance(critics, MarginalCritics) else critics
        self.parts = Partition(
            self.latent_dim,
            num_factors=num_factors,
            factor_dim=factor_dim,
            attention_dim=attention_dim,
            mine_hidden_dim=mine_hidden_dim,
            attention_reg_weight=attention_reg_weight,
            entropy_reg_weight=entropy_reg_weight,
            bi_level_outer_steps=bi_level_outer_steps,
            bi_level_inner_steps=bi_level_inner_steps,
            gaussian_fit_samples=gaussian_fit_samples,
            cross_weight=cross_weight if mine else 0.0,
            attention=cast(Literal["learned", "fixed"], attention),  # which refuses any other
            gaussian_fit=gaussian_fit,
            bi_level=bi_level,
            critic=critic,
        )
        self.recent = ReplayBuffer(recent_posteriors, 2, self.latent_dim)
        self.register_buffer("monte_carlo", torch.zeros(()))  # the last reading of TC by Monte Carlo

    def logits(self, z: Tensor) -> Tensor:
        """Compute the decoder's output, (B, D) to (B, C, H, W)."""
        return super().logits(self.parts.attention.refine(z, self.parts.factor_encoder(z)) if self.refine else z)

    def groups(self) -> Tensor:
        """Find the group of each latent, (D,), 0 for nuisance."""
        return self.parts.attention.assignment().argmax(1)

    def partition(self) -> PartitionReport:
        """Report the assignment, the complexities and the target."""
        complexities = self.parts.gaussian_fit.complexities()
        target = capacity_target(self.parts.factor_weights)
        return PartitionReport(self.parts.attention.assignment().detach(), complexities, target)

    @property
    def tc_critics(self) -> MarginalCritics | PermutedCritic | SequentialCLUB:
        """Get what estimates the total correlation in the second phase."""
        found = self.tc_critic if self.marginals is None else self.marginals
        return cast(MarginalCritics | PermutedCritic | SequentialCLUB, found)

    def parameter_groups(self) -> dict[ParameterGroup, list[Parameter]]:
        """List every parameter once, in the group that is updated together. A fixed assignment has none."""
        parts = self.parts.parameter_groups()
        groups: dict[ParameterGroup, list[Parameter]] = {
            "outer": [*self.encoder.parameters(), *self.decoder.parameters(), *parts["outer"]],
            "critics": [*self.tc_critics.parameters(), *parts["critics"]],
            "assignment": parts["assignment"],
        }
        return {name: parameters for name, parameters in groups.items() if parameters}

    def estimated_tc(self, z: Tensor, q: Posterior, neural: bool) -> Tensor:
        """Estimate the total correlation, a scalar in nats, by `tc_estimator` or by Monte Carlo."""
        if not neural:
            return kl_terms(z, q, self.n_train).total_correlation
        critics = self.tc_critics
        if isinstance(critics, MarginalCritics):
            return total_correlation(z, q, critics, self.n_train)
        return critics.estimate(z)

    def outer_loss(self, batch: Tensor, q: Posterior, z: Tensor, second_phase: bool) -> dict[str, Tensor]:
        """Compute the loss on a minibatch (B, C, H, W) and its terms, in nats per image."""
        with float32(z.device):
            tc = self.estimated_tc(z, q, second_phase and self.mine)
            penalty, terms, decoded = self.tc_weight * tc, {"total_correlation": tc}, z
            if second_phase:
                embeddings = self.parts.factor_encoder(z)
                if self.refine:
                    decoded = self.parts.attention.refine(z, embeddings)
                if self.mine:
                    pairs, parts = self.parts.outer_terms(z, embeddings)
                    penalty, terms = penalty + self.pair_weight * pairs, {**terms, **parts}
        logits = self.decoder(decoded)
        reconstruction, kl = self.image_loss(logits, batch), kl_to_prior(q).sum(1).mean()
        loss = reconstruction + self.beta * kl + self.disentanglement_weight * penalty
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl, **terms}

    def draw(self, n: int) -> Posterior:
        """Draw n of the recent posteriors."""
        return Posterior(*self.recent.sample(n).unbind(1))

    def stages(self, step: Step) -> Iterator[Stage]:
        """Yield the stages of the phase that `step` is in; see the module."""
        count, done = step.number + 1, step.fraction
        second_phase = done >= self.mine_start
        number = {name: place for place, name in enumerate(self.parameter_groups())}
        groups: list[tuple[ParameterGroup, ...]] = (
            [update.parameter_groups for update in self.parts.schedule(count)]
            if second_phase
            else [("outer",), ("critics",)]
        )
        first, *later = groups
        own, phase = type(self), "second" if second_phase else "first"
        outer = partial(own.outer_stage, second_phase=second_phase, joint="assignment" in first)
        yield Stage(f"outer, {phase}", outer, tuple(number[name] for name in first))
        if self.mine_start == 1 or done < self.mine_start - CRITICS_LEAD:
            return
        yield Stage(f"remember, {phase}", partial(own.buffer_stage, step=count, second_phase=second_phase))
        for updated in later:
            if updated != ("critics",):
                yield Stage("assignment", own.assignment_stage, (number["assignment"],))
            elif self.mine:
                critics = partial(own.critics_stage, second_phase=second_phase)
                for _ in range(CRITIC_STEPS if second_phase else 1):
                    yield Stage(f"critics, {phase}", critics, (number["critics"],), CRITIC_CLIP)
        if second_phase:
            audited = self.mine and count in [round(share * step.total) for share in self.audit_at]
            checked = partial(own.monitor_stage, step=count, audited=audited)
            yield Stage("checked", checked, data_dependent=audited)

    def outer_stage(self, batch: Batch, context: Any, *, second_phase: bool, joint: bool) -> StageResult:
        """Compute the loss on the minibatch, with the assignment's if both are updated jointly."""
        q = self.posterior(batch.images)
        z = q.sample()
        terms = self.outer_loss(batch.images, q, z, second_phase)
        loss = terms["loss"]
        if joint:
            loss = loss + self.assignment_loss(z, q)
        return StageResult((loss,), terms, (q, z))

    def buffer_stage(
        self, batch: Batch, context: tuple[Posterior, Tensor], *, step: int, second_phase: bool
    ) -> StageResult:
        """Take in the posteriors of a step, for those who learn from recent ones."""
        q, z = context
        with float32(batch.images.device):
            self.recent.add(torch.stack(q, dim=1))
            if self.marginals is not None:
                self.marginals.fit(self.draw(len(self.recent.rows)))
            if second_phase:
                self.parts.observe(self.parts.factor_encoder(z.detach()).detach(), step)
        return StageResult((), {}, context)

    def critics_stage(self, batch: Batch, context: Any, *, second_phase: bool) -> StageResult:
        """Compute the critics' loss on recent posteriors."""
        with float32(batch.images.device):
            return StageResult((self.critic_loss(len(batch.images), second_phase),), {}, context)

    def assignment_stage(self, batch: Batch, context: Any) -> StageResult:
        """Compute the assignment's loss on recent posteriors."""
        with float32(batch.images.device):
            recent = self.draw(len(batch.images))
            return StageResult((self.assignment_loss(recent.sample(), recent),), {}, context)

    def monitor_stage(
        self, batch: Batch, context: tuple[Posterior, Tensor], *, step: int, audited: bool
    ) -> StageResult:
        """Log the last Monte Carlo estimate of the total correlation, and those of audits and assignment."""
        q, z = context
        with float32(batch.images.device):
            if step % MONTE_CARLO_EVERY == 0:
                with torch.no_grad():
                    self.monte_carlo.copy_(self.estimated_tc(z, q, neural=False))
            if audited:
                with torch.random.fork_rng([z.device] if z.device.type == "cuda" else []):
                    self.audit(step, len(z))
        return StageResult((), {"total_correlation_monte_carlo": self.monte_carlo, **self.diagnostics}, context)

    def assignment_loss(self, z: Tensor, q: Posterior) -> Tensor:
        """Compute the attention's loss on z drawn from q; its terms are kept for the curves."""
        loss, terms = self.parts.inner_loss(z, kl_to_prior(q).mean(0))
        self.diagnostics |= {f"assignment_{name}": value.detach() for name, value in terms.items()}
        return loss

    def critic_loss(self, batch: int, second_phase: bool) -> Tensor:
        """Compute the critics' loss on draws from the recent posteriors."""
        z = self.draw(len(self.recent.rows)).sample()
        loss = self.tc_critics.critic_loss(z)
        return loss + self.parts.critic_loss(z[:batch]) if second_phase else loss

    def audit(self, step: int, batch: int) -> dict[str, Audit]:
        """Set the critics' readings beside better ones; what is not in order is logged and stands in `remarks`."""
        audits = audit_estimator(self.tc_critics, lambda: self.draw(len(self.recent.rows)), AUDIT_STEPS)
        audits |= self.parts.audits(lambda: self.draw(batch).sample(), AUDIT_STEPS)
        readings, remarks = told(audits, step)
        self.diagnostics |= readings
        self.remarks += remarks
        return audits

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the last readings of audits and assignment."""
        checkpoint["diagnostics"] = self.diagnostics

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the last readings of audits and assignment."""
        self.diagnostics = checkpoint["diagnostics" if "diagnostics" in checkpoint else "read"]  # "read" in version 0.2

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Make an Adam for each group of parameters."""
        rates = {"outer": (self.lr, (0.9, 0.999)), "critics": (self.critic_lr, (0.5, 0.9))}
        return [
            adam(parameters, *rates.get(name, (self.assignment_lr,)))
            for name, parameters in self.parameter_groups().items()
        ]
