"""Latents that images of a pair share: by hand, against torch's divergences, and at the limits."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from disbench.baselines import BASELINES
from disbench.baselines.gaussian import Posterior
from disbench.baselines.method import Batch, Pairs
from disbench.baselines.pair_vae import adaptively_shared, average_posterior, kl_between

SMALL = {"network": "mlp", "hidden_dim": 16, "latent_dim": 4}
SHAPE = (1, 8, 8)
ADAPTIVE, KNOWN = ("ada_gvae", "ada_ml_vae"), ("gvae", "ml_vae")


def posterior(seed: int, rows: int = 5, latents: int = 4) -> Posterior:
    torch.manual_seed(seed)
    return Posterior(torch.randn(rows, latents), torch.randn(rows, latents))


def normal(q: Posterior) -> Normal:
    return Normal(q.mean, torch.exp(0.5 * q.logvar))


def test_the_divergence_is_that_of_torch() -> None:
    one, two = posterior(0), posterior(1)
    torch.testing.assert_close(kl_between(one, two), kl_divergence(normal(one), normal(two)))


def test_a_latent_is_shared_below_the_middle_of_its_own_pair() -> None:
    divergence = torch.tensor([[0.0, 4.9, 5.0, 10.0], [2.0, 2.9, 3.1, 4.0], [0.0, 4.0, 0.0, 10.0]])
    assert adaptively_shared(divergence).tolist() == [[True, True, False, False]] * 2 + [[True, True, True, False]]
    # disentanglement_lib 86a644d bins [min, max] in two and keeps the upper bin, of divergences without the factor 1/2.
    assert torch.equal(adaptively_shared(divergence), adaptively_shared(2 * divergence))


def test_averages_by_hand() -> None:
    one = Posterior(torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 3.0]]).log())
    two = Posterior(torch.tensor([[4.0, 1.0]]), torch.tensor([[3.0, 3.0]]).log())
    mean, logvar = average_posterior(one, two, "gvae")
    torch.testing.assert_close((mean, logvar.exp()), (torch.tensor([[2.0, 1.0]]), torch.tensor([[2.0, 3.0]])))
    # Precisions 1 and 1/3: a quarter of the weight is the second one's. The variance is 2 / (4/3), and 3 of two equal ones.
    mean, logvar = average_posterior(one, two, "ml_vae")
    torch.testing.assert_close((mean, logvar.exp()), (torch.tensor([[1.0, 1.0]]), torch.tensor([[1.5, 3.0]])))


def test_the_product_of_two_densities_has_the_mean_of_ml_vae() -> None:
    one, two = posterior(0, 1, 1), posterior(1, 1, 1)
    z = torch.linspace(-20, 20, 400_001, dtype=torch.float64)[:, None]
    density = (normal(Posterior(*(part.double() for part in one))).log_prob(z)).exp()
    density = density * normal(Posterior(*(part.double() for part in two))).log_prob(z).exp()
    mean = (density * z).sum() / density.sum()
    variance = (density * (z - mean).square()).sum() / density.sum()
    found = average_posterior(one, two, "ml_vae")
    assert found.mean.item() == pytest.approx(mean.item(), rel=1e-5)
    assert found.logvar.exp().item() == pytest.approx(
        2 * variance.item(), rel=1e-5
    )  # the geometric mean of two densities


def step(name: str, batch: Batch, **hparams: object) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return BASELINES[name](SHAPE, 100, **SMALL, **hparams).training_step(batch, 0)


def images(rows: int = 6) -> torch.Tensor:
    torch.manual_seed(3)
    return torch.rand(rows, *SHAPE)


@pytest.mark.parametrize("name", [*ADAPTIVE, *KNOWN])
def test_with_equal_images_the_loss_is_that_of_a_beta_vae(name: str) -> None:
    x = images()
    nothing = torch.zeros(6, 3, dtype=torch.bool)
    found = step(name, Batch(x, x, changed=nothing if name in KNOWN else None), beta=3.0)
    expected = step("beta_vae", Batch(torch.cat([x, x])), beta=3.0)
    torch.testing.assert_close(found["loss"], expected["loss"])


@pytest.mark.parametrize("name", [*ADAPTIVE, *KNOWN])
def test_only_what_changed_differs_between_the_codes_of_a_pair(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Posterior] = []
    monkeypatch.setattr(Posterior, "sample", lambda self: kept.append(self) or self.mean)
    x, partner = images(), images().flip(0)
    changed = torch.tensor([[True, False, False]] * 3 + [[False, True, True]] * 3)
    terms = step(name, Batch(x, partner, changed=changed if name in KNOWN else None))
    torch.manual_seed(0)
    method = BASELINES[name](SHAPE, 100, **SMALL)
    own = [method.posterior(each) for each in (x, partner)]
    averaged = average_posterior(*own, "gvae" if "gvae" in name else "ml_vae")
    (one, two), (v1, v2) = kept[0].mean.chunk(2), kept[0].logvar.chunk(2)
    differs = (one != two) | (v1 != v2)
    for place, (mean, logvar) in enumerate(((one, v1), (two, v2))):
        torch.testing.assert_close(mean, torch.where(differs, own[place].mean, averaged.mean))
        torch.testing.assert_close(logvar, torch.where(differs, own[place].logvar, averaged.logvar))
    if name in KNOWN:  # latents after the factors are always shared
        assert torch.equal(differs, torch.nn.functional.pad(changed, (0, 1)))
    assert (~differs).float().sum(1).mean().item() == pytest.approx(terms["shared"].item())
    assert 0 < terms["shared"] < 4


@pytest.mark.parametrize("name", [*ADAPTIVE, *KNOWN])
def test_pairs_are_asked_for(name: str) -> None:
    method = BASELINES[name](SHAPE, 100, **SMALL, changed=2)
    assert method.sampling == Pairs(2, known=name in KNOWN)
    assert BASELINES[name](SHAPE, 100, **SMALL, draw_changed=True).sampling.changed is None
    assert method.supervision.startswith("pairs")
    with pytest.raises(TypeError, match="needs pairs"):
        method.training_step(Batch(images()), 0)


def test_a_latent_for_each_factor_is_needed_where_changes_are_known() -> None:
    changed = torch.zeros(6, 5, dtype=torch.bool)
    with pytest.raises(ValueError, match="latent_dim of 5 or more, got 4"):
        step("gvae", Batch(images(), images(), changed=changed))
