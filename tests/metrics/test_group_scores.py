"""Scores of groups: the probe against information that is known, and the scores where the matrix is known."""

import numpy as np
import pytest
from scipy.special import logsumexp

from disbench.metrics import METRICS, NotApplicable, as_table
from disbench.metrics.group_information import Probing, group_information, information_of_all
from disbench.metrics.probe import stacked
from disbench.metrics.views import principal_components

N = 10_000


def channel(means, sd):
    """I(v; means[v] + normal noise) of equally frequent v, by quadrature: 80 Gauss-Hermite points an axis."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    axes = np.meshgrid(*[nodes] * means.shape[1])
    noise = sd * np.stack([axis.ravel() for axis in axes], axis=1)
    weight = np.prod(np.meshgrid(*[weights / np.sqrt(2 * np.pi)] * means.shape[1]), axis=0).ravel()
    total = 0.0
    for mean in means:
        scores = -0.5 * (((mean + noise)[:, None] - means) ** 2).sum(axis=2) / sd**2
        total += weight @ (-0.5 * (noise**2).sum(axis=1) / sd**2 - logsumexp(scores, axis=1))
    return np.log(len(means)) + total / len(means)


def circle(values):
    angles = 2 * np.pi * np.arange(values) / values
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def line(rng):
    label = rng.integers(0, 10, N)
    return label[:, None] + rng.normal(size=(N, 1)), label, channel(np.arange(10.0)[:, None], 1.0)


def rotated_product(rng):
    """Four bits, each with noise in a latent, and these rotated: information adds up and is not in single latents."""
    bits = rng.integers(0, 2, (N, 4))
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    latents = (2 * bits + rng.normal(size=(N, 4))) @ rotation
    return latents, bits @ [8, 4, 2, 1], 4 * channel(np.array([[0.0], [2.0]]), 1.0)


def noisy_circle(rng):
    label = rng.integers(0, 10, N)
    return circle(10)[label] + 0.3 * rng.normal(size=(N, 2)), label, channel(circle(10), 0.3)


def circle_beside_noise(rng):
    latents, label, truth = noisy_circle(rng)
    return np.concatenate([latents, 3.0 * rng.normal(size=(N, 3))], axis=1), label, truth


def circle_beside_nearly_dead_latents(rng):
    latents, label, truth = noisy_circle(rng)
    return np.concatenate([latents, 1e-3 * rng.normal(size=(N, 3))], axis=1), label, truth


def ring(rng):
    """A label's angle is uniform over four of twelve sectors, so that four labels share each angle: log 12 - log 4 nats."""
    label = rng.integers(0, 12, N)
    angle = 2 * np.pi * (label + rng.uniform(0, 4, N)) / 12
    radius = 1 + 0.2 * rng.uniform(size=N)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), label, np.log(3)


def ring_beside_nearly_dead_latents(rng):
    latents, label, truth = ring(rng)
    return np.concatenate([latents, 1e-3 * rng.normal(size=(N, 3))], axis=1), label, truth


def noise(rng):
    return rng.normal(size=(N, 2)), rng.integers(0, 10, N), 0.0


KNOWN = [line, rotated_product, noisy_circle, circle_beside_noise, circle_beside_nearly_dead_latents]
KNOWN += [ring, ring_beside_nearly_dead_latents, noise]


def information(latents, label, *, all_latents=False, groups=None):
    groups = (1,) * latents.shape[1] if groups is None else groups
    table, how = as_table(latents, label[:, None], groups=np.array(groups)), Probing(groups, 20, N, 0)
    found = group_information(table, how)
    if all_latents:
        return information_of_all(table, how)[0] * found.entropy[0]
    return found.information[0, 0], found.error[0, 0]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("known", KNOWN)
