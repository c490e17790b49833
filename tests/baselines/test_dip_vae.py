"""The penalties of DIP-VAE-I and II by hand and by sampling, and the VAE as their limit."""

import numpy as np
import pytest
import torch
from torch import Tensor

from disbench.baselines.dip_vae import DIPVAEI, DIPVAEII, covariance_of_latents, covariance_of_means, identity_penalty
from disbench.baselines.gaussian import Posterior
from disbench.baselines.vae import VAE

SMALL = {"network": "mlp", "hidden_dim": 8, "latent_dim": 3}


def posteriors(images: int = 5) -> Posterior:
    generator = torch.Generator().manual_seed(0)
    mean, noise = torch.randn(2, images, 3, generator=generator, dtype=torch.float64)
    return Posterior(mean + 2, 0.7 * noise)


def test_means_at_the_corners_of_a_square_cost_nothing_in_dip_vae_i() -> None:
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]) + 5
    covariance = covariance_of_means(Posterior(corners, torch.zeros_like(corners)))
    assert identity_penalty(covariance, 10.0, 100.0) == 0


def test_dip_vae_ii_counts_the_posterior_variances_and_dip_vae_i_does_not() -> None:
    """Means of variance 1/4 and posterior variances of 1/2 and 1: 3/4 on average, so that the latent has variance 1."""
    mean = torch.tensor([[0.5], [-0.5]])
    q = Posterior(mean, torch.tensor([[0.5], [1.0]]).log())
    small = {**SMALL, "latent_dim": 1}
    second = DIPVAEII((1, 8, 8), 100, off_diagonal=10.0, **small).regulariser(mean, q)[1]["covariance_penalty"]
    first = DIPVAEI((1, 8, 8), 100, off_diagonal=10.0, **small).regulariser(mean, q)[1]["covariance_penalty"]
    assert second.item() == pytest.approx(0, abs=1e-6)
    assert first.item() == pytest.approx(100 * 0.75**2)


@pytest.mark.parametrize("kind", [DIPVAEI, DIPVAEII])
def test_the_penalty_is_the_papers_written_out_pair_by_pair(kind: type[DIPVAEI]) -> None:
    q = posteriors()
    method = kind((1, 8, 8), 100, off_diagonal=3.0, diagonal_ratio=5.0, **SMALL)
    penalty, terms = method.regulariser(q.mean, q)
    means, variances = q.mean.numpy(), np.exp(q.logvar.numpy())
    covariance = np.cov(means, rowvar=False, bias=True)
    expected = 0.0
    for i in range(3):
        for j in range(3):
            if i != j:
                expected += 3 * covariance[i, j] ** 2
            elif kind is DIPVAEI:
                expected += 15 * (covariance[i, i] - 1) ** 2
            else:
                expected += 15 * (covariance[i, i] + variances[:, i].mean() - 1) ** 2
    kl = sum(0.5 * (m**2 + v - 1 - np.log(v)) for m, v in zip(means.flat, variances.flat, strict=True)) / 5
    assert terms["covariance_penalty"].item() == pytest.approx(expected, rel=1e-12)
    assert penalty.item() == pytest.approx(float(kl) + expected, rel=1e-12)


def test_the_covariance_of_dip_vae_ii_is_that_of_draws_from_the_aggregate_posterior() -> None:
    q = posteriors()
    torch.manual_seed(0)
    many = Posterior(q.mean.repeat(100_000, 1), q.logvar.repeat(100_000, 1)).sample()
    torch.testing.assert_close(covariance_of_latents(q), torch.cov(many.T), rtol=0, atol=0.02)


@pytest.mark.parametrize("covariance", [covariance_of_means, covariance_of_latents])
def test_the_gradient_is_that_of_finite_differences(covariance: object) -> None:
    def penalty(mean: Tensor, logvar: Tensor) -> Tensor:
        return identity_penalty(covariance(Posterior(mean, logvar)), 2.0, 7.0)

    assert torch.autograd.gradcheck(penalty, [tensor.clone().requires_grad_() for tensor in posteriors()])


@pytest.mark.parametrize("kind", [DIPVAEI, DIPVAEII])
def test_without_weight_it_is_the_vae(kind: type[DIPVAEI]) -> None:
    x = torch.rand(6, 1, 8, 8)
    plain, dip = VAE((1, 8, 8), 100, **SMALL), kind((1, 8, 8), 100, off_diagonal=0.0, **SMALL)
    dip.load_state_dict(plain.state_dict())
    losses = []
    for method in (plain, dip):
        torch.manual_seed(1)
        losses.append(method.training_step(x, 0)["loss"].item())
    assert losses[0] == losses[1]


def test_the_default_ratios_are_the_papers() -> None:
    first, second = DIPVAEI((1, 64, 64), 100), DIPVAEII((1, 64, 64), 100)
    assert (first.off_diagonal, first.diagonal_ratio) == (10, 10)
    assert (second.off_diagonal, second.diagonal_ratio) == (10, 1)
