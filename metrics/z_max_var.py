"""Z-max Variance: Kim et al. 2019, arXiv:1902.01568, as in Zaidi et al. 2020, arXiv:2012.09276.

The FactorVAE score turned round. Draw a factor k and a setting of *all the others*; take L rows of that setting, among
which only v_k varies; vote for the code with the largest Var(z_j in the group) / Var(z_j). Each code then stands for the
factor that voted for it most often, and the score is how often that is right on fresh votes.

A group is an exact match on K - 1 factors: a full grid has it, a sample of a large grid may not, and then there is a
reason in place of a number. Rows are drawn with replacement, by Zaidi et al. in shuffled cycles through the group. They also
draw settings whose rows all have the same v_k, where nothing varies and the vote is noise: such a setting is not drawn
here, which matters where a setting has two or three rows (10,000 rows of dSprites sizes, scaled: 0.47 against 0.42).
"""

from functools import partial
from typing import Any

import numpy as np

from disbench.metrics.groups import Groups, group_rows
from disbench.metrics.majority_vote import majority_vote
from disbench.metrics.metric import Metric
from disbench.metrics.table import NotApplicable, Table


@partial(
    Metric,
    label="Z-max Var",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="Accuracy of naming the only factor that varies among 200 rows by a majority vote on the code that"
    " varies most among them.",
    insensitive_to="A copied factor; unused codes that vary take votes and cost much.",
    source="Kim et al. 2019, arXiv:1902.01568; as in Zaidi et al. 2020, arXiv:2012.09276",
    stochastic=True,
    version=2,
)
def z_max_var(
    table: Table,
    *,
    group: int = 200,
    train: int = 800,
    test: int = 800,
    scaled: bool = False,
    threshold: float = 0.05,
    relative: bool = True,
    factor_bins: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure how accurately a majority vote names the only factor that varies within a group of rows.

    Chance is about 1/K. Counts are those of Zaidi et al., whose threshold is absolute. Codes with a small
    deviation are dropped because noise varies as much in any group as overall; if none is left, the score is
    chance. Noise scores above chance where there are few settings, because the same groups recur (0.43 for a
    third on 360 rows). Constant factors are left out and not counted in K. Not applicable if fewer than two
    factors vary or one never varies alone. The detail holds both accuracies, chance, the recall of each
    factor, and the factor of each code that was kept.

    Parameters
    ----------
    group
        Number of rows in a group, at least 2.
    train, test
        Number of groups that vote, and of fresh groups.
    scaled
        Whether to score (accuracy - 1/K) / (1 - 1/K), at least 0, so that chance is 0.
    threshold, relative
        Codes with a standard deviation below `threshold` are dropped; below `threshold` times the largest one
        if `relative`.
    factor_bins
        Number of equal-width bins for the continuous ones of the other factors, at least 2; 0 bins none.

    Examples
    --------
    >>> from disbench.metrics import z_max_var
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]] * 25
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]] * 25
    >>> z_max_var(factors, factors, group=64)
    1.0
    >>> z_max_var(rotated, factors, group=64) < 0.6
    True
    """
    return majority_vote(
        "z_max_var",
        table,
        settings_of_the_others,
        np.argmax,
        group=group,
        train=train,
        test=test,
        scaled=scaled,
        threshold=threshold,
        relative=relative,
        factor_bins=factor_bins,
        seed=seed,
    )


def settings_of_the_others(table: Table) -> list[Groups]:
    """For each factor the rows that agree on all the others, without the settings in which it does not vary."""
    groups = []
    for k, column in enumerate(table.columns):
        setting = np.zeros(len(table.labels), dtype=np.intp)
        for other in np.delete(table.labels, k, axis=1).T:
            setting = np.unique(setting * (other.max() + 1) + other, return_inverse=True)[1]
        first = np.zeros(setting.max() + 1, dtype=np.intp)
        first[setting] = table.labels[:, k]
        varies = np.bincount(setting, weights=table.labels[:, k] != first[setting]) > 0
        rows = np.flatnonzero(varies[setting])
        if len(rows) == 0:
            raise NotApplicable(
                f"factor {column} never varies alone: no two rows differ in it and agree on all other factors."
            )
        renumbered = np.cumsum(varies)[setting[rows]] - 1
        group = group_rows(renumbered, int(varies.sum()))
        groups.append(group._replace(order=rows[group.order]))
    return groups
