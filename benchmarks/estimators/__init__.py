"""MINE versus Monte Carlo: estimators of total correlation and information under one interface, against known truth.

An estimator has `update(batch)`, one step of whatever it learns, and `estimate(batch)`, a scalar in nats whose gradient reaches
what the batch was made of. A batch is a `tasks.Draw` for total correlation and a `tasks.Pairs` for information.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from disbench.benchmarks.estimators import critics, monte_carlo
from disbench.benchmarks.estimators.classical import histogram, ksg
from disbench.benchmarks.estimators.critics import Critic
from disbench.mine_vae.mine import BOUNDS, MutualInformationEstimator
from disbench.mine_vae.total_correlation import SequentialCLUB, TotalCorrelationCritic

PERMUTATIONS = 1  # of a batch that stand for the product of the marginals, as in FactorVAE
CANDIDATES = 15  # others per row for InfoNCE, whose ceiling is the log of 16
SHIFTS = 4  # of the other bounds' product pairs


class Estimator(Protocol):
    def update(self, batch: Any) -> None: ...

    def estimate(self, batch: Any) -> Tensor: ...


MONTE_CARLO: dict[str, Callable[..., Tensor]] = {
    "batch_average": monte_carlo.batch_average,
    "mws": monte_carlo.weighted,
    "mss": monte_carlo.stratified,
    "column_0": monte_carlo.column_zero,
    "nested": monte_carlo.nested,
    "full_n": monte_carlo.full,
}
TOTAL_CORRELATION = (*MONTE_CARLO, *BOUNDS, "club", "marginal")
GROUPED = ("mss", "mws", "nested", "full_n", *BOUNDS)  # those that are measured between groups of latents
CLASSICAL = {"ksg": ksg, "histogram": histogram}
INFORMATION = (*BOUNDS, "club", *CLASSICAL)


def total_correlation(
    name: str, latent_dim: int, batch: int, device: torch.device, *, references: int = 1024, **critic: Any
) -> Estimator:
    """One of TOTAL_CORRELATION. references: K of `nested`; `critic`: options of the critic (hidden_dim, shifts, clip, ...)."""
    if name in MONTE_CARLO:
        return monte_carlo.MonteCarlo(MONTE_CARLO[name], **({"references": references} if name == "nested" else {}))
    if name == "marginal":
        return critics.Marginal(latent_dim, batch).to(device)
    if name == "club":
        return Critic(SequentialCLUB(latent_dim, **critic).to(device), critics.as_draw)
    if name not in BOUNDS:
        raise ValueError(f"An estimator of total correlation is one of {', '.join(TOTAL_CORRELATION)}, got {name!r}.")
    options = {"shifts": PERMUTATIONS, **critic}
    module = TotalCorrelationCritic(latent_dim, bound=name, **options).to(device)
    return Critic(module, critics.permuted(options["shifts"]))


def information(name: str, dims: tuple[int, int], device: torch.device, **critic: Any) -> Estimator:
    """One of INFORMATION that learns; those in CLASSICAL are functions of two columns."""
    if name == "club":
        return Critic(critics.CLUB(*dims, **critic).to(device), critics.as_pairs)
    if name not in BOUNDS:
        learning = ", ".join((*BOUNDS, "club"))
        raise ValueError(f"A learning estimator of information is one of {learning}, got {name!r}.")
    options = {"shifts": CANDIDATES if name == "infonce" else SHIFTS, **critic}
    return Critic(MutualInformationEstimator(*dims, bound=name, **options).to(device), critics.as_pairs)
