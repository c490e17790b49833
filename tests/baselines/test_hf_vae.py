"""The four terms of HFVAE by hand, on the numbers of the authors' code and in their limits, and blocks found in training."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor
from torch.func import vmap

from disbench.baselines.beta_tcvae import BetaTCVAE, kl_terms
from disbench.baselines.find_blocks import find_blocks
from disbench.baselines.gaussian import Posterior, log_normal
from disbench.baselines.hf_vae import HFVAE, block_kl_terms
from disbench.baselines.method import Step
from disbench.metrics import find_groups

SMALL = {"network": "mlp", "hidden_dim": 8}
B, N, D = 5, 40, 6
BLOCK = torch.tensor([1, 1, 2, 3, 3, 3])


def batch() -> tuple[Tensor, Posterior]:
    """Draws and posteriors without a random generator, so that other code can be given the same."""
    count = torch.arange(B * D, dtype=torch.float64).view(B, D)
    q = Posterior(torch.sin(1.7 * count + 0.3 * count**2), torch.cos(2.3 * count) - 1)
    return q.mean + torch.exp(q.logvar / 2) * torch.sin(5.1 * count + 1), q


def make(**options: Any) -> HFVAE:
    return HFVAE((1, 8, 8), N, **{**SMALL, "latent_dim": D, **options})


def test_the_terms_are_those_of_the_authors_code_up_to_its_constant() -> None:
    """`objectives.marginal.kl` of probtorch, commit da87497, with one weight of 1 and `bias=(N - 1) / (B - 1)`.

    Its weights of a density do not sum to 1, so that each density is too large by a constant factor.
    """
    authors = [3.201772260672505, 0.9305591676580522, 0.34792337951504065, -1.5328013623448196]
    constant = math.log((B - 1) * N / (B * (N - 1)))
    densities = np.array([-1, 1 - 3, 3 - D, D])  # of z, of 3 blocks and of D latents
    found = [term.item() for term in block_kl_terms(*batch(), N, BLOCK)]
    assert found == pytest.approx(np.array(authors) - constant * densities, abs=1e-12)


def test_with_the_whole_dataset_as_batch_the_densities_are_exact_mixtures() -> None:
    z, q = batch()
    draws, means, deviations = z.numpy(), q.mean.numpy(), np.exp(q.logvar.numpy() / 2)
    mutual = between = within = marginal = 0.0
    for i in range(B):
        pdf = np.array([norm.pdf(draws[i], means[j], deviations[j]) for j in range(B)])  # (B, D)
        joint = math.log(pdf.prod(axis=1).mean())
        blocks = sum(math.log(pdf[:, number == BLOCK].prod(axis=1).mean()) for number in (1, 2, 3))
        product = sum(math.log(pdf[:, d].mean()) for d in range(D))
        mutual += (math.log(pdf[i].prod()) - joint) / B
        between += (joint - blocks) / B
        within += (blocks - product) / B
        marginal += (product - norm.logpdf(draws[i]).sum()) / B
    found = [term.item() for term in block_kl_terms(z, q, B, BLOCK)]
    assert found == pytest.approx([mutual, between, within, marginal], abs=1e-12)


@pytest.mark.parametrize("estimator", ["mss", "mws"])
def test_a_block_for_each_latent_has_the_numbers_of_beta_tcvae(estimator: str) -> None:
    z, q = batch()
    expected = kl_terms(z, q, N, estimator)
    found = block_kl_terms(z, q, N, torch.arange(1, D + 1), estimator)
    torch.testing.assert_close(
        (found.mutual_information, found.between_blocks, found.dimension_wise_kl), tuple(expected), rtol=0, atol=1e-12
    )
    assert found.within_blocks.abs() < 1e-12


@pytest.mark.parametrize("estimator", ["mss", "mws"])
def test_one_block_of_all_latents_has_its_total_correlation_within(estimator: str) -> None:
    z, q = batch()
    found = block_kl_terms(z, q, N, torch.ones(D, dtype=torch.long), estimator)
    assert found.between_blocks.abs() < 1e-12
    torch.testing.assert_close(found.within_blocks, kl_terms(z, q, N, estimator).total_correlation)


@pytest.mark.parametrize("estimator", ["mss", "mws"])
def test_numbers_of_blocks_are_names_and_some_may_be_absent(estimator: str) -> None:
    z, q = batch()
    renamed = block_kl_terms(z, q, N, torch.tensor([6, 6, 0, 2, 2, 2]), estimator)
    torch.testing.assert_close(renamed, block_kl_terms(z, q, N, BLOCK, estimator), rtol=0, atol=1e-12)


def test_the_gradient_is_that_of_finite_differences() -> None:
    z, q = batch()
    inputs = [tensor.clone().requires_grad_() for tensor in (z, *q)]
    assert torch.autograd.gradcheck(lambda z, *q: block_kl_terms(z, Posterior(*q), N, BLOCK), inputs)


def test_each_weight_is_of_its_own_term() -> None:
    z, q = batch()
    weights = {"mutual_information": 2.0, "between": 3.0, "within": 5.0, "dimension_wise": 7.0}
    method = make(blocks=(2, 1, 3), **{f"{name}_weight": value for name, value in weights.items()})
    penalty, terms = method.regulariser(z, q)
    expected = sum(weight * term for weight, term in zip((2, 3, 5, 7), block_kl_terms(z, q, N, BLOCK), strict=True))
    torch.testing.assert_close(penalty, expected)
    assert list(terms) == ["mutual_information", "between_blocks", "within_blocks", "dimension_wise_kl"]


def test_with_all_weights_at_one_it_is_the_vae_with_a_sampled_kl() -> None:
    z, q = batch()
    penalty, _ = make(blocks=4, between_weight=1.0).regulariser(z, q)
    prior = torch.zeros_like(z)
    torch.testing.assert_close(penalty, (log_normal(z, *q) - log_normal(z, prior, prior)).sum() / B)


@pytest.mark.parametrize("blocks", [1, "found"])
def test_a_block_for_each_latent_trains_as_beta_tcvae(blocks: int | str) -> None:
    """So do blocks that are to be found, at first."""
    x = torch.rand(B, 1, 8, 8)
    plain = BetaTCVAE((1, 8, 8), N, beta=4.0, latent_dim=D, **SMALL)
    method = make(blocks=blocks, between_weight=4.0, within_weight=9.0)
    method.load_state_dict(plain.state_dict(), strict=False)
    losses = []
    for each in (plain, method):
        torch.manual_seed(1)
        losses.append(each.training_step(x, 0)["loss"].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_sizes_give_the_groups_and_the_last_of_equal_blocks_may_be_smaller() -> None:
    assert make(blocks=(2, 1, 3)).groups().tolist() == BLOCK.tolist()
    assert make(blocks=4).groups().tolist() == [1, 1, 1, 1, 2, 2]
    assert make(blocks=100).groups().tolist() == [1] * 6
    assert HFVAE((1, 64, 64), 100).groups().tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_blocks_that_fit_no_latents_are_refused() -> None:
    for wrong in ((2, 2), (), (3, 0, 3)):
        with pytest.raises(ValueError, match=r"sum latent_dim=6, got \["):
            make(blocks=wrong)
    with pytest.raises(ValueError, match="size of at least 1, got 0"):
        make(blocks=0)
    with pytest.raises(ValueError, match="a size, a list of sizes or 'found', got 'learned'"):
        make(blocks="learned")
    for shares in ((), (0.0,), (0.5, 0.5), (0.5, 1.0)):
        with pytest.raises(ValueError, match="rising shares above 0 and below 1"):
            make(find_at=shares)


def codes(rows: int, seed: int = 0) -> Posterior:
    """Eight latents: a circle in 0 and 4, a nonlinear pair in 1 and 6, 2 alone, three of one factor in 3, 5 and 7."""
    rng = np.random.default_rng(seed)
    angle, pair, single, shared = rng.uniform(0, 2 * np.pi, rows), *rng.normal(size=(3, rows))
    three = [shared + 0.7 * rng.normal(size=rows) for _ in range(3)]
    bent = pair**2 + 0.3 * rng.normal(size=rows)
    columns = [np.cos(angle), pair, single, three[0], np.sin(angle), three[1], bent, three[2]]
    mean = torch.tensor(np.stack(columns, axis=1), dtype=torch.float32)
    return Posterior(mean, torch.full_like(mean, -5.0))


@pytest.mark.parametrize(("rows", "price"), [(400, 0.02), (2000, 0.02), (2000, 0.3), (2000, 0.0)])
def test_found_blocks_are_the_groups_that_the_metrics_find(rows: int, price: float) -> None:
    q = codes(rows)
    expected = find_groups(q.mean.numpy(), std=torch.exp(q.logvar / 2).numpy(), price=price)
    assert find_blocks(q, torch.tensor(rows), price).tolist() == expected.tolist()
    if price == 0.02:
        assert expected.tolist() == [1, 2, 3, 4, 1, 4, 2, 4]


def test_a_latent_that_carries_little_is_nuisance_as_the_metrics_find_it() -> None:
    q = codes(1000)
    logvar = q.logvar.clone()
    logvar[:, 2], logvar[:, 5], logvar[:, 7] = 1.0, 6.0, -8.0
    mean = q.mean.clone()
    mean[:, 7] = 0.0
    expected = find_groups(mean.numpy(), std=torch.exp(logvar / 2).numpy())
    found = find_blocks(Posterior(mean, logvar), torch.tensor(1000))
    assert found.tolist() == expected.tolist() == [1, 2, 3, 4, 1, 0, 2, 0]
    dead = find_blocks(Posterior(torch.zeros_like(mean), torch.zeros_like(mean)), torch.tensor(1000))
    assert dead.tolist() == [0] * 8


def test_rows_that_are_not_filled_are_not_read() -> None:
    q, part = codes(1000), codes(600)
    mean = torch.cat([part.mean, torch.full((400, 8), 1e9)])
    found = find_blocks(Posterior(mean, q.logvar), torch.tensor(600))
    assert found.tolist() == find_blocks(part, torch.tensor(600)).tolist() == [1, 2, 3, 4, 1, 4, 2, 4]


def test_several_seeds_at_once_have_the_blocks_of_each() -> None:
    q = codes(500)
    other = Posterior(q.mean[:, [0, 4, 1, 6, 2, 3, 5, 7]], q.logvar)
    both = Posterior(*(torch.stack(each) for each in zip(q, other, strict=True)))
    found = vmap(lambda mean, logvar: find_blocks(Posterior(mean, logvar), torch.tensor(500)))(*both)
    assert found.tolist() == [[1, 2, 3, 4, 1, 4, 2, 4], [1, 1, 2, 2, 3, 4, 4, 4]]
    z = both.mean[:, :B]
    terms = vmap(lambda z, block: block_kl_terms(z, Posterior(z, z), N, block).between_blocks)(z, found)
    single = [
        block_kl_terms(one, Posterior(one, one), N, block).between_blocks for one, block in zip(z, found, strict=True)
    ]
    torch.testing.assert_close(terms, torch.stack(single))


def fed(method: HFVAE, steps: range, total: int = 10) -> list[dict[str, Tensor]]:
    """The terms of steps whose posteriors are those of `codes`, 200 images a step."""
    whole, found = codes(2000), []
    for number in steps:
        q = Posterior(*(each[200 * number : 200 * (number + 1)] for each in whole))
        found.append(method.regulariser(q.mean, q, Step(number, total))[1])
    return found


def test_blocks_are_found_at_their_share_of_training_and_weigh_from_there() -> None:
    method = make(blocks="found", latent_dim=8, find_at=(0.5,))
    method.n_train = 2000
    terms = fed(method, range(5))
    assert method.groups().tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert max(each["within_blocks"].abs().item() for each in terms) < 1e-3
    assert fed(method, range(5, 6))[0]["within_blocks"] > 0.5
    assert method.groups().tolist() == [1, 2, 3, 4, 1, 4, 2, 4]


def test_blocks_are_found_anew_from_recent_posteriors_alone() -> None:
    method = make(blocks="found", latent_dim=8, find_at=(0.2, 0.9))
    method.n_train = 10_000
    fed(method, range(3), total=10)
    assert method.groups().tolist() == [1, 2, 3, 4, 1, 4, 2, 4]
    order = [0, 4, 1, 6, 2, 3, 5, 7]
    for part in codes(2200, seed=1).mean[:, order].split(200):
        method.regulariser(part, Posterior(part, torch.full_like(part, -5.0)), Step(5, 10))
    assert method.groups().tolist() == [1, 2, 3, 4, 1, 4, 2, 4]
    fed(method, range(9, 10))
    assert method.groups().tolist() == [1, 1, 2, 2, 3, 4, 4, 4]


def test_a_share_that_rounds_to_the_end_of_training_finds_blocks_in_the_last_step() -> None:
    method = make(blocks="found", latent_dim=8, find_at=(0.96,))
    method.n_train = 2000
    fed(method, range(9), total=10)
    assert method.groups().tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    fed(method, range(9, 10), total=10)
    assert method.groups().tolist() == [1, 2, 3, 4, 1, 4, 2, 4]


def test_latents_that_carry_nothing_stay_blocks_of_their_own() -> None:
    method = make(blocks="found", latent_dim=8, find_at=(0.5,))
    method.n_train = 2000
    q, dead = codes(400), torch.tensor([1, 7])
    q.logvar[:, dead] = 6.0
    for number in range(2):
        method.regulariser(q.mean, q, Step(1 + number, 4))
    assert method.groups().tolist() == [1, 5, 2, 3, 1, 3, 4, 6]


def test_outside_training_nothing_is_remembered_and_no_block_is_found() -> None:
    method = make(blocks="found", latent_dim=8).eval()
    method.n_train = 2000
    fed(method, range(4))
    assert method.recent.count() == 0
    assert method.groups().tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("stop", [3, 7])
def test_the_phase_and_the_posteriors_are_in_the_checkpoint(stop: int) -> None:
    """A training that goes on from a checkpoint before or after the blocks are found has the same numbers."""
    whole, first, second = (make(blocks="found", latent_dim=8, find_at=(0.5,)) for _ in range(3))
    for each in (whole, first, second):
        each.n_train = 2000
    expected = fed(whole, range(10))
    fed(first, range(stop))
    second.load_state_dict(first.state_dict())
    for one, other in zip(fed(second, range(stop, 10)), expected[stop:], strict=True):
        assert {name: value.item() for name, value in one.items()} == {
            name: value.item() for name, value in other.items()
        }
    assert second.groups().tolist() == [1, 2, 3, 4, 1, 4, 2, 4]
    assert {"block", "recent.rows", "recent.seen"} <= set(first.state_dict())


def test_both_phases_stay_on_the_meta_device() -> None:
    with torch.device("meta"):
        method = make(blocks="found")
        method.total_steps = 10
        for number in range(5):
            assert method.training_step(torch.rand(B, 1, 8, 8), number)["loss"].is_meta


def test_narrow_posteriors_hide_the_dependence_of_wide_blocks() -> None:
    """Two independent blocks of eight latents: the estimate is log N, and no gradient pushes it down."""
    torch.manual_seed(0)
    mean = torch.randn(64, 16, requires_grad=True)
    q = Posterior(mean, torch.full((64, 16), -5.0))
    block = torch.arange(16) // 8
    terms = block_kl_terms(q.sample(), q, 100_000, block)
    assert terms.between_blocks.item() == pytest.approx(math.log(100_000), abs=0.01)
    (gradient,) = torch.autograd.grad(terms.between_blocks, mean)
    assert gradient.abs().max() < 1e-3
