"""InfoM, InfoE, InfoC: modularity, explicitness and compactness of Hsu et al. 2023, arXiv:2305.18378.

    R_kj  = I(v_k; z_j) / H(v_k)                                          over the active codes
    InfoM = (mean_j max_k R_kj / sum_k R_kj - 1/K) / (1 - 1/K)            a code is about one factor
    InfoC = (mean_k max_j R_kj / sum_j R_kj - 1/D) / (1 - 1/D)            a factor is in one code
    InfoE = mean_k 1 - H_linear(v_k | z) / H_linear(v_k)                  a linear classifier can read the factors

As in the authors' code: information by nearest neighbours (Ross 2014, 10 of them), with no bins; a code is active if its
range exceeds a twentieth of the largest range; H_linear is the mean loss, on the rows that it was fitted on, of an
unpenalised logistic regression with balanced class weights stopped after 100 iterations, and without codes it is log V.
`discrete=True` is their variant for quantised codes: plug-in information, one-hot features, every live code active.

A continuous factor v_k has the authors' regression form of InfoE: the R2 of a linear regression of its values on all codes
(latent_quantization, disentangle/metrics/explicitness.py at 9a420a3). I(v_k; z_j) is then the nearest-neighbour estimate of
Kraskov et al. 2004, arXiv:cond-mat/0305641, and in the place of H(v_k), which can be negative, stands the same estimate of
v_k with itself, as in their mutual_information.py: what a code that equals the factor reaches.

Beyond them: a code that knows nothing, or a factor that none knows, counts 0 where they divide 0 by 0; dead codes are
left out of InfoE too, where they changed nothing. A share in one factor, or of one active code, could not fail: there is a
reason in place of that number.
"""

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.information import (
    contingency,
    information_from_counts,
    live_codes,
    require_factors_to_compare,
    standardised,
)
from disbench.metrics.memoize import recent
from disbench.metrics.metric import NotApplicable
from disbench.metrics.nearest_neighbors import information_about_labels
from disbench.metrics.table import Table, as_table
from disbench.metrics.threads import one_thread

ACTIVE_RANGE = 1 / 20  # of the largest range


class Relative(NamedTuple):
    """Information about each factor in units of its entropy, in the codes that are active."""

    information: NDArray[np.float64]  # (K, active)
    active: tuple[int, ...]
    inactive: tuple[int, ...]
    columns: tuple[int, ...]
    constant_factors: tuple[int, ...]


def infom(codes: ArrayLike, factors: ArrayLike, *, neighbors: int = 10, discrete: bool = False, seed: int = 0) -> float:
    """InfoModularity: the largest share that one factor has in what a code knows, averaged over active codes, chance at 0.

    `codes (N, D)`, `factors (N, K)` -> a number in [0, 1], higher is better, and 0 where no code is alive. Noise scores
    far above 0, the more so the fewer the rows: .56 with five factors and 2,880 rows, .8 with 360. Estimates near 0 are
    cut off there, and one of the few that remain has a large share of next to nothing; read it beside InfoE. `seed`
    breaks ties between equal values of a code, by a noise of 1e-10 of its size; codes without ties score the same for
    all seeds to about 1e-4. Raises NotApplicable when fewer than two factors vary or no two rows share a value of a
    discrete one, and ValueError for a malformed table or neighbors < 1.
    """
    return float(infom_detail(codes, factors, neighbors=neighbors, discrete=discrete, seed=seed)["score"])


def infoc(codes: ArrayLike, factors: ArrayLike, *, neighbors: int = 10, discrete: bool = False, seed: int = 0) -> float:
    """InfoCompactness: the largest share that one active code has in what is known of a factor, averaged, chance at 0.

    As `infom` with codes and factors exchanged. Noise scores 0.35 in ten codes with 2,880 rows, and 0.9 in four codes with
    360. Raises NotApplicable as well when a single code is active. With none the score is 0.
    """
    return float(infoc_detail(codes, factors, neighbors=neighbors, discrete=discrete, seed=seed)["score"])


def infoe(codes: ArrayLike, factors: ArrayLike, *, max_iter: int = 100, discrete: bool = False, seed: int = 0) -> float:
    """InfoExplicitness: the share of a factor's entropy that a linear reading of all codes removes, averaged.

    `codes (N, D)`, `factors (N, K)` -> a number in [0, 1], higher is better, near 0 for noise in many rows, and 0
    where no code is alive. Classes weigh alike in the fit but not in the loss, so a factor of rare values can fall
    below 0; where that drives the mean below 0 it is reported as 0, and the detail holds each factor's own. A
    continuous factor counts by the R2 of a linear regression. Constant factors are left out. `seed` is there for a
    uniform call and changes nothing. Raises NotApplicable when no factor varies and ValueError for a malformed table
    or max_iter < 1.
    """
    return float(infoe_detail(codes, factors, max_iter=max_iter, discrete=discrete, seed=seed)["score"])


def infom_detail(
    codes: ArrayLike, factors: ArrayLike, *, neighbors: int = 10, discrete: bool = False, seed: int = 0
) -> dict[str, Any]:
    """`infom` with each active code's factor and that factor's share in it above chance."""
    found = relative_information(codes, factors, neighbors=neighbors, discrete=discrete, seed=seed)
    require_factors_to_compare(found.columns, "infom")
    shares = shares_above_chance(found.information)  # (active,)
    return {
        "score": min(float(shares.mean()), 1.0) if found.active else 0.0,
        "codes": [
            {
                "code": j,
                "factor": found.columns[int(found.information[:, i].argmax())],
                "share": float(shares[i]),
                "relative_information": float(found.information[:, i].max()),
            }
            for i, j in enumerate(found.active)
        ],
        "constant_factors": list(found.constant_factors),
        "dropped_codes": list(found.inactive),
    }


