import pytest
import torch
from scipy.optimize import linear_sum_assignment

from disbench.mine_vae.partition import GroupTotalCorrelation, Partition, moves, permute_groups

BLOCKS, SIZE = 4, 3
LATENTS = BLOCKS * SIZE


def planted(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Loadings (D, blocks) and labels (D,) of standard Gaussian latents, correlated by .55 to .85 within blocks alone."""
    generator = torch.Generator().manual_seed(seed)
    rho = 0.55 + 0.3 * torch.rand(BLOCKS, generator=generator)
    label = torch.arange(BLOCKS).repeat_interleave(SIZE)[torch.randperm(LATENTS, generator=generator)]
    sign = torch.randint(0, 2, (LATENTS,), generator=generator) * 2 - 1
    loadings = torch.zeros(LATENTS, BLOCKS)
    loadings[torch.arange(LATENTS), label] = rho.sqrt()[label] * sign
    return loadings, label


def draw(loadings: torch.Tensor, n: int) -> torch.Tensor:
    noise = (1 - loadings.square().sum(1)).sqrt()
    return torch.randn(n, BLOCKS) @ loadings.T + noise * torch.randn(n, LATENTS)


def found_share(groups: torch.Tensor, label: torch.Tensor) -> float:
    """The share of latents in the right group, under the best matching of factor groups to blocks."""
    table = torch.stack(
        [torch.bincount(label[groups == group], minlength=BLOCKS) for group in range(1, groups.max() + 1)]
    )
    return table.numpy()[linear_sum_assignment(-table.numpy())].sum() / len(label)


def alternate(seed: int, steps: int = 600, **options: object) -> float:
    """The three parties on given latents, as in training; the accuracy of the partition that comes of it."""
    loadings, label = planted(seed)
    torch.manual_seed(seed)
    partition = Partition(LATENTS, num_factors=BLOCKS, **options)
    parties, kl = partition.parties(), torch.ones(LATENTS)
    rates = {"outer": 1e-3, "critics": 3e-3, "assignment": 1e-2}
    adams = {party: torch.optim.Adam(parties[party], rates[party], betas=(0.5, 0.9)) for party in parties}
    for step in range(1, steps + 1):
        for (party,), _ in partition.moves(step):
            z = draw(loadings, 64)
            if party == "outer":
                embeddings = partition.factor_encoder(z)
                partition.observe(embeddings.detach(), step)
                loss = partition.outer_terms(z, embeddings)[0]
            elif party == "critics":
                loss = partition.critic_loss(z)
            else:
                loss = partition.inner_loss(z, kl)[0]
            adams[party].zero_grad()
            loss.backward(inputs=parties[party])
            torch.nn.utils.clip_grad_norm_(parties[party], 5.0)
            adams[party].step()
    return found_share(partition.attention.assignment().argmax(1), label)


def test_mine_finds_most_of_a_planted_partition_and_without_it_nothing_is_found() -> None:
    """Of twelve latents nine or more are found with MINE; with capacity, entropy and L2 alone at most seven."""
    assert min(alternate(seed) for seed in (0, 1)) >= 0.7
    assert alternate(0, steps=300, group_tc_weight=0.0) <= 0.6


def test_the_critics_and_the_outer_parties_move_each_step_and_the_assignment_every_fifth_three_times() -> None:
    schedule = [list(moves(step)) for step in range(1, 11)]
    assert [len(step) for step in schedule] == [2, 2, 2, 2, 5, 2, 2, 2, 2, 5]
    for step in schedule:
        assert step[0] == (("outer",), "minibatch")
        assert step[1] == (("critics",), "recent")
        assert all(move == (("assignment",), "recent") for move in step[2:])


def test_joint_training_moves_the_assignment_with_the_outer_parties_on_their_minibatch() -> None:
    assert list(moves(5, bi_level=False)) == [(("outer", "assignment"), "minibatch"), (("critics",), "recent")]


def test_a_fixed_assignment_never_moves() -> None:
    partition = Partition(6, num_factors=3, attention="fixed")
    assert [move.parties for move in partition.moves(5)] == [("outer",), ("critics",)]


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


def test_groups_are_permuted_whole_and_apart_from_each_other() -> None:
    torch.manual_seed(0)
    z = torch.arange(50.0)[:, None].expand(-1, 4)
    partition = torch.eye(3)[[0, 1, 1, 2]]
    permuted = permute_groups(z, partition)
    assert torch.equal(permuted[:, 1], permuted[:, 2])
    assert not torch.equal(permuted[:, 0], permuted[:, 1])
    assert torch.equal(permuted.sort(dim=0).values, z)


def test_a_permutation_of_one_group_of_everything_is_no_change_of_law_and_the_critic_reads_nothing() -> None:
    """TC_G of one group is 0 and of two halves the information between them: Gaussian, rho = .8, .511 nats."""
    torch.manual_seed(0)
    critic = GroupTotalCorrelation(2, hidden_dim=64)
    optimizer = torch.optim.Adam(critic.parameters(), lr=3e-3, betas=(0.5, 0.9))
    apart, together = torch.eye(3)[[1, 2]], torch.eye(3)[[1, 1]]

    def pairs(n: int) -> torch.Tensor:
        x, noise = torch.randn(2, n)
        return torch.stack([x, 0.8 * x + 0.6 * noise], 1)

    for _ in range(500):
        optimizer.zero_grad()
        critic.critic_loss(pairs(256), apart).backward()
        optimizer.step()
    with torch.no_grad():
        z = pairs(20_000)
        assert critic.estimate(z, apart).item() == pytest.approx(0.511, abs=0.05)
        assert critic.estimate(z, together).item() < 0.02


def test_each_loss_reaches_its_own_party_and_the_latents_where_the_encoder_is_meant() -> None:
    torch.manual_seed(0)
    partition = Partition(6, num_factors=3)
    z = torch.randn(32, 6, requires_grad=True)
    parties = partition.parties()

    def reached(loss: torch.Tensor) -> set[str]:
        partition.zero_grad()
        z.grad = None
        loss.backward()
        names = {
            party
            for party, parameters in parties.items()
            if any(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters)
        }
        return names | ({"latents"} if z.grad is not None else set())

    assert reached(partition.critic_loss(z)) == {"critics"}
    assert reached(partition.outer_terms(z, partition.factor_encoder(z))[0]) == {"outer", "critics", "latents"}
    inner = partition.inner_loss(z, torch.ones(6))[0]
    assert "latents" not in reached(inner)
    assert "outer" not in reached(partition.inner_loss(z, torch.ones(6))[0])
