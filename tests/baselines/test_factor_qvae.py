"""The loss of FactorQVAE written out, its codes and permutations by hand, its schedules, and its limits."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax, xlogy
from torch import Tensor, nn
from torch.func import functional_call

from disbench.baselines.factor_qvae import FactorQVAE, geometric_schedule
from disbench.baselines.factor_vae import density_ratio_loss, permute_latents
from disbench.baselines.method import Step
from disbench.benchmarks.settings.defaults import resolved_trial
from disbench.benchmarks.training.steps import Callback, Loop
from disbench.metrics import infom
from disbench.reports.records import Trial

SMALL = {"network": "mlp", "hidden_dim": 8, "discriminator_dim": 8, "latent_dim": 2, "codebook_size": 3}
OUTPUTS = torch.tensor([[0.3, -1.0], [2.0, 0.1]])
CODEBOOK = torch.tensor([0.5, -1.5, 0.0])


class Two(nn.Module):
    """An encoder and a decoder of images of two pixels that change nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), 1, 1, 2) if x.dim() == 2 else x.flatten(1)


def make(**options: Any) -> FactorQVAE:
    torch.manual_seed(0)
    method = FactorQVAE((1, 1, 2), 10, **{**SMALL, **options})
    method.encoder, method.decoder = Two(), Two()
    method.codebook = nn.Parameter(CODEBOOK.clone())
    return method


def test_the_loss_is_the_authors_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of training, where the temperature is 0.5, with weights that show in the sum."""
    method = make(kl_weight=3.0, gamma=5.0, temperature_start=1.0, temperature_end=0.25).double()
    noise = torch.rand(2, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(torch, "rand_like", lambda _: noise)
    terms, weights = method.autoencoder_terms(OUTPUTS.double().reshape(2, 1, 1, 2), Step(5, 10))
    c, x = CODEBOOK.numpy(), OUTPUTS.numpy()
    squared_error = divergence = 0.0
    for i in range(2):
        for d in range(2):
            logits = -((x[i, d] - c) ** 2)
            y = softmax((logits - np.log(-np.log(noise[i, d].numpy()))) / 0.5)
            np.testing.assert_allclose(weights[i, d].detach(), y, rtol=1e-6)
            squared_error += (1 / (1 + np.exp(-(y @ c))) - x[i, d]) ** 2 / 4
            q = softmax(logits)
            divergence += xlogy(q, 3 * q).sum() / 2
    ratio = method.discriminator(weights.reshape(2, 6)).mean().item()
    assert terms["kl"].item() == pytest.approx(divergence, rel=1e-6)
    assert terms["temperature"].item() == pytest.approx(0.5)
    expected = squared_error + 3 * divergence / 2 + 5 * ratio  # the divergence is averaged over two latents
    assert terms["loss"].item() == pytest.approx(expected, rel=1e-6)


def test_the_code_is_the_nearest_value_of_the_one_codebook() -> None:
    method = make()
    values = method.encode(OUTPUTS.reshape(2, 1, 1, 2)).values
    assert values.tolist() == [[0.5, -1.5], [0.5, 0.0]]


def test_discrete_information_of_the_values_is_that_of_their_numbers() -> None:
    """The codebook has no order, and plug-in information needs none."""
    torch.manual_seed(0)
    method = FactorQVAE((1, 8, 8), 10, **{**SMALL, "latent_dim": 3})
    with torch.no_grad():
        method.encoder[-1].weight *= 30
    x = torch.rand(400, 1, 8, 8)
    x[:, :, :4] *= torch.arange(400).remainder(4).div(3)[:, None, None, None]
    factors = np.stack([np.arange(400) % 4, np.arange(400) // 100], axis=1)
    values = method.encode(x).values
    numbers = method.code_logits(x).argmax(-1)
    assert len(values.unique()) == 3
    assert infom(values, factors, discrete=True) == infom(numbers, factors, discrete=True) > 0


def test_vectors_are_permuted_whole_and_latents_apart() -> None:
    torch.manual_seed(0)
    z = torch.arange(50 * 2 * 3).reshape(50, 2, 3).float()
    permuted = permute_latents(z)
    for d in range(2):
        rows = [tuple(row) for row in permuted[:, d].tolist()]
        assert sorted(rows) == [tuple(row) for row in z[:, d].tolist()] != rows
    assert (permuted[:, 0, 0] + 3 != permuted[:, 1, 0]).any()


def test_the_discriminator_learns_from_the_second_minibatch_and_moves_no_encoder() -> None:
    torch.manual_seed(0)
    method = FactorQVAE((1, 8, 8), 10, **SMALL)
    first, second = torch.rand(2, 6, 1, 8, 8)
    weights = method.autoencoder_terms(first)[1]
    method.discriminator_loss(weights, second).backward()
    assert all(p.grad is not None for p in method.discriminator.parameters())
    assert all(p.grad is None for p in (*method.encoder.parameters(), method.codebook))
    with torch.no_grad():
        method.discriminator[0].weight.zero_()
    assert method.discriminator_loss(weights, second).item() == pytest.approx(math.log(2), rel=0.02)


def test_the_density_ratio_of_known_samples_is_that_of_the_cross_entropies() -> None:
    joint, permuted = torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5], [3.0]])
    loss = density_ratio_loss(lambda z: z[:, 0], joint, permuted)
    right = [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1)), 1 - 1 / (1 + math.exp(-0.5)), 1 - 1 / (1 + math.exp(-3))]
    assert loss.item() == pytest.approx(-sum(map(math.log, right)) / 4)


def test_the_gradient_is_that_of_finite_differences() -> None:
    method = make(kl_weight=0.7, gamma=0.3, likelihood="gaussian").double()

    def loss(images: Tensor, codebook: Tensor) -> Tensor:
        torch.manual_seed(0)
        return functional_call(method, {"codebook": codebook}, (images,))

    method.forward = lambda images: method.autoencoder_terms(images)[0]["loss"]
    given = [tensor.double().requires_grad_() for tensor in (OUTPUTS.reshape(2, 1, 1, 2), CODEBOOK)]
    assert torch.autograd.gradcheck(loss, given, eps=1e-3, atol=1e-4)  # the discriminator's output is in float32


def test_at_a_low_temperature_without_weights_it_is_an_autoencoder_of_its_codes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = make(kl_weight=0.0, gamma=0.0, temperature_start=1e-6)
    monkeypatch.setattr(torch, "rand_like", lambda logits: torch.full_like(logits, 0.5))
    x = OUTPUTS.reshape(2, 1, 1, 2)
    terms, _ = method.autoencoder_terms(x)
    torch.testing.assert_close(terms["loss"], method.reconstruction_loss(x, method.encode(x).values))


def test_weights_of_the_mean_error_are_those_of_the_sum_times_half_the_number_of_pixels() -> None:
    x, losses = torch.rand(4, 3, 8, 8), []
    for likelihood, factor in (("mse", 1.0), ("gaussian", 96.0)):
        torch.manual_seed(0)
        method = FactorQVAE((3, 8, 8), 10, **SMALL, likelihood=likelihood, kl_weight=0.1 * factor, gamma=0.2 * factor)
        losses.append(method.autoencoder_terms(x)[0]["loss"].item())
    assert losses[1] == pytest.approx(96 * losses[0], rel=1e-5)


def test_the_temperature_falls_by_a_constant_factor() -> None:
    """The authors' code has exp(-1e-5 n) at optimizer step n of 100,000."""
    for fraction in (0.0, 0.3, 0.9):
        found = geometric_schedule(Step(round(1000 * fraction), 1000), 1.0, math.exp(-1))
        assert found == pytest.approx(math.exp(-1e-5 * 100_000 * fraction))


