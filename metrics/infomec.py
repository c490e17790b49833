"""InfoM, InfoE, InfoC: modularity, explicitness and compactness of Hsu et al. 2023, arXiv:2305.18378.

    R_kj  = I(v_k; z_j) / H(v_k)                                          over the active codes
    InfoM = (mean_j max_k R_kj / sum_k R_kj - 1/K) / (1 - 1/K)            a code is about one factor
    InfoC = (mean_k max_j R_kj / sum_j R_kj - 1/D) / (1 - 1/D)            a factor is in one code
    InfoE = mean_k 1 - H_linear(v_k | z) / H_linear(v_k)                  a linear classifier can read the factors

As in the authors' code: information by nearest neighbors (Ross 2014, 10 of them), with no bins; a code is active if its
range exceeds a twentieth of the largest range; H_linear is the mean loss, on the rows that it was fitted on, of an
unpenalized logistic regression with balanced class weights stopped after 100 iterations, and without codes it is log V.
`discrete=True` is their variant for quantized codes: plug-in information, one-hot features, every live code active. A table that
is `quantized` gets it by itself.

A continuous factor v_k has the authors' regression form of InfoE: the R2 of a linear regression of its values on all codes
(latent_quantization, disentangle/metrics/explicitness.py at 9a420a3). I(v_k; z_j) is then the nearest-neighbour estimate of
Kraskov et al. 2004, arXiv:cond-mat/0305641, and in the place of H(v_k), which can be negative, stands the same estimate of
v_k with itself, as in their mutual_information.py: what a code that equals the factor reaches.

Beyond them: a code that knows nothing, or a factor that none knows, counts 0 where they divide 0 by 0; dead codes are
left out of InfoE too, where they changed nothing. A share in one factor, or of one active code, could not fail: there is a
reason in place of that number.
"""

import warnings
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from disbench.metrics.information import (
    contingency,
    information_from_counts,
    require_factors_to_compare,
    standardised,
)
from disbench.metrics.memoize import recent
from disbench.metrics.metric import Metric, entries
from disbench.metrics.nearest_neighbors import information_about_labels
from disbench.metrics.table import Factors, NotApplicable, Table
from disbench.metrics.threads import one_thread

ACTIVE_RANGE = 1 / 20  # of the largest range


class Relative(NamedTuple):
    """Information about each factor in units of its entropy, in the codes that are active."""

    information: NDArray[np.float64]  # (K, active)
    active: tuple[int, ...]


@partial(
    Metric,
    label="InfoM",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="The largest share that one factor has in what a code knows, averaged over active codes and scaled"
    " so that equal shares score 0.",
    insensitive_to="A missing or copied factor; a few codes of noise can score 1.",
    source="Hsu et al. 2023, arXiv:2305.18378v4",
    no_bootstrap_reason="nearest neighbours take a repeated row for knowledge.",
    version=2,
)
def infom(table: Table, *, neighbors: int = 10, discrete: bool = False, seed: int = 0) -> dict[str, Any]:
    """Average over active codes the largest share that one factor has in what a code knows.

    Equal shares score 0, and so does a table without live codes. Noise scores far above 0, more so with fewer
    rows: 0.56 for five factors and 2,880 rows, 0.8 for 360, because estimates near 0 are cut off. Read it
    beside InfoE. The seed breaks ties between equal values of a code with noise of 1e-10 of its size; without
    ties, scores agree to about 1e-4. Not applicable if fewer than two factors vary, or if no two rows share a
    value of a discrete factor. The detail holds the factor of each active code and its share above chance.

    Parameters
    ----------
    neighbors
        Number of nearest neighbors of the estimate, at least 1.
    discrete
        Whether the codes are quantized: plug-in information is used, and every live code is active.

    Examples
    --------
    >>> from disbench.metrics import infom
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]] * 25
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]] * 25
    >>> infom(factors, factors, discrete=True), round(infom(rotated, factors, discrete=True), 3)
    (1.0, 0.0)
    """
    found = relative_information(table, neighbors=neighbors, discrete=discrete or table.quantized, seed=seed)
    require_factors_to_compare(table.columns, "infom")
    shares = shares_above_chance(found.information)  # (active,)
    return {
        "score": min(float(shares.mean()), 1.0) if found.active else 0.0,
        "codes": entries(
            code=found.active,
            factor=table.columns_at(found.information.argmax(axis=0)),
            share=shares,
            relative_information=found.information.max(axis=0),
        ),
    } | _left_out(table, found)


