"""Audit neural information estimates: measure how close the critic is to its optimum.

A critic's value is a bound for any critic, so the value alone cannot tell dependence that is absent from a critic that lags.
Every check sets the reading beside one whose answer is known:

    trained      the same critic on the batch of its last step: a gap to `unseen` is what it memorized
    untrained    what no critic at all reads: 0 for I(x; y), the Gaussian fit for marginals; a worse critic went the wrong way
    advanced     the better of a copy and of a fresh critic, both stepped further at the audit's own rate while the data stand
                 still: a gap is staleness. The fresh one is for a critic that is stuck: driven into its clip it has no
                 gradient left, reads 0, and its copy does too
    null         a reading whose truth is 0
    monte_carlo  sums over all N posteriors, where they are to be trusted: below log N - 2 (no N samples certify more than about
                 log N; McAllester & Stratos 2020, arXiv:1811.04251)

For pairs `null` is a copy that was advanced on *independent* pairs and reads others. The trained critic itself does not read 0
there: at log p(x,y)/(p(x)p(y)) Donsker-Varadhan of independent pairs is -KL(product || joint). For marginals it is
log E_{u ~ N(0,1)}[exp T(u) / Z], the log mass of the density that the critic claims to be normalized.

`audit_pairs` and `audit_marginals` wait for no device and leave critic, optimizer and random state as they were, so an audited
run is the same run. `verdict` waits: ask it when the numbers are logged.
"""

import copy
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from disbench.baselines.gaussian import Posterior, log_density_per_latent, log_normal
from disbench.baselines.optim import adam
from disbench.mine_vae.marginals import MarginalCritics, marginal_information
from disbench.mine_vae.mine import CRITIC_CLIP, BatchedLinear, MutualInformationEstimator

log = logging.getLogger(__name__)
Critic = TypeVar("Critic", bound=nn.Module)
Pair = tuple[Tensor, Tensor]
ABSOLUTE, RELATIVE = 0.1, 0.1  # a gap above ABSOLUTE nats + RELATIVE of the better reading counts
NULL_BATCH = 4096  # points that the mass of a marginal density is measured at
SUMS_CHUNK = 64  # draws at a time in sums over N posteriors, so that the largest array is (64, N, D)


class Audit(NamedTuple):
    """Readings in nats, each (G,): one per pair of variables, or for marginals the sum over latents, G = 1."""

    lower: bool  # the reading is a lower bound, as of I(x; y); False: an upper bound, as of the marginals'
    unseen: Tensor
    trained: Tensor
    noise: Tensor  # standard deviation of a reading of one batch of the size of the trained one
    untrained: Tensor
    advanced: Tensor
    null: Tensor
    monte_carlo: Tensor  # NaN where there is none to trust


def audit_pairs(
    estimator: MutualInformationEstimator,
    draw: Callable[[], Pair],
    trained: Pair,
    *,
    independent: Callable[[], Pair] | None = None,
    steps: int = 300,
    learning_rate: float = 2e-3,
    reads: int = 16,
) -> Audit:
    """`draw()` gives a fresh batch x (G, B, x_dim), y (G, B, y_dim); `trained` is the batch that the critics last stepped on.

    `independent()` gives a batch whose information is 0; by default x of one draw with y of another.
    Costs 3 steps critic steps and 4 reads evaluations. No Monte Carlo: the densities of x and y are not known.
    """

    def mixed() -> Pair:
        return draw()[0], draw()[1]

    independent = independent or mixed

    with _apart(estimator.score.weight.device):
        candidates = [
            _advanced(start, lambda copied: copied.critic_loss(*draw()), steps, learning_rate)
            for start in (estimator, _reset(estimator))
        ]
        unlearnt = _advanced(estimator, lambda copied: copied.critic_loss(*independent()), steps, learning_rate)
        with torch.no_grad():
            batches = [draw() for _ in range(reads)]

            def estimates(critic: MutualInformationEstimator) -> Tensor:
                return torch.stack([critic.estimate(*batch) for batch in batches])  # (reads, G)

            each = estimates(estimator)
            unseen = each.mean(0)
            return Audit(
                lower=True,
                unseen=unseen,
                trained=estimator.estimate(*trained),
                noise=each.std(0),
                untrained=torch.zeros_like(unseen),
                advanced=torch.maximum(*(estimates(critic).mean(0) for critic in candidates)),
                null=torch.stack([unlearnt.estimate(*independent()) for _ in range(reads)]).mean(0),
                monte_carlo=torch.full_like(unseen, math.nan),
            )


