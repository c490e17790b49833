"""The networks of QLAE ("style") and Tripod ("residual") compute what their authors' code computes, and train everywhere."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from disbench.baselines import networks
from disbench.baselines.networks import count_parameters
from disbench.baselines.residual_networks import ModulatedConvolution, ResidualDecoder
from disbench.baselines.style_networks import StyleBlock
from disbench.baselines.vae import VAE
from disbench.benchmarks.settings.hyperparameters import check_method

PAIRS = ("style", "residual")
SMALL = {"latent_dim": 4, "width_multiplier": 1 / 8}
# What the authors' code computes in JAX on the weights, image and code of `filled` (3 channels, 12 latents): the first four
# codes and their standard deviation; logits at four pixels, and the mean and standard deviation of all.
AUTHORS = {
    "style": (
        [-1.18893, 1.54289, 3.2583, 0.91314, 1.50412],
        [-1.9, -4.9859, 1.12127, -6.50363, -1.37765, 3.05201],
    ),
    "residual": (
        [1.68709, -1.09283, 0.50255, 0.71972, 0.96982],
        [-0.59589, 24.97956, 1.2531, -20.33924, 4.35187, 18.13053],
    ),
}
COUNTS = {"style": (3_684_524, 3_967_136), "residual": (4_098_092, 16_140_163)}  # in the authors' code


def pair(network: str, latents: int = 12, multiplier: float = 1.0) -> tuple[nn.Module, nn.Module]:
    return (
        networks.encoder(network, (3, 64, 64), latents, 0, multiplier),
        networks.decoder(network, (3, 64, 64), latents, 0, multiplier),
    )


def filled(module: nn.Module) -> nn.Module:
    """Fill the parameters, in the order of the authors' code, with numbers that every NumPy draws alike."""
    module = module.to_empty(device="cpu")
    transposed = {id(layer.weight) for layer in module.modules() if isinstance(layer, nn.ConvTranspose2d)}
    for number, parameter in enumerate(module.parameters()):
        values = parameter.detach()
        # JAX does not turn the kernels of transposed convolutions around, and its constants have no axis of images.
        theirs = values.transpose(0, 1) if id(parameter) in transposed else values
        theirs = theirs[0] if len(theirs) == 1 else theirs
        drawn = np.random.RandomState(number).random_sample(theirs.numel()).reshape(theirs.shape) - 0.5
        fan_in = theirs.numel() // len(theirs)
        found = torch.from_numpy(drawn * np.sqrt(24 / fan_in) if fan_in > 1 else 0.5 + 0.1 * drawn)
        theirs.copy_(found.flip(2, 3) if id(parameter) in transposed else found)
    return module


@pytest.mark.parametrize("network", PAIRS)
def test_codes_and_images_are_those_of_the_authors_code(network: str) -> None:
    with torch.device("meta"):
        empty = pair(network)
    assert tuple(map(count_parameters, empty)) == COUNTS[network]
    encoder, decoder = map(filled, empty)
    pixels = np.arange(3 * 64 * 64).reshape(1, 3, 64, 64)
    x = torch.from_numpy(0.5 + 0.5 * np.sin(0.01 * pixels**1.3)).float()
    with torch.no_grad():
        codes = encoder(x)[0].double().numpy()
        logits = decoder(torch.arange(12.0).cos()[None])[0].double().numpy()
    shown = logits[[0, 1, 2, 0], [0, 20, 63, 40], [0, 33, 63, 7]]
    expected_codes, expected_logits = AUTHORS[network]
    assert [*codes[:4], codes.std()] == pytest.approx(expected_codes, rel=1e-4, abs=2e-4)
    assert [*shown, logits.mean(), logits.std()] == pytest.approx(expected_logits, rel=1e-4, abs=2e-4)


