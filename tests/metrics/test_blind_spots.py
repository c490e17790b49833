"""What the card of each metric says that it cannot see: every clause of the sentence follows from tables that show it.

A new metric needs an entry in CLAIMS: the clauses of its `insensitive_to`, each with the tables that show it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from disbench.metrics import METRICS, shuffled
from disbench.metrics.stress_encoders import BINARY, standard, stress_encoders

CONNECTING = r"(?:[\s,;:.]|\b(?:and|it|a|so|for|which|the|of)\b)*"
ANGLES = ("rotated_10", "rotated_22", "rotated_45")


# Tables. Those of the stress suite go by their name, and with "binary " before it they have factors of two values.


@cache
def encoders(sizes: tuple[int, int, int]) -> dict[str, Any]:
    return stress_encoders(480, 0, sizes)


def encoder(name: str) -> dict[str, Any]:
    one = encoders(BINARY)[name.removeprefix("binary ")] if name.startswith("binary ") else encoders((3, 4, 5))[name]
    return {"codes": one.codes, "factors": one.factors, "groups": one.groups}


def with_codes(change: Callable[[np.ndarray], np.ndarray], name: str = "perfect", **columns: Any) -> dict[str, Any]:
    one = encoder(name)
    codes = change(one["codes"])
    groups = one["groups"] if codes.shape[1] == len(one["groups"]) else np.arange(1, codes.shape[1] + 1)
    return {"codes": codes, "factors": one["factors"], "groups": groups, **columns}


def draws(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


def beside(extra: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda codes: np.hstack([codes, extra(codes)])


def one_far_row(codes: np.ndarray) -> np.ndarray:
    far = codes.copy()
    far[0, 0] = 100.0
    return far


def many_values() -> dict[str, Any]:
    factors = np.stack(np.meshgrid(np.arange(32), np.arange(32)), axis=-1).reshape(-1, 2)
    return {"codes": standard(factors), "factors": factors}


def without_rare_factor() -> dict[str, Any]:
    factors = np.column_stack([np.repeat(np.arange(16), 50), np.arange(800) % 50 == 0])
    return {"codes": factors[:, :1].astype(float), "factors": factors}


def noisy(name: str) -> dict[str, Any]:
    """Of 6,000 rows, so that the scatter of few rows is not taken for a bias."""
    one = stress_encoders(6000)[name]
    return {"codes": one.codes + 0.5 * draws(*one.codes.shape), "factors": one.factors}


def of_many_rows(codes: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    factors = stress_encoders(20_000)["perfect"].factors
    return {"codes": codes(factors), "factors": factors}


MIXTURE = np.array([[2.0, -1.0, 2.0], [2.0, 2.0, -1.0], [-1.0, 2.0, 2.0]]) / 3
TABLES: dict[str, Callable[[], dict[str, Any]]] = {
    "nearly dead codes": lambda: with_codes(beside(lambda z: 0.01 * draws(*z.shape))),
    "constant codes beside": lambda: with_codes(beside(np.ones_like)),
    "constant codes": lambda: with_codes(np.ones_like),
    "noise with a far row": lambda: with_codes(one_far_row, "noise"),
    "32 values": many_values,
    "small scale": lambda: with_codes(lambda z: 1e-4 * z),
    "mixture": lambda: with_codes(lambda z: z @ MIXTURE),
    "thirty spare codes": lambda: with_codes(beside(lambda z: draws(len(z), 30))),
    "thirty spare codes in random order": lambda: with_codes(lambda z: shuffled(np.hstack([z, draws(len(z), 30)]), 0)),
    "coarse": lambda: with_codes(lambda z: np.sign(z + 0.1)),
    "small copies": lambda: with_codes(beside(lambda z: 0.01 * z)),
    "no code of a rare factor": without_rare_factor,
    "dependent and noisy": lambda: noisy("correlated"),
    "independent and noisy": lambda: noisy("perfect"),
    "noise of many rows": lambda: of_many_rows(lambda factors: draws(*factors.shape)),
    "noise of the index": lambda: {
        "codes": draws(720, 3),
        "factors": np.repeat(
            np.stack(np.meshgrid(*map(np.arange, (3, 4, 5)), indexing="ij"), -1).reshape(-1, 3), 12, 0
        ),
    },
    "all in one group": lambda: with_codes(lambda z: z, groups=[1, 1, 1]),
    "swapped groups": lambda: with_codes(lambda z: z, groups=[2, 3, 1]),
    "mixture in nuisance": lambda: with_codes(beside(lambda z: z @ MIXTURE), groups=[1, 2, 3, 0, 0, 0]),
}


@cache
def score(metric: str, table: str, **options: Any) -> float:
    of = METRICS[metric]
    columns = TABLES[table]() if table in TABLES else encoder(table)
    if "groups" not in (*of.uses, *of.optional):
        columns = {key: value for key, value in columns.items() if key != "groups"}
    return of(**columns, **options)


# Claims. Each compares a score with a number or with that of the perfect code, in the direction of the metric.


@dataclass(frozen=True)
class Claim:
    tables: tuple[str, ...]
    says: str
    holds: Callable[[float, float, bool], bool]  # of the score, the perfect code's and whether higher is better
    perfect: str = "perfect"


def as_perfect(*tables: str, by: float = 0.03, perfect: str = "perfect") -> Claim:
    return Claim(tables, f"as perfect within {by}", lambda own, best, _: abs(own - best) <= by, perfect)


def costs(*tables: str, least: float, perfect: str = "perfect") -> Claim:
    words = f"worse than perfect by {least} or more"
    return Claim(tables, words, lambda own, best, up: (best - own if up else own - best) >= least, perfect)


def near(*tables: str, number: float, by: float = 0.03) -> Claim:
    return Claim(tables, f"within {by} of {number}", lambda own, _, __: abs(own - number) <= by)


def above(*tables: str, number: float) -> Claim:
    return Claim(tables, f"above {number}", lambda own, _, __: own > number)


def below(*tables: str, number: float) -> Claim:
    return Claim(tables, f"below {number}", lambda own, _, __: own < number)


NOT_DISENTANGLED = ("merged", "dropped", "rotated_22")
STILL = {
    "A copied factor": [as_perfect("duplicated")],
    "noise that 64 rows average away": [as_perfect("noisy"), costs("noise", least=0.5)],
    "nearly dead codes are dropped first": [as_perfect("nearly dead codes")],
}
CLAIMS: dict[str, dict[str, list[Claim]]] = {
    "z_diff": {
        "Almost any defect": [as_perfect("duplicated", "noisy", *NOT_DISENTANGLED)],
        "merged and missing factors and a rotation by 22.5° score 1": [near(*NOT_DISENTANGLED, number=1.0)],
        "1 does not mean disentangled": [near("merged", number=1.0), costs("rotated_45", least=0.2)],
    },
    "z_min_var": STILL,
    "factor_vae_score": STILL,
    "irs": {
        "A missing and a copied factor": [as_perfect("dropped", "duplicated")],
        "unused codes that vary cost much": [costs("spare", least=0.3)],
        "one far outlier can hide noise": [below("noise", number=0.2), above("noise with a far row", number=0.6)],
    },
    "mig": {
        "A code that knows two factors": [as_perfect("merged")],
        "charges a copied factor in full": [near("duplicated", number=0.0)],
        "no factor of more than 20 values can reach 1": [below("32 values", number=0.95)],
    },
    "jemmig": {
        "Which defect it was": [near("merged", "dropped", number=0.8)],
        "is flattered where there is nothing: constant codes score well above 0": [above("constant codes", number=0.2)],
    },
    "dci_disentanglement": {
        "A copied factor": [as_perfect("duplicated")],
        "importances are what the predictor happened to use, not what codes know": [as_perfect("rotated_10")],
    },
    "dci_completeness": {
        "A code that knows two factors": [as_perfect("merged")],
        "importances are what the predictor happened to use, not what codes know": [as_perfect("rotated_10")],
    },
    "dci_informativeness": {
        "Rotation": [as_perfect("rotated_10", "rotated_45")],
        "copies and mergers": [as_perfect("duplicated", "merged")],
        "only whether the factors can be predicted at all": [costs("dropped", least=0.2)],
    },
    "sap": {
        "Factors whose values are names, not numbers: a code in another order of values does not count": [
            costs("reordered", least=0.7)
        ],
    },
    "sap_svc": {
        "Codes of small scale, which its penalized classifier does not read": [below("small scale", number=0.02)],
    },
    "sap_tree": {
        "The order and scale of a code's values": [as_perfect("reordered", "small scale")],
        "charges a copied factor in full": [near("duplicated", number=0.0)],
    },
    "explicitness": {
        "Which code tells: rotated codes and copies score 1": [near("rotated_45", "duplicated", number=1.0)],
        "a missing factor costs only down to 0.5": [near("noise", number=0.5), near("dropped", number=2.5 / 3)],
    },
    "z_max_var": {
        "A copied factor": [as_perfect("duplicated")],
        "unused codes that vary take votes and cost much": [costs("spare", least=0.3)],
    },
    "tad": {
        "A code that holds two attributes costs no more than half of one": [near("binary merged", number=1.25)],
        "attributes that tell much of each other are set aside": [near("binary correlated", number=0.5)],
    },
    "mcc": {
        "What a code knows beside its factor": [as_perfect("rotated_10")],
        "copies and spare codes": [as_perfect("duplicated", "spare")],
        "a mixture of all factors can score two thirds": [near("mixture", number=2 / 3)],
    },
    "modularity": {
        "How much a code knows": [as_perfect("noisy", "coarse")],
        "a copied or missing factor": [as_perfect("duplicated", "dropped")],
        "unused codes pull it to the floor": [
            costs("spare", least=0.15),
            as_perfect("thirty spare codes", by=0.05, perfect="thirty spare codes in random order"),
        ],
    },
    "dcimig": {
        "A copied factor and useless codes": [as_perfect("duplicated", "spare")],
        "factors weigh by their entropy, so small ones hardly count": [above("no code of a rare factor", number=0.95)],
    },
    "mig_sup": {
        "A copied or missing factor": [as_perfect("duplicated", "dropped")],
        "unused codes lower it unless they are exactly constant": [
            costs("spare", least=0.4),
            as_perfect("constant codes beside"),
        ],
    },
    "rmig": {
        "A code that knows two factors": [as_perfect("merged")],
        "charges a copied factor in full": [near("duplicated", number=0.0)],
    },
    "infom": {
        "A missing or copied factor": [as_perfect("dropped", "duplicated")],
        "a few codes of noise can score 1": [near("noise of the index", number=1.0)],
    },
    "infoe": {
        "Rotation and copies": [as_perfect(*ANGLES, "duplicated")],
        "only whether the factors can be read off all codes together": [costs("dropped", least=0.3)],
    },
    "infoc": {"A code that knows two factors": [as_perfect("merged")]},
    "omes": {
        "Binary factors, whose perfect code scores 0": [near("binary perfect", number=0.0)],
        "what a code says, since noise moves with every factor": [above("noise", number=0.3)],
    },
    "edi": {
        "A copied factor": [as_perfect("duplicated")],
        "how much is known of a factor, since information is divided by that of all codes": [as_perfect("coarse")],
    },
    "med": {
        "How much is known of a factor, since shares of each factor sum to 1": [as_perfect("coarse")],
        "a copied factor": [as_perfect("duplicated")],
    },
    "topk_med": {
        "All codes but a few": [as_perfect("thirty spare codes")],
        "a copied factor": [as_perfect("duplicated")],
        "a factor that no code is about": [as_perfect("dropped")],
    },
    "r2_diagonal": {
        "What codes say of other factors, for which R2 separation is": [as_perfect("rotated_10")],
        "a copied factor": [as_perfect("duplicated")],
        "how curved a code is": [as_perfect("nonlinear")],
    },
    "r2_separation": {
        "A missing or copied factor": [as_perfect("dropped", "duplicated")],
        "codes that say nothing": [as_perfect("noise")],
        "is above 0 for perfect codes of dependent factors": [above("correlated", number=0.2)],
    },
    "group_mig": {
        "A group that tells about two factors": [as_perfect("merged")],
        "how the latents within a group share a factor": [as_perfect("circle")],
    },
    "group_modularity": {
        "A missing factor": [as_perfect("dropped")],
        "a factor in several groups": [as_perfect("duplicated")],
        "what nuisance tells": [as_perfect("mixture in nuisance")],
    },
    "group_compactness": {
        "A group that tells about two factors": [as_perfect("merged")],
        "how much is told about a factor": [as_perfect("noisy", "coarse")],
    },
    "group_explicitness": {
        "Which group holds a factor": [as_perfect("swapped groups")],
        "all latents may be in one group": [as_perfect("all in one group")],
    },
    "group_leak": {
        "A factor that no latent tells about": [as_perfect("dropped")],
        "a group that tells about two factors": [as_perfect("merged")],
    },
    "sample_efficiency": {
        "How much is learned at all": [as_perfect("noise", by=0.1)],
        "noise and a missing factor score about 1": [near("noise", "dropped", number=1.0, by=0.1)],
    },
    "fairness": {
        "Accuracy: constant predictions are fair": [near("constant codes", number=0.0)],
        "noise is fair up to the scatter of few rows": [below("noise", number=0.15)],
        "factors that depend on each other bias it": [
            below("independent and noisy", number=0.03),
            above("dependent and noisy", number=0.05),
        ],
    },
    "dci_es_explicitness": {
        "How well the factors can be predicted at all": [above("noise", number=0.9)],
        "codes that tell nothing score 1, so read it beside informativeness, which the detail has": [
            above("noise", number=0.9)
        ],
    },
    "dci_es_size": {
        "Everything but these two numbers: what codes tell, and which": [as_perfect("noise", "rotated_45", by=0.0)],
    },
    "gaussian_total_correlation": {
        "The factors: noise scores as well as a perfect representation": [as_perfect("noise")],
        "dependence that is not linear": [as_perfect("circle")],
    },
    "wasserstein_correlation": {
        "The factors": [as_perfect("noise")],
        "dependence that is not linear": [as_perfect("circle")],
        "copies of small variance": [as_perfect("small copies")],
    },
    "mutual_info_score": {
        "The factors: whether codes mean anything": [near("noise of many rows", number=0.0), as_perfect("dropped")],
        "only whether they depend on each other": [costs("duplicated", "circle", least=0.15)],
    },
}


@pytest.mark.parametrize("metric", METRICS)
def test_every_clause_of_a_metrics_blind_spots_has_a_claim(metric):
    assert metric in CLAIMS, f"CLAIMS needs the clauses of {metric}: {METRICS[metric].insensitive_to}"
    rest = METRICS[metric].insensitive_to
    for clause in CLAIMS[metric]:
        assert clause in rest, f"{clause!r} is not in {rest!r}"
        rest = rest.replace(clause, "", 1)
    assert re.fullmatch(CONNECTING, rest), f"no claim about {rest!r}"


@pytest.mark.parametrize(
    "metric, clause, claim",
    [
        pytest.param(metric, clause, claim, id=f"{metric}: {clause[:40]} ({', '.join(claim.tables)})")
        for metric, clauses in CLAIMS.items()
        for clause, claims in clauses.items()
        for claim in claims
    ],
)
def test_what_a_metric_cannot_see_is_shown_by_a_table(metric, clause, claim):
    perfect = score(metric, "binary perfect" if metric == "tad" else claim.perfect)
    for table in claim.tables:
        own = score(metric, table)
        assert claim.holds(own, perfect, METRICS[metric].higher_is_better), (
            f"{clause!r}: {metric} of {table} is {own:.3f}, perfect {perfect:.3f}; it should be {claim.says}."
        )
