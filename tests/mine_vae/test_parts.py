import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from disbench.baselines.replay_buffer import ReplayBuffer
from disbench.mine_vae.attention import CrossAttention, capacity_mismatch, entropy, one_hot_largest, split_by_factor
from disbench.mine_vae.factor_encoder import NOISE, FactorEncoder
from disbench.mine_vae.gaussian_fit import GaussianFitEstimator, factor_weights


def test_the_assignment_is_a_partition_of_each_latent() -> None:
    torch.manual_seed(0)
    attention = CrossAttention(12, num_factors=4)
    assignment = attention.assignment()
    assert assignment.shape == (12, 5)
    torch.testing.assert_close(assignment.sum(1), torch.ones(12))
    hard = attention.sampled_partition()
    assert set(hard.detach().round(decimals=5).unique().tolist()) <= {0.0, 1.0}
    torch.testing.assert_close(hard.sum(1), torch.ones(12))


def test_a_partition_passes_its_gradient_to_the_logits() -> None:
    torch.manual_seed(0)
    attention = CrossAttention(6, num_factors=3)
    (attention.sampled_partition() * torch.randn(6, 4)).sum().backward()
    assert attention.queries.grad.abs().sum() > 0
    assert attention.tokens.grad.abs().sum() > 0


def test_latents_that_match_a_key_are_assigned_to_it() -> None:
    attention = CrossAttention(2, num_factors=2, attention_dim=3)
    with torch.no_grad():
        attention.tokens.copy_(50 * torch.eye(3))
        attention.queries.copy_(torch.eye(3)[[2, 0]])
    assert attention.assignment().argmax(1).tolist() == [2, 0]


def test_the_decoder_reads_z_alone_at_first() -> None:
    attention = CrossAttention(6, num_factors=3, factor_dim=4)
    z = torch.randn(5, 6)
    torch.testing.assert_close(attention.refine(z, torch.randn(3, 5, 4)), z)


def test_refining_weighs_each_factors_value_by_the_assignment() -> None:
    torch.manual_seed(0)
    attention = CrossAttention(6, num_factors=3, factor_dim=4)
    torch.nn.init.normal_(attention.value.weight)
    z, embeddings = torch.randn(5, 6), torch.randn(3, 5, 4)
    expected = z.clone()
    for k in range(3):
        expected += attention.assignment()[:, k + 1] * attention.value(embeddings[k])
    torch.testing.assert_close(attention.refine(z, embeddings), expected)


def test_entropy_is_zero_for_one_group_and_log_k_for_all() -> None:
    assert entropy(torch.eye(4)).abs() < 1e-6
    torch.testing.assert_close(entropy(torch.full((3, 4), 0.25)), torch.tensor(math.log(4)))


def chi_square(target: Tensor, groups: Sequence[int], nats: Tensor) -> float:
    """Pearson's, of one hard partition, written out."""
    use = [sum(n for n, group in zip(nats.tolist(), groups, strict=True) if group == k) for k in range(len(target))]
    return sum((u / nats.sum().item() - p) ** 2 / p for u, p in zip(use, target.tolist(), strict=True))


def test_capacity_of_a_hard_partition_is_pearsons_chi_square_in_nats_and_ignores_dead_latents() -> None:
    assignment = torch.eye(3)[[0, 1, 2, 2]]
    nats = torch.tensor([1.0, 2.0, 1.0, 0.0])
    assert capacity_mismatch(torch.tensor([0.25, 0.5, 0.25]), assignment, nats) == 0
    mismatch = capacity_mismatch(torch.tensor([0.5, 0.25, 0.25]), assignment, nats)
    assert mismatch.item() == pytest.approx(0.0625 / 0.5 + 0.0625 / 0.25)
    assert mismatch.item() == pytest.approx(chi_square(torch.tensor([0.5, 0.25, 0.25]), [0, 1, 2, 2], nats))


