"""QLAE: its loss by loops, its gradients, its weight decay, and that the published numbers make the published steps."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils import clip_grad_value_

from disbench.baselines.autoencoder import Autoencoder
from disbench.baselines.method import Codes
from disbench.baselines.qlae import QLAE, nearest_values
from disbench.benchmarks.training.steps import Loop

SMALL = {"network": "mlp", "hidden_dim": 8, "latent_dim": 3}
SHAPE = (1, 8, 8)


def spread(method: QLAE) -> QLAE:
    """Encoder outputs at first lie close to 0; here they reach over the whole codebook."""
    with torch.no_grad():
        method.encoder[-1].weight.mul_(5)
    return method


def make(**hparams: object) -> QLAE:
    torch.manual_seed(0)
    return spread(QLAE(SHAPE, 100, **{**SMALL, **hparams}))


class Plain(Autoencoder):
    """The autoencoder without quantization."""

    def encode(self, x: Tensor) -> Codes:
        return Codes(self.encoder(x))


def test_each_latent_takes_the_nearest_value_of_its_own_codebook() -> None:
    codebooks = torch.tensor([[0.3, -1.0, 0.5], [2.0, 0.0, -2.0]])
    z = torch.tensor([[0.41, 0.9], [-5.0, 1.1], [0.39, -1.5], [0.4, 1.0]])
    assert nearest_values(z, codebooks).tolist() == torch.tensor([[0.5, 0], [-1, 2], [0.3, -2], [0.3, 2]]).tolist()


def test_the_codebooks_start_as_published() -> None:
    method = QLAE((3, 64, 64), 100, latent_dim=4)
    assert method.codebooks.shape == (4, 10)
    np.testing.assert_allclose(method.codebooks[2].detach(), np.arange(10) / 9 - 0.5, atol=1e-7)
    published = (0.01, 0.01, 0.1, 1.0, 1e-3)
    assert (method.quantization, method.commitment, method.weight_decay, method.clip, method.lr) == published


@pytest.mark.parametrize(("likelihood", "pixels"), [("bernoulli", 64), ("gaussian", 64), ("mse", 1)])
def test_the_loss_is_the_papers_times_the_pixels(likelihood: str, pixels: int) -> None:
    method, x = make(quantization=0.3, commitment=0.7, likelihood=likelihood).double(), torch.rand(5, *SHAPE).double()
    z, books = method.encoder(x).detach().numpy(), method.codebooks.detach().numpy()
    chosen, error = np.empty_like(z), 0.0
    for image, numbers in enumerate(z):
        for latent, number in enumerate(numbers):
            chosen[image, latent] = min(books[latent], key=lambda value, number=number: abs(value - number))
            error += (chosen[image, latent] - number) ** 2 / z.size
    terms = method.training_step(x, 0)
    np.testing.assert_array_equal(method.encode(x).values.detach(), chosen)
    rest = terms["loss"] - method.reconstruction_loss(x, torch.from_numpy(chosen))
    assert rest.item() == pytest.approx(pixels * (0.3 + 0.7) * error, rel=1e-5)
    assert terms["quantization_error"].item() == pytest.approx(error)


def test_codebooks_learn_by_the_quantization_loss_alone_and_the_encoder_by_the_other_two() -> None:
    method, x = make(quantization=0.3, commitment=0.7).double(), torch.rand(5, *SHAPE).double()
    method.training_step(x, 0)["loss"].backward()
    z = method.encoder(x)
    values = method.encode(x).values.detach().requires_grad_()
    expected = np.zeros_like(method.codebooks.detach())
    for image in range(5):
        for latent in range(3):
            place = (method.codebooks[latent] == values[image, latent]).nonzero().item()
            expected[latent, place] += 64 * 0.3 * 2 / 15 * (values - z)[image, latent].item()
    np.testing.assert_allclose(method.codebooks.grad, expected, rtol=1e-9)
    (through,) = torch.autograd.grad(method.reconstruction_loss(x, values), values)
    reaching = through + 64 * 0.7 * 2 / 15 * (z - values).detach()
    wanted = torch.autograd.grad(z, list(method.encoder.parameters()), reaching)
    for parameter, gradient in zip(method.encoder.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_the_gradient_of_the_codebooks_is_that_of_finite_differences() -> None:
    z = torch.randn(6, 3, dtype=torch.float64)
    books = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda books: (z - nearest_values(z, books)).square().mean(), [books])


def test_weights_decay_and_biases_and_codebooks_do_not() -> None:
    method = QLAE((3, 64, 64), 100, lr=0.1, weight_decay=0.5)
    before = {name: parameter.detach().clone() for name, parameter in method.named_parameters()}
    for parameter in method.parameters():
        parameter.grad = torch.zeros_like(parameter)
    method.configure_optimizers().step()
    for name, parameter in method.named_parameters():
        kept = 1.0 if name == "codebooks" or name.endswith(".bias") else 1 - 0.1 * 0.5
        torch.testing.assert_close(parameter, kept * before[name])


@pytest.mark.parametrize("clip", [1.0, 1e-3])
def test_the_published_settings_make_the_steps_of_a_loss_averaged_over_pixels(clip: float) -> None:
    method = make(clip=clip)
    theirs = copy.deepcopy(method)
    named = dict(theirs.named_parameters())
    decayed = [parameter for name, parameter in named.items() if name.endswith("weight")]
    others = [parameter for name, parameter in named.items() if not name.endswith("weight")]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0}], 1e-3
    )
    batches = list(torch.rand(20, 8, *SHAPE))
    for x in batches:
        z = theirs.encoder(x)
        values = nearest_values(z, theirs.codebooks)
        logits = theirs.decoder(z + (values - z).detach())
        loss = binary_cross_entropy_with_logits(logits, x)
        loss = loss + 0.01 * (values - z.detach()).square().mean() + 0.01 * (z - values.detach()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        clip_grad_value_(named.values(), clip)
        optimizer.step()
    before = copy.deepcopy(method)
    Loop(20, accelerator="cpu").fit(method, iter(batches))
    for name, parameter in method.named_parameters():
        moved = (parameter - before.get_parameter(name)).abs().max().item()
        torch.testing.assert_close(parameter, named[name], rtol=0, atol=1e-2 * moved)


def test_the_limit_grows_with_the_scale_of_the_gradients_in_16_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    method = make(clip=0.5)
    monkeypatch.setattr(method, "loss_scale", lambda: 8.0)
    optimizer = method.configure_optimizers()
    for parameter in method.parameters():
        parameter.grad = torch.full_like(parameter, -1000.0)
    method.configure_gradient_clipping(optimizer)
    assert {value for parameter in method.parameters() for value in parameter.grad.flatten().tolist()} == {
        -0.5 * 64 * 8
    }


def test_one_value_is_a_decoder_alone() -> None:
    method, x = make(values=1, commitment=0.0), torch.rand(6, *SHAPE)
    assert torch.equal(method.encode(x).values, torch.full((6, 3), -0.5))


def test_many_values_without_the_other_losses_are_the_plain_autoencoder() -> None:
    torch.manual_seed(0)
    plain, x = Plain(SHAPE, 100, **SMALL).double(), torch.rand(6, *SHAPE).double()
    many = QLAE(SHAPE, 100, values=20_001, quantization=0.0, commitment=0.0, **SMALL).double()
    many.load_state_dict({**plain.state_dict(), "codebooks": many.codebooks})
    assert plain.encoder(x).abs().max() < 0.5
    (loss := plain.reconstruction_loss(x, plain.encoder(x))).backward()
    (same := many.training_step(x, 0)["loss"]).backward()
    assert same.item() == pytest.approx(loss.item(), rel=1e-5)
    for ours, theirs in zip(many.encoder.parameters(), plain.encoder.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-3 * theirs.grad.abs().max().item())


def test_no_value_is_refused() -> None:
    with pytest.raises(ValueError, match="values needs at least 1 value for each latent, got 0"):
        QLAE(SHAPE, 100, values=0, **SMALL)


def test_an_infinite_gradient_stays_so_that_a_scaler_leaves_the_step_out() -> None:
    method = make(clip=1.0)
    method.fabric = None
    optimizer = method.configure_optimizers()
    for parameter in method.parameters():
        parameter.grad = torch.full_like(parameter, 1e9)
    first = next(method.parameters())
    first.grad.view(-1)[0] = torch.inf
    method.loss_scale = lambda: 1.0  # type: ignore[method-assign]
    method.configure_gradient_clipping(optimizer)
    assert first.grad.view(-1)[0] == torch.inf
    assert first.grad.view(-1)[1] == method.pixels


def test_no_limit_of_the_gradient_is_refused() -> None:
    with pytest.raises(ValueError, match="clip needs a limit above 0, got 0"):
        make(clip=0.0)
