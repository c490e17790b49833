from collections.abc import Callable

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from disbench.mine_vae.partition import PAIRED, PairwiseInformation, Partition, cross_information, schedule

BLOCKS, SIZE = 4, 3
LATENTS = BLOCKS * SIZE


def planted(seed: int) -> tuple[Tensor, Tensor]:
    """Loadings (D, blocks) and labels (D,) of standard Gaussian latents, correlated by .55 to .85 within blocks alone."""
    generator = torch.Generator().manual_seed(seed)
    rho = 0.55 + 0.3 * torch.rand(BLOCKS, generator=generator)
    label = torch.arange(BLOCKS).repeat_interleave(SIZE)[torch.randperm(LATENTS, generator=generator)]
    sign = torch.randint(0, 2, (LATENTS,), generator=generator) * 2 - 1
    loadings = torch.zeros(LATENTS, BLOCKS)
    loadings[torch.arange(LATENTS), label] = rho.sqrt()[label] * sign
    return loadings, label


def draw(loadings: Tensor, n: int) -> Tensor:
    noise = (1 - loadings.square().sum(1)).sqrt()
    return torch.randn(n, BLOCKS) @ loadings.T + noise * torch.randn(n, LATENTS)


def found_share(groups: Tensor, label: Tensor) -> float:
    """The share of latents in the right group, under the best matching of factor groups to blocks."""
    table = torch.zeros(BLOCKS + 1, BLOCKS)
    table.index_put_((groups, label), torch.ones(len(label)), accumulate=True)
    factors = table[1:].numpy()
    return factors[linear_sum_assignment(-factors)].sum() / len(label)


def alternate(draw: Callable[[int], Tensor], nats: Tensor, groups: int, seed: int, **options: object) -> Tensor:
    """The three parties on given latents, as in training; the group (D,) of each latent that comes of it."""
    torch.manual_seed(seed)
    partition = Partition(len(nats), num_factors=groups, mine_hidden_dim=32, **options)
    parties = partition.parameter_groups()
    rates = {"outer": 1e-3, "critics": 3e-3, "assignment": 1e-2}
    adams = {party: torch.optim.Adam(parties[party], rates[party], betas=(0.5, 0.9)) for party in parties}
    for step in range(1, 401):
        for (party,), _ in partition.schedule(step):
            z = draw(64)
            if party == "outer":
                embeddings = partition.factor_encoder(z)
                partition.observe(embeddings.detach(), step)
                loss = partition.outer_terms(z, embeddings)[0]
            elif party == "critics":
                loss = partition.critic_loss(z)
            else:
                loss = partition.inner_loss(z, nats)[0]
            adams[party].zero_grad()
            loss.backward(inputs=parties[party])
            torch.nn.utils.clip_grad_norm_(parties[party], 5.0)
            adams[party].step()
    return partition.attention.assignment().argmax(1)


def planted_share(seed: int, **options: object) -> float:
    """The share of a planted partition that is found."""
    loadings, label = planted(seed)
    return found_share(alternate(lambda n: draw(loadings, n), torch.ones(LATENTS), BLOCKS, seed, **options), label)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))])
def test_the_alternation_finds_a_planted_partition(seed: int) -> None:
    assert planted_share(seed) >= 0.9


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))])
def test_without_mine_the_planted_partition_is_not_found(seed: int) -> None:
    """Capacity, entropy and L2 know nothing of dependence."""
    assert planted_share(seed, cross_weight=0.0) < 0.9


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 3))])
def test_independent_latents_that_hold_something_get_a_factor_each(seed: int) -> None:
    nats = torch.tensor([0.0, 2.3, 0.0, 2.1, 2.1, 0.0, 1.9, 0.0, 1.5, 0.0])
    groups = alternate(lambda n: torch.randn(n, 10), nats, 5, seed)[nats > 0]
    assert sorted(groups.tolist()) == [1, 2, 3, 4, 5]


def test_the_critics_and_the_outer_parties_move_each_step_and_the_assignment_every_fifth_three_times() -> None:
    updates = [list(schedule(step)) for step in range(1, 11)]
    assert [len(step) for step in updates] == [2, 2, 2, 2, 5, 2, 2, 2, 2, 5]
    for step in updates:
        assert step[0] == (("outer",), "minibatch")
        assert step[1] == (("critics",), "recent")
        assert all(move == (("assignment",), "recent") for move in step[2:])


def test_joint_training_moves_the_assignment_with_the_outer_parties_on_their_minibatch() -> None:
    assert list(schedule(5, bi_level=False)) == [(("outer", "assignment"), "minibatch"), (("critics",), "recent")]


def test_a_fixed_assignment_never_moves() -> None:
    partition = Partition(6, num_factors=3, attention="fixed")
    assert [update.parameter_groups for update in partition.schedule(5)] == [("outer",), ("critics",)]
    assert partition.attention.assignment().argmax(1).tolist() == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("options", [{}, {"bi_level": False}, {"attention": "fixed"}])
def test_factor_weights_follow_the_gaussian_fit_whoever_moves(options: dict[str, object]) -> None:
    torch.manual_seed(0)
    partition = Partition(6, num_factors=3, **options)
    embeddings = torch.randn(3, 64, 32) * torch.tensor([0.1, 1.0, 3.0])[:, None, None]
    partition.observe(embeddings, step=4)
    assert partition.factor_weights.tolist() == [1, 1, 1]
    partition.observe(embeddings, step=5)
    assert partition.factor_weights.tolist() == sorted(partition.factor_weights.tolist())
    assert partition.factor_weights[0] < partition.factor_weights[2]
    without = Partition(6, num_factors=3, gaussian_fit=False, **options)
    without.observe(embeddings, step=5)
    assert without.factor_weights.tolist() == [1, 1, 1]


