"""Separated attribute predictability: Kumar et al. 2018, arXiv:1711.00848, section 3.

    S_jk = how well code j alone predicts factor k
    SAP  = 1/K sum_k (S of the best code - S of the second-best)

Three readings of S are in print and their numbers are not comparable. `sap` takes the R2 of a line: disentanglement_lib
with continuous factors, and Zaidi et al. 2020, arXiv:2012.09276. `sap_svc` takes the accuracy of a linear support vector
classifier (C = 0.01, balanced classes) on fresh rows: disentanglement_lib with discrete factors, the numbers of Locatello
et al. 2019, arXiv:1811.12359. `sap_tree` takes the accuracy of a decision tree **on the rows that it was fitted to**, its
depth, 1 to 9, chosen by ten-fold cross-validation: the code of Zaidi et al. with discrete factors. **A perfect
representation does not score 1 on the last two**: a runner-up that knows nothing still guesses right once in V times, so
one code per factor scores 0.74 by trees on five factors of 3 to 8 values, and 0.47 by lines, which in one dimension cannot
cut out a middle value. Read them against their ceilings.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disbench.metrics.columns import uncrowded
from disbench.metrics.correlation import correlations
from disbench.metrics.groups import require_counts
from disbench.metrics.metric import Metric, entries
from disbench.metrics.one_code_tree import right_by_depth
from disbench.metrics.split import split_rows
from disbench.metrics.table import Table, require_classes
from disbench.metrics.threads import one_thread

FOLDS = 10
INSTEAD = "sap, the R2 of a line, reads continuous factors."


@partial(
    Metric,
    label="SAP",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="Mean over factors of the gap in R2 between the best and the second-best line from one code.",
    insensitive_to="Factors whose values are names, not numbers: a code in another order of values does not count.",
    source="Kumar et al. 2018, arXiv:1711.00848, section 3",
    version=2,
    uses=("codes", "values"),
)
def sap(table: Table) -> dict[str, Any]:
    """Average over factors the gap between the R2 of the best and of the second-best code.

    Each R2 is that of a line through all rows: the squared correlation with the factor's values. The score
    depends on the values as numbers and misses curves. Noise scores about 2 / N. Continuous factors are
    supported. A dead code, and a missing second code, predict nothing. Constant factors are left out. The
    detail holds, for each varying factor, its best code, the gap and both R2.


    Examples
    --------
    >>> from disbench.metrics import sap
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]]
    >>> sap(factors, factors), round(sap(rotated, factors), 3)
    (1.0, 0.0)
    """
    predictability = correlations(table.raw_codes, table.values) ** 2  # (D, K)
    predictability[table.dead_codes] = 0.0
    return _gaps(predictability, np.zeros(len(table.columns)), table)


@partial(
    Metric,
    label="SAP (SVC)",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="Mean over factors of the gap in accuracy between the best and the second-best linear classifier of"
    " one code; perfect codes score about 0.5.",
    insensitive_to="Codes of small scale, which its penalized classifier does not read.",
    source="Kumar et al. 2018, arXiv:1711.00848; protocol of Locatello et al. 2019, arXiv:1811.12359",
    stochastic=True,
    version=2,
)
def sap_svc(table: Table, *, train: int = 10_000, test: int = 5_000, seed: int = 0) -> dict[str, Any]:
    """Average over factors the gap in accuracy between the best and the second-best one-code linear classifier.

    **A perfect code scores far below 1**, about 0.5, because a code that knows nothing still guesses. Noise
    scores slightly above 0 (0.01 on 2,880 rows). Codes are not scaled, as in disentanglement_lib, so codes of
    small scale or far from 0 score less: an offset of 100 can lower 0.30 to 0.01. A dead code, and a missing
    second code, guess the most common value. Constant factors are left out. Equal seeds give equal scores on
    any number of threads. **Cost**: D x K classifiers; 40 attributes and 32 codes take seconds. The detail
    holds, for each varying factor, its best code, the gap, both accuracies and that of the most common value.

    Parameters
    ----------
    train, test
        Number of fitted rows and of other, judged rows; fewer in the same proportion if the table is smaller.

    Examples
    --------
    >>> from disbench.metrics import sap_svc
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]] * 25
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]] * 25
    >>> round(sap_svc(factors, factors), 2), round(sap_svc(rotated, factors), 2)
    (0.55, 0.05)
    """
    require_counts(train=train, test=test)
    require_classes(table, "sap_svc", INSTEAD)
    fitted, tried = split_rows(len(table.labels), train, test, seed)
    accuracy, commonest = single_code_accuracies(table, fitted, tried)
    return _gaps(accuracy, commonest, table) | {"train": len(fitted), "test": len(tried)}


@partial(
    Metric,
    label="SAP (tree)",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="Mean over factors of the gap in accuracy between the best and the second-best decision tree of one"
    " code; perfect codes score 1 less the chance of a guess.",
    insensitive_to="The order and scale of a code's values; it charges a copied factor in full.",
    source="Kumar et al. 2018, arXiv:1711.00848; classifier of Zaidi et al. 2020, arXiv:2012.09276",
    stochastic=True,
    version=3,
)
def sap_tree(table: Table, *, train: int = 10_000, seed: int = 0) -> dict[str, Any]:
    """Average over factors the gap in accuracy between the best and the second-best one-code decision tree.

    A perfect code scores 1 minus the mean share of each factor's most common value. Trees are judged on the
    rows that they are fitted to. Only their depth is chosen on held-out folds, which depend on the seed and
    are stratified by value. Noise therefore scores above 0: 0.03 on 2,880 rows of ten codes, 0.1 on 360 of
    four. Any one-to-one function of a factor is read if nine questions suffice. The sign of a code can decide
    between equally good thresholds and change the score slightly. A dead code, and a missing second code,
    guess the most common value. Constant factors are left out. **Cost**: D x K x 11 trees of 2 to 3 ms each
    on 10,000 rows; 20 s for five factors and 128 codes. The detail holds, for each varying factor, its best
    code, the gap and both accuracies.

    Parameters
    ----------
    train
        Number of fitted rows, at most all rows of the table.

    Examples
    --------
    >>> from disbench.metrics import sap_tree
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]] * 25
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]] * 25
    >>> sap_tree(factors, factors), sap_tree(rotated, factors)
    (0.5, 0.0)
    """
    require_counts(train=train)
    require_classes(table, "sap_tree", INSTEAD)
    rows = np.random.default_rng(seed).permutation(len(table.labels))[:train]
    targets = table.labels[rows]
    accuracy = tree_accuracies(table.codes[rows], targets, stratified_folds(targets))
    commonest = np.array([np.bincount(column).max() for column in targets.T]) / len(rows)
    return _gaps(accuracy, commonest, table) | {"train": len(rows)}


def stratified_folds(targets: NDArray[np.intp]) -> NDArray[np.intp]:
    """`targets (N, K)` in a random order of rows -> `(N, K)` in 0 .. 9: folds with equal shares of each value."""
    folds = np.empty_like(targets)
    by_value = np.argsort(targets, axis=0, kind="stable")
    np.put_along_axis(folds, by_value, np.arange(len(targets))[:, None] % FOLDS, axis=0)
    return folds


def tree_accuracies(
    codes: NDArray[np.float64], targets: NDArray[np.intp], folds: NDArray[np.intp]
) -> NDArray[np.float64]:
    """`codes (N, D)`, `targets (N, K)`, `folds (N, K)` -> `(D, K)`: the accuracy on all rows of code j's tree for factor k.

    The tree has the depth of the best mean accuracy over held-out folds, the least of equally good ones. With one code there
    is nothing to choose between but thresholds, so a shallower tree is the top of a deeper one, and one tree a fold will do.
    """
    extent = np.ptp(codes, axis=0)
    inputs = uncrowded((codes - codes.min(axis=0)) / np.where(extent > 0, extent, 1.0)).astype(
        np.float32
    )  # as trees do
    accuracy = np.empty((codes.shape[1], targets.shape[1]))
    for j, column in enumerate(inputs.T):
        order = np.argsort(column, kind="stable")
        code = column[order]
        for k, (target, fold) in enumerate(zip(targets[order].T, folds[order].T, strict=True)):
            held_out = [fold == number for number in np.unique(fold)]
            scores = [right_by_depth(code[~out], target[~out], code[out], target[out]) for out in held_out]
            depth = np.ascontiguousarray(np.transpose(scores)).mean(axis=1).argmax()
            accuracy[j, k] = right_by_depth(code, target, code, target)[depth]
    return accuracy


def single_code_accuracies(
    table: Table, fitted: NDArray[np.intp], tried: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`(D, K)`: the accuracy on rows `tried` of code j's classifier for factor k; `(K,)`: of the commonest fitted value."""
    from sklearn.svm import LinearSVC

    targets, answers = table.labels[fitted], table.labels[tried]
    commonest = np.array([np.bincount(column).argmax() for column in targets.T])
    guesses = (answers == commonest).mean(axis=0)  # (K,)
    codes = within_reach(table.codes)
    accuracy = np.tile(guesses, (codes.shape[1], 1))
    with one_thread():  # threaded sums round differently, and one flipped prediction is another score
        for j, k in np.ndindex(accuracy.shape):
            code = codes[:, [j]]
            if np.ptp(code[fitted]) == 0 or np.ptp(targets[:, k]) == 0:
                continue
            classifier = LinearSVC(C=0.01, class_weight="balanced", random_state=0).fit(code[fitted], targets[:, k])
            accuracy[j, k] = (classifier.predict(code[tried]) == answers[:, k]).mean()
    return accuracy, guesses


