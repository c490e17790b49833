"""Estimators against enumeration, closed forms and each other."""

import math

import numpy as np
import pytest
import torch

from disbench.baselines.beta_tcvae import log_batch_weights
from disbench.baselines.gaussian import Posterior
from disbench.benchmarks.estimators import (
    CANDIDATES,
    CLASSICAL,
    INFORMATION,
    TOTAL_CORRELATION,
    information,
    total_correlation,
)
from disbench.benchmarks.estimators.cells import check_column_zero, check_exhaustive, moving_task
from disbench.benchmarks.estimators.critics import permuted
from disbench.benchmarks.estimators.measures import gradient_errors, lag_of, updates_until_close, value_errors
from disbench.benchmarks.estimators.monte_carlo import (
    batch_average,
    column_zero_log_weights,
    full,
    nested,
    stratified,
    weighted,
)
from disbench.benchmarks.estimators.study import seeded
from disbench.benchmarks.estimators.tasks import (
    Encoder,
    PosteriorTask,
    draw_rows,
    gaussian_total_correlation,
    log_ratios,
    pair_tasks,
    posterior_tasks,
    rho_for,
    uniform,
)
from disbench.mine_vae.total_correlation import TotalCorrelationCritic

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_seed():
    with seeded("tests"):
        yield


@pytest.fixture
def tasks() -> dict[str, PosteriorTask]:
    return {task.name: task for task in posterior_tasks(512, 128, CPU)}


@pytest.fixture
def pairs():
    return {task.name: task for task in pair_tasks(CPU)}


def test_the_closed_forms_are_those_of_the_published_tasks(pairs) -> None:
    published = {"normal": 0.4133, "swiss roll": 0.4133, "half-cube": 0.4133, "sparse": 1.0217}
    published |= {"dense 2": 0.2939, "dense 3": 0.4133, "dense 5": 0.5928, "dense 25": 1.2922, "dense 50": 1.6243}
    published |= {"student 1, 1": 0.2242, "student 2, 1": 0.4319, "student 2, 2": 0.1931, "student 3, 2": 0.2909}
    published |= {"student 3, 3": 0.1787, "student 5, 2": 0.4482, "student 5, 3": 0.2985}
    for name, value in published.items():
        assert pairs[name].truth == pytest.approx(value, abs=6e-5), name
    for information_ in (2, 4, 6, 8, 10):
        assert pairs[f"20-d, {information_}"].truth == pytest.approx(information_)


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("task", ["normal", "half-cube", "student 1, 1"])
def test_ksg_and_histogram_read_one_dimensional_pairs(name, task, pairs) -> None:
    drawn = pairs[task].draw(4000)
    value = CLASSICAL[name](drawn.x[:, 0].double().numpy(), drawn.y[:, 0].double().numpy())
    assert value == pytest.approx(pairs[task].truth, abs=0.06)


def test_a_student_pair_has_the_tails_of_its_degrees_of_freedom(pairs) -> None:
    x = pairs["student 1, 1"].draw(40_000).x[:, 0]
    assert float(x.abs().median()) == pytest.approx(1.0, abs=0.03)  # Cauchy's quartiles are at -1 and 1
    assert float((x.abs() > 12.706).float().mean()) == pytest.approx(0.05, abs=0.005)


def test_a_smooth_map_of_a_pair_can_be_undone(pairs) -> None:
    roll = pairs["swiss roll"].draw(1000).x
    assert float((roll.norm(dim=1) * 21 / (1.5 * math.pi) - 2).abs().max()) <= 1.0 + 1e-4  # its radius is 1 + 2 cdf(x)


def test_the_drawn_gaussians_have_the_correlation_that_the_truth_is_of(pairs) -> None:
    drawn = pairs["20-d, 4"].draw(50_000)
    rho = float((drawn.x * drawn.y).mean())
    assert rho == pytest.approx(rho_for(4.0, 20), abs=0.005)
    assert -10 * math.log(1 - rho**2) == pytest.approx(4.0, abs=0.12)


