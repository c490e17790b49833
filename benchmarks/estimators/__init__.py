"""MINE versus Monte Carlo: estimators of total correlation and information under one interface, against known truth.

An estimator has `update(batch)`, one step of whatever it learns, and `estimate(batch)`, a scalar in nats whose gradient reaches
what the batch was made of. A batch is a `tasks.Draw` for total correlation and a `tasks.Pairs` for information.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from disbench.benchmarks.estimators.classical import histogram, ksg
from disbench.benchmarks.estimators.critics import (
    CLUB,
    Critic,
    Marginal,
    TotalCorrelationCritic,
    as_pairs,
    with_permuted,
)
from disbench.benchmarks.estimators.monte_carlo import (
    MonteCarlo,
    batch_average,
    column_zero,
    full,
    nested,
    stratified,
    weighted,
)
from disbench.mine_vae.mine import BOUNDS, MutualInformationEstimator

PERMUTATIONS = 1  # of a batch that stand for the product of the marginals, as in FactorVAE
CANDIDATES = 15  # others per row for InfoNCE, whose ceiling is the log of 16
SHIFTS = 4  # of the other bounds' product pairs


class Estimator(Protocol):
    def update(self, batch: Any) -> None: ...

    def estimate(self, batch: Any) -> Tensor: ...


MONTE_CARLO: dict[str, Callable[..., Tensor]] = {
    "batch_average": batch_average,
    "mws": weighted,
    "mss": stratified,
    "column_0": column_zero,
    "nested": nested,
    "full_n": full,
}
TOTAL_CORRELATION = (*MONTE_CARLO, *BOUNDS, "marginal")
CLASSICAL = {"ksg": ksg, "histogram": histogram}
INFORMATION = (*BOUNDS, "club", *CLASSICAL)


def total_correlation(
    name: str, latent_dim: int, batch: int, device: torch.device, *, references: int = 1024, **critic: Any
) -> Estimator:
    """One of TOTAL_CORRELATION. references: K of `nested`; `critic`: options of the critic (hidden_dim, shifts, clip, ...)."""
    if name in MONTE_CARLO:
        return MonteCarlo(MONTE_CARLO[name], **({"references": references} if name == "nested" else {}))
    if name == "marginal":
        return Marginal(latent_dim, batch).to(device)
    if name not in BOUNDS:
        raise ValueError(f"An estimator of total correlation is one of {', '.join(TOTAL_CORRELATION)}, got {name!r}.")
    options = {"shifts": 7 if name == "infonce" else PERMUTATIONS, **critic}
    module = TotalCorrelationCritic(latent_dim, bound=name, **options).to(device)
    return Critic(module, with_permuted(options["shifts"]))


def information(name: str, dims: tuple[int, int], device: torch.device, **critic: Any) -> Estimator:
    """One of INFORMATION that learns; those in CLASSICAL are functions of two columns."""
    if name == "club":
        return Critic(CLUB(*dims, **critic).to(device), as_pairs)
    if name not in BOUNDS:
        learning = ", ".join((*BOUNDS, "club"))
        raise ValueError(f"A learning estimator of information is one of {learning}, got {name!r}.")
    options = {"shifts": CANDIDATES if name == "infonce" else SHIFTS, **critic}
    return Critic(MutualInformationEstimator(*dims, bound=name, **options).to(device), as_pairs)