def infoc_detail(
    codes: ArrayLike, factors: ArrayLike, *, neighbors: int = 10, discrete: bool = False, seed: int = 0
) -> dict[str, Any]:
    """`infoc` with each varying factor's code and that code's share in what is known of it, above chance."""
    found = relative_information(codes, factors, neighbors=neighbors, discrete=discrete, seed=seed)
    require_factors_to_compare(found.columns, "infoc")
    if len(found.active) == 1:
        raise NotApplicable(
            f"infoc compares codes and needs two that are active, got one (code {found.active[0]}): its share is always 1."
        )
    by_factor = found.information.T  # (active, K)
    shares = shares_above_chance(by_factor)  # (K,)
    return {
        "score": min(float(shares.mean()), 1.0),
        "factors": [
            {
                "factor": column,
                "code": found.active[int(by_factor[:, k].argmax())] if found.active else None,
                "share": float(shares[k]),
            }
            for k, column in enumerate(found.columns)
        ],
        "constant_factors": list(found.constant_factors),
        "dropped_codes": list(found.inactive),
    }


def infoe_detail(
    codes: ArrayLike, factors: ArrayLike, *, max_iter: int = 100, discrete: bool = False, seed: int = 0
) -> dict[str, Any]:
    """`infoe` with each varying factor's own share, its loss in nats, and whether the fit converged.

    A continuous factor has no loss in nats, and its fit is exact.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    if max_iter < 1:
        raise ValueError(f"infoe needs max_iter >= 1, got max_iter={max_iter}; the authors use 100.")
    table = as_table(codes, factors)
    live = live_codes(table)
    entries: list[dict[str, Any]] = []
    for k, column in enumerate(table.columns):
        if table.continuous[k]:
            explained = _explained_variance(table.codes[:, live], table.values[:, [k]], discrete) if live else 0.0
            entries.append({"factor": column, "explicitness": explained, "loss": None, "converged": True})
            continue
        values, without_codes = table.labels[:, k], float(np.log(table.sizes[k]))
        loss, converged = without_codes, True
        if live:
            features = _features(table.codes[:, live], discrete)
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
        "constant_factors": table.constant_factors,
        "dropped_codes": table.dead_codes,
    }


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
def relative_information(
    codes: ArrayLike, factors: ArrayLike, *, neighbors: int, discrete: bool, seed: int
) -> Relative:
    """What InfoM and InfoC share, and what takes their time."""
    if neighbors < 1:
        raise ValueError(f"infom and infoc need neighbors >= 1, got neighbors={neighbors}; the authors use 10.")
    table = as_table(codes, factors)
    ranges = np.ptp(table.codes, axis=0)
    active = live_codes(table) if discrete else np.flatnonzero(ranges > ranges.max() * ACTIVE_RANGE).tolist()
    relative = np.zeros((len(table.columns), len(active)))
    if active:
        used = table._replace(codes=table.codes[:, active], dead_codes=[])
        relative = _plug_in(used, neighbors, seed) if discrete else _nearest_neighbours(used, neighbors, seed)
    relative.flags.writeable = False
    inactive = tuple(j for j in range(len(ranges)) if j not in active)
    return Relative(relative, tuple(active), inactive, tuple(table.columns), tuple(table.constant_factors))


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


def _nearest_neighbours(table: Table, neighbors: int, seed: int) -> NDArray[np.float64]:
    from sklearn.feature_selection import mutual_info_regression

    continuous = np.array(table.continuous)
    relative = np.empty((len(table.columns), table.codes.shape[1]))
    for k in np.flatnonzero(~continuous):
        if np.bincount(table.labels[:, k]).max() < 2:
            raise NotApplicable(
                f"information about factor {table.columns[k]} has no estimate: no two rows share a value of it."
            )
    if not continuous.all():
        labels = table.labels[:, ~continuous]
        entropies = np.array([_entropy(column) for column in labels.T])
        relative[~continuous] = information_about_labels(table.codes, labels, neighbors, seed) / entropies[:, None]
    if continuous.any():
        _require_neighbors(table, neighbors)
        codes, values = standardised(table.codes)[0], standardised(table.values)[0]
        for k in np.flatnonzero(continuous):
            with one_thread():
                mutual = mutual_info_regression(codes, values[:, k], n_neighbors=neighbors, random_state=seed)
            relative[k] = _relative_to_itself(mutual, values[:, k], neighbors, seed)
    return relative


def _plug_in(table: Table, neighbors: int, seed: int) -> NDArray[np.float64]:
    from sklearn.feature_selection import mutual_info_regression

    relative = np.empty((len(table.columns), table.codes.shape[1]))
    discrete = np.flatnonzero(~np.array(table.continuous))
    entropies = np.array([_entropy(table.labels[:, k]) for k in discrete])
    indices = np.empty(table.codes.shape, dtype=np.intp)  # (N, D)
    some = table._replace(labels=table.labels[:, discrete], sizes=table.sizes[discrete])
    for j, code in enumerate(table.codes.T):
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
    if len(table.codes) <= neighbors:
        raise NotApplicable(
            f"information about a continuous factor needs more rows than neighbors, got {len(table.codes)} rows and"
            f" neighbors={neighbors}."
        )


def _entropy(labels: NDArray[np.intp]) -> float:
    shares = np.bincount(labels) / len(labels)
    return float(-(shares * np.log(shares)).sum())
