"""The MINE Disentangle VAE on groups: its loss and who moves, the assignment's loss, the groups' complexity."""

import importlib.util
import itertools
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from disbench.baselines.bernoulli import bernoulli_loss
from disbench.baselines.beta_tcvae import kl_terms
from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.hf_vae import block_kl_terms
from disbench.baselines.method import Batch
from disbench.benchmarks.training.steps import Loop
from disbench.mine_vae import MINEGroupVAE, group_model
from disbench.mine_vae.grouping import (
    GroupAttention,
    group_complexities,
    pairs_in_use,
    priced_loss,
    prices,
    read_pairs,
)
from disbench.mine_vae.total_correlation import PermutedCritic, permute_groups

BATCH = 16
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def short_audits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_model, "AUDIT_STEPS", 3)


def make(**options: object) -> MINEGroupVAE:
    torch.manual_seed(0)
    small = {"latent_dim": 6, "num_factors": 3, "network": "mlp", "hidden_dim": 16, "recent_posteriors": 64}
    return MINEGroupVAE((1, 8, 8), 500, **{**small, **options})


def test_the_latents_of_a_group_are_permuted_together_and_those_of_two_groups_apart() -> None:
    torch.manual_seed(0)
    z = torch.arange(200.0)[:, None].expand(200, 4)
    permuted = permute_groups(z, torch.tensor([2, 0, 2, 0]))
    first, second = permuted[:, 0], permuted[:, 1]
    assert torch.equal(permuted[:, 2], first)
    assert torch.equal(permuted[:, 3], second)
    assert torch.equal(first.sort().values, z[:, 0])
    assert (first == second).float().mean() < 0.05  # one row in 200 agrees by chance


def test_a_trained_critic_reads_the_total_correlation_of_gaussian_groups_and_not_that_within_them() -> None:
    """Two groups of two latents, correlated by 0.9 within a group and by 0.8 across: the truth is in determinants."""
    torch.manual_seed(0)
    covariance = torch.full((4, 4), 0.8) + 0.2 * torch.eye(4)
    covariance[0, 1] = covariance[1, 0] = covariance[2, 3] = covariance[3, 2] = 0.9
    within = np.linalg.slogdet(covariance[:2, :2].numpy())[1] + np.linalg.slogdet(covariance[2:, 2:].numpy())[1]
    truth = 0.5 * (within - np.linalg.slogdet(covariance.numpy())[1])
    factor, group = torch.linalg.cholesky(covariance), torch.tensor([1, 1, 2, 2])
    critic = PermutedCritic(4, bound="ratio", hidden_dim=64)
    adam = torch.optim.Adam(critic.parameters(), 3e-3)
    for step in range(500):
        adam.param_groups[0]["lr"] = 3e-3 if step < 350 else 3e-4
        adam.zero_grad()
        critic.critic_loss(torch.randn(1024, 4) @ factor.T, group).backward()
        adam.step()
    with torch.no_grad():
        read = critic.estimate(torch.randn(20_000, 4) @ factor.T, group).item()
    assert read == pytest.approx(truth, rel=0.15)
    assert truth == pytest.approx(0.617, abs=0.001)  # the total correlation of the four latents is 2.28


def test_a_groups_complexity_is_the_capacity_of_a_gaussian_channel_and_needs_no_basis() -> None:
    torch.manual_seed(0)
    mean = torch.randn(500, 3) @ torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.5]])
    q = Posterior(mean, torch.full((500, 3), -2.0))
    filled = (torch.arange(500) < 400)[:, None]
    member = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    signal = np.cov(mean[:400].numpy().T, bias=True) / np.exp(-2.0)
    # In its own basis a channel is several independent ones, each with 1/2 log(1 + signal / noise).
    expected = [0.5 * np.log1p(np.linalg.eigvalsh(signal[:2, :2])).sum(), 0.5 * np.log1p(signal[2, 2]), 0.0]
    np.testing.assert_allclose(group_complexities(q, filled, member).numpy(), expected, rtol=1e-4, atol=1e-6)