def test_a_trial_that_sets_the_networks_keeps_the_default_likelihood() -> None:
    """Records of older methods without a likelihood have another one, which is filled in."""
    fields = {"dataset": "dsprites_like", "dataset_version": "1", "seed": 0, "steps": 4, "batch_size": 8}
    asked = Trial(method="factor_qvae", **fields, hparams={"lr": 0.1, "network": "mlp", "hidden_dim": 8})
    found = resolved_trial(asked)
    assert found.hparams["likelihood"] == "mse"
    other = {**found.hparams, "likelihood": "bernoulli"}
    assert Trial(method="factor_qvae", **fields, hparams=other).id != found.id


class LearningRates(Callback):
    """The learning rates of both optimizers after each step."""

    def __init__(self) -> None:
        self.values: list[list[float]] = []

    def on_step(self, loop: Loop, step: int, terms: dict[str, Tensor]) -> None:
        self.values.append([optimizer.param_groups[0]["lr"] for optimizer in loop.optimizers])


def test_both_learning_rates_fall_by_half_a_cosine_to_the_end_of_training() -> None:
    rates = LearningRates()
    method = FactorQVAE((1, 8, 8), 10, **SMALL, lr=1.0e-3, discriminator_lr=2e-3, lr_end=1e-4)
    Loop(8, [rates], accelerator="cpu").fit(method, (torch.rand(8, 1, 8, 8) for _ in range(8)))
    expected = [[1e-4 + (lr - 1e-4) * (1 + math.cos(math.pi * n / 8)) / 2 for lr in (1e-3, 2e-3)] for n in range(1, 9)]
    np.testing.assert_allclose(rates.values, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"codebook_size": 1}, "codebook_size needs at least 2"), ({"temperature_end": 0.0}, "got 1.0 and 0.0")],
)
def test_what_cannot_be_trained_is_refused_with_the_reason(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        FactorQVAE((1, 8, 8), 10, **{**SMALL, **options})
