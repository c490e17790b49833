"""The discrepancy of InfoVAE by hand, by loops, by its expectation, and the VAE as its limit."""

import math

import pytest
import torch
from torch import Tensor

from disbench.baselines.gaussian import Posterior, kl_to_prior
from disbench.baselines.info_vae import InfoVAE, squared_mmd
from disbench.baselines.vae import VAE

SMALL = {"network": "mlp", "hidden_dim": 8, "latent_dim": 2}


def draws(count: int, latents: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, count, latents, generator=generator, dtype=torch.float64)
    return x, y


def test_two_points_each_give_the_value_that_a_hand_computes() -> None:
    """One latent of bandwidth 1, so c = 2. Within x the distance is 1, within y it is 3; across 0, 3, 1 and 2."""
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [3.0]])
    rbf = math.exp(-0.5) + math.exp(-4.5) - 2 * (1 + math.exp(-4.5) + math.exp(-0.5) + math.exp(-2)) / 4
    imq = 2 / 3 + 2 / 11 - 2 * (1 + 2 / 11 + 2 / 3 + 2 / 6) / 4
    assert squared_mmd(x, y, "rbf").item() == pytest.approx(rbf, abs=1e-6)
    assert squared_mmd(x, y, "imq").item() == pytest.approx(imq, abs=1e-6)


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
def test_the_estimate_is_the_sum_over_distinct_pairs(kernel: str) -> None:
    x, y = draws(4)
    scale = 2 * 2 * 0.8**2

    def value(a: Tensor, b: Tensor) -> float:
        square = sum((float(p) - float(q)) ** 2 for p, q in zip(a, b, strict=True))
        return math.exp(-square / scale) if kernel == "rbf" else 1 / (1 + square / scale)

    within = sum(value(s[i], s[j]) for s in (x, y) for i in range(4) for j in range(4) if i != j) / 12
    across = sum(value(a, b) for a in x for b in y) / 16
    assert squared_mmd(x, y, kernel, 0.8).item() == pytest.approx(within - 2 * across, abs=1e-12)


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
def test_between_equal_distributions_it_is_zero_on_average_and_at_times_below(kernel: str) -> None:
    found = torch.stack([squared_mmd(*draws(4, seed=seed), kernel) for seed in range(2000)])
    assert abs(found.mean()) < 3 * found.std() / math.sqrt(2000)
    assert (found < 0).float().mean() > 0.3
    x, y = draws(4)
    assert squared_mmd(x + 5, y, kernel) > 0.3


def test_between_two_normals_its_mean_is_the_closed_form() -> None:
    """x ~ N(m, 1) and y ~ N(0, 1): E exp(-(x - y)^2 / 2) is exp(-m^2 / 6) / sqrt(3)."""
    expected = 2 * (1 - math.exp(-1 / 6)) / math.sqrt(3)
    found = []
    for seed in range(40):
        x, y = draws(500, latents=1, seed=seed)
        found.append(squared_mmd(x + 1, y))
    assert torch.stack(found).mean().item() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
def test_the_gradient_is_that_of_finite_differences(kernel: str) -> None:
    x, y = draws(4)
    assert torch.autograd.gradcheck(lambda z: squared_mmd(z, y, kernel, 0.6), [x.requires_grad_()])


def test_the_weights_are_one_minus_alpha_and_alpha_plus_lambda_minus_one() -> None:
    q = Posterior(torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]]), torch.full((3, 2), -1.0))
    method = InfoVAE((1, 8, 8), 100, alpha=0.25, scale=6.0, kernel="imq", bandwidth=0.5, **SMALL)
    torch.manual_seed(3)
    prior = torch.randn(3, 2)
    torch.manual_seed(3)
    penalty, terms = method.regulariser(q.mean, q)
    mmd, kl = squared_mmd(q.mean, prior, "imq", 0.5), kl_to_prior(q).sum() / 3
    assert terms["mmd"].item() == pytest.approx(mmd.item())
    assert penalty.item() == pytest.approx((0.75 * kl + 5.25 * mmd).item())


@pytest.mark.parametrize("alpha", [0.0, -2.0])
def test_where_alpha_and_lambda_cancel_only_the_weighted_kl_is_left(alpha: float) -> None:
    x = torch.rand(6, 1, 8, 8)
    plain, method = VAE((1, 8, 8), 100, **SMALL), InfoVAE((1, 8, 8), 100, alpha=alpha, scale=1 - alpha, **SMALL)
    method.load_state_dict(plain.state_dict())
    terms = []
    for each in (plain, method):
        torch.manual_seed(1)
        terms.append(each.training_step(x, 0))
    assert terms[1]["loss"].item() == pytest.approx((terms[0]["loss"] - alpha * terms[0]["kl"]).item(), rel=1e-6)


def test_a_single_image_and_unknown_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 images in a minibatch, got 1"):
        squared_mmd(torch.zeros(1, 2), torch.zeros(1, 2))
    with pytest.raises(ValueError, match="kernel must be 'rbf' or 'imq', got 'cosine'"):
        InfoVAE((1, 64, 64), 100, kernel="cosine")
    with pytest.raises(ValueError, match="bandwidth must be above 0"):
        InfoVAE((1, 64, 64), 100, bandwidth=0.0)