def test_capacity_of_a_soft_assignment_is_the_mean_over_all_partitions_that_may_be_drawn() -> None:
    torch.manual_seed(0)
    assignment, target, nats = torch.randn(3, 3).softmax(1), torch.randn(3).softmax(0), torch.rand(3)
    expected = sum(
        math.prod(assignment[d, k].item() for d, k in enumerate(groups)) * chi_square(target, groups, nats)
        for groups in itertools.product(range(3), repeat=3)
    )
    assert capacity_mismatch(target, assignment, nats).item() == pytest.approx(expected, rel=1e-5)


def test_one_hot_takes_the_largest() -> None:
    assert one_hot_largest(torch.tensor([[0.1, 0.7, 0.2]])).tolist() == [[0, 1, 0]]


def test_complexity_is_the_capacity_of_the_fitted_gaussian() -> None:
    torch.manual_seed(0)
    fit = GaussianFitEstimator(2, 3, gaussian_fit_samples=20_000)
    deviations = torch.tensor([[1.0, 0.5, 0.1], [2.0, 0.0, 0.0]])
    fit.add(torch.randn(2, 20_000, 3) * deviations[:, None] + 5.0)
    expected = 0.5 * torch.log1p(deviations**2 / NOISE**2).sum(1)
    torch.testing.assert_close(fit.complexities(), expected, rtol=0.02, atol=0.01)


def test_the_fit_forgets_what_is_older_than_its_samples() -> None:
    torch.manual_seed(0)
    fit = GaussianFitEstimator(1, 2, gaussian_fit_samples=100)
    fit.add(100 * torch.randn(1, 90, 2))
    fit.add(torch.zeros(1, 100, 2))
    assert fit.complexities().abs().max() < 1e-6


def test_a_fit_not_yet_full_counts_only_what_it_has() -> None:
    torch.manual_seed(0)
    embeddings = torch.randn(1, 50, 2)
    small, large = (GaussianFitEstimator(1, 2, gaussian_fit_samples=size) for size in (50, 1000))
    small.add(embeddings)
    large.add(embeddings)
    torch.testing.assert_close(small.complexities(), large.complexities())


def test_weights_are_relative_and_clipped() -> None:
    assert factor_weights(torch.tensor([0.0, 1.0, 5.0])).tolist() == [0.5, 0.5, 2.0]


def test_factors_are_embedded_apart() -> None:
    torch.manual_seed(0)
    encoder = FactorEncoder(6, num_factors=3, factor_dim=4)
    z = torch.randn(5, 6)
    before = encoder(z)
    assert before.shape == (3, 5, 4)
    with torch.no_grad():
        encoder.hidden.weight[1] += 1
    changed = (encoder(z) - before).abs().amax((1, 2)) > 1e-6
    assert changed.tolist() == [False, True, False]


@pytest.mark.parametrize("batches", [[3], [3, 4], [3, 4, 5], [9]])
def test_the_ring_holds_the_latest_rows(batches: list[int]) -> None:
    ring = ReplayBuffer(6, 1)
    stream = torch.arange(1.0, sum(batches) + 1)[:, None]
    for batch in stream.split(batches):
        ring.add(batch)
    latest = stream[-6:]
    assert int(ring.count()) == len(latest)
    held = ring.rows[ring.rows > 0].sort().values
    assert held.tolist() == latest.flatten().tolist()
    assert set(ring.sample(200).flatten().tolist()) == set(latest.flatten().tolist())


def test_splitting_gives_each_latent_to_its_factor_and_nuisance_to_none() -> None:
    z = torch.tensor([[1.0, 2.0, 3.0]])
    partition = torch.eye(3)[[1, 0, 2]]  # latent 0 to factor 1, latent 1 to nuisance, latent 2 to factor 2
    outside, inside = split_by_factor(z, partition)
    assert inside.tolist() == [[[1, 0, 0]], [[0, 0, 3]]]
    assert outside.tolist() == [[[0, 2, 3]], [[1, 2, 0]]]


def test_the_decoders_path_does_not_move_the_assignment() -> None:
    torch.manual_seed(0)
    attention = CrossAttention(6, num_factors=3, factor_dim=4)
    torch.nn.init.normal_(attention.value.weight)
    attention.refine(torch.randn(5, 6), torch.randn(3, 5, 4)).square().sum().backward()
    assert attention.value.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in attention.assigning_parameters())
