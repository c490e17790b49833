"""Total correlation between groups of latents: truths, estimators, the audit of a critic, and the crossover of a study."""

import math
import runpy
from pathlib import Path

import pytest
import torch

from disbench.baselines.gaussian import Posterior
from disbench.benchmarks.estimators import GROUPED, total_correlation
from disbench.benchmarks.estimators.cells import Truth
from disbench.benchmarks.estimators.critics import equal_groups, permuted
from disbench.benchmarks.estimators.monte_carlo import batch_average, full, nested, stratified, weighted
from disbench.benchmarks.estimators.study import seeded
from disbench.benchmarks.estimators.tasks import GROUPS, Encoder, PosteriorTask, draw_rows, group_task
from disbench.mine_vae.audit import Audit, audit_pairs, verdict
from disbench.mine_vae.total_correlation import TotalCorrelationCritic, permute_groups, with_permuted
from disbench.reports.estimators.groups import (
    chart,
    crossover,
    crossover_of,
    gradient_is_lost,
    group_verdicts,
    pairs_of,
)
from disbench.reports.estimators.page import page_of
from disbench.reports.estimators.study import Cell, Study, read_study

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def one_seed():
    with seeded("tests of groups"):
        yield


def task_of(width: int, *, rows: int = 4096, deviation: float = 0.3, rho: float = 0.9) -> PosteriorTask:
    return group_task(rows, width, deviation, rho, CPU)


@pytest.mark.parametrize("width", [1, 3, 16])
def test_the_population_truth_is_that_of_one_correlated_direction_a_group_at_any_width(width: int) -> None:
    task = task_of(width)
    r = 0.9 / (1 + 0.3**2)
    eigenvalues = [1 + (GROUPS - 1) * r, *[1 - r] * (GROUPS - 1)]  # of a matrix with ones and r elsewhere
    expected = -0.5 * sum(map(math.log, eigenvalues))
    assert float(task.population(Encoder.of(task.posterior)).detach()) == pytest.approx(expected, abs=2e-3)


def test_the_posteriors_have_the_covariance_that_the_truth_is_of() -> None:
    task = task_of(3, rows=60_000)
    torch.testing.assert_close(torch.cov(task.posterior.mean.T), task.covariance, atol=0.03, rtol=0)
    within = task.covariance[:3, :3]
    assert float((within - torch.diag(within.diagonal())).abs().max()) > 0.1  # latents of a group depend on each other


def test_groups_that_do_not_depend_on_each_other_have_no_total_correlation() -> None:
    task = task_of(4, rho=0.0)
    assert float(task.population(Encoder.of(task.posterior)).detach()) == pytest.approx(0, abs=1e-4)


def test_the_finite_truth_is_that_of_the_mixture_of_all_posteriors() -> None:
    """Against torch.distributions, group by group; the truth draws other noise, so within its sampling error."""
    task = task_of(2, rows=300)
    q = Posterior(*(part.double() for part in task.posterior))

    def density(latents: slice):
        weights = torch.distributions.Categorical(logits=torch.zeros(300, dtype=torch.float64))
        normal = torch.distributions.Normal(q.mean[:, latents], torch.exp(0.5 * q.logvar[:, latents]))
        return torch.distributions.MixtureSameFamily(weights, torch.distributions.Independent(normal, 1))

    encoder = Encoder.of(q)
    draw = draw_rows(torch.arange(300), encoder, 2)
    z = draw.z.detach()
    expected = density(slice(0, 8)).log_prob(z)
    for at in range(0, 8, 2):
        expected = expected - density(slice(at, at + 2)).log_prob(z[:, at : at + 2])
    assert float(full(draw).detach()) == pytest.approx(float(expected.mean()), abs=1e-6)
    truth = Truth(task, passes=8)
    assert truth.finite == pytest.approx(float(expected.mean()), abs=4 * float(expected.std()) / math.sqrt(300))
    some = Truth(task, 1, draws=64)
    assert len(some.ratios) == 64


