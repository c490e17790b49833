"""The layers are the ones that their sources name, in float32 and in bf16."""

import pytest
import torch
from step_input import with_all_it_samples
from torch import nn
from torch.nn import functional

from disbench.baselines import BASELINES, networks
from disbench.baselines.factor_qvae import FactorQVAE
from disbench.baselines.factor_vae import FactorVAE
from disbench.baselines.kernels import few_channels
from disbench.baselines.networks import UpConvolution, count_parameters
from disbench.baselines.vae import VAE
from disbench.datasets import load

TOLERANCE = {torch.float32: {"rtol": 1e-4, "atol": 1e-4}, torch.float64: {"rtol": 1e-10, "atol": 1e-12}}


def gradients(layer: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Output, and gradients of a curved function of it to input, weight and bias."""
    x = x.clone().requires_grad_()
    y = layer(x)
    return y, *torch.autograd.grad(y.float().sin().sum(), [x, layer.weight, layer.bias])


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_up_convolution_is_a_transposed_convolution(
    channels: int, layout: torch.memory_format, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    ours = UpConvolution(6, channels).to(dtype, memory_format=layout)
    reference = nn.ConvTranspose2d(6, channels, 4, 2, 1).double()
    reference.load_state_dict(ours.state_dict())
    x = torch.randn(3, 6, 5, 7, dtype=torch.float64)
    found = gradients(ours, x.to(dtype, memory_format=layout))
    for got, expected in zip(found, gradients(reference, x), strict=True):
        assert got.dtype == dtype
        torch.testing.assert_close(got.double(), expected, **TOLERANCE[dtype])


@pytest.mark.parametrize("channels", [1, 3])
def test_in_bf16_an_up_convolution_is_within_its_rounding_of_the_exact_one(channels: int) -> None:
    torch.manual_seed(0)
    ours = UpConvolution(6, channels)
    x = torch.randn(3, 6, 5, 7)
    exact = gradients(ours, x)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = gradients(ours, x)
    assert rounded[0].dtype == torch.bfloat16
    for got, expected in zip(rounded, exact, strict=True):
        assert (got - expected).norm() < 2e-2 * expected.norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_to_few_channels_four_rounded_values_are_summed_in_float32(dtype: torch.dtype) -> None:
    """Each is rounded once, and their sum once: by half an epsilon of their sizes, and of the sum's."""
    torch.manual_seed(0)
    x, weight, bias = torch.randn(4, 32, 8, 8).to(dtype), torch.randn(32, 1, 4, 4).to(dtype), torch.zeros(1).to(dtype)
    exact = functional.conv_transpose2d(x.double(), weight.double(), stride=2, padding=1)
    parts = [torch.zeros_like(weight.double()) for _ in range(4)]
    for part, (rows, columns) in zip(parts, [(a, b) for a in (0, 2) for b in (0, 2)], strict=True):
        part[:, :, rows : rows + 2, columns : columns + 2] = weight[:, :, rows : rows + 2, columns : columns + 2]
    sizes = sum(functional.conv_transpose2d(x.double(), part, stride=2, padding=1).abs() for part in parts)
    allowed = torch.finfo(dtype).eps / 2 * (sizes + exact.abs())
    assert ((few_channels(x, weight, bias).double() - exact).abs() <= 1.01 * allowed).all()


def test_stacked_up_convolutions_are_each_ones_own() -> None:
    torch.manual_seed(0)
    layers = [UpConvolution(6, 1) for _ in range(3)]
    parameters, _ = torch.func.stack_module_state(layers)
    images = torch.randn(3, 2, 6, 5, 7)
    call = torch.func.vmap(lambda own, x: torch.func.functional_call(layers[0], own, (x,)))
    stacked = call(parameters, images)
    found = torch.autograd.grad(stacked.sin().sum(), list(parameters.values()))
    for number, (layer, x) in enumerate(zip(layers, images, strict=True)):
        own = layer(x)
        torch.testing.assert_close(stacked[number], own)
        expected = torch.autograd.grad(own.sin().sum(), list(layer.parameters()))
        for got, gradient in zip(found, expected, strict=True):
            torch.testing.assert_close(got[number], gradient)


def test_an_up_convolution_draws_the_weights_that_a_transposed_convolution_draws() -> None:
    torch.manual_seed(0)
    ours = UpConvolution(6, 3).state_dict()
    torch.manual_seed(0)
    torch.testing.assert_close(ours, nn.ConvTranspose2d(6, 3, 4, 2, 1).state_dict(), rtol=0, atol=0)


def test_images_stay_in_bf16_through_the_decoder() -> None:
    decoder = networks.decoder("conv", (1, 64, 64), 10, 0)
    kinds = []
    for layer in decoder:
        layer.register_forward_hook(lambda layer, inputs, output: kinds.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        decoder(torch.randn(2, 10))
    assert set(kinds) == {torch.bfloat16}


@pytest.mark.parametrize("network", ["conv", "mlp"])
def test_working_in_place_changes_no_gradient(network: str) -> None:
    torch.manual_seed(0)
    shape = (3, 64, 64)
    x = torch.rand(2, *shape)
    for module, given in [
        (networks.encoder(network, shape, 20, 16), x),
        (networks.decoder(network, shape, 10, 16), torch.randn(2, 10)),
    ]:
        found = torch.autograd.grad(module(given).square().sum(), list(module.parameters()))
        for layer in module:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        expected = torch.autograd.grad(module(given).square().sum(), list(module.parameters()))
        torch.testing.assert_close(found, expected)


def test_the_decoder_mirrors_the_encoder_in_size() -> None:
    decoder = networks.decoder("conv", (3, 64, 64), 10, 0)
    assert decoder(torch.randn(2, 10)).shape == (2, 3, 64, 64)
    kernels = [tuple(layer.weight.shape) for layer in decoder if isinstance(layer, nn.ConvTranspose2d)]
    assert kernels == [(64, 64, 4, 4), (64, 32, 4, 4), (32, 32, 4, 4), (32, 3, 4, 4)]
    assert count_parameters(networks.perceptron([4, 8, 1], 0.2)) == 4 * 8 + 8 + 8 + 1


def cosine(first: list[torch.Tensor], second: list[torch.Tensor]) -> float:
    flat = [torch.cat([part.flatten().double() for part in parts]) for parts in (first, second)]
    return functional.cosine_similarity(*flat, dim=0).item()


def terms_and_gradients(method: VAE, x: torch.Tensor, precision: str) -> dict[str, list[torch.Tensor]]:
    """The gradient of each term on two minibatches (2 B, 1, 64, 64), with the same noise at any precision."""
    torch.manual_seed(2)
    first, second = x.chunk(2)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        if isinstance(method, FactorVAE | FactorQVAE):
            terms, z = method.autoencoder_terms(first)
            terms["discriminator"] = method.discriminator_loss(z, second)
        else:
            terms = method.training_step(with_all_it_samples(method, first), 0)
    assert {value.dtype for value in terms.values()} == {torch.float32}
    gradients = {}
    for term, value in terms.items():
        # Set by a schedule or a controller, or a count
        if term in {"capacity", "beta", "noise_scale", "temperature", "shared"}:
            assert not value.requires_grad
            continue
        # The discriminator's loss reaches nobody else.
        owner = method.discriminator if term == "discriminator" else method
        found = torch.autograd.grad(value, list(owner.parameters()), retain_graph=True, allow_unused=True)
        gradients[term] = [gradient for gradient in found if gradient is not None]
    return gradients


@pytest.fixture(scope="module")
def a_little_trained() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Weights of a VAE after 200 steps, and images. Before, terms are nearly zero, and a zero's direction is rounding."""
    dataset = load("dsprites_like", select={"shape": 0, "scale": 5, "orientation": 0})
    rows = torch.randint(len(dataset), (208, 16), generator=torch.Generator().manual_seed(0))
    batches = dataset.batch(rows.flatten()).float().div(255).unflatten(0, rows.shape)
    torch.manual_seed(0)
    method = VAE((1, 64, 64), 1000, lr=1e-3)
    optimizer = method.configure_optimizers()
    for step in range(200):
        optimizer.zero_grad()
        method.training_step(batches[step], step)["loss"].backward()
        optimizer.step()
    return method.state_dict(), batches[200:].flatten(0, 1)


@pytest.mark.parametrize("name", BASELINES)
def test_every_term_has_the_gradient_in_bf16_that_it_has_in_float32(
    name: str, a_little_trained: tuple[dict[str, torch.Tensor], torch.Tensor]
) -> None:
    weights, x = a_little_trained
    torch.manual_seed(1)
    method = BASELINES[name]((1, 64, 64), 1000, **({"discriminator_dim": 100} if name == "factor_qvae" else {}))
    shapes = {key: value.shape for key, value in method.state_dict().items()}
    method.load_state_dict({key: value for key, value in weights.items() if value.shape == shapes[key]}, strict=False)
    if isinstance(method, FactorVAE):  # so that the discriminator too has something to say
        _, optimizer = method.configure_optimizers()
        for _ in range(60):
            optimizer.zero_grad()
            method.discriminator_loss(method.posterior(x[:64]).sample(), x[64:]).backward()
            optimizer.step()
    if isinstance(method, FactorQVAE):
        _, optimizer = method.configure_optimizers()[0]
        for _ in range(60):
            optimizer.zero_grad()
            method.discriminator_loss(method.autoencoder_terms(x[:64])[1], x[64:]).backward()
            optimizer.step()
    exact, rounded = (terms_and_gradients(method, x, precision) for precision in ("fp32", "bf16"))
    for term, gradient in exact.items():
        assert cosine(gradient, rounded[term]) > 0.999, term


@pytest.mark.parametrize("network", networks.NETWORKS)
def test_under_autocast_the_last_layers_of_the_encoder_are_those_of_float32(network: str) -> None:
    torch.manual_seed(0)
    encoder = networks.encoder(network, (1, 64, 64), 20, 16)
    given = {}
    for layer in encoder:
        if isinstance(layer, networks.Float32Linear):
            layer.register_forward_hook(
                lambda layer, inputs, output: given.update({layer: (inputs[0].clone(), output.clone())})
            )
    with torch.autocast("cpu", torch.bfloat16):
        encoder(torch.rand(4, 1, 64, 64))
    assert list(given) == [layer for layer in encoder if isinstance(layer, nn.Linear)][-len(given) :]
    assert len(given) == {"conv": 2, "mlp": 1, "style": 3, "residual": 2}[network]
    for layer, (x, output) in given.items():
        torch.testing.assert_close(output, functional.linear(x.float(), layer.weight, layer.bias), rtol=0, atol=0)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_every_relu_and_its_gradient_are_laid_out_alike(precision: torch.dtype) -> None:
    """Else each value of the one is looked for in the other."""
    method = VAE((1, 64, 64), 1000)
    layouts = []

    def note(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        output.register_hook(lambda gradient: layouts.append((gradient.stride(), output.stride())))

    for layer in [*method.encoder, *method.decoder]:
        if isinstance(layer, nn.ReLU):
            layer.register_forward_hook(note)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        loss = method.training_step(torch.rand(8, 1, 64, 64), 0)["loss"]
    loss.backward()
    assert len(layouts) == 10
    assert all(of_gradient == of_output for of_gradient, of_output in layouts)
