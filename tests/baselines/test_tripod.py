"""Tripod: both penalties against independent numbers, the quantized autoencoder as their limit, and layers of every network."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from disbench.baselines import networks
from disbench.baselines.fsq import FSQ
from disbench.baselines.tripod import Tripod, curvature_ratio, hidden_layers, mean_variance, multi_information

SMALL = {"network": "mlp", "hidden_dim": 8, "latent_dim": 3}
SHAPE = (1, 8, 8)


def make(**hparams: object) -> Tripod:
    torch.manual_seed(0)
    method = Tripod(SHAPE, 100, **{**SMALL, **hparams})
    with torch.no_grad():
        method.encoder[-1].weight.mul_(5)  # codes spread over the levels
    return method


def test_codes_are_rounded_to_equally_spaced_values_with_both_ends() -> None:
    found = Tripod(SHAPE, 100, levels=4, **SMALL).quantize(torch.linspace(-9, 9, 10_001))
    np.testing.assert_allclose(found.unique(), [-1, -1 / 3, 1 / 3, 1], atol=1e-7)


def test_the_multi_information_is_that_of_the_densities_written_out() -> None:
    rng = np.random.default_rng(0)
    z, joint, marginal = rng.normal(size=(7, 3)), np.array([0.2, 0.5, 1.0]), np.array([0.3, 0.9, 2.0])
    expected = 0.0
    for code in z:
        density = np.mean([norm.pdf(code, other, joint).prod() for other in z])
        apart = [norm.pdf(code[k], z[:, k], marginal[k]).mean() for k in range(3)]
        expected += (np.log(density) - np.log(apart).sum()) / 7
    found = multi_information(*(torch.from_numpy(each) for each in (z, joint, marginal)))
    assert found.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("bandwidth", "factor"), [("std", 1.0), ("silverman", (4 / 3) ** 0.2 * 16**-0.2)])
def test_the_kernels_have_the_widths_of_the_code_or_of_silvermans_rule(bandwidth: str, factor: float) -> None:
    method, x = make(bandwidth=bandwidth), torch.rand(16, *SHAPE)
    std = torch.from_numpy(np.tanh(method.encoder(x).detach().numpy()).std(0))  # before rounding
    joint = (4 / (3 + 2)) ** (1 / (3 + 4)) * 16 ** (-1 / (3 + 4))
    expected = multi_information(method.encode(x).values, joint * std, factor * std)
    assert method.training_step(x, 0)["multi_information"].item() == pytest.approx(expected.item(), rel=1e-4)


def quadratic(hessian: Tensor, directions: Tensor) -> list[Tensor]:
    """a(z + v) + a(z - v) of a = z H z / 2 at z = 0, for each direction v: one image, one activation."""
    return [(v @ hessian @ v).reshape(1, 1) for v in directions]


def test_the_ratio_is_the_share_of_the_hessian_off_its_diagonal() -> None:
    rng = torch.Generator().manual_seed(0)
    hessian = torch.randn(4, 4, generator=rng, dtype=torch.float64)
    hessian = hessian + hessian.T + 3 * torch.eye(4)
    signs = 2.0 * torch.randint(2, (500, 4), generator=rng).double() - 1
    normal = torch.randn(500, 4, generator=rng, dtype=torch.float64)
    found = curvature_ratio(quadratic(hessian, signs), quadratic(hessian, normal), 1.0).item()
    expected = 1 - hessian.diagonal().square().sum() / hessian.square().sum()
    assert found == pytest.approx(expected.item(), rel=0.1)


def test_latents_that_do_not_interact_cost_nothing() -> None:
    torch.manual_seed(0)
    signs = 2.0 * torch.randint(2, (2, 4)) - 1
    diagonal = torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert curvature_ratio(quadratic(diagonal, signs), quadratic(diagonal, torch.randn(2, 4)), 0.1) == 0


def test_an_image_without_a_kink_in_reach_does_not_count_where_ratios_are_pooled() -> None:
    numbers = [torch.tensor([[0.0], [1.0]]), torch.tensor([[1e-3], [2.0]])]  # images (2, 1), in two directions
    signs, normal = numbers, [torch.zeros(2, 1), torch.tensor([[0.0], [1.0]])]
    assert curvature_ratio(signs, normal, 0.1).item() > 1e3
    assert curvature_ratio(signs, normal, 0.1, pooled=True).item() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(("network", "pooled"), [("conv", True), ("mlp", True), ("residual", False)])
def test_ratios_are_of_each_image_where_the_decoder_has_a_hessian(network: str, pooled: bool) -> None:
    small = {"width_multiplier": 0.05} if network == "residual" else {"hidden_dim": 8}
    assert Tripod((3, 64, 64), 100, network=network, **small).pooled is pooled


@pytest.mark.parametrize("directions", [2, 5])
def test_the_variance_is_numpys_of_second_differences(directions: int) -> None:
    numbers = torch.randn(directions, 6, 4, 3, 2, dtype=torch.float64)
    centre = torch.randn(6, 4, 3, 2, dtype=torch.float64)
    expected = np.var((numbers - 2 * centre).numpy(), axis=0).reshape(6, -1).mean(1)
    np.testing.assert_allclose(mean_variance(list(numbers)), expected, rtol=1e-12)


def test_the_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    z, width = torch.randn(5, 2, dtype=torch.float64), torch.rand(2, dtype=torch.float64) + 0.5
    inputs = [each.requires_grad_() for each in (z, width, 2 * width.detach())]
    assert torch.autograd.gradcheck(multi_information, inputs)
    four = [torch.randn(3, 6, dtype=torch.float64).requires_grad_() for _ in range(4)]
    assert torch.autograd.gradcheck(lambda a, b, c, d: curvature_ratio([a, b], [c, d], 1.0), four)


@pytest.mark.parametrize("likelihood", ["bernoulli", "mse"])
def test_the_weights_belong_to_a_loss_averaged_over_pixels(likelihood: str) -> None:
    method, x = make(multi_information=0.3, hessian=0.7, likelihood=likelihood), torch.rand(5, *SHAPE)
    terms = method.training_step(x, 0)
    penalty = 0.3 * terms["multi_information"] + 0.7 * terms["hessian_penalty"]
    rest = terms["loss"] - terms["reconstruction"]
    assert rest.item() == pytest.approx((1 if likelihood == "mse" else 64) * penalty.item(), rel=1e-3)
    assert terms["reconstruction"] == method.reconstruction_loss(x, method.encode(x).values)


@pytest.mark.parametrize("kind", ["each", "pooled"])
def test_the_penalty_is_that_of_the_decoders_layers_written_out(kind: str) -> None:
    """By whole second differences over the square of the step, as the authors have them."""
    method = make(step=0.3).double()
    method.pooled = kind == "pooled"
    z, std = torch.randn(4, 3, dtype=torch.float64), torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    torch.manual_seed(5)
    found = method.curvature(z, std)
    torch.manual_seed(5)
    signs = 2.0 * torch.randint(2, (2, 4, 3)) - 1
    kinds = signs.double(), torch.randn(2, 4, 3).double()
    first, second = method.decoder[:2], method.decoder[:4]
    expected = 0.0
    for layer in (first, second):
        variances = []
        for directions in kinds:
            step = [0.3 * std * v for v in directions]
            differences = [(layer(z + h) - 2 * layer(z) + layer(z - h)) / 0.3**2 for h in step]
            variances.append(np.var(torch.stack(differences).detach().numpy(), axis=0).mean(1))
        signs_first, normal = variances if kind == "each" else [np.mean(each) for each in variances]
        expected += np.mean(signs_first / (normal + 1e-10))
    assert found.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("network", "layers"), [("conv", 5), ("mlp", 2), ("style", 13), ("residual", 4)])
def test_every_network_lists_its_hidden_layers(network: str, layers: int) -> None:
    decoder = networks.decoder(network, (3, 64, 64), 4, 16, *([0.05] if network in ("style", "residual") else []))
    found = hidden_layers(decoder, torch.randn(2, 4))
    assert len(found) == layers
    assert {len(each) for each in found} == {2}
    assert (3, 64, 64) not in {tuple(each.shape[1:]) for each in found}


def test_without_penalties_it_is_the_quantized_autoencoder() -> None:
    """With an odd number of levels, where only the 0.001 in FSQ's bound is different."""
    method, x = make(levels=5, multi_information=0.0, hessian=0.0), torch.rand(6, *SHAPE)
    plain = FSQ(SHAPE, 100, levels=5, **SMALL)
    plain.load_state_dict(method.state_dict())
    assert torch.equal(method.encode(x).values, plain.encode(x).values)
    (ours := method.training_step(x, 0)["loss"]).backward()
    (theirs := plain.training_step(x, 0)["loss"]).backward()
    assert ours == theirs
    for one, other in zip(method.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0.01, atol=1e-5)