def test_the_population_truth_of_two_latents_is_that_of_their_correlation() -> None:
    covariance = torch.tensor([[4.0, 1.0], [1.0, 1.0]])
    assert float(gaussian_total_correlation(covariance)) == pytest.approx(-0.5 * math.log(1 - 0.25))


def test_tasks_have_unit_variance_in_every_latent(tasks) -> None:
    for task in tasks.values():
        variance = task.covariance.diagonal() + task.posterior.logvar[0].exp()
        torch.testing.assert_close(variance, torch.ones_like(variance))


def test_full_n_is_the_exhaustive_sum() -> None:
    assert check_exhaustive(CPU)["difference"] < 1e-6


def test_full_n_is_the_sum_written_out_by_hand() -> None:
    q = Posterior(
        torch.tensor([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5]]), torch.tensor([[0.0, 0.2], [-0.5, 0.0], [0.1, -1.0]])
    )
    encoder = Encoder.of(q)
    z = np.array([0.3, 0.7])
    deviations = np.exp(0.5 * q.logvar.numpy())
    parts = np.exp(-0.5 * ((z - q.mean.numpy()) / deviations) ** 2) / (deviations * math.sqrt(2 * math.pi))
    expected = math.log(parts.prod(1).mean()) - np.log(parts.mean(0)).sum()
    found = log_ratios(torch.tensor([[0.3, 0.7]]), encoder.everything(), uniform(3, q.mean))
    assert float(found.detach()) == pytest.approx(expected, rel=1e-5)


def test_column_0_is_plain_batch_averaging_and_mss_is_not(tasks) -> None:
    found = check_column_zero(tasks["5 active"], 64, 200)
    assert abs(found["difference"]) < 0.05
    assert found["batch_average"] - found["mss"] > 0.5


def test_the_misplaced_weights_are_those_of_a_flat_index_with_the_wrong_stride() -> None:
    B, N = 5, 50
    M = B - 1
    expected = np.full(B * B, 1 / M)
    expected[:: M + 1] = 1 / N
    expected[1 :: M + 1] = (N - M) / (N * M)
    expected = expected.reshape(B, B)
    expected[M - 1, 0] = (N - M) / (N * M)
    found = column_zero_log_weights(B, N, torch.zeros(1)).exp().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_mws_is_batch_averaging_and_a_constant(tasks) -> None:
    task = tasks["5 active"]
    encoder = Encoder.of(task.posterior)
    values, gradients = [], []
    for estimator in (weighted, batch_average):
        with seeded("the same draw"):
            value = estimator(task.draw(64, encoder))
        values.append(float(value.detach()))
        gradients.append(encoder.gradient(value))
    assert values[0] - values[1] == pytest.approx((task.latent_dim - 1) * math.log(512), abs=1e-3)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


def test_mss_is_the_general_sum_with_its_weights(tasks) -> None:
    encoder = Encoder.of(tasks["5 active"].posterior)
    draw = tasks["5 active"].draw(64, encoder)
    torch.testing.assert_close(
        stratified(draw), log_ratios(draw.z, draw.q, log_batch_weights(64, 512, "mss", draw.z)).mean()
    )


def test_nested_with_every_reference_is_full_n_and_comes_nearer_as_they_grow(tasks) -> None:
    encoder = Encoder.of(tasks["5 active"].posterior)
    draws = [tasks["5 active"].draw(256, encoder) for _ in range(4)]

    def gap(references: int) -> float:
        return float(sum(nested(draw, references=references) - full(draw) for draw in draws).detach()) / 4

    assert abs(gap(512)) < 1e-4
    assert abs(gap(512)) < abs(gap(256)) < abs(gap(16))
    with pytest.raises(ValueError, match="513"):
        nested(draws[0], references=513)