@partial(
    Metric,
    label="InfoC",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="The largest share that one active code has in what is known of a factor, averaged over factors and"
    " scaled so that equal shares score 0.",
    insensitive_to="A code that knows two factors.",
    source="Hsu et al. 2023, arXiv:2305.18378v4",
    no_bootstrap_reason="nearest neighbours take a repeated row for knowledge.",
    version=2,
)
def infoc(table: Table, *, neighbors: int = 10, discrete: bool = False, seed: int = 0) -> dict[str, Any]:
    """Average over factors the largest share that one active code has in what is known of a factor.

    Equal shares score 0, and so does a table without active codes. Noise scores 0.35 in ten codes with 2,880
    rows, and 0.9 in four codes with 360. Not applicable where `infom` is not, or if a single code is active.
    The detail holds the code of each varying factor and its share above chance.

    Parameters
    ----------
    neighbors
        Number of nearest neighbors of the estimate, at least 1.
    discrete
        Whether the codes are quantized: plug-in information is used, and every live code is active.

    Examples
    --------
    >>> from disbench.metrics import infoc
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]] * 25
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]] * 25
    >>> infoc(factors, factors, discrete=True), round(infoc(rotated, factors, discrete=True), 3)
    (1.0, 0.0)
    """
    found = relative_information(table, neighbors=neighbors, discrete=discrete or table.quantized, seed=seed)
    require_factors_to_compare(table.columns, "infoc")
    if len(found.active) == 1:
        raise NotApplicable(
            f"infoc compares codes and needs two that are active, got one (code {found.active[0]}): its share is always 1."
        )
    shares = shares_above_chance(found.information.T)  # (K,)
    return {
        "score": min(float(shares.mean()), 1.0),
        "factors": entries(
            factor=table.columns,
            code=[found.active[int(row.argmax())] if found.active else None for row in found.information],
            share=shares,
        ),
    } | _left_out(table, found)


