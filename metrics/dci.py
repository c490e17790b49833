"""Disentanglement, completeness and informativeness: Eastwood and Williams 2018 (ICLR, openreview.net/forum?id=By-7dz-AZ).

Fit a predictor of each factor from all codes and take R_jk, the importance of code j to the predictor of factor k.

    D = sum_j w_j (1 - H(R_j. / sum_k R_jk) / log K)      w_j = sum_k R_jk / sum_jk R_jk: one code, one factor
    C = mean_k (1 - H(R_.k / sum_j R_jk) / log D)         one factor, one code
    I = mean_k how well the predictor predicts

The predictor decides the numbers, and three are in print:

- `gradient_boosting`: disentanglement_lib, the numbers of Locatello et al. 2019, arXiv:1811.12359. scikit-learn's
  GradientBoostingClassifier as it comes, its impurity importances, C weighted by the importance of the factors, and I the
  accuracy on rows that were not fitted.
- `lasso`: Zaidi et al. 2020, arXiv:2012.09276. Codes and factors scaled to [0, 1], the penalty chosen among eight by
  ten-fold cross-validation, R the absolute coefficients, and I = max(0, 1 - 12 MSE) **on the fitted rows**: 1/12 is the
  variance of a uniform factor, and a factor of few or of rare values differs from it (a binary one of 5 % scores 0.43
  unread).
- `random_forest`: the same with ten trees, their depth and number of candidate codes chosen among twenty pairs by
  ten-fold cross-validation. It remembers some of the rows that it is judged on: noise scores above 0 on few rows.

Dead codes are no codes: they stay out of log D. A peer counts them, and then each one flatters C.
"""

from functools import partial, wraps
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from disbench.metrics.columns import uncrowded
from disbench.metrics.groups import require_counts
from disbench.metrics.memoize import recent
from disbench.metrics.metric import Metric, entries
from disbench.metrics.split import split_rows
from disbench.metrics.table import NotApplicable, Table, require_classes
from disbench.metrics.threads import one_thread

VALUES_WITH = (("model", "lasso"), ("model", "random_forest"))  # regressions; boosted trees classify
MODELS = ("gradient_boosting", "lasso", "random_forest")
PENALTIES = (0.0001, 0.001, 0.01, 0.1, 0.2, 0.4, 0.8, 1.0)
PATH_TOLERANCE = 1e-8
FORESTS: dict[str, list[Any]] = {"max_depth": [8, 16, 32, 64, 128], "max_features": [0.2, 0.4, 0.8, 1.0]}


class Importances(NamedTuple):
    """What is left of a table once its predictors are fitted: immutable, since three metrics get the same one."""

    importance: NDArray[np.float64]  # (live codes, K)
    informativeness: NDArray[np.float64]  # (K,)
    informativeness_fitted: NDArray[np.float64]  # (K,): the same on the fitted rows
    model: str
    train: int
    test: int  # 0 where informativeness is that of the fitted rows


def fitted(
    table: Table, *, model: str = "gradient_boosting", train: int = 10_000, test: int = 5_000, seed: int = 0
) -> Importances:
    """Fit the predictors that the three scores share.

    Parameters
    ----------
    table
        The codes and factors.
    model
        "gradient_boosting", "lasso" or "random_forest".
    train, test
        Number of fitted rows and, for gradient boosting, of other, judged rows; fewer in the same proportion if
        the table is smaller. The other models judge the rows that they fitted.
    seed
        Seed of the random draws.

    Returns
    -------
    Importances
        The importance of each live code to the predictor of each factor, and how well they predict.
    """
    require_counts(train=train, test=test)
    if model not in MODELS:
        raise ValueError(f"dci knows the models {', '.join(MODELS)}, got model={model!r}.")
    return _importances(table, model, train, test, seed)


