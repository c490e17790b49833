"""Finite scalar quantization: its levels, its gradient, and the constant code and the plain autoencoder as its limits."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from disbench.baselines.autoencoder import Autoencoder
from disbench.baselines.fsq import FSQ
from disbench.baselines.method import Batch, Codes
from disbench.baselines.quantization import finite_scalar, straight_through

SMALL = {"network": "mlp", "hidden_dim": 8, "latent_dim": 3}
SHAPE = (1, 8, 8)


class Tanh(Autoencoder):
    """The autoencoder whose code is bounded and not rounded."""

    def encode(self, x: Tensor) -> Codes:
        return Codes(self.encoder(x).tanh())


@pytest.mark.parametrize("levels", [2, 3, 4, 5, 8, 12, 33])
def test_the_values_are_equally_spaced_in_order_and_zero_is_one_of_them(levels: int) -> None:
    z = torch.linspace(-12, 12, 100_001)
    found = finite_scalar(z, levels)
    steps = np.arange(-(levels // 2), (levels + 1) // 2)  # an even number has one more below zero
    assert found.unique().tolist() == (torch.from_numpy(steps).float() / (levels // 2)).tolist()
    assert (found.diff() >= 0).all()
    assert finite_scalar(torch.zeros(1), levels) == 0


@pytest.mark.parametrize("levels", [5, 12])
def test_a_value_ends_where_the_papers_bound_is_halfway_to_the_next(levels: int) -> None:
    """By the inverse: z = artanh((k + 1/2 + offset) / half) - shift, with the shift that leaves zero where it is."""
    half, offset = 0.999 * (levels - 1) / 2, 0.5 * (levels % 2 == 0)
    for step in range(-(levels // 2), (levels - 1) // 2):
        edge = math.atanh((step + 0.5 + offset) / half) - math.atanh(offset / half)
        below, above = finite_scalar(torch.tensor([edge - 1e-3, edge + 1e-3]), levels) * (levels // 2)
        assert (round(below.item()), round(above.item())) == (step, step + 1)


def test_the_gradient_is_that_of_the_bound_at_any_number_of_levels() -> None:
    z = torch.linspace(-2, 2, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda z: finite_scalar(z, 2**40), [z]
    )  # there rounding is finer than the difference
    (few,) = torch.autograd.grad(finite_scalar(z, 5).sum(), z)
    np.testing.assert_allclose(few, 0.999 / np.cosh(z.detach().numpy()) ** 2, rtol=1e-12)


def test_straight_through_values_are_exact() -> None:
    values, continuous = torch.randn(2, 10_000)
    assert torch.equal(straight_through(values, continuous), values)
    assert not torch.equal(continuous + (values - continuous), values)  # the usual form, which rounds


def test_one_level_is_a_decoder_alone() -> None:
    method, x = FSQ(SHAPE, 100, levels=1, **SMALL), torch.rand(6, *SHAPE)
    assert torch.equal(method.encode(x).values, torch.zeros(6, 3))
    loss = method.training_step(x, 0)["loss"]
    assert loss == method.reconstruction_loss(x, torch.zeros(6, 3))
    loss.backward()
    assert all(not parameter.grad.any() for parameter in method.encoder.parameters())
    assert all(parameter.grad.any() for name, parameter in method.decoder.named_parameters() if name != "0.weight")


def test_many_levels_are_the_autoencoder_with_a_tanh() -> None:
    torch.manual_seed(0)
    plain, x = Tanh(SHAPE, 100, **SMALL).double(), torch.rand(6, *SHAPE, dtype=torch.float64)
    many = FSQ(SHAPE, 100, levels=10**6 + 1, **SMALL).double()
    many.load_state_dict(plain.state_dict())
    (loss := plain.reconstruction_loss(x, plain.encode(x).values)).backward()
    (same := many.training_step(x, 0)["loss"]).backward()
    assert same.item() == pytest.approx(loss.item(), rel=1e-4)
    for ours, theirs in zip(many.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=2e-3 * theirs.grad.abs().max().item())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_scored_code_is_the_one_that_was_decoded_in_training(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    method, x = FSQ(SHAPE, 100, levels=5, **SMALL), torch.rand(64, *SHAPE)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        codes = method.encode(10 * x)
        loss = method.training_step(10 * x, 0)["loss"]
        assert loss == method.reconstruction_loss(10 * x, codes.values)
    assert codes.std is None
    assert codes.values.dtype == torch.float32
    assert set(codes.values.flatten().tolist()) <= {-1.0, -0.5, 0.0, 0.5, 1.0}


def test_no_level_is_refused() -> None:
    with pytest.raises(ValueError, match="levels needs at least 1 value for each latent, got 0"):
        FSQ(SHAPE, 100, levels=0, **SMALL)


def squares(generator: torch.Generator) -> Tensor:
    """64 dark images (1, 32, 32) of a white square of 8 x 8 pixels anywhere."""
    corner = torch.randint(0, 25, (64, 2, 1), generator=generator)
    row, column = ((torch.arange(32) >= corner) & (torch.arange(32) < corner + 8)).float().unbind(1)
    return (row[:, :, None] * column[:, None])[:, None]


@pytest.mark.parametrize(("begins_at_the_mean", "most_values"), [(False, range(1, 2)), (True, range(6, 13))])
def test_codes_of_dark_images_die_unless_the_decoder_begins_at_the_mean_image(
    begins_at_the_mean: bool, most_values: range
) -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    method = FSQ((1, 32, 32), 4096, network="mlp", hidden_dim=128, latent_dim=4, lr=1e-3)
    if begins_at_the_mean:
        mean = torch.cat([squares(generator) for _ in range(20)]).mean(0).clamp(min=0.001)
        last = method.decoder[4]
        assert isinstance(last, torch.nn.Linear)
        last.bias.data.copy_(mean.logit().flatten())
    optimizer = torch.optim.Adam(method.parameters(), 1e-3)
    for _ in range(150):
        optimizer.zero_grad()
        method.training_step(Batch(squares(generator)), 0)["loss"].backward()
        optimizer.step()
    values = method.encode(torch.cat([squares(generator) for _ in range(8)])).values
    assert max(len(column.unique()) for column in values.T) in most_values