def within_reach(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    """`codes (N, D)` as they are, for liblinear, but without what it never returns from or does not converge on.

    A code is halved until it is below 1024, where a penalty on its weight decides nothing any more, and values below 1e-30,
    whose squares vanish, are 0.
    """
    exponents = np.frexp(np.abs(codes).max(axis=0))[1]
    reached: NDArray[np.float64] = np.ldexp(codes, -np.maximum(exponents - 10, 0))
    reached[np.abs(reached) < 1e-30] = 0.0
    return reached


def _gaps(predictability: NDArray[np.float64], nothing: NDArray[np.float64], table: Table) -> dict[str, Any]:
    """Make the detail from `predictability (D, K)`.

    `nothing (K,)` is predicted without a code. Where there are no two codes it stands in for the second-best, and for a
    lone code that does worse.
    """
    live = table.live_codes
    without = 0 if len(live) > 1 else 2
    candidates = np.vstack([predictability[live], *[nothing] * without])
    ranked = np.sort(candidates, axis=0)
    best, runner_up = ranked[-1], ranked[-2]  # (K,) each
    code_of = [*live, *[None] * without]
    return {
        "score": float((best - runner_up).mean()),
        "factors": entries(
            factor=table.columns,
            code=[code_of[i] for i in candidates.argmax(axis=0)],
            gap=best - runner_up,
            predictability=best,
            runner_up_predictability=runner_up,
        ),
    } | table.left_out()