@partial(
    Metric,
    label="DCI disentanglement",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="How far each code matters to one factor only, by its importance to boosted trees that predict the"
    " factors.",
    insensitive_to="A copied factor; importances are what the predictor happened to use, not what codes know.",
    source="Eastwood and Williams 2018, ICLR; protocol of Locatello et al. 2019, arXiv:1811.12359",
    stochastic=True,
    version=3,
    values_with=VALUES_WITH,
)
@wraps(fitted, assigned=())  # has its options
def dci_disentanglement(table: Table, **options: Any) -> dict[str, Any]:
    """Average over codes, by their importance, how far each code is important to one factor only.

    Noise scores near 0 with gradient boosting. With the lasso it scores 0 or, on few rows, up to 1, because a
    single remaining coefficient is about one factor only. The score is 0 if all codes are dead. Constant
    factors are left out, and two must vary. The detail holds, for each live code, the factor that it matters
    most to, its score, weight and importances.

    Boosted trees classify labels. They ignore the order of values and the scale and offset of codes, and are
    not applicable to continuous factors. The lasso and the forest predict the factor values as numbers,
    continuous or not. Equal seeds give equal scores on any number of threads. The sign or the position of a
    code can change the choice between equally good splits of a tree, and the score slightly.

    **Cost**: gradient boosting grows 100 trees for each value of each factor: about 1.5 s per value on 6,667
    fitted rows of ten codes, and 0.2 s on 1,667. Reduce `train` to save time. The forest fits 2,010 trees per
    factor, ten seconds on 2,880 rows. The lasso takes a second. The three DCI scores of one table with the
    same options share one computation.

    Examples
    --------
    >>> from disbench.metrics import dci_disentanglement
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]] * 25
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]] * 25
    >>> round(dci_disentanglement(factors, factors, model="lasso"), 3)
    1.0
    >>> round(dci_disentanglement(rotated, factors, model="lasso"), 3)
    0.0
    """
    fit = fitted(table, **options)
    if len(table.columns) < 2:
        raise NotApplicable(
            "dci_disentanglement compares what a code says about several factors and needs two that vary, got one"
            f" (column {table.columns[0]})."
        )
    scores, total = one_minus_entropy(fit.importance), fit.importance.sum(axis=1)  # (live,) each
    weights = total / total.sum() if total.any() else total
    return {
        "score": min(float(weights @ scores), 1.0),
        "codes": entries(
            code=table.live_codes,
            factor=table.columns_at(fit.importance.argmax(axis=1)),
            score=scores,
            weight=weights,
            importance=fit.importance,
        ),
    } | _protocol(fit, table)


@partial(
    Metric,
    label="DCI completeness",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="How far each factor is predicted from one code only, by the codes' importance to boosted trees.",
    insensitive_to="A code that knows two factors; importances are what the predictor happened to use, not what codes know.",
    source="Eastwood and Williams 2018, ICLR; protocol of Locatello et al. 2019, arXiv:1811.12359",
    stochastic=True,
    version=3,
    values_with=VALUES_WITH,
)
@wraps(fitted, assigned=())  # has its options
def dci_completeness(table: Table, **options: Any) -> dict[str, Any]:
    """Average over factors how far each factor is predicted from one code only.

    Options and cost are those of `dci_disentanglement`, but one varying factor is enough. Not applicable if a
    single code is live, because every factor would be complete. The score is 0 if no code is live. The detail
    holds, for each factor, its most important code or None, its score, weight and importances.

    Examples
    --------
    >>> from disbench.metrics import dci_completeness
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]] * 25
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]] * 25
    >>> round(dci_completeness(factors, factors, model="lasso"), 3)
    1.0
    >>> round(dci_completeness(rotated, factors, model="lasso"), 3)
    0.0
    """
    fit, live = fitted(table, **options), table.live_codes
    if len(live) == 1:
        raise NotApplicable(
            f"dci_completeness asks whether a factor is spread over codes and needs two live ones, got one (code {live[0]})."
        )
    scores = one_minus_entropy(fit.importance.T)  # (K,)
    total = fit.importance.sum(axis=0) if fit.model == "gradient_boosting" else np.ones(len(scores))
    weights = total / total.sum() if total.any() else total
    return {
        "score": min(float(weights @ scores), 1.0),
        "factors": entries(
            factor=table.columns,
            code=[live[int(row.argmax())] if row.any() else None for row in fit.importance.T],
            score=scores,
            weight=weights,
            importance=fit.importance.T,
        ),
    } | _protocol(fit, table)


@partial(
    Metric,
    label="DCI informativeness",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="Accuracy, on fresh rows, of boosted trees that predict each factor from all codes.",
    insensitive_to="Rotation, copies and mergers: only whether the factors can be predicted at all.",
    source="Eastwood and Williams 2018, ICLR; protocol of Locatello et al. 2019, arXiv:1811.12359",
    stochastic=True,
    version=3,
    values_with=VALUES_WITH,
)
@wraps(fitted, assigned=())  # has its options
def dci_informativeness(table: Table, **options: Any) -> dict[str, Any]:
    """Average over factors how well all codes together predict each factor.

    The score is an accuracy for gradient boosting, and 1 - 12 MSE otherwise. Options and cost are those of
    `dci_disentanglement`, but one varying factor is enough. With gradient boosting, noise and dead codes score
    the share of the most common value. The detail holds the score of each factor, and the same on the fitted
    rows.

    Examples
    --------
    >>> from disbench.metrics import dci_informativeness
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]] * 25
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]] * 25
    >>> dci_informativeness(factors, factors, model="lasso") > 0.99
    True
    >>> dci_informativeness(rotated, factors, model="lasso") > 0.99
    True
    """
    fit = fitted(table, **options)
    judged = fit.informativeness
    return {
        "score": float(judged.mean()),
        "train_score": float(fit.informativeness_fitted.mean()),
        "factors": entries(factor=table.columns, score=judged, train_score=fit.informativeness_fitted),
    } | _protocol(fit, table)


