"""The Bernoulli likelihood and its gradient, against torch's distribution and its own cross-entropy."""

import pytest
import torch
from torch.distributions import Bernoulli
from torch.nn import functional

from disbench.baselines.bernoulli import bernoulli_loss


def test_the_loss_is_the_bernoulli_likelihood_summed_over_pixels() -> None:
    torch.manual_seed(0)
    logits, x = torch.randn(5, 1, 4, 4), torch.rand(5, 1, 4, 4).round()
    expected = -Bernoulli(logits=logits).log_prob(x).sum() / 5
    torch.testing.assert_close(bernoulli_loss(logits, x), expected)


@pytest.mark.parametrize("scale", [0.0, 1e-4, 1.0, 30.0, 1e4])
def test_value_and_gradient_are_those_of_torchs_cross_entropy_at_any_size_of_logit(scale: float) -> None:
    torch.manual_seed(0)
    logits = (scale * torch.randn(4, 3, 8, 8)).requires_grad_()
    x = torch.rand(4, 3, 8, 8, requires_grad=True)
    exact = [own.detach().double().requires_grad_() for own in (logits, x)]
    expected = functional.binary_cross_entropy_with_logits(*exact, reduction="sum") / 4
    found = bernoulli_loss(logits, x)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)
    of_logits, of_images = torch.autograd.grad(found, [logits, x])
    exactly_of_logits, exactly_of_images = torch.autograd.grad(expected, exact)
    torch.testing.assert_close(of_logits.double(), exactly_of_logits, rtol=0, atol=2e-7 / 4)
    torch.testing.assert_close(of_images.double(), exactly_of_images)


def test_logits_in_bf16_are_judged_in_float32() -> None:
    logits = torch.linspace(-3, 3, 64).view(1, 1, 8, 8).bfloat16()
    found = bernoulli_loss(logits, torch.ones(1, 1, 8, 8))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, functional.softplus(-logits.float()).sum())


def test_logits_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got \(2, 3, 4, 4\) for \(2, 1, 4, 4\)"):
        bernoulli_loss(torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4))


def test_stacked_losses_and_gradients_are_each_ones_own() -> None:
    torch.manual_seed(0)
    logits, x = torch.randn(3, 2, 1, 4, 4, requires_grad=True), torch.rand(3, 2, 1, 4, 4)
    stacked = torch.func.vmap(bernoulli_loss)(logits, x)
    each = torch.stack([bernoulli_loss(own, images) for own, images in zip(logits, x, strict=True)])
    torch.testing.assert_close(stacked, each)
    weights = torch.tensor([1.0, 2.0, 3.0])
    found, expected = (torch.autograd.grad((weights * values).sum(), logits)[0] for values in (stacked, each))
    torch.testing.assert_close(found, expected)
