"""Z-max Variance against Zaidi et al.'s code, enumeration and small cases."""

import itertools

import numpy as np
import pytest

from disbench.metrics.groups import group_rows
from disbench.metrics.majority_vote import extreme_codes
from disbench.metrics.metric import NotApplicable
from disbench.metrics.reference import as_codes, shuffled
from disbench.metrics.table import as_table
from disbench.metrics.z_max_var import settings_of_the_others, z_max_var

ZAIDI = {  # two seeds each; scaled, absolute threshold
    "dead_dims": [1.0, 1.0],
    "duplicated": [1.0, 1.0],
    "noise": [-0.01875, 0.0046875],
    "noisy_vae": [0.9484375, 0.9375],
    "perfect": [1.0, 1.0],
    "rotation": [0.4984375, 0.4734375],
}
ZAIDI_DSPRITES = [0.384375, 0.4328125]


def within_sampling_error(ours, theirs):
    error = np.sqrt(np.var(ours, ddof=1) / len(ours) + np.var(theirs, ddof=1) / len(theirs))
    return abs(np.mean(ours) - np.mean(theirs)) <= 4 * error + 0.005


@pytest.mark.parametrize("case", ZAIDI)
def test_full_grids_score_as_in_zaidis_code(case, oracle_table):
    ours = [z_max_var(*oracle_table(case), scaled=True, relative=False, seed=seed) for seed in range(5)]
    assert within_sampling_error(ours, ZAIDI[case])


def test_settings_in_which_nothing_varies_are_what_a_peer_loses_points_on(oracle_table):
    """A sample of dSprites: settings have two rows or three, and in some the free factor does not vary either."""
    codes, factors = oracle_table("dsprites10k")
    many = {"train": 4000, "test": 4000}
    assert z_max_var(codes, factors, scaled=True, relative=False, **many) > np.mean(ZAIDI_DSPRITES) + 0.03

    table = as_table(codes, factors)
    settings = []
    for k in range(5):
        others = np.unique(np.delete(table.labels, k, axis=1), axis=0, return_inverse=True)[1]
        settings.append(group_rows(others.ravel(), int(others.max()) + 1))
    spread = table.codes.std(axis=0)
    standardised = table.codes[:, spread >= 0.05] / spread[spread >= 0.05]
    theirs = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        targets = rng.integers(5, size=1600)
        winners = extreme_codes(standardised, settings, targets, 200, rng, np.argmax)
        votes = np.bincount(winners[:800] * 5 + targets[:800], minlength=5 * standardised.shape[1]).reshape(-1, 5)
        accuracy = (votes.argmax(axis=1)[winners] == targets)[800:].mean()
        theirs.append((accuracy - 0.2) / 0.8)
    assert within_sampling_error(theirs, ZAIDI_DSPRITES)


def test_a_group_agrees_on_all_other_factors_and_varies_in_its_own(oracle_table):
    """By comparison of every pair of rows."""
    factors = oracle_table("dsprites10k")[1][:1200] // np.array([1, 1, 4, 4, 4])
    table = as_table(np.zeros((len(factors), 1)), factors)
    for k, groups in enumerate(settings_of_the_others(table)):
        others = np.delete(factors, k, axis=1)
        agree = (others[:, None] == others[None]).all(axis=-1)
        differ = factors[:, None, k] != factors[None, :, k]
        varies = (agree & differ).any(axis=1)
        expected = {tuple(np.flatnonzero(row)) for row in agree[varies]}
        assert {tuple(sorted(groups.rows(v))) for v in range(len(groups.size))} == expected


def test_the_code_that_varies_most_is_that_of_the_free_factor(grid):
    table = as_table(as_codes(grid), grid)
    targets = np.arange(300) % 3
    winners = extreme_codes(
        table.codes, settings_of_the_others(table), targets, 50, np.random.default_rng(0), np.argmax
    )
    assert np.array_equal(winners, targets)


