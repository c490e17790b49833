"""Each likelihood against scipy, and every method with each: its loss, its gradient, its images."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import bernoulli, norm
from torch import Tensor

from disbench.baselines.likelihoods import LIKELIHOODS
from disbench.baselines.method import codes_of
from disbench.baselines.vae import VAE
from disbench.benchmarks import METHODS
from disbench.benchmarks.settings.hyperparameters import check_method
from disbench.mine_vae import MINEDisentangleVAE

SMALL = {"network": "mlp", "hidden_dim": 8, "latent_dim": 4}
SHAPE = (3, 8, 8)


def outputs_and_images() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return 2 * torch.randn(5, *SHAPE), torch.rand(5, *SHAPE).round()


def test_each_loss_is_the_one_that_scipy_gives_image_by_image() -> None:
    logits, x = outputs_and_images()
    means, images = expit(logits.double().numpy()), x.double().numpy()
    constant = np.prod(SHAPE) * -norm.logpdf(0.0)  # of a unit Gaussian, where the image is the mean
    expected = {
        "bernoulli": np.mean([-bernoulli.logpmf(image, mean).sum() for image, mean in zip(images, means, strict=True)]),
        "gaussian": np.mean(
            [-norm.logpdf(image, mean).sum() - constant for image, mean in zip(images, means, strict=True)]
        ),
        "mse": np.mean([np.linalg.norm(image - mean) ** 2 / 192 for image, mean in zip(images, means, strict=True)]),
    }
    assert {name: float(loss(logits, x)) for name, loss in LIKELIHOODS.items()} == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["gaussian", "mse"])
def test_gradients_are_those_of_finite_differences_and_outputs_in_bf16_are_judged_in_float32(name: str) -> None:
    logits, x = outputs_and_images()
    exact = logits[:2].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda given: LIKELIHOODS[name](given, x[:2].double()), exact)
    rounded = logits.bfloat16()
    found = LIKELIHOODS[name](rounded, x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, LIKELIHOODS[name](rounded.float(), x), rtol=0, atol=0)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_stacked_losses_and_gradients_are_each_ones_own(name: str) -> None:
    logits, x = outputs_and_images()
    logits.requires_grad_()
    own = [LIKELIHOODS[name](one[None], image[None]) for one, image in zip(logits, x, strict=True)]
    stacked = torch.func.vmap(LIKELIHOODS[name])(logits[:, None], x[:, None])
    torch.testing.assert_close(stacked, torch.stack(own))
    weights = torch.arange(5.0)
    found, expected = (torch.autograd.grad((weights * each).sum(), logits)[0] for each in (stacked, torch.stack(own)))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_an_output_for_each_pixel_is_needed(name: str) -> None:
    with pytest.raises(ValueError, match=r"got \(2, 1, 4, 4\) for \(2, 3, 4, 4\)"):
        LIKELIHOODS[name](torch.zeros(2, 1, 4, 4), torch.zeros(2, 3, 4, 4))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_every_method_has_it_and_decodes_images(method: str, name: str) -> None:
    check_method(method, {"likelihood": name})
    torch.manual_seed(0)
    made = METHODS[method](SHAPE, 100, **SMALL, likelihood=name)
    logits, x = outputs_and_images()
    torch.testing.assert_close(made.image_loss(logits, x), LIKELIHOODS[name](logits, x), rtol=0, atol=0)
    z = codes_of(made, x).values
    torch.testing.assert_close(made.reconstruction_loss(x, z), LIKELIHOODS[name](made.logits(z), x))
    images = made.decode(50 * z)
    assert 0 <= images.min() <= images.max() <= 1


def test_the_steps_of_methods_that_write_their_own_follow() -> None:
    """MINE's decoder reads more than z, so it does not use `reconstruction_loss`."""
    _, x = outputs_and_images()
    for name, loss in LIKELIHOODS.items():
        torch.manual_seed(0)
        method = MINEDisentangleVAE(SHAPE, 100, **SMALL, num_factors=2, likelihood=name)
        q = method.posterior(x)
        terms = method.outer_loss(x, q, q.mean, second_phase=True)
        torch.testing.assert_close(terms["reconstruction"], loss(method.logits(q.mean), x))
        plain = VAE(SHAPE, 100, **SMALL, likelihood=name)
        torch.manual_seed(1)
        found = plain.training_step(x, 0)["reconstruction"]
        torch.manual_seed(1)
        z = plain.posterior(x).sample()
        torch.testing.assert_close(found, loss(plain.decoder(z), x))


def test_the_default_is_bernoulli_and_an_unknown_one_is_refused() -> None:
    assert VAE(SHAPE, 100, **SMALL).likelihood == "bernoulli"
    with pytest.raises(ValueError, match="likelihood must be one of bernoulli, gaussian, mse, got 'laplace'"):
        VAE(SHAPE, 100, **SMALL, likelihood="laplace")