def test_known_information_is_found_within_5_percent_and_never_exceeded(known, seed):
    latents, label, truth = known(np.random.default_rng(seed))
    found, error = information(latents, label)
    assert found > 0.95 * truth or truth == 0
    assert found <= truth + 3 * error
    assert found <= max(1.02 * truth, 0.002)


def test_many_latents_of_noise_on_few_rows_tell_nothing():
    rng = np.random.default_rng(0)
    assert information(rng.normal(size=(300, 30)), rng.integers(0, 5, 300))[0] == 0.0


def test_rows_are_predicted_with_the_weights_of_other_rows():
    """Of two columns one is good on five rows and bad on the next five, and the other the reverse."""
    good = np.arange(1000) // 5 % 2 == 0
    columns = np.column_stack([np.where(good, 0.9, 0.1), np.where(good, 0.1, 0.9)])
    assert stacked(columns) == pytest.approx(np.full(1000, 0.1), abs=1e-6)


def test_information_of_all_groups_is_that_of_their_latents_together():
    latents, label, truth = rotated_product(np.random.default_rng(0))
    of_each, _ = information(latents, label, groups=(1, 2, 3, 4))
    together = information(latents, label, groups=(1, 2, 3, 4), all_latents=True)
    assert of_each < 0.5 * truth < 0.95 * truth < together < 1.02 * truth


def test_a_circle_in_two_latents_scores_and_its_principal_component_does_not():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 7, (N, 2))
    codes = np.column_stack([circle(7)[factors[:, 0]], circle(7)[factors[:, 1]]]) + 0.2 * rng.normal(size=(N, 4))
    groups = [1, 1, 2, 2]
    component = principal_components(codes, groups)
    assert component.shape == (N, 2)
    for name in ("group_mig", "group_explicitness"):
        assert METRICS[name](codes, factors, groups=groups) > 0.95
        assert METRICS[name](component, factors, groups=[1, 2]) < 0.6


@pytest.fixture(scope="module")
def table():
    """Two factors of four values. Group 1 is the first, and a bit of the second; group 2 the second; group 0 dead or a bit."""
    factors = np.random.default_rng(0).integers(0, 4, (3000, 2))
    first, second = factors.T
    return factors, np.column_stack([first, second % 2, second, np.zeros(3000)]), [1, 1, 2, 0]


