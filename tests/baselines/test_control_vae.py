"""The controller of ControlVAE by hand, the trap in which it stops, and the VAE as its limit."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from disbench.baselines.control_vae import ControlVAE, Gains, control, stepped_target
from disbench.baselines.gaussian import Posterior
from disbench.baselines.method import Step
from disbench.baselines.vae import VAE

SMALL = {"network": "mlp", "hidden_dim": 8, "latent_dim": 1}


def of_divergence(kl: float) -> Posterior:
    """Posteriors of 2 images whose KL divergence is `kl` nats: unit variance and the mean sqrt(2 kl)."""
    return Posterior(torch.full((2, 1), math.sqrt(2 * kl)), torch.zeros(2, 1))


def make(**options: Any) -> ControlVAE:
    return ControlVAE((1, 8, 8), 100, **{**SMALL, **options})


def betas(method: ControlVAE, divergences: list[float]) -> list[float]:
    found = []
    for number, kl in enumerate(divergences):
        q = of_divergence(kl)
        found.append(method.regulariser(q.mean, q, Step(number, 100))[1]["beta"].item())
    return found


def test_three_steps_by_hand() -> None:
    """Errors of 0.5, -1.5 and -3.5 nats with Kp = 0.2 and Ki = 0.1: I is -0.05, 0.1 and 0.45."""
    method = make(proportional_gain=0.2, integral_gain=0.1)
    expected = [
        1 + 0.2 / (1 + math.exp(0.5)) - 0.05,
        1 + 0.2 / (1 + math.exp(-1.5)) + 0.1,
        1 + 0.2 / (1 + math.exp(-3.5)) + 0.45,
    ]
    assert betas(method, [0.0, 2.0, 4.0]) == pytest.approx(expected, abs=1e-6)


def test_the_penalty_is_beta_times_the_divergence_and_no_gradient_goes_through_beta() -> None:
    method = make(proportional_gain=2.0, integral_gain=0.5)
    mean = torch.full((2, 1), 2.0, requires_grad=True)
    penalty, terms = method.regulariser(mean, Posterior(mean, torch.zeros(2, 1)))
    assert penalty.item() == pytest.approx(2 * terms["beta"].item())
    penalty.backward()
    torch.testing.assert_close(
        mean.grad, torch.full((2, 1), terms["beta"].item())
    )  # of beta * mean^2 / 2, halved by the mean


def test_the_gradient_is_that_of_finite_differences_at_a_held_state() -> None:
    method = make().double().eval()  # outside training the state stands still
    method.unclipped.fill_(0.0)  # the integral is held
    method.gains = Gains(0.0, 1.0, 1.0)
    method.integral.fill_(1.5)

    def penalty(mean: Tensor, logvar: Tensor) -> Tensor:
        return method.regulariser(mean, Posterior(mean, logvar))[0]

    generator = torch.Generator().manual_seed(0)
    mean, logvar = torch.randn(2, 3, 1, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(penalty, [mean.requires_grad_(), logvar.requires_grad_()])
    assert method.integral == 1.5


def test_an_integral_below_the_least_weight_is_held_until_the_weight_rises() -> None:
    gains = Gains(0.01, 0.001, 1.0)
    held, weight = control(torch.tensor(3.0), torch.tensor(-0.004), torch.tensor(0.999), gains)
    assert held.item() == pytest.approx(-0.004)
    assert weight.item() == pytest.approx(1 + 0.01 / (1 + math.exp(3)) - 0.004)
    moved, _ = control(torch.tensor(3.0), torch.tensor(-0.004), torch.tensor(1.0), gains)
    assert moved.item() == pytest.approx(-0.007)


def test_a_large_first_target_freezes_the_published_controller_at_the_least_weight() -> None:
    """One error above Kp / Ki = 10 nats makes I less than -Kp. W then stays below 1, and I is never moved again."""
    divergences = [0.0] + [1000.0] * 50  # far above the target: the weight should rise at once
    frozen, published = make(capacity_start=12.0), make()
    assert betas(frozen, divergences) == [1.0] * 51
    assert frozen.integral.item() == pytest.approx(-0.012)
    assert betas(published, divergences)[-1] > 30
    (remark,) = frozen.remarks
    assert "capacity_start=12.0 is above proportional_gain / integral_gain = 10 nats" in remark
    assert published.remarks == []


def test_the_controller_brings_the_divergence_to_its_target() -> None:
    """Of a plant whose divergence is 20 / beta, the weight settles where the divergence is the target, 8."""
    kl, beta = 20.0, 0.0
    method = make(capacity_start=8.0, capacity=8.0)
    for number in range(4000):
        q = of_divergence(kl)
        beta = method.regulariser(q.mean, q, Step(number, 4000))[1]["beta"].item()
        kl = 20 / beta
    assert kl == pytest.approx(8, abs=0.05)
    assert beta == pytest.approx(2.5, abs=0.02)


def test_the_target_rises_after_every_period_until_the_capacity() -> None:
    found = [stepped_target(number, 0.5, 0.15, 5000, 0.9) for number in (0, 4998, 4999, 9998, 9999, 14_999)]
    assert found == pytest.approx([0.5, 0.5, 0.65, 0.65, 0.8, 0.9])


def test_the_state_is_in_the_checkpoint_and_continues_from_there() -> None:
    whole, first, second = make(), make(), make()
    expected = betas(whole, [5.0, 6.0, 7.0])
    betas(first, [5.0, 6.0])
    second.load_state_dict(first.state_dict())
    q = of_divergence(7.0)
    assert second.regulariser(q.mean, q, Step(2, 100))[1]["beta"].item() == expected[2]
    assert {"integral", "unclipped"} <= set(first.state_dict())


def test_at_a_weight_of_one_it_is_the_vae() -> None:
    x = torch.rand(6, 1, 8, 8)
    plain, method = VAE((1, 8, 8), 100, **SMALL), make(proportional_gain=0.0, integral_gain=0.0)
    method.load_state_dict(plain.state_dict(), strict=False)
    losses = []
    for each in (plain, method):
        torch.manual_seed(1)
        losses.append(each.training_step(x, 0)["loss"].item())
    assert losses[0] == losses[1]


def test_the_defaults_are_those_of_the_authors_dsprites_run() -> None:
    method = ControlVAE((1, 64, 64), 100)
    assert method.target == (0.5, 0.15, 5000, 18.0)
    assert method.gains == (0.01, 0.001, 1.0)
    with pytest.raises(ValueError, match="capacity_period needs at least 1 step, got 0"):
        make(capacity_period=0)
