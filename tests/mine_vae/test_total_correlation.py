import math
from functools import cache

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from disbench.baselines.gaussian import Posterior
from disbench.mine_vae import mine
from disbench.mine_vae.marginals import MarginalCritics
from disbench.mine_vae.total_correlation import (
    TC_ESTIMATORS,
    PermutedCritic,
    SequentialCLUB,
    contrast,
    make_estimator,
    with_permuted,
)

LEARNED = [name for name in TC_ESTIMATORS if name != "marginal"]
LOWER_BOUNDS = ("mine", "nwj", "infonce")
MIXING = torch.tensor(
    [[1.0, 0.7, 0.0], [0.0, 0.7, 0.6], [0.0, 0.0, 0.9]]
)  # z = noise @ MIXING: columns depend on each other
Estimator = PermutedCritic | SequentialCLUB


def draw(n: int, generator: torch.Generator, mixing: Tensor = MIXING) -> Tensor:
    return torch.randn(n, 3, generator=generator) @ mixing


def true_total_correlation(mixing: Tensor = MIXING) -> Tensor:
    """-1/2 log det of the correlation matrix of Gaussians."""
    covariance = mixing.T @ mixing
    return 0.5 * (covariance.diagonal().log().sum() - torch.logdet(covariance))


def club_of_gaussians() -> float:
    """sum_d R_d^2 / (1 - R_d^2), R_d^2 the share of z_d's variance that the latents before it explain, by least squares."""
    covariance = (MIXING.T @ MIXING).numpy()
    total = 0.0
    for d in (1, 2):
        explained = covariance[d, :d] @ np.linalg.solve(covariance[:d, :d], covariance[:d, d])
        total += explained / (covariance[d, d] - explained)
    return total


