"""Results are shared by content: what is found again, what is not, and that nobody can spoil them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from disbench.metrics import arrays, as_table, information, table as table_module
from disbench.metrics.dcimig import dcimig
from disbench.metrics.jemmig import jemmig
from disbench.metrics.memoize import KEPT, recent
from disbench.metrics.mig import mig
from disbench.metrics.mig_sup import mig_sup
from disbench.metrics.modularity import modularity


@pytest.fixture
def counted():
    """A computation that adds up its table and counts its calls."""
    calls = []

    @recent
    def total(table, *, scale=1):
        calls.append(scale)
        return scale * float(table.codes.sum() + table.values.sum())

    return lambda codes, factors, **options: total(as_table(codes, factors), **options), calls


FACTORS = np.arange(4)[:, None] % 2


def test_equal_tables_are_computed_once_whatever_arrays_hold_them(counted):
    total, calls = counted
    codes = np.ones((4, 2))
    assert total(codes, FACTORS) == total(codes.copy(), FACTORS) == total(np.asfortranarray(codes), FACTORS) == 10
    assert len(calls) == 1


def test_an_array_that_changes_in_place_is_another_table(counted):
    total, calls = counted
    codes, factors = np.ones((4, 2)), FACTORS.copy()
    assert total(codes, factors) == 10
    codes[0, 0] = 3
    assert total(codes, factors) == 12
    factors[0, 0] = 1
    assert total(codes, factors) == 13
    assert len(calls) == 3


def test_shape_type_and_options_belong_to_a_tables_identity(counted):
    total, calls = counted
    codes = np.zeros((4, 2))
    for table in ((codes, FACTORS), (codes[:, :1], FACTORS), (codes.astype(np.int64), FACTORS)):
        total(*table)
        total(*table, scale=2)
        total(*table, scale=2)
    assert calls == [1, 2] * 3


def test_the_last_used_results_are_kept_and_no_more(counted):
    total, calls = counted
    tables = [np.full((4, 2), float(value)) for value in range(KEPT + 1)]
    for codes in tables[:KEPT]:
        total(codes, FACTORS)
    total(tables[0], FACTORS)
    total(tables[KEPT], FACTORS)  # pushes out the one that was not used for longest: table 1
    total(tables[0], FACTORS)
    assert len(calls) == KEPT + 1
    total(tables[1], FACTORS)
    assert len(calls) == KEPT + 2


def test_errors_are_not_kept():
    attempts, table = [], as_table(np.zeros((4, 1)), FACTORS)

    @recent
    def fails_once(table):
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("once")
        return 1

    with pytest.raises(ValueError, match="once"):
        fails_once(table)
    assert fails_once(table) == 1


def test_objects_whose_bytes_are_addresses_are_refused(counted):
    total, _ = counted
    with pytest.raises(ValueError, match="dtype object"):
        total(np.array([[1.0], [2.0], [3.0], [4.0]], dtype=object), FACTORS)


def test_a_table_is_digested_once_for_all_metrics(grid, noisy_codes, monkeypatch):
    digested, digest = [], arrays.digest
    monkeypatch.setattr(arrays, "digest", lambda array: digested.append(1) or digest(array))
    table = as_table(noisy_codes, grid)
    for metric in (mig, jemmig, modularity):
        metric(table)
    assert len(digested) == 2  # codes and factors


def test_the_information_metrics_count_a_table_once(grid, noisy_codes, monkeypatch):
    passes = []
    contingency = information.contingency
    monkeypatch.setattr(information, "contingency", lambda *args: passes.append(1) or contingency(*args))
    codes = noisy_codes + 1e-3  # a table that no other test has asked for
    for metric in (mig, jemmig, modularity, dcimig, mig_sup, mig_sup):
        metric(codes, grid)
    mig_sup(codes.copy(), grid.copy(), divide_by="code")
    assert len(passes) == 1
    mig(codes, grid, bins=10)
    assert len(passes) == 2


def test_a_callers_changes_to_a_detail_do_not_reach_the_next_caller(grid, noisy_codes):
    codes, factors = np.insert(noisy_codes, 0, 1.0, axis=1), np.insert(grid, 0, 1, axis=1)
    first = mig.detail(codes, factors)
    first["dropped_codes"].append(99)
    first["constant_factors"].clear()
    first["factors"][0].clear()
    again = mig.detail(codes, factors)
    assert again["dropped_codes"] == again["constant_factors"] == [0]
    assert again["factors"][0]["factor"] == 1
    with pytest.raises(ValueError, match="read-only"):
        information.table_information(as_table(codes, factors), 20).mutual[0, 0] = 1.0


def test_tables_scored_side_by_side_keep_their_own_results(grid, noisy_codes):
    tables = [noisy_codes[:, list(order)] for order in ((0,), (1,), (2,), (3,), (0, 1), (2, 3))]
    alone = [mig(codes, grid) for codes in tables]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda i: mig(tables[i % 6], grid), range(60))) == alone * 10


def test_factors_are_not_relabelled_for_a_count_that_is_found_again(grid, noisy_codes, monkeypatch):
    codes, relabelled = noisy_codes + 2e-3, []
    mig(codes, grid)
    relabel = table_module._relabelled
    monkeypatch.setattr(table_module, "_relabelled", lambda *args: relabelled.append(1) or relabel(*args))
    for metric in (mig, jemmig, modularity, dcimig, mig_sup):
        metric(codes, grid)
    assert not relabelled
