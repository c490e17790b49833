"""Sample efficiency of a downstream task: Locatello et al. 2019, arXiv:1811.12359v4, section 5.5.

    efficiency = mean_k accuracy_k from 100 labeled rows / mean_k accuracy_k from 10,000 labeled rows

Boosted trees predict each factor from all codes; accuracies are those on 5,000 other rows. The counts and the predictor are
those of disentanglement_lib (config/unsupervised_study_v1/metric_configs/downstream_task_boosted_trees.gin), but the trees are
histogram trees (see `downstream`). The 100 rows are among the 10,000, where the library draws them anew.

A ratio of accuracies says nothing of their size: **noise scores about 1**, since it is as useless with many labels as with few.
Read it beside the accuracy, which the detail has.
"""

from functools import partial
from typing import Any, Literal

from disbench.metrics.downstream import predictions
from disbench.metrics.groups import require_counts
from disbench.metrics.metric import Metric, entries
from disbench.metrics.table import NotApplicable, Table


@partial(
    Metric,
    label="Sample efficiency",
    higher_is_better=True,
    bounds=(0.0, float("inf")),
    definition="Accuracy of boosted trees that learn the factors from the codes of 100 labelled rows, divided by their"
    " accuracy from 10,000.",
    insensitive_to="How much is learned at all: noise and a missing factor score about 1.",
    source="Locatello et al. 2019, ICML, arXiv:1811.12359v4, section 5.5",
    stochastic=True,
    version=2,
)
def sample_efficiency(
    table: Table,
    *,
    few: int = 100,
    train: int = 10_000,
    test: int = 5_000,
    model: Literal["hist_gradient_boosting", "gradient_boosting"] = "hist_gradient_boosting",
    seed: int = 0,
) -> dict[str, Any]:
    """Divide the accuracy that predictors of the factors reach from few labels by that from many.

    The score exceeds 1 only by chance. It does not say how much is learned: noise, dead codes and a missing
    factor score about 1, so read the accuracies of the detail beside it. Not applicable to continuous factors
    or if no more than `few` rows can be fitted. Constant factors are left out.

    **Cost**: for each value of each factor about 0.08 s on 6,667 fitted rows of ten codes; with
    `model="gradient_boosting"` about 2 s. `fairness` of the same table with the same options shares the
    predictors.

    Parameters
    ----------
    few
        Number of labeled rows in the numerator.
    train, test
        Number of labeled rows in the denominator, more than `few`, and of other, judged rows; fewer in the
        same proportion if the table is smaller.
    model
        "hist_gradient_boosting", or "gradient_boosting" as in the paper.

    Examples
    --------
    >>> from disbench.metrics import sample_efficiency
    >>> factors = [[a, b] for a in range(5) for b in range(5)] * 12
    >>> sample_efficiency(factors, factors)
    1.0
    """
    require_counts(few=few)
    if few >= train:
        raise ValueError(f"sample_efficiency needs few < train, got few={few} and train={train}.")
    many = predictions(table, "sample_efficiency", model=model, train=train, test=test, seed=seed)
    if many.fitted <= few:
        raise NotApplicable(
            f"sample_efficiency compares {few} labelled rows with more, and this table leaves {many.fitted} to fit. Score"
            " more rows or set few."
        )
    some = predictions(table, "sample_efficiency", model=model, train=train, test=test, seed=seed, labelled=few)
    accuracy, accuracy_few = float(many.accuracy.mean()), float(some.accuracy.mean())
    return {
        # where nothing at all is right with many labels, no ratio is defined, and the few are as good
        "score": accuracy_few / accuracy if accuracy > 0 else 1.0,
        "accuracy": accuracy,
        "accuracy_few": accuracy_few,
        "model": model,
        "few": few,
        "train": many.fitted,
        "test": len(many.actual),
        "factors": entries(factor=table.columns, accuracy=many.accuracy, accuracy_few=some.accuracy),
    } | table.left_out()
