"""The estimate of information against a count of all pairs of rows and against scikit-learn."""

import numpy as np
import pytest
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_classif

from disbench.metrics import nearest_neighbors
from disbench.metrics.information import standardised
from disbench.metrics.nearest_neighbors import information_about_labels, rows_within


def counted_pair_by_pair(code, labels, neighbors):
    """Ross 2014 from the full matrix of distances, for a code without ties."""
    labels_of_several = [v for v in np.unique(labels) if (labels == v).sum() > 1]
    rows = np.flatnonzero(np.isin(labels, labels_of_several))
    distance = np.abs(code[rows, None] - code[rows])
    terms = []
    for i, row in enumerate(rows):
        same = labels[rows] == labels[row]
        k = min(neighbors, same.sum() - 1)
        radius = np.sort(distance[i, same])[k]
        terms.append(digamma(k) - digamma(same.sum()) - digamma((distance[i] < radius).sum()))
    return max(0.0, digamma(len(rows)) + np.mean(terms))


@pytest.mark.parametrize("neighbors", [1, 3, 10])
def test_the_estimate_is_that_of_a_count_of_all_pairs(neighbors):
    rng = np.random.default_rng(0)
    labels = np.stack([rng.integers(0, 3, 200), rng.integers(0, 60, 200), np.minimum(np.arange(200), 150)], axis=1)
    assert (np.bincount(labels[:, 2]) == 1).any()  # values of a single row do not count
    codes = np.stack([labels[:, 0] + rng.normal(0, 0.3, 200), labels[:, 1] + rng.normal(0, 3, 200)], axis=1)
    estimates = information_about_labels(codes, labels, neighbors, seed=0)
    expected = [[counted_pair_by_pair(code, column, neighbors) for code in codes.T] for column in labels.T]
    assert estimates == pytest.approx(np.array(expected), abs=1e-9)
    assert estimates[0, 0] > 0.5


@pytest.mark.parametrize("kind", ["continuous", "rounded", "copied rows", "offset", "heavy tails"])
def test_the_estimate_is_scikit_learns(kind):
    rng = np.random.default_rng(1)
    labels = rng.integers(
        0, [[3, 12]], (1000, 2)
    )  # at least 22 rows a value, else scikit-learn's distances are rounded
    codes = labels @ rng.normal(size=(2, 4)) + rng.normal(size=(1000, 4))
    codes = {
        "continuous": codes,
        "rounded": np.round(codes),
        "copied rows": np.repeat(codes[::2], 2, axis=0),
        "offset": 1e-3 * codes + 100,
        "heavy tails": codes / rng.normal(size=codes.shape),
    }[kind]
    ours = information_about_labels(codes, labels, 5, seed=3)
    theirs = [
        mutual_info_classif(standardised(codes)[0], column, discrete_features=False, n_neighbors=5, random_state=3)
        for column in labels.T
    ]
    assert ours == pytest.approx(np.array(theirs), abs=1e-9)


def test_the_noise_of_a_large_table_is_drawn_in_parts(monkeypatch):
    rng = np.random.default_rng(2)
    codes, labels = np.round(rng.normal(size=(300, 5)), 1), rng.integers(0, 4, (300, 1))
    whole = information_about_labels(codes, labels, 3, seed=0)
    monkeypatch.setattr(nearest_neighbors, "DRAWS_AT_ONCE", 700)
    assert np.array_equal(information_about_labels(codes, labels, 3, seed=0), whole)


def test_rows_on_the_border_count_whatever_the_rounding_of_the_sum():
    rng = np.random.default_rng(3)
    ascending = np.sort(rng.normal(size=300) + 1e6)
    values = rng.choice(ascending, 200)
    radius = np.abs(values - rng.choice(ascending, 200))
    expected = (np.abs(ascending - values[:, None]) <= radius[:, None]).sum(axis=1)
    assert np.array_equal(rows_within(ascending, values, radius), expected)
    assert np.array_equal(rows_within(np.zeros(4), np.zeros(2), np.zeros(2)), [4, 4])
