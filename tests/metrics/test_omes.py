"""OMES against the authors' code, all pairs by enumeration, and cases by hand."""

import itertools

import numpy as np
import pytest

from disbench.metrics import METRICS, NotApplicable, as_codes, as_table, omes
from disbench.metrics.omes import movement, parts

GRID = np.array(list(itertools.product(range(3), range(3))))


def test_a_perfect_code_of_three_values_scores_three_eighths():
    """S is 1/2 on the diagonal; each part is 1 - (1/2 + 0)/2 = 3/4, and 1/2 of that is the score."""
    detail = omes.detail(GRID, GRID)
    assert detail["score"] == pytest.approx(0.375, abs=1e-12)
    assert detail["factors"][0]["moves"] == pytest.approx([0.5, 0.0], abs=1e-12)
    assert [entry["code"] for entry in detail["factors"]] == [0, 1]


def test_a_perfect_code_of_a_binary_factor_scores_0():
    bits = np.array(list(itertools.product(range(2), repeat=3)))
    assert omes(bits, bits) == 0.0
    assert omes.detail(bits, bits)["factors"][0]["code"] is None


def test_the_ceiling_rises_with_the_number_of_values():
    """1 - 1/(V - 1), times itself over the mean with the other factor's zero."""
    for values in (4, 11):
        grid = np.array(list(itertools.product(range(values), range(values))))
        moves = 1 - 1 / (values - 1)
        assert omes(grid, grid) == pytest.approx(moves * (1 + moves) / 2, abs=1e-12)


def test_pooled_scores_of_a_matrix_by_hand():
    """Two codes, two factors: both move with factor 0, neither with factor 1."""
    moves = np.array([[1.0, 0.0], [0.5, 0.0]])
    overlap, encoding = parts(moves, "avg")
    # overlap of code 0 is 1, of code 1 is 1 - 0.5/2; encoding of code 0 is 1 - 0.5/2, of code 1 is 1 - (1 + 0.5)/2
    assert overlap == pytest.approx([(1 * 1 + 0.5 * 0.5 * 0.75) / 1.5, 0.0])
    assert encoding == pytest.approx([(1 * 0.75 + 0.5 * 0.5 * 0.25) / 1.5, 0.0])
    overlap, encoding = parts(moves, "max")
    assert overlap == pytest.approx([1.0, 0.0])
    assert encoding == pytest.approx([0.75, 0.0])


def all_pairs(codes, factors):
    """S from every ordered pair of rows that differ in one factor alone, for tables of one row a cell and whole lines."""
    moves = np.empty((codes.shape[1], factors.shape[1]))
    for k in range(factors.shape[1]):
        pairs = [
            (a, b)
            for a, b in itertools.permutations(range(len(factors)), 2)
            if [i for i, (x, y) in enumerate(zip(factors[a], factors[b], strict=True)) if x != y] == [k]
        ]
        first, second = np.array(pairs).T
        for j in range(codes.shape[1]):
            moves[j, k] = 1 - abs(np.corrcoef(codes[first, j], codes[second, j])[0, 1])
    return moves


def test_a_code_moves_as_all_pairs_of_rows_say():
    factors = np.array(list(itertools.product(range(3), range(4), range(2))))
    codes = factors @ np.array([[1.0, 0.2], [0.0, 0.6], [0.4, 0.0]])
    codes += np.random.default_rng(1).normal(size=codes.shape)
    assert movement(codes, as_table(codes, factors)) == pytest.approx(all_pairs(codes, factors), abs=1e-12)


def test_lines_count_by_the_pairs_that_the_authors_draw_from_them():
    """One line of 2 cells, 2 draws of 1 pair, and one of 3, 3 draws of 1 pair: weights 2 and 3, by enumeration."""
    factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [1, 2]])
    code = np.array([0.3, 1.0, -0.7, 2.0, 0.1])
    pairs = [(a, b, 2 / 2) for a, b in itertools.permutations((0, 1))]
    pairs += [(a, b, 3 / 6) for a, b in itertools.permutations((2, 3, 4), 2)]
    a, b, weight = (np.array(column) for column in zip(*pairs, strict=True))
    expected = 1 - abs(np.cov(code[a], code[b], aweights=weight, bias=True)[0, 1]) / np.cov(
        code[a], aweights=weight, bias=True
    )
    assert movement(code[:, None], as_table(code[:, None], factors))[0, 1] == pytest.approx(float(expected), abs=1e-12)


def test_rows_of_one_cell_stand_for_it_with_equal_chance():
    factors = np.repeat(GRID, 2, axis=0)
    codes = np.random.default_rng(2).normal(size=(18, 2))
    choices = [codes[2 * np.arange(9) + choice] for choice in itertools.product(range(2), repeat=9)]
    first, second = np.array(
        [(a, b) for a, b in itertools.permutations(range(9), 2) if GRID[a, 0] == GRID[b, 0] and a != b]
    ).T
    x = np.concatenate([choice[first, 0] for choice in choices])
    y = np.concatenate([choice[second, 0] for choice in choices])
    expected = 1 - abs(np.corrcoef(x, y)[0, 1])
    assert movement(codes, as_table(codes, factors))[0, 1] == pytest.approx(expected, abs=1e-9)


def test_rescaled_codes_score_the_same_unless_the_threshold_is_absolute(oracle_table):
    codes, factors = oracle_table("perfect")
    assert omes(1e-3 * codes, factors) == pytest.approx(omes(codes, factors), abs=1e-9)
    assert omes(1e-3 * codes, factors, relative=False) == 0.0


def test_a_factor_that_never_varies_alone_is_a_reason(oracle_table):
    with pytest.raises(NotApplicable, match="factor 0 never varies alone"):
        omes(np.arange(6.0)[:, None], np.column_stack([np.arange(6), np.arange(6)]))
    with pytest.raises(NotApplicable, match="never varies alone"):
        omes(*oracle_table("celeba40"))


def test_wrong_options_say_what_is_allowed():
    with pytest.raises(ValueError, match='"avg" or "max"'):
        omes(GRID, GRID, pooling="mean")
    with pytest.raises(ValueError, match="alpha=2"):
        omes(GRID, GRID, alpha=2)


def test_noise_moves_with_every_factor_and_scores_above_0(oracle_table):
    codes, factors = oracle_table("noise")
    moves = np.array([entry["moves"] for entry in omes.detail(codes, factors)["factors"]])
    assert moves.min() > 0.8
    assert 0.1 < omes(codes, factors) < omes(as_codes(factors), factors) / 3


def test_the_seed_is_ignored_since_nothing_is_drawn(oracle_table):
    assert METRICS["omes"].stochastic is False
    assert omes(*oracle_table("rotation"), seed=1) == omes(*oracle_table("rotation"), seed=2)


def test_alpha_weighs_the_overlap_score_which_a_copied_code_does_not_lower():
    factors = np.array([[a, b] for a in range(9) for b in range(9)])
    copied = factors[:, [0, 0, 1]]
    assert omes(copied, factors, alpha=1.0) == pytest.approx(omes(factors, factors, alpha=1.0))
    assert omes(copied, factors, alpha=0.0) < omes(factors, factors, alpha=0.0) - 0.1
