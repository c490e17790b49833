"""Unfairness of predictions from the codes: Locatello et al. 2019 (NeurIPS), arXiv:1905.13662v2, section 4.

Boosted trees predict a target factor t from all codes. Intervene on a sensitive factor s, and compare the distributions of
predictions:

    P_c(y)  = probability of predicting y when s is set to c and the other factors are as they were
    U_ts    = mean over values c of the total variation 1/2 sum_y abs(P_c(y) - mean over c' of P_c'(y))
    score   = mean over t and s != t of U_ts; 0 is fair

The counts and the predictor are those of disentanglement_lib (config/fairness_study_v1/metric_configs/fairness.gin, score
`mean_fairness:mean_pred:mean_sens`), but the trees are histogram trees (see `downstream`) and the predictions are of fitted
rows there, of other rows here. That library renders the intervened images; a table of codes has only its own rows. So P_c is
estimated from the rows with s = c, weighted such that the target is distributed as on all judged rows:

    P_c(y) = sum_v P(t = v) P(y | t = v, s = c)

This is the intervention where s is independent of the factors other than t: on a full grid and on rows drawn from one. Where
no judged row has t = v and s = c, that of all rows with t = v stands for it.
"""

from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from disbench.metrics.downstream import predictions
from disbench.metrics.information import require_factors_to_compare
from disbench.metrics.metric import Metric, entries
from disbench.metrics.table import Table


@partial(
    Metric,
    label="Unfairness",
    higher_is_better=False,
    bounds=(0.0, 1.0),
    definition="Mean total variation of the predictions of a factor by boosted trees when another factor is set to each of"
    " its values.",
    insensitive_to="Accuracy: constant predictions are fair, and noise is fair up to the scatter of few rows; factors that"
    " depend on each other bias it.",
    source="Locatello et al. 2019, NeurIPS, arXiv:1905.13662v2, section 4",
    stochastic=True,
    version=2,
)
def fairness(
    table: Table,
    *,
    train: int = 10_000,
    test: int = 5_000,
    model: Literal["hist_gradient_boosting", "gradient_boosting"] = "hist_gradient_boosting",
    seed: int = 0,
) -> dict[str, Any]:
    """Average over pairs of factors how much predictions of one change when the other is set; 0 is fair.

    A predictor that is always right is fair, and so is one that always says the same. Total variation of few
    rows is above 0 by chance: noise scores up to 0.2 where factors have dozens of values. Not applicable to
    continuous factors or if fewer than two factors vary. Constant factors are left out. The detail holds
    the unfairness of each target, the largest over sensitive factors, and its accuracy.

    **Cost**: for each value of each factor about 0.07 s on 6,667 fitted rows of ten codes; with
    `model="gradient_boosting"` about 2 s. `sample_efficiency` of the same table with the same options shares
    the predictors.

    Parameters
    ----------
    train, test
        Number of fitted rows and of other, judged rows; fewer in the same proportion if the table is smaller.
    model
        "hist_gradient_boosting", or "gradient_boosting" as in the paper.

    Examples
    --------
    >>> from disbench.metrics import fairness
    >>> factors = [[a, b] for a in range(5) for b in range(5)] * 12
    >>> fairness(factors, factors)
    0.0
    """
    require_factors_to_compare(table.columns, "fairness")
    found = predictions(table, "fairness", model=model, train=train, test=test, seed=seed)
    sizes = table.sizes.tolist()
    unfair = np.array(
        [
            [
                0.0
                if s == t
                else unfairness(found.predicted[:, t], found.actual[:, t], sizes[t], found.actual[:, s], sizes[s])
                for s in range(len(sizes))
            ]
            for t in range(len(sizes))
        ]
    )  # (targets, sensitive)
    of_target = unfair.sum(axis=1) / (len(sizes) - 1)
    return {
        "score": min(float(of_target.mean()), 1.0),
        "model": model,
        "train": found.fitted,
        "test": len(found.actual),
        "factors": entries(
            factor=table.columns,
            score=of_target,
            largest=unfair.max(axis=1),
            sensitive=table.columns_at(unfair.argmax(axis=1)),
            accuracy=found.accuracy,
        ),
    } | table.left_out()


def unfairness(
    predicted: NDArray[np.intp], target: NDArray[np.intp], values: int, sensitive: NDArray[np.intp], groups: int
) -> float:
    """Mean total variation of `predicted (N,)` in 0 .. values - 1 over the values of `sensitive (N,)` in 0 .. groups - 1.

    `target (N,)` are the true values of what is predicted, whose distribution is held. Values of `sensitive` without a row are
    left out.
    """
    cells = np.ravel_multi_index((sensitive, target, predicted), (groups, values, values))
    counts = np.bincount(cells, minlength=groups * values * values).reshape(groups, values, values)  # (c, v, y)
    counts = counts[counts.any(axis=(1, 2))]
    of_target = counts.sum(axis=(0, 2))  # (v,)
    occurs = of_target > 0
    overall = counts.sum(axis=0)[occurs] / of_target[occurs, None]  # P(y | t = v)
    in_group = counts[:, occurs].sum(axis=2, keepdims=True)  # rows with s = c and t = v
    given = np.where(in_group > 0, counts[:, occurs] / np.maximum(in_group, 1), overall)  # P(y | t = v, s = c)
    distribution = np.einsum("v,cvy->cy", of_target[occurs] / of_target.sum(), given)  # P_c(y)
    apart = float(np.abs(distribution - distribution.mean(axis=0)).sum(axis=1).mean() / 2)
    return apart if apart > 1e-12 else 0.0  # a rest of rounding