def test_full_n_draws_the_gradient_of_every_posterior(tasks) -> None:
    """At a common shift of all means nothing changes, at a shift of the batch's alone it does."""
    encoder = Encoder.of(tasks["5 active"].posterior)
    encoder.mean = encoder.mean.clone().requires_grad_()

    def value() -> torch.Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return full(draw_rows(torch.arange(64), encoder))

    (gradient,) = torch.autograd.grad(value(), encoder.mean)
    assert float(gradient.sum(0).abs().max()) < 1e-4
    assert float(gradient[64:].abs().max()) > 1e-4


def test_the_population_gradient_is_the_slope_of_the_population_truth(tasks) -> None:
    task = tasks["5 active"]
    encoder = Encoder.of(task.posterior)
    gradient = encoder.gradient(task.population(encoder))
    step = 1e-2 * torch.randn_like(encoder.matrix)
    ends = []
    for sign in (1, -1):
        moved = Encoder(encoder.mean, encoder.logvar, encoder.matrix + sign * step, encoder.log_scale)
        ends.append(float(task.population(moved).detach()))
    slope = float((gradient[:100].view(10, 10) * step).sum())
    assert (ends[0] - ends[1]) / 2 == pytest.approx(slope, rel=0.05)


@pytest.mark.parametrize("name", [name for name in TOTAL_CORRELATION if name not in ("mws", "club")])
def test_every_estimator_of_total_correlation_finds_the_truth_of_an_easy_task(name) -> None:
    task = posterior_tasks(1024, 128, CPU)[0]
    encoder = Encoder.of(task.posterior)
    estimator = total_correlation(name, 2, 256, CPU)
    for _ in range(0 if name in ("full_n", "nested") else 250):
        with torch.no_grad():
            draw = task.draw(256, encoder)
        estimator.update(draw)
    with torch.no_grad():
        value = sum(float(estimator.estimate(task.draw(256, encoder))) for _ in range(20)) / 20
        finite = sum(float(full(task.draw(1024, encoder))) for _ in range(4)) / 4
        population = float(task.population(encoder))
    assert min(abs(value - finite), abs(value - population)) < 0.06


@pytest.mark.parametrize("name", [name for name in INFORMATION if name not in (*CLASSICAL, "club")])
def test_every_bound_finds_the_information_of_an_easy_pair(name, pairs) -> None:
    value = learnt(name, pairs["normal"], 400)
    assert value == pytest.approx(pairs["normal"].truth, abs=0.1)


def learnt(name: str, task, updates: int) -> float:
    estimator = information(name, task.dims, CPU)
    for _ in range(updates):
        estimator.update(task.draw(128))
    with torch.no_grad():
        return float(estimator.estimate(task.draw(1024)))


def test_club_is_above_the_information_at_what_its_formula_says(pairs) -> None:
    """With the exact q(y|x) it is rho^2 / (1 - rho^2), above I = -1/2 log(1 - rho^2)."""
    value = learnt("club", pairs["normal"], 1200)
    assert value > pairs["normal"].truth
    assert value == pytest.approx(0.75**2 / (1 - 0.75**2), rel=0.2)


def test_info_nce_stays_below_the_log_of_its_candidates_where_there_is_more(pairs) -> None:
    value = learnt("infonce", pairs["20-d, 8"], 300)
    assert 0.4 * math.log(1 + CANDIDATES) < value <= math.log(1 + CANDIDATES) + 1e-5


def test_donsker_varadhan_reads_low_at_high_information(pairs) -> None:
    assert learnt("mine", pairs["20-d, 10"], 300) < 8.0


def test_the_critic_of_a_draw_sees_the_draw_and_its_permutations() -> None:
    critic = TotalCorrelationCritic(3, shifts=2)
    z = torch.randn(16, 3)
    y = torch.randn(1, 32, 3)
    joint, product = critic.scores(z[None], y)
    assert joint.shape == (1, 16)
    assert product.shape == (1, 2, 16)
    again, _ = critic.scores(y[:, 16:], y)
    torch.testing.assert_close(product[:, 1], again)