def test_nested_with_every_reference_is_full_n_and_mws_is_a_constant_above_the_batch_average() -> None:
    task = task_of(2, rows=256)
    draw = task.draw(64, Encoder.of(task.posterior))
    torch.testing.assert_close(nested(draw, references=256), full(draw), atol=1e-3, rtol=1e-4)
    constant = (GROUPS - 1) * math.log(256)
    torch.testing.assert_close(weighted(draw) - batch_average(draw), torch.tensor(constant), atol=1e-3, rtol=1e-4)


def test_monte_carlo_reads_a_constant_where_posteriors_of_a_group_do_not_overlap_and_has_no_gradient() -> None:
    task = task_of(8, deviation=0.05, rho=0.0)
    encoder = Encoder.of(task.posterior)
    value = stratified(task.draw(64, encoder))
    assert float(value.detach()) == pytest.approx((GROUPS - 1) * math.log(4096), abs=0.01)
    assert float(encoder.gradient(value).norm()) < 0.01


def test_a_critic_of_a_task_of_groups_gets_latents_of_a_group_permuted_together_and_groups_apart() -> None:
    task = task_of(3)
    z, shuffled = permuted(1)(task.draw(512, Encoder.of(task.posterior)))
    rows = [
        (z[0, :, first, None] == shuffled[0, :, first]).float().argmax(0) for first in (0, 2, 3)
    ]  # where each came from
    assert torch.equal(rows[0], rows[1])
    assert float((rows[0] == rows[2]).float().mean()) < 0.05
    assert torch.equal(rows[0].sort().values, torch.arange(512))


@pytest.mark.parametrize("name", GROUPED)
def test_an_estimate_of_groups_has_a_gradient_and_an_update_leaves_the_encoder_alone(name: str) -> None:
    task = task_of(2, rows=256, deviation=1.0)
    encoder = Encoder.of(task.posterior)
    estimator = total_correlation(name, 8, 64, CPU, references=128)
    gradient = encoder.gradient(estimator.estimate(task.draw(64, encoder)))
    assert float(gradient.norm()) > 0
    estimator.update(task.draw(64, encoder))
    assert encoder.matrix.grad is None


def trained_critic(steps: int, width: int = 64) -> tuple[float, float, Audit]:
    """The truth, the reading and the audit of a critic of four groups of four latents after some steps."""
    task = task_of(4, rho=0.7)
    encoder = Encoder.of(task.posterior)
    group = equal_groups(task.posterior.mean, 4)

    def draw():
        return with_permuted(task.draw(128, encoder).z.detach(), group=group)

    def independent():
        return with_permuted(permute_groups(task.draw(128, encoder).z.detach(), group), group=group)

    critic = TotalCorrelationCritic(16, hidden_dim=width, shifts=1)
    optimizer = torch.optim.Adam(critic.parameters(), lr=3e-3)
    batch = draw()
    for _ in range(steps):
        batch = draw()
        optimizer.zero_grad()
        critic.critic_loss(*batch).backward()
        optimizer.step()
    audit = audit_pairs(critic, draw, batch, independent=independent, steps=100)
    truth = task.population(encoder)
    return float(truth.detach()), float(audit.unseen), audit


def test_a_trained_critic_of_groups_reads_the_truth_where_monte_carlo_does_not_and_passes_its_audit() -> None:
    truth, reading, audit = trained_critic(350)
    task = task_of(4, rho=0.7)
    carlo = float(stratified(task.draw(128, Encoder.of(task.posterior))).detach())
    assert reading == pytest.approx(truth, rel=0.25)
    assert carlo > 3 * truth
    assert float(audit.null) == pytest.approx(0, abs=0.1)
    assert verdict(audit) == "ok", audit


def test_a_critic_of_groups_that_does_not_learn_is_found_by_the_audit() -> None:
    truth, reading, audit = trained_critic(0)
    assert abs(reading) < 0.2 * truth
    assert verdict(audit) == "stale", audit


