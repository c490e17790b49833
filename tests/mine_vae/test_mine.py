import math

import pytest
import torch

from disbench.mine_vae.mine import MutualInformationEstimator


def correlated(rhos: torch.Tensor, n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """G pairs of standard Gaussians with correlations rhos (G,): two tensors (G, n, 1)."""
    x, noise = torch.randn(2, len(rhos), n, 1, generator=generator)
    rho = rhos[:, None, None]
    return x, rho * x + (1 - rho**2).sqrt() * noise


@pytest.fixture(scope="module")
def trained() -> tuple[MutualInformationEstimator, torch.Tensor]:
    """Critics trained on three pairs of known information, and that information in nats."""
    torch.manual_seed(0)
    truth = torch.tensor([0.2, 0.5, 0.9])
    rhos = (1 - torch.exp(-2 * truth)).sqrt()
    estimator = MutualInformationEstimator(1, 1, hidden_dim=64, groups=3)
    optimizer = torch.optim.Adam(estimator.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(1)
    for _ in range(1500):
        optimizer.zero_grad()
        estimator.critic_loss(*correlated(rhos, 256, generator)).backward()
        optimizer.step()
    return estimator, rhos


def test_the_critic_reads_the_closed_form_within_ten_percent(
    trained: tuple[MutualInformationEstimator, torch.Tensor],
) -> None:
    estimator, rhos = trained
    with torch.no_grad():
        value = estimator.donsker_varadhan(*correlated(rhos, 50_000, torch.Generator().manual_seed(2)))
    torch.testing.assert_close(value, -0.5 * torch.log1p(-(rhos**2)), rtol=0.1, atol=0)


def test_the_same_critic_reads_nothing_in_independent_pairs(
    trained: tuple[MutualInformationEstimator, torch.Tensor],
) -> None:
    estimator, _ = trained
    with torch.no_grad():
        value = estimator.donsker_varadhan(*correlated(torch.zeros(3), 20_000, torch.Generator().manual_seed(2)))
    assert (value < 0.02).all()


def test_info_nce_is_capped_by_the_number_of_candidates() -> None:
    torch.manual_seed(0)
    estimator = MutualInformationEstimator(4, 4, shifts=3)
    x = torch.randn(1, 64, 4)
    optimizer = torch.optim.Adam(estimator.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        (-estimator.info_nce(x, x).sum()).backward()
        optimizer.step()
    value = estimator.info_nce(x, x).item()
    assert 0.9 * math.log(4) < value <= math.log(4) + 1e-5


def test_the_values_are_the_formulas_by_hand() -> None:
    torch.manual_seed(0)
    estimator = MutualInformationEstimator(2, 3, groups=2, shifts=2)
    x, y = torch.randn(2, 8, 2), torch.randn(2, 8, 3)
    joint, product = estimator.scores(x, y)
    assert joint.shape == (2, 8)
    assert product.shape == (2, 2, 8)
    expected = joint.mean(1) - product.exp().mean((1, 2)).log()
    torch.testing.assert_close(estimator.donsker_varadhan(x, y), expected)
    denominator = (joint.exp() + product.exp().sum(1)) / 3
    torch.testing.assert_close(estimator.info_nce(x, y), (joint.exp() / denominator).log().mean(1))


def test_product_scores_pair_each_x_with_another_rows_y() -> None:
    estimator = MutualInformationEstimator(2, 3, shifts=2)
    x, y = torch.randn(1, 8, 2), torch.randn(1, 8, 3)
    _, product = estimator.scores(x, y)
    joint_of_rolled, _ = estimator.scores(x, y.roll(2, dims=1))
    torch.testing.assert_close(product[:, 1], joint_of_rolled)


def test_the_critics_gradient_has_the_moving_average_for_denominator() -> None:
    torch.manual_seed(0)
    estimator = MutualInformationEstimator(1, 1, ema_rate=0.0)
    estimator.ema.fill_(7.0)
    x, y = torch.randn(2, 1, 32, 1)
    estimator.critic_loss(x, y).backward()
    ours = estimator.score.weight.grad.clone()
    estimator.zero_grad()
    joint, product = estimator.scores(x, y)
    (product.exp().mean() / 7.0 - joint.mean()).backward()
    torch.testing.assert_close(ours, estimator.score.weight.grad)


def test_the_moving_average_follows_the_exponential() -> None:
    estimator = MutualInformationEstimator(1, 1, ema_rate=1.0)
    x, y = torch.randn(2, 1, 32, 1)
    estimator.critic_loss(x, y)
    _, product = estimator.scores(x, y)
    torch.testing.assert_close(estimator.ema, product.exp().mean((1, 2)).detach())


def test_a_batch_too_small_for_the_shifts_is_refused() -> None:
    with pytest.raises(ValueError, match="batch=4, shifts=4"):
        MutualInformationEstimator(1, 1).scores(torch.zeros(1, 4, 1), torch.zeros(1, 4, 1))
