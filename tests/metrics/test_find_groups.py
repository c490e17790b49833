"""Groups that are found without factors, on latents whose groups are known."""

import numpy as np
import pytest

from disbench.metrics import METRICS, as_table, find_groups
from disbench.metrics.find_groups import pairwise_information

SIZES = (4, 2, 1, 1, 3)
TRUE = np.repeat(np.arange(1, 6), SIZES)


def sphere(rng, rows, dimensions):
    """Coordinates are uncorrelated and depend on each other."""
    if dimensions == 1:
        return rng.uniform(-1, 1, (rows, 1)) * np.sqrt(3)
    points = rng.normal(size=(rows, dimensions))
    return np.sqrt(dimensions) * points / np.linalg.norm(points, axis=1, keepdims=True)


def spheres(seed, rows=4000, noise=0.1):
    rng = np.random.default_rng(seed)
    latents = np.concatenate([sphere(rng, rows, size) for size in SIZES], axis=1)
    return latents + noise * rng.normal(size=latents.shape)


@pytest.mark.parametrize("seed", range(5))
def test_spheres_of_four_two_one_one_and_three_dimensions_are_found(seed):
    latents = spheres(seed)
    assert find_groups(latents).tolist() == TRUE.tolist()
    assert find_groups(latents, count=5).tolist() == TRUE.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_circles_of_turned_coordinates_are_found(seed):
    rng = np.random.default_rng(seed)
    angles = rng.integers(0, 16, (2000, 4)) * np.pi / 8 + rng.uniform(size=4)
    latents = np.stack([np.cos(angles), np.sin(angles)], axis=2).reshape(2000, 8) + 0.1 * rng.normal(size=(2000, 8))
    assert find_groups(latents).tolist() == [1, 1, 2, 2, 3, 3, 4, 4]


def test_permuted_latents_have_permuted_groups_numbered_by_their_first_latent():
    latents, order = spheres(0), np.random.default_rng(1).permutation(len(TRUE))
    found = find_groups(latents[:, order])
    same = found[:, None] == found
    assert (same == (TRUE[order][:, None] == TRUE[order])).all()
    assert found[np.sort(np.unique(found, return_index=True)[1])].tolist() == [1, 2, 3, 4, 5]


def test_independent_latents_are_a_group_each():
    latents = np.random.default_rng(0).normal(size=(3000, 12))
    assert find_groups(latents).tolist() == list(range(1, 13))


def test_dead_latents_are_nuisance():
    latents = spheres(0)
    rng = np.random.default_rng(1)
    dead = np.column_stack([np.full(4000, 0.1), 0.01 * rng.normal(size=4000)])
    assert find_groups(np.column_stack([dead, latents])).tolist() == [0, 0, *TRUE]
    assert find_groups(np.ones((10, 2))).tolist() == [0, 0]
    assert find_groups(np.column_stack([np.ones(50), rng.normal(size=50)])).tolist() == [0, 1]


def test_with_posteriors_a_latent_that_carries_less_than_a_tenth_of_a_nat_is_nuisance():
    rng = np.random.default_rng(0)
    means, std = rng.normal(size=(4000, 3)) * [1.0, 0.6, 0.01], np.tile([0.1, 1.0, 1e-3], (4000, 1))
    assert find_groups(means, std=std).tolist() == [1, 2, 3]  # 0.15 nats in the second, 2.3 in the third
    means[:, 1] *= 2 / 3  # 0.07 nats
    assert find_groups(means, std=std).tolist() == [1, 0, 2]
    assert find_groups(as_table(means, std=std)).tolist() == [1, 0, 2]


def test_information_of_a_gaussian_pair_is_that_of_its_correlation():
    rng = np.random.default_rng(0)
    first, noise = rng.normal(size=(2, 50_000))
    found = pairwise_information(np.column_stack([first, 0.6 * first + 0.8 * noise, np.exp(noise)]))
    truth = -0.5 * np.log(1 - 0.36)
    assert 0.85 * truth < found[0, 1] < truth  # polynomials of higher degree would add the rest
    assert found[0, 2] < 0.001
    assert (found == found.T).all()
    assert (np.diag(found) == 0).all()


def test_the_price_decides_how_much_dependence_unites_two_latents():
    rng = np.random.default_rng(0)
    first, noise = rng.normal(size=(2, 20_000))
    pair = np.column_stack([first, 0.3 * first + np.sqrt(0.91) * noise])  # 0.047 nats
    assert [find_groups(pair, price=price).tolist() for price in (0.03, 0.07)] == [[1, 1], [1, 2]]


def test_a_latent_between_two_independent_ones_does_not_unite_all_three():
    rng = np.random.default_rng(0)
    first, second, noise = rng.normal(size=(3, 20_000))
    between = 0.33 * first + 0.3 * second + np.sqrt(1 - 0.33**2 - 0.3**2) * noise
    assert find_groups(np.column_stack([first, between, second]), price=0.03).tolist() == [1, 1, 2]


def test_independent_latents_share_no_information_on_few_rows():
    assert pairwise_information(np.random.default_rng(0).normal(size=(500, 12))).mean() < 0.005


def test_rows_are_drawn_by_seed_and_vectors_are_single_latents():
    latents = spheres(0)
    assert find_groups(latents, rows=2500, seed=3).tolist() == TRUE.tolist()
    assert find_groups(latents[:, :10].reshape(4000, 5, 2)).shape == (10,)
    with pytest.raises(ValueError, match="find_groups needs price >= 0, got price=-1"):
        find_groups(latents, price=-1.0)


def test_found_groups_score_as_the_true_ones():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 8, (2000, 2))
    angles = factors * np.pi / 4
    codes = np.column_stack([np.cos(angles), np.sin(angles)]) + 0.1 * rng.normal(size=(2000, 4))
    assert find_groups(codes).tolist() == [1, 2, 1, 2]
    assert METRICS["group_mig"](codes, factors, groups=find_groups(codes)) > 0.98


def test_deviations_beside_a_table_are_refused():
    codes = spheres(0)
    with pytest.raises(ValueError, match="Give std to as_table"):
        find_groups(as_table(codes), std=np.ones(codes.shape))


@pytest.mark.parametrize("number", [1e300, -(2**63), 2**31])
def test_numbers_of_groups_that_no_table_needs_are_refused(number):
    with pytest.raises(ValueError, match="groups needs a whole number"):
        METRICS["group_mig"](np.eye(4)[:, :2], np.arange(4)[:, None] % 2, groups=[number, 1])