def test_pairs_are_read_from_draws_so_that_a_dead_latent_shares_nothing() -> None:
    torch.manual_seed(0)
    x = torch.randn(2000)
    mean = torch.stack([x, x, 1e-3 * x], dim=1)  # the third moves with the others by a thousandth of its noise
    logvar = torch.tensor([-4.0, -4.0, 0.0]).expand(2000, 3)
    read = read_pairs(Posterior(mean, logvar), torch.ones(2000, 1, dtype=torch.bool))
    assert read[0, 1] > 0.5
    assert read[:, 2].max() < 0.01
    assert torch.equal(read.diagonal(), torch.zeros(3))


def partitions(latents: int) -> list[tuple[int, ...]]:
    """List every partition as restricted growth strings."""
    return [
        each
        for each in itertools.product(range(latents), repeat=latents)
        if all(label <= max(each[:place], default=-1) + 1 for place, label in enumerate(each))
    ]


def cost(groups: tuple[int, ...], information: np.ndarray, price: float, resolution: float) -> float:
    """The cost of a partition by sums over pairs, in nats a latent."""
    strength = information.sum(1)
    total = 0.0
    for d, e in itertools.permutations(range(len(groups)), 2):
        if groups[d] == groups[e]:
            total += price + resolution * strength[d] * strength[e] / strength.sum() - information[d, e]
    return total / len(groups)


ALL_IN_USE = torch.ones(5, 5)
INFORMATION = np.zeros((5, 5))
for d, e, nats in ((0, 1, 0.3), (2, 3, 0.05), (2, 4, 0.04), (3, 4, 0.05), (1, 2, 0.03)):
    INFORMATION[d, e] = INFORMATION[e, d] = nats


@pytest.mark.parametrize("resolution", [0.0, 1.0])
def test_the_loss_of_a_hard_assignment_is_the_cost_of_its_partition_up_to_a_constant(resolution: float) -> None:
    attention = GroupAttention(5, num_factors=5, attention_dim=6)
    torch.nn.init.eye_(attention.tokens)
    information = torch.tensor(INFORMATION, dtype=torch.float32)
    differences = []
    for groups in partitions(5):
        with torch.no_grad():
            attention.queries.copy_(200 * torch.eye(6)[list(groups)])
        loss, _ = priced_loss(information, ALL_IN_USE, attention, 0.01, resolution, 0.0, 0.0)
        differences.append(loss.item() - cost(groups, INFORMATION, 0.01, resolution))
    assert len(differences) == 52  # Bell's number
    assert np.ptp(differences) < 1e-5


def test_the_gradient_of_a_logit_is_the_price_of_moving_a_latent_there() -> None:
    torch.manual_seed(0)
    attention = GroupAttention(5, num_factors=2, attention_dim=3)
    information = torch.tensor(INFORMATION, dtype=torch.float32)
    logits = attention.logits().detach()
    given = logits.clone().requires_grad_(True)
    attention.logits = lambda: given
    priced_loss(information, ALL_IN_USE, attention, 0.01, 1.0, 0.0, 0.0)[0].backward()
    share = logits.softmax(1).double().numpy()
    charged = prices(information, 0.01, 1.0).double().numpy() - INFORMATION
    np.fill_diagonal(charged, 0)
    expected = [[2 / 5 * sum(charged[d, e] * share[e, k] for e in range(5)) for k in range(3)] for d in range(5)]
    np.testing.assert_allclose(given.grad.numpy(), expected, atol=1e-6)


