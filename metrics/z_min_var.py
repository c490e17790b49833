"""The FactorVAE score and its error rate Z-min Var: Kim and Mnih 2018, arXiv:1802.05983v3, section 4.

Draw a factor k and one of its values; take L rows of that value; vote for the code with the smallest Var(z_j in the
group) / Var(z_j). Each code then stands for the factor that voted for it most often, and the score is how often that
is right on fresh votes. Two names because two directions are in print: `factor_vae_score` is the accuracy, higher is
better; `z_min_var` is 1 - accuracy, lower is better.

Near-dead codes are dropped first, or 0/0 wins every vote. The literature drops codes with a standard deviation below
0.05, which is a statement about codes with a unit prior; the default here is 0.05 of the *largest* standard deviation,
so that rescaling all codes changes nothing. `relative=False` is the literature's threshold.
"""

from functools import partial, wraps
from typing import Any

import numpy as np

from disbench.metrics.groups import all_groups
from disbench.metrics.majority_vote import majority_vote
from disbench.metrics.metric import Metric
from disbench.metrics.table import Table


@partial(
    Metric,
    label="FactorVAE score",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="Accuracy of naming the factor which 64 rows share by a majority vote on the code that varies"
    " least among them.",
    insensitive_to="A copied factor, and noise that 64 rows average away; nearly dead codes are dropped first.",
    source="Kim and Mnih 2018, arXiv:1802.05983v3, section 4",
    stochastic=True,
    version=2,
)
@wraps(majority_vote, assigned=())  # has its options
def factor_vae_score(table: Table, **options: Any) -> dict[str, Any]:
    """Measure how accurately a majority vote names the factor that a group of rows shares.

    Chance is about 1/K. Rows of a group are drawn with replacement. If no code is kept, the score is chance.
    Constant factors are left out and not counted in K. Not applicable if fewer than two factors vary or one
    has no value that two rows share. The detail holds both accuracies, chance, the recall of each factor, and
    the factor of each code that was kept.

    Examples
    --------
    >>> from disbench.metrics import factor_vae_score
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]] * 25
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]] * 25
    >>> factor_vae_score(factors, factors, train=100, test=100)
    1.0
    >>> factor_vae_score(rotated, factors, train=100, test=100) < 0.7
    True
    """
    return majority_vote("factor_vae_score", table, all_groups, np.argmin, **options)


@partial(
    Metric,
    label="Z-min Var",
    higher_is_better=False,
    bounds=(0.0, 1.0),
    definition="Error rate of naming the factor which 64 rows share by a majority vote on the code that varies"
    " least among them: 1 - FactorVAE score.",
    insensitive_to="A copied factor, and noise that 64 rows average away; nearly dead codes are dropped first.",
    source="Kim and Mnih 2018, arXiv:1802.05983v3, section 4",
    stochastic=True,
    version=2,
)
@wraps(majority_vote, assigned=())  # has its options
def z_min_var(table: Table, **options: Any) -> dict[str, Any]:
    """Measure how often a majority vote misses the factor that a group of rows shares.

    The score is 1 - `factor_vae_score` under the same options; `scaled` acts on the accuracy.

    Examples
    --------
    >>> from disbench.metrics import z_min_var
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]] * 25
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]] * 25
    >>> z_min_var(factors, factors, train=100, test=100)
    0.0
    >>> z_min_var(rotated, factors, train=100, test=100) > 0.3
    True
    """
    detail = majority_vote("z_min_var", table, all_groups, np.argmin, **options)
    return detail | {"score": 1.0 - detail["score"]}
