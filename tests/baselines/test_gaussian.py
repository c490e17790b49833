import torch
from torch.distributions import Normal, kl_divergence

from disbench.baselines.gaussian import Posterior, kl_to_prior, log_density, log_density_per_latent


def random_posterior(batch: int, latents: int, seed: int = 0) -> Posterior:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(batch, latents, generator=generator, dtype=torch.float64)
    return Posterior(mean, torch.randn(batch, latents, generator=generator, dtype=torch.float64) - 1)


def test_the_kl_is_that_of_torch_distributions() -> None:
    q = random_posterior(5, 3)
    expected = kl_divergence(Normal(q.mean, (0.5 * q.logvar).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(kl_to_prior(q), expected)


def test_entry_i_j_is_the_density_of_draw_i_under_posterior_j() -> None:
    q = random_posterior(4, 3)
    z = torch.randn(4, 3, dtype=torch.float64)
    expected = Normal(q.mean[2], (0.5 * q.logvar[2]).exp()).log_prob(z[1])
    torch.testing.assert_close(log_density_per_latent(z, q)[1, 2], expected)


def test_the_density_by_matrix_products_is_the_sum_over_latents() -> None:
    q = random_posterior(6, 5)
    z = q.sample()
    torch.testing.assert_close(log_density(z, q), log_density_per_latent(z, q).sum(2))


def test_samples_have_the_posteriors_moments() -> None:
    torch.manual_seed(0)
    q = Posterior(torch.full((100_000, 1), 2.0), torch.full((100_000, 1), 1.0))
    z = q.sample()
    assert abs(z.mean().item() - 2) < 0.02
    assert abs(z.var().item() - 2.71828) < 0.05