def test_a_pair_is_in_use_if_both_latents_carry_a_tenth_of_a_nat() -> None:
    # A posterior N(m, 1) has m^2 / 2 nats, and N(0, s^2) has (s^2 - 1) / 2 - log s. The third row is not filled.
    mean = torch.tensor([[0.44, 0.46, 0.0], [-0.44, -0.46, 0.0], [9.0, 9.0, 9.0]])
    logvar = torch.tensor([[0.0, 0.0, -1.0]] * 3)
    filled = torch.tensor([[True], [True], [False]])
    used = [0.44**2 / 2 >= 0.1, 0.46**2 / 2 >= 0.1, (np.exp(-1) - 1) / 2 + 0.5 >= 0.1]
    assert used == [False, True, True]
    assert pairs_in_use(Posterior(mean, logvar), filled).tolist() == np.outer(used, used).astype(float).tolist()


@pytest.mark.parametrize("seed", range(3))
def test_latents_that_carry_nothing_take_no_group_from_those_that_do(seed: int) -> None:
    torch.manual_seed(seed)
    attention = GroupAttention(30, num_factors=5)
    adam = torch.optim.Adam(attention.parameters(), 1e-2)
    information = 0.003 * (1 - torch.eye(30))  # what 512 draws read of independent latents
    in_use = torch.zeros(30, 30)
    in_use[:5, :5] = 1
    for _ in range(400):
        adam.zero_grad()
        priced_loss(information, in_use, attention, 0.01, 1.0, 0.01, 0.005)[0].backward()
        adam.step()
    assert len(set(attention.groups()[:5].tolist())) == 5


@pytest.mark.parametrize("seed", range(3))
def test_the_assignment_finds_factors_that_are_spheres(seed: int) -> None:
    torch.manual_seed(seed)
    sizes = (4, 2, 1, 1, 3)
    label = torch.arange(5).repeat_interleave(torch.tensor(sizes))[torch.randperm(11)]
    attention = GroupAttention(11)
    adam = torch.optim.Adam(attention.parameters(), 1e-2)
    information = torch.zeros(11, 11)
    for _ in range(40):
        z = torch.zeros(512, 11)
        for factor, size in enumerate(sizes):
            points = torch.randn(512, size) if size > 1 else 2 * torch.rand(512, 1) - 1
            z[:, label == factor] = points / points.norm(dim=1, keepdim=True) if size > 1 else points
        q = Posterior(z, torch.full_like(z, -6.0))
        information += read_pairs(q, torch.ones(512, 1, dtype=torch.bool)) / 40
    for _ in range(300):
        adam.zero_grad()
        priced_loss(information, torch.ones(11, 11), attention, 0.01, 1.0, 0.01, 0.005)[0].backward()
        adam.step()
    groups = attention.groups()
    assert torch.equal(groups[:, None] == groups, label[:, None] == label)


@pytest.mark.parametrize(("second_phase", "mine"), [(False, True), (True, True), (True, False)])
def test_the_loss_is_the_sum_that_the_module_states(second_phase: bool, mine: bool) -> None:
    method = make(beta=3.0, tc_weight=7.0, mine=mine)
    x = torch.rand(BATCH, 1, 8, 8)
    torch.manual_seed(1)
    terms = method.outer_stage(Batch(x), (), second_phase=second_phase, joint=False).terms
    torch.manual_seed(1)
    q = method.posterior(x)
    z = q.sample()
    if not second_phase:
        tc = kl_terms(z, q, 500).total_correlation
    elif mine:
        tc = method.critic.estimate(z, method.groups())
    else:
        tc = block_kl_terms(z, q, 500, method.groups()).between_blocks
    expected = bernoulli_loss(method.decoder(z), x) + 3.0 * kl_to_prior(q).sum(1).mean() + 7.0 * tc
    torch.testing.assert_close(terms["loss"], expected)


def names_of_stages(method: MINEGroupVAE, steps: int = 100) -> list[list[str]]:
    return [[stage.name for stage in method.stages(group_model.Step(step, steps))] for step in range(steps)]


