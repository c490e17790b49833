"""Codes that are declared as quantized are scored as discrete ones: a bin for each value, however close the values are."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score as counted

from disbench.metrics import METRICS, as_table, infoc, infoe, infom
from disbench.metrics.information import table_information
from disbench.metrics.reference import ceiling_of, floor_of

VALUES = np.array([-0.5, 0.02, 0.03, 0.04, 0.5])  # bins of a twentieth of the range hold three of them
OF_BINS = ("mig", "rmig", "mig_sup", "jemmig", "dcimig", "modularity", "med", "topk_med", "edi")


@pytest.fixture(scope="module")
def factors() -> np.ndarray:
    return np.stack(np.meshgrid(range(5), range(4), range(10)), axis=-1).reshape(-1, 3)[:, :2]


@pytest.fixture(scope="module")
def perfect(factors: np.ndarray) -> np.ndarray:
    return VALUES[factors]


def test_information_is_that_of_the_values_and_not_of_bins(factors: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    codes = VALUES[(factors[:, [0, 1, 0]] + (rng.random((len(factors), 3)) < 0.3)) % 5]
    exact, binned = (table_information(as_table(codes, factors, quantized=yes), 20).mutual for yes in (True, False))
    expected = [[counted(factor, np.searchsorted(VALUES, code)) for code in codes.T] for factor in factors.T]
    np.testing.assert_allclose(exact, expected, atol=1e-12)
    assert (binned[0, [0, 2]] < exact[0, [0, 2]] - 0.1).all()


def test_more_values_than_bins_are_counted_too() -> None:
    column = np.repeat(np.arange(50), 4)
    found = table_information(as_table(column[:, None], column[:, None], quantized=True), 20)
    assert found.mutual[0, 0] == pytest.approx(np.log(50))


@pytest.mark.parametrize("name", OF_BINS)
def test_a_perfect_quantized_code_has_the_best_score_of_a_metric_of_bins(
    name: str, factors: np.ndarray, perfect: np.ndarray
) -> None:
    best = METRICS[name](factors, factors)
    assert METRICS[name](as_table(perfect, factors, quantized=True)) == pytest.approx(best, abs=1e-12)
    if name in ("mig", "jemmig", "dcimig"):  # the others do not see a merged value
        assert abs(METRICS[name](perfect, factors) - best) > 0.05


def test_pairs_of_quantized_codes_share_what_their_values_share(perfect: np.ndarray) -> None:
    score = METRICS["mutual_info_score"](as_table(perfect[:, [0, 0]], quantized=True))
    assert score == pytest.approx(np.log(5))


@pytest.mark.parametrize("metric", [infom, infoc, infoe])
def test_infomec_is_the_authors_variant_for_quantized_codes(
    metric: object, factors: np.ndarray, perfect: np.ndarray
) -> None:
    rng = np.random.default_rng(1)
    noisy = (factors + (rng.random(factors.shape) < 0.3) * rng.integers(5, size=factors.shape)) % 5
    codes = VALUES[[3, 0, 4, 1, 2]][noisy]  # in an order that no line follows
    declared = metric(as_table(codes, factors, quantized=True))
    assert declared == metric(codes, factors, discrete=True)
    assert declared != pytest.approx(metric(codes, factors), abs=1e-3)


def test_the_table_stays_quantized_in_its_floor_its_ceiling_and_its_rows(
    factors: np.ndarray, perfect: np.ndarray
) -> None:
    table = as_table(perfect, factors, quantized=True)
    for other in (floor_of(table, 0), ceiling_of(table, "labels"), table.take(np.arange(0, 200, 2))):
        assert other.quantized
    assert replace(table, quantized=False).digest != table.digest  # results of one are not recalled for the other


def test_a_continuous_factor_is_no_quantized_code(perfect: np.ndarray) -> None:
    table = as_table(perfect, np.random.default_rng(2).random((200, 2)), quantized=True)
    assert not ceiling_of(table, "values").quantized


def test_codes_that_hardly_recur_are_not_quantized() -> None:
    rng = np.random.default_rng(0)
    noise, factors = rng.normal(size=(600, 2)), rng.integers(0, 3, (600, 2))
    with pytest.raises(ValueError, match="Quantized codes need few values each, got 600 values of code 0 in 600 rows"):
        as_table(noise, factors, quantized=True)
    with pytest.raises(ValueError, match="quantized; pass it alone"):
        as_table(as_table(noise, factors), quantized=True)
    with pytest.raises(ValueError, match="as_table needs quantized as True or False, got 'no'"):
        as_table(noise, factors, quantized="no")  # type: ignore[arg-type]


def test_the_joint_entropy_gap_is_divided_by_the_entropy_that_the_values_can_have() -> None:
    codes = np.random.default_rng(0).permutation(np.repeat(np.arange(200), 15))[:, None]
    found = METRICS["jemmig"].detail(as_table(codes, codes // 50, quantized=True))
    assert found["bins"] == 200
    assert found["factors"][0]["score"] == pytest.approx(1 - (np.log(200) - np.log(4)) / (np.log(4) + np.log(200)))