def test_permutation_keeps_the_marginals_and_moves_every_latent(tasks) -> None:
    draw = tasks["5 active"].draw(64, Encoder.of(tasks["5 active"].posterior))
    z, product = permuted(2)(draw)
    assert product.shape == (1, 128, 10)
    for part in product[0].split(64):
        torch.testing.assert_close(part.sort(dim=0).values, z[0].sort(dim=0).values)
    assert not torch.equal(product[0, :64], product[0, 64:])


@pytest.mark.parametrize("name", TOTAL_CORRELATION)
def test_an_estimate_has_a_gradient_and_an_update_leaves_the_encoder_alone(name, tasks) -> None:
    encoder = Encoder.of(tasks["5 active"].posterior)
    estimator = total_correlation(name, 10, 64, CPU, references=128)
    draw = tasks["5 active"].draw(64, encoder)
    gradient = encoder.gradient(estimator.estimate(draw))
    assert gradient.shape == (110,)
    assert float(gradient.norm()) > 0
    estimator.update(tasks["5 active"].draw(64, encoder))
    assert encoder.matrix.grad is None
    assert encoder.log_scale.grad is None


def test_unknown_names_are_told_what_there_is() -> None:
    with pytest.raises(ValueError, match="mss"):
        total_correlation("mmd", 2, 64, CPU)
    with pytest.raises(ValueError, match="club"):
        information("ksg", (1, 1), CPU)


def test_errors_of_values_are_taken_against_either_truth() -> None:
    found = value_errors([1.0, 2.0, 3.0], 1.0, None)
    assert (found["mean"], found["sd"], found["bias_finite"]) == (2.0, 1.0, 1.0)
    assert found["rmse_finite"] == pytest.approx(math.sqrt(2))
    assert found["bias_population"] is None


def test_a_gradients_errors_are_those_that_it_was_given() -> None:
    truth = torch.tensor([3.0, 4.0])
    gradients = truth + torch.tensor([0.0, 1.0]) + 0.5 * torch.randn(20_000, 2)
    found = gradient_errors(gradients, truth, 0.0)
    assert found["bias"] == pytest.approx(1 / 5, abs=0.01)
    assert found["noise"] == pytest.approx(0.5 * math.sqrt(2) / 5, rel=0.02)
    assert 0.95 < found["cosine"] < 1
    assert found["bias_error"] == pytest.approx(0.5 / math.sqrt(20_000) / 5, rel=0.1)
    assert found["noise_error"] < 0.01
    assert gradient_errors(gradients, truth, 2.0)["bias"] is None


def test_unbiased_gradients_have_no_bias_however_few_there_are() -> None:
    truth = torch.ones(1000)
    biases = [gradient_errors(truth + torch.randn(4, 1000), truth, 0.0)["bias"] for _ in range(30)]
    assert sum(biases) / 30 < 0.12  # the noise alone would read .5


def test_the_first_window_within_ten_percent_is_found() -> None:
    assert updates_until_close([0.0] * 30 + [1.0] * 30, 1.0) == 53  # 23 of 25 values are 1
    assert updates_until_close([0.0] * 60, 1.0) is None


def test_a_delayed_copy_has_its_delay() -> None:
    truth = [math.sin(step / 20) ** 2 for step in range(200)]
    assert lag_of([0.0] * 7 + truth[:-7], truth, 40) == 7
    assert lag_of(truth, truth, 40) == 0


def test_the_moving_encoder_starts_and_ends_independent() -> None:
    noise = torch.randn(64, 10)
    ends = [moving_task(at, noise) for at in (0.0, 0.5, 1.0)]
    values = [float(task.population(Encoder.of(task.posterior)).detach()) for task in ends]
    assert values[0] == pytest.approx(0, abs=1e-5)
    assert values[2] == pytest.approx(0, abs=1e-5)
    assert values[1] > 1


def test_a_seeded_block_leaves_the_global_generator_where_it_was() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with seeded("a"):
        first = torch.rand(1)
    with seeded("a"):
        assert torch.equal(torch.rand(1), first)
    assert torch.equal(torch.rand(2), expected)