def test_the_assignment_learns_from_half_of_the_first_phase_and_the_critic_from_a_tenth_before_the_second() -> None:
    names = names_of_stages(make(mine_start=0.5))
    assert next(step for step, each in enumerate(names) if "outer, second" in each) == 50
    assert [step for step, each in enumerate(names) if each.count("assignment") == 3] == list(range(29, 100, 5))
    critics = [step for step, each in enumerate(names) if sum(name.startswith("critics") for name in each) == 2]
    assert critics == list(range(40, 100))


def test_without_a_second_phase_nothing_but_the_autoencoder_moves() -> None:
    assert {tuple(each) for each in names_of_stages(make(mine_start=1.0))} == {("outer, first",)}


def test_a_fixed_assignment_is_equal_blocks_and_has_no_parameters() -> None:
    method = make(attention="fixed")
    assert method.groups().tolist() == [1, 1, 2, 2, 3, 3]
    assert set(method.parameter_groups()) == {"outer", "critics"}
    Loop(10).fit(method, (torch.rand(BATCH, 1, 8, 8) for _ in range(10)))


def test_jointly_the_assignment_moves_at_each_step_of_its_time() -> None:
    method = make(bi_level=False, mine_start=0.0)
    before = method.attention.queries.detach().clone()
    Loop(2).fit(method, (torch.rand(BATCH, 1, 8, 8) for _ in range(2)))
    assert not torch.equal(method.attention.queries, before)
    assert all(torch.isfinite(each).all() for each in (method.attention.queries, method.information))
    assert method.information.max() > 0


def test_the_assignment_reads_the_recent_posteriors_a_twentieth_at_a_time() -> None:
    method = make(recent_posteriors=500)
    angle = 2 * torch.pi * torch.rand(500)
    mean = torch.stack([angle.cos(), angle.sin(), *torch.randn(4, 500)], dim=1)
    method.buffer_stage(None, (Posterior(mean, torch.full((500, 6), -6.0)), mean))
    expected = read_pairs(*method.remembered())
    method.assignment_loss()
    torch.testing.assert_close(
        method.information, 0.05 * expected, atol=2e-3, rtol=0.05
    )  # other draws of the same posteriors
    for _ in range(60):
        method.assignment_loss()
    torch.testing.assert_close(method.information, expected, atol=0.02, rtol=0.1)
    assert expected[0, 1] > 0.3


def test_the_partition_reports_shares_and_complexities_of_the_groups_that_are_there() -> None:
    method = make(mine_start=0.0)
    Loop(5).fit(method, (torch.rand(BATCH, 1, 8, 8) for _ in range(5)))
    report = method.partition()
    assert report.assignment.shape == (6, 4)
    assert report.complexities.shape == (3,)
    torch.testing.assert_close(report.target.sum(), torch.tensor(1.0))
    empty = [k for k in range(3) if k + 1 not in method.groups().tolist()]
    assert all(report.complexities[k] == 0 for k in empty)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tc_estimator": "marginal"}, "tc_estimator must be one of mine, nwj, infonce, smile, ratio"),
        ({"attention": "none"}, "attention must be 'learned' or 'fixed'"),
        ({"mine_start": 1.5}, "mine_start must be a share"),
        ({"num_factors": 0}, "num_factors must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)


def script() -> ModuleType:
    """The script of the mixture."""
    spec = importlib.util.spec_from_file_location("subspace_mixture", ROOT / "docs" / "subspace_mixture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_table_of_the_committed_records() -> None:
    page = (ROOT / "docs" / "methods" / "mine_groups.md").read_text(encoding="utf-8")
    assert script().table(ROOT / "results" / "mixture", nonlinear=False) in page


@pytest.mark.slow
def test_on_a_mixture_of_spheres_the_right_groups_are_found_and_their_information_kept() -> None:
    found = script().train("mine_groups", {}, seed=0, nonlinear=False, steps=6_000)
    assert found["gap"] > 0.95
    assert found["sizes"] == [4, 2, 1, 1, 3]
    assert found["nats"] > 24