def test_the_hessian_penalty_is_in_float32_at_any_precision() -> None:
    method = make()
    found = []
    for mixed in (False, True):
        torch.manual_seed(3)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            found.append(method.curvature(torch.zeros(4, 3), torch.ones(3)).item())
    assert found[0] == found[1]


def test_a_latent_that_is_constant_in_a_minibatch_has_finite_gradients() -> None:
    method = make()
    method.training_step(torch.rand(1, *SHAPE).expand(6, -1, -1, -1), 0)["loss"].backward()
    assert all(parameter.grad.isfinite().all() for parameter in method.parameters())


def test_adam_has_the_published_step_in_nats() -> None:
    method = Tripod((3, 64, 64), 100)
    (group,) = method.configure_optimizers().param_groups
    assert (group["lr"], group["weight_decay"]) == (2e-4, 0)
    assert group["eps"] == pytest.approx(1e-8 * 3 * 64 * 64)
    published = (method.levels, method.directions, method.step, method.multi_information, method.hessian)
    assert published == (12, 2, 0.1, 1e-4, 1e-2)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"levels": 1}, "levels needs at least 2, got 1"),
        ({"directions": 1}, "directions needs at least 2, got 1"),
        ({"step": 0.0}, "step and clip need to be above 0, got 0.0 and"),
        ({"bandwidth": "scott"}, "bandwidth must be one of std, silverman, got 'scott'"),
    ],
)
def test_what_means_nothing_is_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Tripod(SHAPE, 100, **SMALL, **wrong)