def audit_marginals(
    critics: MarginalCritics,
    draw: Callable[[], Posterior],
    trained: tuple[Tensor, Posterior],
    *,
    steps: int = 300,
    learning_rate: float = 3e-3,
    reads: int = 2,
) -> Audit:
    """`draw()` gives fresh posteriors (B, D); `trained` is the last step's draw z (B, D) and its posteriors.

    sum_d I(z_d; n) is audited: its excess is the excess of the total correlation. One latent's information lies far below log N
    even where I(z; n) does not, so that Monte Carlo can be trusted here when a total correlation by sums cannot. Costs 2 steps
    critic steps, a few evaluations and (reads B)^2 D density values.
    """
    with _apart(critics.mean.device):
        candidates = [
            _advanced(start, lambda copied: copied.critic_loss(draw().sample()), steps, learning_rate)
            for start in (critics, _reset(critics))
        ]
        with torch.no_grad():
            q = Posterior(*(torch.cat(part) for part in zip(*(draw() for _ in range(reads)), strict=True)))
            z = q.sample()
            exact = information_by_sums(z, q)
            trusted = torch.where((exact < math.log(len(z)) - 2).all(), exact.sum(), math.nan)
            eighths = [
                marginal_information(part, Posterior(*own), critics).sum()
                for part, *own in zip(z.chunk(8), q.mean.chunk(8), q.logvar.chunk(8), strict=True)
            ]
            return Audit(
                lower=False,
                unseen=marginal_information(z, q, critics).sum()[None],
                trained=marginal_information(*trained, critics).sum()[None],
                noise=torch.stack(eighths).std()[None] * math.sqrt(len(z) / 8 / len(trained[0])),
                untrained=marginal_information(z, q, _gaussian_fit_of(critics)).sum()[None],
                advanced=torch.minimum(*(marginal_information(z, q, critic).sum() for critic in candidates))[None],
                null=log_mass(critics).sum()[None],
                monte_carlo=trusted[None],
            )


def verdict(audit: Audit, *, absolute: float = ABSOLUTE, relative: float = RELATIVE) -> str:
    """Find the worst of 'ok', 'overfit', 'stale', 'diverged' over the readings. Waits for the device.

    diverged  not finite, or worse than no critic, or a reading that should be 0 is not
    stale     a critic that was stepped further, a fresh one, or Monte Carlo reads a better bound by more than the tolerance
    overfit   the reading falls from the trained batch to unseen ones by more than the tolerance and three standard
              deviations of one batch, or falls when the critic is stepped further: only `ratio` and `smile` can, no bounds
    """
    values = torch.stack([field.cpu().double() for field in audit[1:]])
    better = values if audit.lower else -values  # larger is the tighter bound
    unseen, trained, _, untrained, advanced, _, monte_carlo = better
    noise, null = values[2], values[5]
    slack = absolute + relative * advanced.abs()
    if not torch.isfinite(values[:6]).all() or (unseen < untrained - slack).any() or (null.abs() > slack).any():
        return "diverged"
    if (advanced - unseen > slack).any() or (monte_carlo - unseen > slack).any():  # NaN compares as no
        return "stale"
    if (trained - unseen > slack + 3 * noise).any() or (unseen - advanced > slack).any():
        return "overfit"
    return "ok"


def told(audits: Mapping[str, Audit], step: int) -> tuple[dict[str, Tensor], list[str]]:
    """Make the readings of audits for the curves, and a remark for each that is not in order, which is logged too."""
    readings, remarks = {}, []
    for name, audit in audits.items():
        for field in ("unseen", "advanced", "null", "monte_carlo"):
            reading = getattr(audit, field).mean()
            if torch.isfinite(reading):
                readings[f"audit_{name}_{field}"] = reading
        if (found := verdict(audit)) != "ok":
            remarks.append(f"The audit at step {step} found the critics of '{name}' {found}.")
            log.warning(remarks[-1])
    return readings, remarks


def information_by_sums(z: Tensor, q: Posterior) -> Tensor:
    """I(z_d; n) of each latent for the N posteriors q, (D,), in nats, at most log N; z (N, D) is one draw from each.

    E[log q(z_d | x_n) - log mean_m q(z_d | x_m)] with every m in the mean: unbiased for these N, where a minibatch is not.
    """
    chunks = [torch.logsumexp(log_density_per_latent(part, q), dim=1) for part in z.split(SUMS_CHUNK)]  # (., D)
    return (log_normal(z, *q) - torch.cat(chunks) + math.log(len(z))).mean(0)


def log_mass(critics: MarginalCritics) -> Tensor:
    """Compute the log of each claimed density's integral, (D,), by points other than the normaliser's: quantiles of N(0, 1)."""
    like = critics.mean
    quantiles = (
        torch.arange(NULL_BATCH, dtype=like.dtype, device=like.device) + torch.rand_like(like[:1])
    ) / NULL_BATCH
    u = torch.special.ndtri(quantiles.clamp(1e-7, 1 - 1e-7))
    scores = critics.critic(u.expand(len(like), -1)) - critics.log_normaliser()[:, None]
    return torch.logsumexp(scores, dim=1) - math.log(NULL_BATCH)


def _gaussian_fit_of(critics: MarginalCritics) -> MarginalCritics:
    """Copy the critics, with a constant critic."""
    copied = copy.deepcopy(critics)
    copied.score.weight.zero_()
    return copied


def _reset(critic: Critic) -> Critic:
    """Copy a critic with new weights, its buffers kept."""
    copied = copy.deepcopy(critic)
    for layer in copied.modules():
        if isinstance(layer, BatchedLinear):
            layer.reset_parameters()
    return copied


def _advanced(critic: Critic, loss: Callable[[Critic], Tensor], steps: int, learning_rate: float) -> Critic:
    """Copy a critic after `steps` more steps down `loss`."""
    copied = copy.deepcopy(critic).requires_grad_(True)
    optimizer = adam(copied.parameters(), learning_rate, betas=(0.5, 0.9))
    with torch.enable_grad():
        for _ in range(steps):
            optimizer.zero_grad()
            loss(copied).backward()
            nn.utils.clip_grad_norm_(copied.parameters(), CRITIC_CLIP)
            optimizer.step()
    return copied


@contextmanager
def _apart(device: torch.device) -> Iterator[None]:
    """Put the random state back afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
