"""R2 of identifiability, diagonal and separation: Lippe et al. 2022, arXiv:2202.03169v3, experiments.

Units of codes are the groups of the table, or single codes where it has none. R2(u -> k) is the held-out R2 of a regression of
factor k on all codes of unit u, at least 0.

1. Each unit is assigned to the factor that it predicts best, argmax_k R2(u -> k); to none if it predicts nothing.
2. The units of a factor are taken together, and regressed on again: R2_ik is of the codes assigned to factor i and factor k.
3. diagonal = mean_i R2_ii, separation = mean_i max_{k != i} R2_ik; a factor without units has a row of 0.

This is the evaluation of the authors' code (github.com/phlippe/CITRIS at 95f6c90, models/shared/callbacks.py and, for methods
that do not assign codes, models/baselines/utils.py), with other regressors. Theirs is one network of two layers of 128 units,
trained for 100 epochs on half of the rows with a mask of the codes. Here scikit-learn's histogram gradient boosting is fitted
to each pair, 30 times faster. With 5,000 rows the network is nearer to the true R2 by 0.02 where a factor is a sum of eight
codes, and no nearer where it is a function of one or two. The authors predict angles as vectors and categories as classes;
here each factor is a number.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from disbench.metrics.groups import require_counts
from disbench.metrics.memoize import recent
from disbench.metrics.metric import Metric, entries
from disbench.metrics.split import split_rows
from disbench.metrics.table import NotApplicable, Table
from disbench.metrics.threads import one_thread

LEAF_ROWS = 20  # of the trees; fewer fitted rows than twice as many allow no split
UNIT_OF_CHANCE = 0.01  # the R2 that a unit of noise may reach by chance
_SOURCE = "Lippe et al. 2022, arXiv:2202.03169v3, experiments"


class Identified(NamedTuple):
    """R2 of each factor from the codes that are assigned to each factor."""

    r2: NDArray[np.float64]  # (K, K): from the codes of factor i, of factor k
    codes: tuple[tuple[int, ...], ...]  # the columns that are assigned to each factor
    train: int
    test: int


@partial(
    Metric,
    label="R2 diagonal",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="R2 on fresh rows of boosted trees that predict each factor from the codes assigned to it.",
    insensitive_to="What codes say of other factors, for which R2 separation is; a copied factor; and how curved a"
    " code is.",
    source=_SOURCE,
    uses=("codes", "values"),
    optional=("groups",),
    stochastic=True,
)
def r2_diagonal(table: Table, *, train: int = 5_000, test: int = 5_000, seed: int = 0) -> dict[str, Any]:
    """Average over factors how well the codes assigned to a factor predict it.

    Each group of codes, or each code where the table has no groups, is assigned to the factor that it predicts best,
    and to none if it predicts less than 0.01 of every factor's variance. A factor without codes counts 0. Noise
    scores near 0. Values count as numbers, but their order does not matter to trees. Not applicable to tables of
    fewer than 80 rows. The detail holds the codes of each factor and their R2.

    **Cost**: about 0.1 s for each pair of a code and a factor on 5,000 fitted rows, and for each pair of factors.
    Both R2 scores of a table share one computation.

    Parameters
    ----------
    train, test
        Number of fitted rows and of other, judged rows; in the same proportion if the table has fewer.

    Examples
    --------
    >>> from disbench.metrics import r2_diagonal
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]] * 50
    >>> missing = [[0], [0], [1], [1]] * 50
    >>> round(r2_diagonal(factors, factors), 2), round(r2_diagonal(missing, factors), 2)
    (1.0, 0.5)
    """
    found = _identified(table, train, test, seed, "r2_diagonal")
    return _detail(table, found, np.diag(found.r2))


@partial(
    Metric,
    label="R2 separation",
    higher_is_better=False,
    bounds=(0.0, 1.0),
    definition="The largest R2 on fresh rows of boosted trees that predict another factor from the codes assigned to a"
    " factor, averaged over factors.",
    insensitive_to="A missing or copied factor, and codes that say nothing; it is above 0 for perfect codes of"
    " dependent factors.",
    source=_SOURCE,
    uses=("codes", "values"),
    optional=("groups",),
    stochastic=True,
)
def r2_separation(table: Table, *, train: int = 5_000, test: int = 5_000, seed: int = 0) -> dict[str, Any]:
    """Average over factors how well the codes assigned to a factor predict another factor, the best predicted one.

    Assignment and cost are those of `r2_diagonal`. Two factors must vary. A factor without codes counts 0, and
    so do all if no code predicts anything: read it beside `r2_diagonal`. The detail holds the codes of each factor and
    their largest R2 of another.

    Parameters
    ----------
    train, test
        As in `r2_diagonal`.

    Examples
    --------
    >>> from disbench.metrics import r2_separation
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]] * 50
    >>> merged = [[0], [1], [2], [3]] * 50
    >>> round(r2_separation(factors, factors), 2), round(r2_separation(merged, factors), 2)
    (0.0, 0.5)
    """
    if len(table.columns) < 2:
        raise NotApplicable(
            f"r2_separation compares factors and needs two that vary, got one (column {table.columns[0]})."
        )
    found = _identified(table, train, test, seed, "r2_separation")
    others = found.r2 - 2 * np.eye(len(found.r2))
    return _detail(table, found, others.max(axis=1))


def _detail(table: Table, found: Identified, scores: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "score": float(scores.mean()),
        "train": found.train,
        "test": found.test,
        "factors": entries(
            factor=table.columns, score=scores, codes=[list(codes) for codes in found.codes], r2=found.r2
        ),
    } | table.left_out()


def _identified(table: Table, train: int, test: int, seed: int, metric: str) -> Identified:
    require_counts(train=train, test=test)
    if min(len(table.raw_codes) * train // (train + test), train) < 2 * LEAF_ROWS:
        raise NotApplicable(
            f"{metric} fits trees to at least {2 * LEAF_ROWS} rows, got {len(table.raw_codes)} rows, train={train} and"
            f" test={test}."
        )
    live = set(table.live_codes)
    units = [[j] for j in live] if table.groups is None else [*table.group_columns.values()]
    varying = [tuple(j for j in unit if j in live) for unit in units]
    return _matrix(table, tuple(unit for unit in varying if unit), train, test, seed)


@recent
def _matrix(table: Table, units: tuple[tuple[int, ...], ...], train: int, test: int, seed: int) -> Identified:
    fitted, judged = split_rows(len(table.raw_codes), train, test, seed)
    codes, values = table.codes, table.values
    random_state = int(np.random.default_rng(seed).integers(1 << 31))
    known: dict[tuple[int, ...], NDArray[np.float64]] = {(): np.zeros(values.shape[1])}

    def predicted(columns: tuple[int, ...]) -> NDArray[np.float64]:
        if columns not in known:
            known[columns] = held_out_r2(codes[:, list(columns)], values, fitted, judged, random_state)
        return known[columns]

    assigned: list[list[int]] = [[] for _ in range(values.shape[1])]
    with one_thread():  # threaded sums round differently
        for unit in units:
            r2 = predicted(unit)
            if r2.max() > UNIT_OF_CHANCE:
                assigned[int(r2.argmax())] += unit
        of_factors = tuple(tuple(sorted(columns)) for columns in assigned)
        matrix = np.stack([predicted(columns) for columns in of_factors])
    matrix.flags.writeable = False
    return Identified(matrix, of_factors, len(fitted), len(judged))


def held_out_r2(
    inputs: NDArray[np.float64],
    targets: NDArray[np.float64],
    fitted: NDArray[np.intp],
    judged: NDArray[np.intp],
    random_state: int,
) -> NDArray[np.float64]:
    """Map `inputs (N, D)`, `targets (N, K)` to R2 `(K,)` on rows `judged` of trees fitted to rows `fitted`, in [0, 1].

    0 for a target with one value on either rows.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    scores = np.zeros(targets.shape[1])
    for k, target in enumerate(targets.T):
        if np.ptp(target[fitted]) == 0 or np.ptp(target[judged]) == 0:
            continue
        trees = HistGradientBoostingRegressor(
            max_leaf_nodes=15, min_samples_leaf=LEAF_ROWS, early_stopping=True, random_state=random_state
        )
        trees.fit(inputs[fitted], target[fitted])
        scores[k] = trees.score(inputs[judged], target[judged])
    return np.clip(scores, 0.0, 1.0)