TWO_THIRDS = 1 - (np.log(3) - 2 / 3 * np.log(2)) / np.log(2)  # concentration of the shares 2/3 and 1/3
EXPECTED = {
    "group_mig": (1 + 0.5) / 2,
    "group_modularity": 0.6 * TWO_THIRDS + 0.4,
    "group_compactness": (1 + TWO_THIRDS) / 2,
    "group_explicitness": 1.0,
    "group_leak": 0.25,
}
NUISANCE = EXPECTED | {  # which has a bit of the first factor: shares of three groups
    "group_mig": 0.5,
    "group_compactness": 1 - (np.log(3) - 2 / 3 * np.log(2)) / np.log(3),
    "group_leak": 0.5,
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_group_that_has_a_bit_of_another_factor_scores_as_computed_by_hand(name, table):
    factors, codes, groups = table
    assert METRICS[name](codes, factors, groups=groups) == pytest.approx(EXPECTED[name], abs=0.006)


@pytest.mark.parametrize("name", NUISANCE)
def test_nuisance_that_has_a_bit_of_a_factor_scores_as_computed_by_hand(name, table):
    factors, codes, groups = table
    codes = np.column_stack([codes[:, :3], factors[:, 0] // 2])
    assert METRICS[name](codes, factors, groups=groups) == pytest.approx(NUISANCE[name], abs=0.006)


def test_nuisance_is_never_a_factors_best_group(table):
    factors, codes, _ = table
    only_first = [1, 1, 0, 0]
    entry = METRICS["group_mig"].detail(codes, factors, groups=only_first)["factors"][1]
    assert (entry["group"], entry["gap"]) == (1, 0.0)
    assert entry["nuisance_information"] == entry["runner_up_information"] > 1.9 * entry["information"] > 0
    leak = METRICS["group_leak"].detail(codes, factors, groups=only_first)["factors"][1]
    assert leak["leak"] > 0.99
    assert leak["leaking_group"] == 0
    compactness = METRICS["group_compactness"].detail(codes[:, [0, 2]], factors, groups=[1, 0])["factors"]
    assert [each["compactness"] for each in compactness] == [pytest.approx(1.0, abs=0.01), 0.0]


def test_other_numbers_of_the_groups_and_another_order_of_latents_change_nothing(table):
    factors, codes, _ = table
    order = [2, 0, 3, 1]
    for name in EXPECTED:
        renamed = METRICS[name](codes[:, order], factors, groups=np.array([7, 3, 0, 3]))
        assert renamed == pytest.approx(METRICS[name](codes, factors, groups=[1, 1, 2, 0]), abs=1e-3)


def test_vectors_are_groups_without_further_words():
    factors = np.random.default_rng(0).integers(0, 6, (1500, 2))
    assert METRICS["group_mig"](circle(6)[factors], factors) > 0.99


def test_single_codes_need_groups_and_the_reason_says_how_to_get_them(table):
    factors, codes, _ = table
    for name in EXPECTED:
        with pytest.raises(NotApplicable, match=f"^{name} uses the group of each code.*Pass groups.*find_groups"):
            METRICS[name](codes, factors)
        with pytest.raises(NotApplicable, match=f"^{name} needs a group of latents other than 0"):
            METRICS[name](codes, factors, groups=[0, 0, 0, 0])


def test_continuous_factors_are_binned_or_refused():
    rng = np.random.default_rng(0)
    factors = rng.uniform(size=(4000, 2))
    detail = METRICS["group_mig"].detail(factors, factors, groups=[1, 2], factor_bins=8)
    assert detail["binned_factors"] == [0, 1]
    assert detail["factors"][0]["entropy"] == pytest.approx(np.log(8), abs=0.01)
    assert detail["score"] > 0.97
    with pytest.raises(NotApplicable, match=r"^group_mig classifies .* factor 0 is continuous.* Set factor_bins"):
        METRICS["group_mig"](factors, factors, groups=[1, 2], factor_bins=0)


def test_a_large_table_is_read_in_part_by_seed(table):
    factors, codes, groups = table
    noisy = codes + 0.3 * np.random.default_rng(1).normal(size=codes.shape)
    few, other, whole = (
        METRICS["group_mig"](noisy, factors, groups=groups, **more)
        for more in ({"rows": 500}, {"rows": 500, "seed": 1}, {})
    )
    assert len({few, other, whole}) == 3
    assert few == pytest.approx(whole, abs=0.1)
    with pytest.raises(ValueError, match="group_mig needs rows >= 3, got rows=2"):
        METRICS["group_mig"](codes, factors, groups=groups, rows=2)


def test_several_scores_of_a_table_share_one_matrix_and_other_groups_do_not(table):
    factors, codes, groups = table
    first = as_table(codes, factors, groups=np.array(groups))
    how = Probing(tuple(groups), 20, 10_000, 3)
    assert group_information(first, how) is group_information(as_table(codes.copy(), factors, groups=first.groups), how)
    other = how._replace(groups=(1, 2, 2, 0))
    assert group_information(first, other).information[1, 0] < group_information(first, how).information[1, 0]


def test_rows_in_the_order_of_their_factors_tell_nothing_by_being_equal():
    """Of many equal rows the nearest are not those that lie beside each other in the table."""
    factors = np.repeat(np.arange(10), 300)[:, None]
    codes = np.column_stack([factors[:, 0] % 2, factors[:, 0] % 2, np.zeros(3000)])
    found = METRICS["group_explicitness"](codes, factors, groups=[1, 1, 1])
    assert found == pytest.approx(np.log(2) / np.log(10), abs=0.005)
