"""The Laplace law of SlowVAE: by numerical integration, against the authors' code, and the entropy that it leaves out."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import Normal

from disbench.baselines.gaussian import Posterior
from disbench.baselines.method import Batch, Pairs
from disbench.baselines.slow_vae import SlowVAE, gaussian_entropy, laplace_cross_entropy

SMALL = {"network": "mlp", "hidden_dim": 16, "latent_dim": 2}
SHAPE = (1, 8, 8)
# Two pairs of two latents.
MEAN = torch.tensor([[0.5, -1.0], [0.0, 0.3], [0.1, 2.0], [0.2, 0.3]], dtype=torch.float64)
LOGVAR = torch.tensor([[-1.0, 0.2], [0.0, -4.0], [-3.0, -2.0], [-2.0, -0.5]], dtype=torch.float64)


@pytest.mark.parametrize("mean", [-2.0, 0.0, 0.3])
@pytest.mark.parametrize("sd", [0.05, 0.8, 3.0])
@pytest.mark.parametrize("rate", [0.5, 6.0])
def test_the_cross_entropy_is_the_integral(mean: float, sd: float, rate: float) -> None:
    def integrand(z: float) -> float:
        return -stats.norm.pdf(z, mean, sd) * stats.laplace.logpdf(z, scale=1 / rate)

    ends = sorted({mean - 12 * sd, *([0.0] if abs(mean) < 12 * sd else []), mean, mean + 12 * sd})
    parts = [integrate.quad(integrand, *span, epsabs=1e-10, limit=200)[0] for span in pairwise(ends)]
    given = torch.tensor(mean, dtype=torch.float64), torch.tensor(2 * math.log(sd), dtype=torch.float64)
    assert laplace_cross_entropy(*given, rate).item() == pytest.approx(sum(parts), abs=1e-6)


def test_the_entropy_is_that_of_torch() -> None:
    torch.testing.assert_close(gaussian_entropy(LOGVAR), Normal(MEAN, torch.exp(LOGVAR / 2)).entropy())


def halves() -> list[Posterior]:
    return [Posterior(*each) for each in zip(MEAN.chunk(2), LOGVAR.chunk(2), strict=True)]


def test_the_published_convention_is_that_of_the_authors_code() -> None:
    """slow_disentanglement 26eef45, `compute_cross_ent_combined`: kl_laplace of these posteriors, twice the term here."""
    method = SlowVAE(SHAPE, 100, **SMALL, entropies="published")
    assert 2 * method.slowness(*halves()).item() == pytest.approx(20.9250, abs=1e-4)
    all_of_them = SlowVAE(SHAPE, 100, **SMALL).slowness(*halves()).item()
    assert all_of_them == pytest.approx(22.2254 / 2 - 1.3004, abs=1e-4)


def static(sd: float) -> list[Posterior]:
    """Two images whose latent does not move."""
    q = Posterior(torch.zeros(1, 1, dtype=torch.float64), torch.full((1, 1), 2 * math.log(sd), dtype=torch.float64))
    return [q, q]


@pytest.mark.parametrize(("entropies", "best"), [("all", 0.2089), ("published", 0.1044)])
def test_the_missing_entropy_halves_the_width_of_a_static_latent(entropies: str, best: float) -> None:
    # d/ds of rate s sqrt(2/pi) - share log s is 0 at s = share sqrt(pi/2) / rate; half the width is log 2 nats more a latent.
    method = SlowVAE(SHAPE, 100, **SMALL, entropies=entropies)
    widths = np.linspace(0.02, 0.5, 4801)
    values = [method.slowness(*static(width)).item() for width in widths]
    assert widths[int(np.argmin(values))] == pytest.approx(best, abs=2e-4)


def test_only_with_all_entropies_the_term_is_a_divergence() -> None:
    wide = [Posterior(torch.zeros(1, 1), torch.full((1, 1), -2.0))] * 2
    assert SlowVAE(SHAPE, 100, **SMALL, rate=1.2).slowness(*wide) > 0
    law = [Posterior(torch.zeros(1, 1), torch.full((1, 1), -9.0))] * 2
    assert SlowVAE(SHAPE, 100, **SMALL, rate=20.0, entropies="published").slowness(*law) < 0
    assert SlowVAE(SHAPE, 100, **SMALL, rate=20.0).slowness(*law) > 0


def test_the_loss_is_the_sum_that_the_module_states() -> None:
    torch.manual_seed(0)
    x, partner = torch.rand(2, 6, *SHAPE)
    method = SlowVAE(SHAPE, 100, **SMALL, beta=3.0, gamma=7.0)
    terms = method.training_step(Batch(x, partner), 0)
    torch.testing.assert_close(terms["loss"], terms["reconstruction"] + 3 * terms["kl"] + 7 * terms["slowness"])
    q, p = method.posterior(x), method.posterior(partner)
    torch.testing.assert_close(terms["slowness"], method.slowness(p, q))
    kl = torch.distributions.kl_divergence(
        Normal(torch.cat([q.mean, p.mean]), torch.exp(torch.cat([q.logvar, p.logvar]) / 2)), Normal(0.0, 1.0)
    )
    torch.testing.assert_close(terms["kl"], kl.sum(1).mean())


def test_pairs_are_asked_for_by_their_law() -> None:
    assert SlowVAE(SHAPE, 100, **SMALL).sampling == Pairs(None, law="laplace", rate=1.0)
    assert SlowVAE(SHAPE, 100, **SMALL, law="uniform").sampling.law == "uniform"
    with pytest.raises(ValueError, match="entropies must be one of all, published, got 'none'"):
        SlowVAE(SHAPE, 100, **SMALL, entropies="none")
    with pytest.raises(TypeError, match="needs pairs"):
        SlowVAE(SHAPE, 100, **SMALL).training_step(Batch(torch.rand(2, *SHAPE)), 0)