def test_outer_terms_are_the_weighted_leak_less_what_is_kept() -> None:
    torch.manual_seed(0)
    partition = Partition(6, num_factors=3, attention="fixed")
    partition.factor_weights.copy_(torch.tensor([0.5, 1.0, 2.0]))
    z, embeddings = torch.randn(32, 6), torch.randn(3, 32, 32)
    torch.manual_seed(1)
    penalty, terms = partition.outer_terms(z, embeddings)
    torch.manual_seed(1)
    noisy = embeddings + 0.3 * torch.randn_like(embeddings)
    inside = torch.stack([torch.where(partition.attention.blocks[:, k + 1] > 0, z, 0.0) for k in range(3)])
    leak, kept = partition.leak.estimate(z - inside, noisy), partition.kept.estimate(inside, noisy)
    torch.testing.assert_close(penalty, ((leak - kept) * torch.tensor([0.5, 1.0, 2.0])).sum() / 3)
    torch.testing.assert_close(torch.stack([terms["leak"], terms["kept"]]), torch.stack([leak.mean(), kept.mean()]))


def test_cross_information_counts_pairs_in_different_groups_alone() -> None:
    information = torch.tensor([[0.0, 2.0, 1.0], [2.0, 0.0, 4.0], [1.0, 4.0, 0.0]])
    together, one_apart = torch.eye(3)[[1, 1, 1]], torch.eye(3)[[1, 1, 2]]
    assert cross_information(information, together, 3) == 0
    torch.testing.assert_close(cross_information(information, one_apart, 3), torch.tensor(10 / 3))
    even = torch.full((3, 2), 0.5)  # two groups at even odds: each pair is apart half of the time
    torch.testing.assert_close(cross_information(information, even, 3), torch.tensor(7 / 3))


@pytest.mark.parametrize("bound", ["mine", "nwj", "smile", "ratio"])
def test_pairs_of_gaussians_read_their_closed_form_and_independent_ones_nothing(bound: str) -> None:
    """Latents 0 and 1 with rho = -.8: .511 nats; 2 is independent of both."""
    torch.manual_seed(0)
    pairwise = PairwiseInformation(3, bound=bound)
    optimizer = torch.optim.Adam(pairwise.parameters(), lr=5e-3, betas=(0.5, 0.9))
    settling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, 600)
    which = torch.tensor([2, 0, 1])

    def latents(n: int) -> Tensor:
        x, noise, other = torch.randn(3, n)
        return torch.stack([x, -0.8 * x + 0.6 * noise, other], 1)

    for _ in range(600):
        optimizer.zero_grad()
        pairwise.critic_loss(latents(256), which).backward()
        optimizer.step()
        settling.step()
    with torch.no_grad():
        table = pairwise.estimate(latents(20_000), which)
    expected = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.511], [0.0, 0.511, 0.0]])
    torch.testing.assert_close(table, expected, rtol=0, atol=0.03)


def test_a_sample_of_the_latents_stands_for_all_partners() -> None:
    """Each pair shares one nat and is apart at the same odds, so it does not matter how many latents were drawn."""
    for sampled in (2, 8, 40):
        information = torch.ones(sampled, sampled).fill_diagonal_(0)
        even = torch.full((sampled, 4), 0.25)
        assert cross_information(information, even, 40).item() == pytest.approx(39 * 0.75)


def test_a_step_reads_the_pairs_of_a_few_latents_and_in_time_of_all() -> None:
    torch.manual_seed(0)
    partition = Partition(2 * PAIRED, num_factors=3)
    draws = [partition.some_latents().tolist() for _ in range(20)]
    assert all(len(set(which)) == PAIRED for which in draws)
    assert set().union(*draws) == set(range(2 * PAIRED))
    assert sorted(Partition(6, num_factors=3).some_latents().tolist()) == list(range(6))


def test_each_loss_reaches_its_own_party_and_the_latents_where_the_encoder_is_meant() -> None:
    torch.manual_seed(0)
    partition = Partition(6, num_factors=3)
    z = torch.randn(32, 6, requires_grad=True)

    def reached(loss: Tensor) -> set[str]:
        partition.zero_grad()
        z.grad = None
        loss.backward()
        names = {name for name, p in partition.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
        modules = {name.split(".")[0] for name in names}
        return modules | ({"latents"} if z.grad is not None else set())

    assert reached(partition.critic_loss(z)) == {"leak", "kept", "pairwise"}
    outer = {"factor_encoder", "leak", "kept", "latents"}  # the critics are frozen by whoever steps
    assert reached(partition.outer_terms(z, partition.factor_encoder(z))[0]) == outer
    _, terms = partition.inner_loss(z, torch.ones(6))
    assert set(terms) == {"capacity", "entropy", "squares", "cross"}
    for name in terms:
        assert reached(partition.inner_loss(z, torch.ones(6))[1][name]) == {"attention"}


def test_the_inner_loss_is_the_weighted_sum_of_its_terms() -> None:
    torch.manual_seed(0)
    partition = Partition(6, num_factors=3)
    loss, terms = partition.inner_loss(torch.randn(32, 6), torch.ones(6))
    weights = {"capacity": 5.0, "entropy": 0.05, "squares": 0.1, "cross": 10.0}
    torch.testing.assert_close(loss, sum(weight * terms[name] for name, weight in weights.items()))
