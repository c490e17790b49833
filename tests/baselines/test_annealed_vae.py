"""The penalty of AnnealedVAE by hand, its schedule, and the methods that it becomes."""

import math

import pytest
import torch
from torch import Tensor

from disbench.baselines.annealed_vae import AnnealedVAE, capacity_penalty, linear_capacity
from disbench.baselines.beta_vae import BetaVAE
from disbench.baselines.gaussian import Posterior
from disbench.baselines.method import Step

SMALL = {"network": "mlp", "hidden_dim": 8, "latent_dim": 2}


def posteriors() -> Posterior:
    """Three images of 0.5, 2 and 4 - log(2) nats: means 1, 2 and 2, and a variance of 4 in place of 1 in the last."""
    mean = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 2.0]], dtype=torch.float64)
    logvar = torch.zeros_like(mean)
    logvar[2, 0] = math.log(4)
    return Posterior(mean, logvar)


MEAN_KL = (0.5 + 2 + 2 + 0.5 * (4 - 1 - math.log(4))) / 3


def test_the_distance_is_of_the_mean_over_images_not_the_mean_distance() -> None:
    penalty, kl = capacity_penalty(posteriors(), gamma=10.0, capacity=2.5)
    each = [0.5, 2.0, 3.5 - math.log(2)]
    assert kl.item() == pytest.approx(MEAN_KL, abs=1e-12)
    assert penalty.item() == pytest.approx(10 * (2.5 - sum(each) / 3), abs=1e-12)
    assert abs(penalty.item() - 10 * sum(abs(value - 2.5) for value in each) / 3) > 1


def test_a_divergence_at_its_target_costs_nothing_and_both_sides_cost_the_same() -> None:
    q = posteriors()
    assert capacity_penalty(q, 1000.0, MEAN_KL)[0].item() == pytest.approx(0, abs=1e-9)
    below, above = (capacity_penalty(q, 3.0, MEAN_KL + shift)[0].item() for shift in (0.25, -0.25))
    assert below == pytest.approx(0.75)
    assert above == pytest.approx(0.75)


def test_the_gradient_is_that_of_finite_differences() -> None:
    q = posteriors()

    def penalty(mean: Tensor, logvar: Tensor) -> Tensor:
        return capacity_penalty(Posterior(mean, logvar), 7.0, 1.0)[0]

    assert torch.autograd.gradcheck(penalty, [tensor.clone().requires_grad_() for tensor in q])


def test_the_capacity_is_linear_until_its_last_step_and_constant_afterwards() -> None:
    found = [linear_capacity(number, 25.0, 100) for number in (0, 1, 50, 100, 101, 10**6)]
    assert found == [0.0, 0.25, 12.5, 25.0, 25.0, 25.0]


def test_a_step_uses_the_capacity_of_its_number_whatever_the_total() -> None:
    method = AnnealedVAE((1, 8, 8), 100, gamma=10.0, capacity=5.0, annealing_steps=4, **SMALL)
    q = posteriors()
    for total in (4, 400):
        penalty, terms = method.regulariser(q.mean, q, Step(2, total))
        assert terms["capacity"].item() == 2.5
        assert penalty.item() == pytest.approx(10 * (2.5 - MEAN_KL))


def test_without_capacity_it_is_the_beta_vae() -> None:
    x = torch.rand(6, 1, 8, 8)
    beta_vae, annealed = BetaVAE((1, 8, 8), 100, **SMALL), AnnealedVAE((1, 8, 8), 100, gamma=4.0, capacity=0.0, **SMALL)
    annealed.load_state_dict(beta_vae.state_dict())
    losses = []
    for method in (beta_vae, annealed):
        torch.manual_seed(1)
        losses.append(method.training_step(x, 5)["loss"].item())
    assert losses[0] == losses[1]


def test_the_defaults_are_the_papers_and_no_steps_are_refused() -> None:
    method = AnnealedVAE((1, 64, 64), 100)
    assert (method.gamma, method.capacity, method.annealing_steps) == (1000, 25, 100_000)
    with pytest.raises(ValueError, match="annealing_steps needs at least 1 step, got 0"):
        AnnealedVAE((1, 64, 64), 100, annealing_steps=0)
