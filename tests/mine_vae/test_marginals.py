import math

import torch

from disbench.baselines.gaussian import Posterior
from disbench.mine_vae.marginals import RANGE, MarginalCritics, marginal_information, total_correlation


def perturbed(latents: int) -> MarginalCritics:
    torch.manual_seed(0)
    critics = MarginalCritics(latents)
    with torch.no_grad():
        critics.score.weight.mul_(20)
    return critics


def test_each_density_integrates_to_one() -> None:
    critics = perturbed(3)
    u = torch.linspace(-RANGE, RANGE, 20_001)
    with torch.no_grad():
        density = critics.log_density(u[:, None].expand(-1, 3)).exp()
    torch.testing.assert_close(torch.trapezoid(density, u, dim=0), torch.ones(3), rtol=0, atol=2e-3)


def test_the_marginal_information_bounds_the_truth_from_above_for_any_critic() -> None:
    """Means +-2 with equal odds and unit noise in each latent: I(z_d; n) = 0.6333 nats by quadrature."""
    torch.manual_seed(0)
    mean = 2.0 * torch.randint(0, 2, (20_000, 2)).float() * 2 - 2.0
    q = Posterior(mean, torch.zeros_like(mean))
    u = torch.linspace(-12, 12, 48_001, dtype=torch.float64)
    density = sum(0.5 * torch.exp(-0.5 * (u - centre) ** 2) / math.sqrt(2 * math.pi) for centre in (-2.0, 2.0))
    entropy = -torch.trapezoid(density * density.clamp(min=1e-300).log(), u)
    truth = (entropy - 0.5 * math.log(2 * math.pi * math.e)).item()
    critics = perturbed(2)
    for _ in range(300):
        critics.fit(q)
    with torch.no_grad():
        before = marginal_information(q.sample(), q, critics)
    assert (before > truth - 0.02).all()
    optimizer = torch.optim.Adam(critics.parameters(), lr=3e-3)
    for _ in range(400):
        rows = torch.randint(0, len(mean), (512,))
        optimizer.zero_grad()
        critics.critic_loss(Posterior(mean[rows], q.logvar[rows]).sample()).backward()
        optimizer.step()
    with torch.no_grad():
        after = marginal_information(q.sample(), q, critics)
    assert (after < before).all()
    torch.testing.assert_close(after, torch.full((2,), truth), rtol=0.1, atol=0)
    assert (after > truth - 0.02).all()


def test_the_fit_finds_the_moments_of_the_aggregate_posterior() -> None:
    torch.manual_seed(0)
    q = Posterior(3 + 2 * torch.randn(5000, 1), torch.full((5000, 1), math.log(5.0)))
    critics = MarginalCritics(1)
    for _ in range(400):
        critics.fit(q)
    assert abs(critics.mean.item() - 3) < 0.1
    assert abs(critics.scale.item() - 3) < 0.1  # sqrt(4 + 5)


def test_gaussian_latents_have_the_closed_form_total_correlation() -> None:
    """z = L n + noise with n ~ N(0, I): q(z) is Gaussian, and TC = -1/2 logdet of its correlation matrix."""
    torch.manual_seed(0)
    mixing = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    mean = torch.randn(2000, 2) @ mixing.T
    q = Posterior(mean, torch.full_like(mean, math.log(0.25)))
    covariance = mixing @ mixing.T + 0.25 * torch.eye(2)
    correlation = covariance / covariance.diagonal().outer(covariance.diagonal()).sqrt()
    truth = -0.5 * torch.logdet(correlation).item()
    critics = MarginalCritics(2)
    with torch.no_grad():
        critics.score.weight.zero_()
        critics.score.bias.zero_()  # the Gaussian fit alone is exact here
    for _ in range(300):
        critics.fit(q)
    with torch.no_grad():
        values = [total_correlation(q.sample(), q, critics, 2000).item() for _ in range(5)]
    assert abs(sum(values) / 5 - truth) < 0.03


def test_critics_go_to_the_latents_that_the_gaussian_fit_says_most_about() -> None:
    torch.manual_seed(0)
    spread = torch.tensor([0.1, 3.0, 1.0, 2.0])
    q = Posterior(spread * torch.randn(1000, 4), torch.zeros(1000, 4))
    critics = MarginalCritics(4, live=2)
    for _ in range(200):
        critics.fit(q)
    assert set(critics.live().tolist()) == {1, 3}


def test_a_latent_without_a_critic_has_the_gaussian_fit() -> None:
    torch.manual_seed(0)
    critics = MarginalCritics(3, live=1)
    critics.scale.copy_(torch.tensor([1.0, 4.0, 2.0]))
    with torch.no_grad():
        critics.score.weight.mul_(20)
        z = torch.randn(50, 3)
        fitted = torch.distributions.Normal(critics.mean, critics.scale).log_prob(z)
        away = (critics.log_density(z) - fitted).abs().amax(0)
    assert (away[[0, 2]] < 1e-5).all()
    assert away[1] > 0.1