@partial(
    Metric,
    label="InfoE",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="The share of a factor's entropy that a logistic regression on all codes removes, averaged over"
    " factors.",
    insensitive_to="Rotation and copies: only whether the factors can be read off all codes together.",
    source="Hsu et al. 2023, arXiv:2305.18378v4",
    no_bootstrap_reason="a regression for each resample takes minutes.",
    version=2,
)
def infoe(table: Table, *, max_iter: int = 100, discrete: bool = False) -> dict[str, Any]:
    """Average over factors the share of entropy that a linear classifier on all codes removes.

    Noise scores near 0 on many rows. The score is 0 if no code is live. Classes have equal weights in the fit
    but not in the loss, so a factor with rare values can fall below 0; a negative mean is reported as 0, and
    the detail holds each factor's own value. A continuous factor counts by the R2 of a linear regression.
    Constant factors are left out. The detail holds, for each varying factor, its share, its loss in nats and
    whether the fit converged; a continuous factor has no loss, and its fit is exact.

    Parameters
    ----------
    max_iter
        Number of iterations of the regression, at least 1.
    discrete
        Whether the codes are quantized and become one-hot features.

    Examples
    --------
    >>> from disbench.metrics import infoe
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]] * 25
    >>> rotated = [[0, 0], [1, -1], [1, 1], [2, 0]] * 25
    >>> round(infoe(factors, factors), 2), round(infoe(rotated, factors), 2)
    (1.0, 1.0)
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    if max_iter < 1:
        raise ValueError(f"infoe needs max_iter >= 1, got max_iter={max_iter}; the authors use 100.")
    codes, discrete = table.codes[:, table.live_codes], discrete or table.quantized
    entries: list[dict[str, Any]] = []
    for k, column in enumerate(table.columns):
        if table.continuous[k]:
            explained = _explained_variance(codes, table.values[:, [k]], discrete) if codes.size else 0.0
            entries.append({"factor": column, "explicitness": explained, "loss": None, "converged": True})
            continue
        values, without_codes = table.labels[:, k], float(np.log(table.sizes[k]))
        loss, converged = without_codes, True
        if codes.size:
            features = _features(codes, discrete)
            # Threaded sums round differently, and 100 iterations amplify it. The limit is the authors'; the detail tells of it.
            with one_thread(), warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                classifier = LogisticRegression(C=np.inf, class_weight="balanced", max_iter=max_iter)
                classifier.fit(features, values)
                loss = float(log_loss(values, classifier.predict_proba(features), labels=classifier.classes_))
            converged = int(classifier.n_iter_.max()) < max_iter
        explicitness = (without_codes - loss) / without_codes
        entries.append({"factor": column, "explicitness": explicitness, "loss": loss, "converged": converged})
    return {
        "score": min(max(float(np.mean([entry["explicitness"] for entry in entries])), 0.0), 1.0),
        "factors": entries,
    } | table.left_out()


def _features(codes: NDArray[np.float64], discrete: bool) -> Any:
    from sklearn.preprocessing import OneHotEncoder

    return OneHotEncoder().fit_transform(codes) if discrete else standardised(codes)[0]


def _explained_variance(codes: NDArray[np.float64], values: NDArray[np.float64], discrete: bool) -> float:
    """R2 on all rows of the linear regression of `values (N, 1)` on `codes (N, live)`, in [0, 1]."""
    from sklearn.linear_model import LinearRegression

    features, target = _features(codes, discrete), standardised(values)[0][:, 0]
    with one_thread():  # threaded sums round differently
        explained = LinearRegression().fit(features, target).score(features, target)
    return min(max(float(explained), 0.0), 1.0)


@recent
def relative_information(table: Table, *, neighbors: int, discrete: bool, seed: int) -> Relative:
    """Estimate the information that InfoM and InfoC share; this takes most of their time."""
    if neighbors < 1:
        raise ValueError(f"infom and infoc need neighbors >= 1, got neighbors={neighbors}; the authors use 10.")
    codes = table.codes
    ranges = np.ptp(codes, axis=0)
    active = table.live_codes if discrete else np.flatnonzero(ranges > ranges.max() * ACTIVE_RANGE).tolist()
    relative = np.zeros((len(table.columns), len(active)))
    if active:
        estimate = _plug_in if discrete else _nearest_neighbors
        relative = estimate(codes[:, active], table, neighbors, seed)
    relative.flags.writeable = False
    return Relative(relative, tuple(active))


def _left_out(table: Table, found: Relative) -> dict[str, list[int]]:
    inactive = [j for j in range(table.raw_codes.shape[1]) if j not in found.active]
    return table.left_out() | {"dropped_codes": inactive}


def shares_above_chance(relative: NDArray[np.float64]) -> NDArray[np.float64]:
    """`relative (A, B)` -> `(B,)`: each column's maximum over its sum, scaled from [1/A, 1] to [0, 1].

    0 for a column of zeros, and 1 for the only entry of a column where that is not 0.
    """
    chance, total = 1 / max(len(relative), 1), relative.sum(axis=0)
    known = total > 0
    shares = np.zeros(len(total))
    if known.any():
        shares[known] = relative[:, known].max(axis=0) / total[known]
    if chance < 1:
        shares[known] = np.maximum((shares[known] - chance) / (1 - chance), 0.0)
    return shares


def _nearest_neighbors(codes: NDArray[np.float64], table: Table, neighbors: int, seed: int) -> NDArray[np.float64]:
    from sklearn.feature_selection import mutual_info_regression

    continuous = np.array(table.continuous)
    relative = np.empty((len(table.columns), codes.shape[1]))
    for k in np.flatnonzero(~continuous):
        if np.bincount(table.labels[:, k]).max() < 2:
            raise NotApplicable(
                f"information about factor {table.columns[k]} has no estimate: no two rows share a value of it."
            )
    if not continuous.all():
        labels = table.labels[:, ~continuous]
        entropies = np.array([_entropy(column) for column in labels.T])
        relative[~continuous] = information_about_labels(codes, labels, neighbors, seed) / entropies[:, None]
    if continuous.any():
        _require_neighbors(table, neighbors)
        codes, values = standardised(codes)[0], standardised(table.values)[0]
        for k in np.flatnonzero(continuous):
            with one_thread():
                mutual = mutual_info_regression(codes, values[:, k], n_neighbors=neighbors, random_state=seed)
            relative[k] = _relative_to_itself(mutual, values[:, k], neighbors, seed)
    return relative


def _plug_in(codes: NDArray[np.float64], table: Table, neighbors: int, seed: int) -> NDArray[np.float64]:
    from sklearn.feature_selection import mutual_info_regression

    relative = np.empty((len(table.columns), codes.shape[1]))
    discrete = np.flatnonzero(~np.array(table.continuous))
    entropies = np.array([_entropy(table.labels[:, k]) for k in discrete])
    indices = np.empty(codes.shape, dtype=np.intp)  # (N, D)
    some = Factors(table.values[:, discrete], table.labels[:, discrete], table.sizes[discrete], ())
    for j, code in enumerate(codes.T):
        values, indices[:, j] = np.unique(code, return_inverse=True)
        if len(discrete):
            counts = contingency(indices[None, :, j], some.labels, some.sizes, len(values))
            relative[discrete, j] = information_from_counts(counts, some).mutual[:, 0] / entropies
    standard, _ = standardised(table.values)
    for k in np.flatnonzero(table.continuous):
        _require_neighbors(table, neighbors)
        mutual = mutual_info_regression(
            indices, standard[:, k], discrete_features=True, n_neighbors=neighbors, random_state=seed
        )
        relative[k] = _relative_to_itself(mutual, standard[:, k], neighbors, seed)
    return relative


def _relative_to_itself(
    mutual: NDArray[np.float64], values: NDArray[np.float64], neighbors: int, seed: int
) -> NDArray[np.float64]:
    """`mutual (D,)` in units of the estimate for `values (N,)` with themselves."""
    from sklearn.feature_selection import mutual_info_regression

    most = mutual_info_regression(values[:, None], values, n_neighbors=neighbors, random_state=seed)[0]
    return mutual / most if most > 0 else np.zeros_like(mutual)


def _require_neighbors(table: Table, neighbors: int) -> None:
    if len(table.raw_codes) <= neighbors:
        raise NotApplicable(
            f"information about a continuous factor needs more rows than neighbors, got {len(table.raw_codes)} rows and"
            f" neighbors={neighbors}."
        )


def _entropy(labels: NDArray[np.intp]) -> float:
    shares = np.bincount(labels) / len(labels)
    return float(-(shares * np.log(shares)).sum())