@pytest.mark.parametrize("network", PAIRS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_gradient_reaches_every_parameter(network: str, channels: int) -> None:
    torch.manual_seed(0)
    method = VAE((channels, 64, 64), 100, network=network, **SMALL)
    x = torch.rand(2, channels, 64, 64)
    assert method.encode(x).values.shape == (2, 4)
    assert method.decode(torch.randn(2, 4)).shape == x.shape
    method.training_step(x, 0)["loss"].backward()
    gradients = {name: parameter.grad for name, parameter in method.named_parameters()}
    assert not [name for name, gradient in gradients.items() if gradient is None or not gradient.abs().max() > 0]
    with torch.device("meta"):
        empty = VAE((channels, 64, 64), 100, network=network, **SMALL)
        assert empty.training_step(torch.rand(2, channels, 64, 64), 0)["loss"].is_meta


def test_a_style_sets_the_mean_and_the_deviation_of_each_channel() -> None:
    torch.manual_seed(0)
    block, style = StyleBlock(6, 5, 7, doubles=True), torch.randn(3, 7)
    images = block(torch.randn(3, 6, 8, 8), style)
    scale, shift = functional.relu(block.modulation[0](style)).chunk(2, dim=1)
    assert images.shape == (3, 5, 16, 16)
    torch.testing.assert_close(images.mean((2, 3)), shift, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(images.std((2, 3), correction=0), scale, atol=1e-4, rtol=1e-4)


def test_a_condition_of_zeros_leaves_a_normalized_convolution() -> None:
    torch.manual_seed(0)
    layer = ModulatedConvolution(5, 7)
    nn.init.zeros_(layer.modulation.bias)
    x = torch.randn(3, 5, 8, 8)
    expected = functional.gelu(functional.instance_norm(layer.convolution(x)), approximate="tanh")
    torch.testing.assert_close(layer(x, torch.zeros(3, 7)), expected)


def test_the_activations_of_the_residual_decoder_are_its_condition_and_its_images() -> None:
    torch.manual_seed(0)
    _, decoder = pair("residual", 4, 1 / 16)
    assert isinstance(decoder, ResidualDecoder)
    z = torch.randn(2, 4)
    found = decoder.activations(z)
    shapes = [(2, 16), (2, 16, 8, 8), (2, 8, 16, 16), (2, 4, 32, 32), (2, 3, 64, 64)]
    assert [tuple(each.shape) for each in found] == shapes
    torch.testing.assert_close(found[-1], decoder(z), rtol=0, atol=0)


def flat(gradients: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([gradient.flatten().double() for gradient in gradients])


@pytest.mark.parametrize("network", PAIRS)
def test_in_bf16_codes_are_float32_and_gradients_point_where_they_do_in_float32(network: str) -> None:
    torch.manual_seed(0)
    method = VAE((3, 64, 64), 100, network=network, latent_dim=4, width_multiplier=1 / 8)
    x, found = torch.rand(4, 3, 64, 64), []
    for enabled in (False, True):
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            assert method.posterior(x).mean.dtype == torch.float32
            loss = method.training_step(x, 0)["loss"]
        found.append(flat(torch.autograd.grad(loss, list(method.parameters()))))
    assert functional.cosine_similarity(*found, dim=0) > 0.99


@pytest.mark.parametrize("network", PAIRS)
def test_stacked_networks_are_each_ones_own(network: str) -> None:
    torch.manual_seed(0)
    for alone, given in zip(
        zip(*(pair(network, 4, 1 / 32) for _ in range(2)), strict=True),
        (torch.rand(2, 2, 3, 64, 64), torch.randn(2, 2, 4)),
        strict=True,
    ):
        parameters, _ = torch.func.stack_module_state(list(alone))
        call = torch.func.vmap(lambda own, x, module=alone[0]: torch.func.functional_call(module, own, (x,)))
        stacked = call(parameters, given)
        found = torch.autograd.grad(stacked.sin().sum(), list(parameters.values()))
        for number, (module, x) in enumerate(zip(alone, given, strict=True)):
            own = module(x)
            torch.testing.assert_close(stacked[number], own, rtol=1e-4, atol=1e-4)
            expected = torch.autograd.grad(own.sin().sum(), list(module.parameters()))
            one = flat(tuple(gradient[number] for gradient in found))
            assert (one - flat(expected)).norm() < 1e-3 * flat(expected).norm()


def test_widths_are_multiplied_where_there_are_several_and_sizes_are_checked() -> None:
    half, whole = (sum(map(count_parameters, pair("style", 12, multiplier))) for multiplier in (0.5, 1.0))
    assert 3.8 < whole / half < 4
    check_method("beta_vae", {"network": "residual", "width_multiplier": 0.25})
    for network in ("conv", "mlp"):
        with pytest.raises(ValueError, match=rf"needs network='style' or 'residual', got '{network}'\. Leave it out"):
            networks.encoder(network, (1, 64, 64), 10, 8, 0.5)
    with pytest.raises(ValueError, match="width_multiplier must be above 0, got 0"):
        networks.decoder("style", (1, 64, 64), 10, 8, 0.0)
    with pytest.raises(ValueError, match=r"'residual' needs images of shape \(C, 64, 64\), got \(1, 32, 32\)"):
        networks.decoder("residual", (1, 32, 32), 10, 8)