def one_minus_entropy(importance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map `importance (rows, columns)`, not negative, to 1 - the entropy of a row in units of its maximum: `(rows,)` in [0, 1].

    1 where everything is in one column, 0 where it is spread evenly and where there is nothing to spread. In a single
    column everything is in one.
    """
    total = importance.sum(axis=1, keepdims=True)
    shares = np.divide(importance, total, out=np.zeros_like(importance), where=total > 0)
    entropy = -xlogy(shares, shares).sum(axis=1) / np.log(max(importance.shape[1], 2))
    return np.where(total[:, 0] > 0, np.clip(1.0 - entropy, 0.0, 1.0), 0.0)


def boosted_trees(
    codes: NDArray[np.float64],
    targets: NDArray[np.intp],
    fitted: NDArray[np.intp],
    judged: NDArray[np.intp],
    random_state: int,
) -> tuple[NDArray[np.float64], float, float]:
    """`codes (N, D)`, `targets (N,)` -> importances `(D,)`, the accuracy on rows `judged` and that on rows `fitted`."""
    from sklearn.ensemble import GradientBoostingClassifier

    labels = targets[fitted]
    if np.ptp(labels) == 0 or codes.shape[1] == 0:
        commonest = np.bincount(labels).argmax()
        importance = np.zeros(codes.shape[1])
        return importance, float((targets[judged] == commonest).mean()), float((labels == commonest).mean())
    classifier = GradientBoostingClassifier(random_state=random_state).fit(codes[fitted], labels)
    right = [float((classifier.predict(codes[rows]) == targets[rows]).mean()) for rows in (judged, fitted)]
    return np.abs(classifier.feature_importances_), right[0], right[1]


def regression(
    codes: NDArray[np.float64],
    target: NDArray[np.float64],
    model: str,
    random_state: int,
    forests: dict[str, list[Any]] = FORESTS,
) -> tuple[NDArray[np.float64], float]:
    """`codes (N, D)`, `target (N,)`, both in [0, 1] -> importances `(D,)` and 1 - 12 MSE, at least 0, on the same rows.

    `forests` are the depths and the shares of candidate codes that a forest is chosen among.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import Lasso, LassoCV
    from sklearn.model_selection import GridSearchCV, KFold

    if codes.shape[1] == 0 or np.ptp(target) == 0:
        return np.zeros(codes.shape[1]), max(0.0, 1.0 - 12.0 * float(target.var()))
    folds = KFold(min(10, len(target)), shuffle=True, random_state=random_state)
    predictor: Any
    if model == "lasso":
        # Each penalty begins where the one before ended, so the path needs a finer tolerance than a fit from nothing.
        path = LassoCV(alphas=np.array(PENALTIES), max_iter=5000, tol=PATH_TOLERANCE, cv=folds).fit(codes, target)
        predictor = Lasso(alpha=path.alpha_, max_iter=5000).fit(codes, target)
        importance = np.abs(predictor.coef_)
    else:
        forest = RandomForestRegressor(n_estimators=10, random_state=random_state)
        predictor = GridSearchCV(forest, forests, cv=folds, scoring="neg_mean_squared_error").fit(codes, target)
        importance = predictor.best_estimator_.feature_importances_
    return importance, max(0.0, 1.0 - 12.0 * float(((predictor.predict(codes) - target) ** 2).mean()))


@recent
def _importances(table: Table, model: str, train: int, test: int, seed: int) -> Importances:
    random_state = int(np.random.default_rng(seed).integers(1 << 31))
    inputs = table.codes[:, table.live_codes]
    with one_thread():  # threaded sums round differently, and a tie broken otherwise is another tree
        if model == "gradient_boosting":
            fitted_rows, judged = split_rows(len(inputs), train, test, seed)
            require_classes(table, "dci with boosted trees", 'model="lasso" and model="random_forest" read its values.')
            inputs = uncrowded(
                unit_range(inputs) - 0.5
            )  # the trees compute in float32: an offset would take their digits
            results = [boosted_trees(inputs, targets, fitted_rows, judged, random_state) for targets in table.labels.T]
        else:
            fitted_rows, judged = (
                np.random.default_rng(seed).permutation(len(inputs))[:train],
                np.empty(0, dtype=np.intp),
            )
            inputs, numbers = unit_range(inputs[fitted_rows]), unit_range(table.values[fitted_rows])
            regressions = [regression(inputs, target, model, random_state) for target in numbers.T]
            results = [(importance, score, score) for importance, score in regressions]
    importance = np.stack([result[0] for result in results], axis=1)
    fit = Importances(
        importance,
        np.array([result[1] for result in results]),
        np.array([result[2] for result in results]),
        model,
        len(fitted_rows),
        len(judged),
    )
    for array in fit[:3]:
        array.flags.writeable = False
    return fit


def unit_range(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale each column to [0, 1]; a constant column becomes 0."""
    extent = np.ptp(array, axis=0)
    scaled: NDArray[np.float64] = (array - array.min(axis=0)) / np.where(extent > 0, extent, 1.0)
    return scaled


def _protocol(fit: Importances, table: Table) -> dict[str, Any]:
    return {"model": fit.model, "train": fit.train, "test": fit.test} | table.left_out()
