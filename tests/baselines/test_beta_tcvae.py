from itertools import combinations

import pytest
import torch

from disbench.baselines.beta_tcvae import BetaTCVAE, kl_terms, log_batch_weights
from disbench.baselines.gaussian import Posterior, log_density, log_normal

N, B = 6, 3


def posteriors(n: int = N, latents: int = 2) -> tuple[torch.Tensor, Posterior]:
    generator = torch.Generator().manual_seed(3)
    mean = torch.randn(n, latents, generator=generator, dtype=torch.float64)
    q = Posterior(mean, torch.randn(n, latents, generator=generator, dtype=torch.float64) - 1)
    z = q.mean + torch.exp(0.5 * q.logvar) * torch.randn(n, latents, generator=generator, dtype=torch.float64)
    return z, q


def mean_estimate(weights: torch.Tensor) -> torch.Tensor:
    """The estimate of q(z_i) averaged over every ordered place of every minibatch that holds i, (N,)."""
    z, q = posteriors()
    total, times = torch.zeros(N, dtype=torch.float64), torch.zeros(N, dtype=torch.float64)
    for batch in combinations(range(N), B):
        rows = torch.tensor(batch)
        joint = log_density(z[rows], Posterior(q.mean[rows], q.logvar[rows]))
        total[rows] += (joint + weights).exp().sum(1)
        times[rows] += 1
    return total / times


def exact() -> torch.Tensor:
    z, q = posteriors()
    return log_density(z, q).exp().mean(1)


def test_stratified_weights_are_unbiased_over_every_minibatch_that_holds_the_image() -> None:
    weights = log_batch_weights(B, N, "mss", torch.zeros((), dtype=torch.float64))
    torch.testing.assert_close(mean_estimate(weights), exact(), rtol=0, atol=1e-12)


def test_the_self_weight_in_column_0_is_biased() -> None:
    weights = torch.full((B, B), (N - 1) / (N * (B - 1)), dtype=torch.float64)
    weights[:, 0] = 1 / N
    assert (mean_estimate(weights.log()) - exact()).abs().max() > 1e-3


def test_each_row_of_stratified_weights_sums_to_one() -> None:
    weights = log_batch_weights(64, 5000, "mss", torch.zeros((), dtype=torch.float64)).exp()
    torch.testing.assert_close(weights.sum(1), torch.ones(64, dtype=torch.float64))
    torch.testing.assert_close(weights.diagonal(), torch.full((64,), 1 / 5000, dtype=torch.float64))


@pytest.mark.parametrize("estimator", ["mss", "mws"])
@pytest.mark.parametrize("n_train", [N, 1000])
def test_the_three_terms_sum_to_the_sampled_kl(estimator: str, n_train: int) -> None:
    z, q = posteriors()
    sampled = (log_normal(z, q.mean, q.logvar) - log_normal(z, torch.zeros_like(z), torch.zeros_like(z))).sum(1).mean()
    torch.testing.assert_close(sum(kl_terms(z, q, n_train, estimator)), sampled)


def test_with_the_whole_data_set_as_batch_the_terms_are_those_of_the_exact_mixture() -> None:
    z, q = posteriors()
    per_latent = log_normal(z[:, None], q.mean[None], q.logvar[None]).exp()  # (N, N, D)
    log_q = per_latent.prod(2).mean(1).log()
    log_q_product = per_latent.mean(1).log().sum(1)
    terms = kl_terms(z, q, N)
    torch.testing.assert_close(terms.total_correlation, (log_q - log_q_product).mean())
    torch.testing.assert_close(terms.mutual_information, (log_normal(z, q.mean, q.logvar).sum(1) - log_q).mean())


def test_one_latent_has_no_total_correlation() -> None:
    z, q = posteriors(latents=1)
    assert kl_terms(z, q, 1000).total_correlation.abs() < 1e-12


def test_beta_weighs_the_total_correlation_alone() -> None:
    z, q = posteriors(latents=10)
    z, q = z.float(), Posterior(q.mean.float(), q.logvar.float())
    terms = kl_terms(z, q, 1000)
    at_one, at_six = (BetaTCVAE((1, 8, 8), 1000, beta=beta, network="mlp", hidden_dim=8) for beta in (1.0, 6.0))
    difference = at_six.regulariser(z, q)[0] - at_one.regulariser(z, q)[0]
    torch.testing.assert_close(difference, 5 * terms.total_correlation)
    torch.testing.assert_close(at_one.regulariser(z, q)[0], sum(terms))


def test_a_batch_larger_than_the_data_set_is_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"batch=64, n_train=50"):
        log_batch_weights(64, 50, "mss", torch.zeros(()))


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(ValueError, match="mss"):
        log_batch_weights(4, 50, "column", torch.zeros(()))
