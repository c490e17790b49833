"""Seed consistency against the authors' code, by hand, and what it is blind to."""

import numpy as np
import pytest

from disbench.metrics import seed_consistency, seed_consistency_detail, shuffled

# Khemakhem et al.'s functions (github.com/ilkhem/icebeem, commit 0077f01, metrics/mcc.py and compute_mcc) on the same halves:
# strong out of sample, and weak with scikit-learn's CCA and Pearson's correlation.
THEIRS = [
    (0.7968359281163089, 0.9461360437264406),
    (0.633681735971594, 0.9357654219379243),
    (0.755025968943104, 0.9525429017930361),
    (0.6694700431889337, 0.9412771614084265),
    (0.7927520123757066, 0.9184012983854339),
    (0.7940631281083361, 0.9187616215915),
]


def two_models(seed, rows=2000, width=4, noise=0.3):
    """Two mixtures of the same sources with noise: (rows, width) each."""
    rng = np.random.default_rng(seed)
    sources = rng.laplace(size=(rows, width))
    first = sources @ (np.eye(width) + 0.3 * rng.normal(size=(width, width))) + noise * rng.normal(size=(rows, width))
    permuted = sources[:, rng.permutation(width)]
    mixing = np.eye(width) + 0.3 * rng.normal(size=(width, width))
    return first, permuted @ mixing + noise * rng.normal(size=(rows, width))


@pytest.fixture(scope="module")
def codes():
    return np.random.default_rng(0).normal(size=(1000, 3)) * [1.0, 2.0, 3.0]


@pytest.mark.parametrize("seed", range(6))
def test_both_scores_are_those_of_the_authors_code(seed):
    models = two_models(seed)
    strong, weak = THEIRS[seed]
    assert seed_consistency(models) == pytest.approx([strong, strong], abs=1e-12)
    assert seed_consistency(models, up_to="linear") == pytest.approx([weak, weak], abs=1e-7)


def test_order_sign_scale_and_offset_do_not_matter(codes):
    other = codes[:, [2, 0, 1]] * [-1.0, 5.0, 0.5] + 7.0
    assert seed_consistency([codes, other]) == pytest.approx([1.0, 1.0], abs=1e-12)
    assert seed_consistency([codes, other], up_to="linear") == pytest.approx([1.0, 1.0], abs=1e-12)


def test_a_rotation_is_consistent_up_to_a_linear_map_only():
    """Every code correlates by 1/2 with each code of a rotation whose entries are all 1/2 in size."""
    unit = np.random.default_rng(1).normal(size=(20_000, 4))
    rotated = unit @ (np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2)
    assert seed_consistency([unit, rotated]) == pytest.approx([0.5, 0.5], abs=0.02)
    assert seed_consistency([unit, rotated], up_to="linear") == pytest.approx([1.0, 1.0], abs=1e-12)


@pytest.mark.parametrize("up_to", ["permutation", "linear"])
def test_a_code_that_the_other_model_lacks_counts_0(codes, up_to):
    assert seed_consistency([codes, codes[:, :2]], up_to=up_to) == pytest.approx([2 / 3, 2 / 3], abs=1e-12)


def test_each_model_is_compared_with_all_others(codes):
    detail = seed_consistency_detail([codes, codes, codes[:, :1]])
    assert np.array(detail["pairs"]) == pytest.approx(np.array([[1, 1, 1 / 3], [1, 1, 1 / 3], [1 / 3, 1 / 3, 1]]))
    assert detail["scores"] == pytest.approx([2 / 3, 2 / 3, 1 / 3])


@pytest.mark.parametrize("up_to", ["permutation", "linear"])
def test_unrelated_codes_agree_by_chance_only(codes, up_to):
    """Measured on the rows that were fitted, twenty codes on 60 rows would agree by more than a half."""
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(60, 20)), rng.normal(size=(60, 20))
    assert max(seed_consistency([first, second], up_to=up_to)) < 0.25
    assert max(seed_consistency([codes, shuffled(codes, 0)], up_to=up_to)) < 0.06


@pytest.mark.parametrize("up_to", ["permutation", "linear"])
def test_uninformative_and_dead_codes_are_left_out(codes, up_to):
    rng = np.random.default_rng(3)
    spare = np.column_stack([codes, 0.01 * rng.normal(size=1000), np.ones(1000)])
    detail = seed_consistency_detail([codes, spare], up_to=up_to)
    assert detail["scores"] == pytest.approx([1.0, 1.0], abs=1e-12)
    assert detail["informative_codes"] == [[0, 1, 2], [0, 1, 2]]
    masks = [np.ones(3, dtype=bool), np.array([1, 0, 0, 0, 0], dtype=bool)]
    assert seed_consistency([codes, spare], up_to=up_to, informative=masks) == pytest.approx([1 / 3, 1 / 3])
    assert seed_consistency([codes, np.ones((1000, 2))], up_to=up_to) == [0.0, 0.0]


def test_codes_that_depend_on_each_other_are_one_direction_of_a_linear_map(codes):
    copied = np.column_stack([codes, codes[:, 0] + codes[:, 1]])
    assert seed_consistency([codes, copied], up_to="linear") == pytest.approx([1.0, 1.0], abs=1e-9)


def test_wrong_input_says_what_is_needed(codes):
    with pytest.raises(ValueError, match="seed_consistency compares models and needs at least 2 tables"):
        seed_consistency([codes])
    with pytest.raises(ValueError, match="same rows of every model"):
        seed_consistency([codes, codes[1:]])
    with pytest.raises(ValueError, match='"permutation" or "linear"'):
        seed_consistency([codes, codes], up_to="affine")
    with pytest.raises(ValueError, match="seed_consistency needs a mask of truth values"):
        seed_consistency([codes, codes], informative=[np.ones(3), np.ones(3)])
    with pytest.raises(ValueError, match="needs 6 rows, got 5"):
        seed_consistency([codes[:5], codes[:5]])