def test_a_groups_variance_is_judged_against_the_codes_own(grid):
    """Code 1 leaks factor 0 and is ten times as large: while factor 0 varies, it moves more than code 0 in absolute terms."""
    codes = as_codes(grid)
    codes[:, 1] = 10.0 * (codes[:, 1] + 0.3 * codes[:, 0])
    assert z_max_var(codes, grid) == 1.0


def test_the_score_is_that_of_fresh_groups():
    cells = np.array(list(itertools.product(range(2), repeat=6)))
    codes = np.random.default_rng(0).normal(size=(64, 30))
    detail = z_max_var.detail(codes, cells, train=60, test=5000)
    assert detail["train_accuracy"] > detail["accuracy"] + 0.1
    assert detail["score"] == detail["accuracy"]


def test_a_missing_factor_costs_its_share(grid):
    detail = z_max_var.detail(as_codes(grid)[:, :2], grid)
    assert [entry["recall"] for entry in detail["factors"][:2]].count(1.0) >= 1
    assert 0.6 < detail["score"] < 0.75


def test_noise_is_above_chance_where_the_same_few_groups_come_again(grid, noisy_codes):
    """Twelve to twenty settings: which code varies most in each is learnt by heart. Hundreds of settings are not."""
    floors = [z_max_var(shuffled(noisy_codes, seed=seed), grid) for seed in range(5)]
    assert 0.36 < np.mean(floors) < 0.5
    rng = np.random.default_rng(0)
    cells = np.array(list(itertools.product(range(8), repeat=4)))
    assert z_max_var(rng.normal(size=(len(cells), 5)), cells) == pytest.approx(0.25, abs=0.06)


def test_dead_codes_are_at_chance_and_scaling_puts_chance_at_zero(grid, noisy_codes):
    dead = z_max_var.detail(np.full((len(grid), 3), 0.1), grid)
    assert dead["score"] == pytest.approx(1 / 3, abs=0.06)
    assert dead["dropped_codes"] == [0, 1, 2]
    scaled = z_max_var(noisy_codes, grid, scaled=True)
    assert scaled == pytest.approx((z_max_var(noisy_codes, grid) - 1 / 3) / (2 / 3), abs=1e-12)


def test_near_dead_noise_is_dropped_before_it_outvotes_a_code(grid):
    noise = 1e-3 * np.random.default_rng(0).normal(size=len(grid))
    detail = z_max_var.detail(np.column_stack([np.full(len(grid), 0.1), as_codes(grid), noise]), grid)
    assert detail["score"] == 1.0
    assert detail["dropped_codes"] == [0, 4]
    assert [entry["factor"] for entry in detail["codes"]] == [0, 1, 2]
    assert z_max_var.detail(as_codes(grid), grid, threshold=1.1, relative=True)["dropped_codes"] == [0, 1, 2]


def test_a_seed_is_all_that_decides(grid, noisy_codes):
    assert z_max_var(noisy_codes, grid, seed=3) == z_max_var(noisy_codes, grid, seed=3)
    assert len({z_max_var(noisy_codes, grid, seed=seed) for seed in range(4)}) > 1
    constant = np.insert(grid, 1, 4, axis=1)
    assert z_max_var(noisy_codes, constant, seed=3) == z_max_var(noisy_codes, grid, seed=3)


def test_a_factor_that_never_varies_alone_is_a_reason():
    factors = np.array([[0, 0], [0, 0], [1, 1], [1, 1], [2, 2]])
    with pytest.raises(NotApplicable, match="factor 0 never varies alone"):
        z_max_var(np.random.default_rng(0).normal(size=(5, 2)), factors)
    with pytest.raises(NotApplicable, match="needs two that vary"):
        z_max_var(np.random.default_rng(0).normal(size=(5, 2)), factors[:, :1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": 1}, "group >= 2 rows"),
        ({"train": 0}, "train >= 1"),
        ({"threshold": float("nan")}, "threshold as a finite number"),
    ],
)
def test_an_impossible_option_is_refused(options, message, grid, noisy_codes):
    with pytest.raises(ValueError, match=message):
        z_max_var(noisy_codes, grid, **options)