@cache
def trained(name: str) -> tuple[Estimator, Tensor]:
    """A critic after 350 steps on fresh draws, and 40 values, each of 512 unseen draws."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    estimator = make_estimator(name, 3, 32)
    optimizer = torch.optim.Adam(estimator.parameters(), lr=4e-3, betas=(0.5, 0.9))
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=350)
    for _ in range(350):
        optimizer.zero_grad()
        estimator.critic_loss(draw(256, generator)).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return estimator, torch.stack([estimator.estimate(draw(512, generator)) for _ in range(40)])


def test_the_truths_of_the_gaussians_by_hand() -> None:
    assert true_total_correlation().item() == pytest.approx(0.5 * math.log(0.98 * 1.17 / (0.7 * 0.9) ** 2), rel=1e-5)
    assert club_of_gaussians() == pytest.approx(1 + 0.36 / 0.81, rel=1e-5)


@pytest.mark.parametrize("name", LEARNED)
def test_a_trained_critic_reads_its_closed_form_within_ten_percent(name: str) -> None:
    _, values = trained(name)
    truth = club_of_gaussians() if name == "club" else true_total_correlation().item()
    assert abs(values.mean().item() - truth) < 0.1 * truth


@pytest.mark.parametrize("name", [*LOWER_BOUNDS, "club"])
def test_a_bound_lies_on_its_side_of_the_total_correlation(name: str) -> None:
    _, values = trained(name)
    error = values.std() / math.sqrt(len(values))
    excess = values.mean() - true_total_correlation()
    assert (excess > 3 * error) if name == "club" else (excess < 3 * error)


def gradients(name: str) -> tuple[Tensor, Tensor]:
    """What an encoder of the draws gets, and the gradient of total correlation, both (3, 3)."""
    mixing = MIXING.clone().requires_grad_()
    (expected,) = torch.autograd.grad(true_total_correlation(mixing), mixing)
    estimator, _ = trained(name)
    parts = draw(20_000, torch.Generator().manual_seed(2), mixing).split(1000)
    (found,) = torch.autograd.grad(torch.stack([estimator.estimate(part) for part in parts]).mean(), mixing)
    return found, expected


def cosine(one: Tensor, other: Tensor) -> float:
    return torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0).item()


@pytest.mark.parametrize("name", [name for name in LEARNED if name != "club"])
def test_an_encoder_gets_the_gradient_of_total_correlation(name: str) -> None:
    found, expected = gradients(name)
    assert cosine(found, expected) > 0.95
    assert 0.8 < found.norm() / expected.norm() < 1.2


def test_clubs_gradient_lowers_total_correlation_and_also_shrinks_the_latents() -> None:
    found, expected = gradients("club")
    along = (found * MIXING).sum(0) / MIXING.square().sum(
        0
    )  # of each latent's scale, which total correlation does not see
    assert along.min() > -0.05
    assert along.max() > 0.3
    assert 0.5 < cosine(found, expected) < 0.8
    assert cosine(found - along * MIXING, expected) > 0.9


@pytest.mark.parametrize("name", LEARNED)
def test_the_value_has_the_gradient_of_its_formula(name: str) -> None:
    torch.manual_seed(0)
    estimator = make_estimator(name, 3, 4).double()
    z = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)

    def value(z: Tensor) -> Tensor:
        torch.manual_seed(1)  # the same permutation each time
        return estimator.estimate(z)

    assert torch.autograd.gradcheck(value, z)
    assert value(z).shape == ()


TABLE = [([0.0, 0.0], 4), ([0.0, 1.0], 1), ([1.0, 0.0], 1), ([1.0, 1.0], 4)]  # tenths; both marginals are even


def test_at_the_best_critic_of_a_table_every_value_but_info_nce_is_the_total_correlation() -> None:
    """The rows of a sample are the table itself, so that means are expectations."""
    joint = torch.tensor([math.log(count / 10 / 0.25) for _, count in TABLE for _ in range(count)])[None]
    product = torch.tensor([math.log(count / 10 / 0.25) for _, count in TABLE])[None, None]
    truth = sum(count / 10 * math.log(count / 2.5) for _, count in TABLE)
    for name in ("mine", "nwj", "smile", "ratio"):
        assert mine.bound_value(name, joint, product, 5.0).item() == pytest.approx(truth, abs=1e-6)
    for name in ("mine", "nwj"):  # and no other critic of the table reads more
        for change in torch.randn(20, 4, generator=torch.Generator().manual_seed(0)):
            moved = change.repeat_interleave(torch.tensor([4, 1, 1, 4]))
            assert mine.bound_value(name, joint + moved, product + change, 5.0).item() < truth


def fixed(bound: str, score: float) -> PermutedCritic:
    """A critic that reads nearly `score` where both latents agree, and far below elsewhere."""
    estimator = PermutedCritic(2, bound=bound, hidden_dim=2)
    critic = estimator.critic
    with torch.no_grad():
        for layer in (critic.x_layer, critic.y_layer, critic.hidden, critic.score):
            layer.weight.zero_()
            layer.bias.zero_()
        critic.x_layer.weight.copy_(torch.tensor([[[1.0, -1.0], [-1.0, 1.0]]]))  # relu(z_0 - z_1), relu(z_1 - z_0)
        critic.hidden.weight.copy_(torch.eye(2)[None])
        critic.score.weight.fill_(-1000.0)
        critic.score.bias.fill_(score)
    return estimator


def test_info_nce_reaches_the_log_of_its_candidates_and_no_more() -> None:
    """Two equal latents with 64 values: the true value is log 64, and a permuted row is a hit at one row in 64."""
    torch.manual_seed(0)
    z = torch.arange(64.0)[:, None].expand(64, 2)
    estimator = fixed("infonce", 50.0)
    estimator.critic.clip = 50.0
    values = torch.stack([estimator.estimate(z) for _ in range(200)])
    assert values.max().item() == pytest.approx(math.log(65), abs=1e-4)  # no permuted row was a hit
    expected = math.log(65) - sum(math.exp(-1) / math.factorial(k) * math.log(1 + k) for k in range(1, 10))
    assert values.mean().item() == pytest.approx(expected, abs=0.1)


def test_info_nce_compares_each_draw_with_every_permuted_row() -> None:
    torch.manual_seed(0)
    estimator = PermutedCritic(3, bound="infonce", hidden_dim=8)
    joint, product = estimator.critic.scores(*with_permuted(torch.randn(10, 3)))
    assert product.shape == (1, 10, 10)
    assert (product == product[:, :, :1]).all()
    assert len(product[0, :, 0].unique()) == 10
    weights = joint[0].exp() / (joint[0].exp() + product[0, :, 0].exp().sum())
    expected = weights.log().mean() + math.log(11)
    torch.testing.assert_close(mine.info_nce(joint, product)[0], expected)


def test_permuted_draws_keep_every_column_and_no_row() -> None:
    z = torch.arange(300.0).reshape(100, 3)
    same, permuted = with_permuted(z, 2)
    assert torch.equal(same, z[None])
    for part in permuted[0].split(100):
        assert torch.equal(part.sort(dim=0).values, z)
    assert not {tuple(row) for row in permuted[0].tolist()} <= {tuple(row) for row in z.tolist()}


def test_clubs_contrast_is_the_difference_of_two_means_over_all_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    y, mean, logvar = torch.randn(3, 2, 6, 4, generator=generator, dtype=torch.float64)
    found = contrast(y, Posterior(mean, logvar))
    for group in range(2):
        density = np.array(
            [
                [
                    norm.logpdf(y[group, j], mean[group, i], np.exp(0.5 * logvar[group, i].numpy())).sum()
                    for j in range(6)
                ]
                for i in range(6)
            ]
        )
        assert found[group].item() == pytest.approx(density.diagonal().mean() - density.mean())


def test_clubs_conditional_of_a_latent_reads_the_latents_before_it_alone() -> None:
    torch.manual_seed(0)
    club = SequentialCLUB(4, hidden_dim=32)
    z = torch.randn(1, 4)
    jacobian = torch.autograd.functional.jacobian(lambda z: club.conditionals(z).mean[:, 0, 0], z)[:, 0]  # (D, D)
    assert (jacobian.triu() == 0).all()
    assert (jacobian[torch.ones(4, 4).tril(-1) == 1] != 0).all()


def test_clubs_critic_is_fitted_by_likelihood() -> None:
    torch.manual_seed(0)
    club = SequentialCLUB(3, hidden_dim=8)
    z = torch.randn(7, 3)
    mean, logvar = (part[..., 0].T.detach().numpy() for part in club.conditionals(z))  # (B, D)
    expected = -norm.logpdf(z, mean, np.exp(0.5 * logvar)).mean(0).sum()
    assert club.critic_loss(z).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", LEARNED)
def test_every_estimator_runs_where_its_draws_are(name: str) -> None:
    estimator = make_estimator(name, 3, 8).to("meta")
    z = torch.empty(8, 3, device="meta")
    assert estimator.estimate(z).device.type == "meta"
    assert estimator.critic_loss(z).device.type == "meta"


def test_marginal_is_the_estimator_of_the_marginals_and_an_unknown_name_is_refused() -> None:
    assert isinstance(make_estimator("marginal", 3, 8), MarginalCritics)
    with pytest.raises(ValueError, match="marginal, mine, nwj, infonce, smile, ratio, club, got 'dv'"):
        make_estimator("dv", 3, 8)