def test_a_critic_of_groups_that_is_too_narrow_passes_its_audit_though_it_reads_too_little() -> None:
    """A limit of the audit: the critics that it sets beside the reading are as narrow."""
    truth, reading, audit = trained_critic(100, width=1)
    assert reading < 0.5 * truth
    assert verdict(audit) == "ok", audit


def reading(estimator: str, width: int, bias: float, task: str = "a", sd: float = 0.1, **numbers: float) -> Cell:
    found = {"mean": 1.0 + bias, "sd": sd, "n": 100.0, "bias_population": bias, "rmse_population": math.hypot(bias, sd)}
    return Cell(kind="groups", task=task, estimator=estimator, batch=256, dims=width, numbers={**found, **numbers})


def study_of(*cells: Cell) -> Study:
    settings = {"batch": 256, "swept": "a", "critic_steps": 1}
    return Study(profile="made up", settings=settings, machine={}, cells={cell.key: cell for cell in cells})


EARLY = [reading("mss", 1, 0.1), reading("mine", 1, 0.1)]
LATE = [reading("mss", 2, 5.0), reading("nested", 2, 4.0), reading("mine", 2, 0.1), reading("ratio", 2, 3.0)]


def test_the_crossover_is_the_first_width_from_which_on_the_best_of_monte_carlo_is_worse() -> None:
    study = study_of(*EARLY, *LATE)
    found = crossover(study)
    assert found.outcome == "holds"
    assert "from G = 2 on (at G = 2 nested 4, MINE 0.141)" in found.because
    again = [reading("mss", 4, 0.1), reading("mine", 4, 0.3)]  # a critic that is worse at the largest width ends it
    assert crossover_of(pairs_of(study_of(*EARLY, *LATE, *again), "a")) is None


def test_there_is_no_crossover_where_errors_are_level_and_none_is_claimed_where_a_cell_is_missing() -> None:
    assert crossover(study_of(*EARLY)).outcome == "does not hold"
    missing = study_of(*EARLY, *LATE[:2])
    assert crossover(missing).outcome == "not measured"
    assert "a: not measured at G = 2" in crossover(missing).because
    other = [reading(name, width, 0.1, task="b") for name in ("mss", "mine") for width in (1, 2)]
    assert crossover(study_of(*EARLY, *LATE, *other)).outcome == "depends"
    assert {v.outcome for v in group_verdicts(study_of())} == {"not measured"}
    assert chart(study_of()) == ""


def test_the_gradient_is_judged_only_where_monte_carlo_is_wrong() -> None:
    def wrong(cosine: float) -> list[Cell]:
        return [reading("mss", 2, 5.0, gradient_cosine_population=cosine), reading("mine", 2, 0.1)]

    right = [reading("mss", 1, 0.1, gradient_cosine_population=0.1), reading("mine", 1, 0.1)]
    assert gradient_is_lost(study_of(*right, *wrong(0.1))).outcome == "holds"
    assert gradient_is_lost(study_of(*right, *wrong(0.9))).outcome == "does not hold"
    assert gradient_is_lost(study_of(*right)).outcome == "not measured"


def test_the_page_shows_the_crossover_first() -> None:
    page = page_of(study_of(*EARLY, *LATE))
    assert page.index("From some number G") < page.index(
        "Monte Carlo estimates of total correlation have high variance"
    )
    assert page.index("Error of the total correlation between groups") < page.index('id="values"')
    assert "from G = 2 on" in page


def test_the_documentation_has_the_table_of_the_committed_study() -> None:
    study, page = (
        read_study(ROOT / "results" / "estimators"),
        (ROOT / "docs" / "estimators.md").read_text(encoding="utf-8"),
    )
    assert crossover(study).outcome == "holds"
    filled = runpy.run_path(str(ROOT / "docs" / "fill_estimators.py"))["filled"]
    assert filled(page, study) == page, "run: python docs/fill_estimators.py results/estimators"
