"""Training with compiled networks is the training without, up to rounding, and leaves nothing compiled behind.

Graphs are captured and split into forward and backward pass as for any compiler, but run by torch's own kernels ('aot_eager'),
so that no C++ compiler is needed.
"""

from contextlib import nullcontext

import pytest
import torch
from step_input import images_of_a_step, with_all_it_samples
from torch import nn
from torch._dynamo.utils import counters

from disbench.baselines.vae import VAE
from disbench.benchmarks import METHODS
from disbench.benchmarks.training.experimental.compiled import compiled
from disbench.benchmarks.training.steps import Callback, Loop

STEPS, BATCH = 20, 8
OWN = {
    "mine_vae": {"latent_dim": 6, "num_factors": 3, "mine_start": 0.4},
    "mine_groups": {"latent_dim": 6, "num_factors": 3, "mine_start": 0.4},
    "factor_vae": {"discriminator_dim": 16},
    "factor_qvae": {"discriminator_dim": 16},
    "dip_vae_i": {"off_diagonal": 1.0},  # by default a third of the loss is a penalty that these few steps hardly lower
}
PERCEPTRON = {"network": "mlp", "hidden_dim": 8}


class Losses(Callback):
    """The loss of every step, and how many graphs there were after it."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.graphs: list[int] = []

    def on_step(self, loop: Loop, step: int, terms: dict[str, torch.Tensor]) -> None:
        self.values.append(float(terms["loss"]))
        self.graphs.append(counters["stats"]["unique_graphs"])


def make(name: str, **hparams: object) -> VAE:
    torch.manual_seed(0)
    method = METHODS[name]((1, 64, 64), 1000, **{**OWN.get(name, {}), **hparams})
    method.audit_at = ()  # the MINE VAE's audits take longer than the training here, and run no network
    return method


QUICK = ("beta_vae", "factor_vae", "fsq", "mine_vae")  # one of each kind; the others are in `make slow`


def trained(method: VAE, name: str, backend: str, precision: str = "32-true", steps: int = STEPS) -> Losses:
    counters.clear()
    generator = torch.Generator().manual_seed(1)
    size = images_of_a_step(method, BATCH)
    drawn = ((torch.rand(size, 1, 64, 64, generator=generator) > 0.98).float() for _ in range(steps))
    images = (with_all_it_samples(method, each) for each in drawn)
    losses = Losses()
    torch.manual_seed(2)
    with compiled(method, backend) if backend else nullcontext():
        Loop(steps, [losses], precision=precision, accelerator="cpu").fit(method, images)
    return losses


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        *(pytest.param(name, "32-true", marks=[] if name in QUICK else pytest.mark.slow) for name in METHODS),
        ("beta_vae", "bf16-mixed"),
    ],
)
def test_compiled_and_eager_steps_have_the_same_losses(name: str, precision: str) -> None:
    eager, other = make(name, lr=3e-3), make(name, lr=3e-3)
    expected = trained(eager, name, "", precision).values
    assert trained(other, name, "aot_eager", precision).values == pytest.approx(expected, rel=1e-4)
    assert expected[-1] < 0.7 * expected[0]  # while logits are near zero, wrong ones would hardly show
    assert list(other.state_dict()) == list(eager.state_dict())


@pytest.mark.parametrize("name", METHODS)
def test_each_network_is_one_graph_and_the_first_step_has_made_them_all(name: str) -> None:
    """One more where a step encodes without a gradient, as FactorVAE's discriminator does."""
    graphs = trained(make(name, **PERCEPTRON), name, "eager").graphs
    assert set(graphs) == {3 if name in {"factor_vae", "factor_qvae"} else 2}
    assert not counters["graph_break"]


def test_nothing_is_compiled_when_a_trained_method_encodes_and_decodes() -> None:
    method = make("vae", **PERCEPTRON)
    trained(method, "vae", "eager", steps=2)
    counters.clear()
    assert method(torch.rand(3, 1, 64, 64)).shape == (3, 1, 64, 64)
    assert counters["stats"]["unique_graphs"] == 0
    assert "forward" not in {**vars(method.encoder), **vars(method.decoder)}


def test_as_many_trials_as_a_suite_has_are_compiled_in_one_process() -> None:
    """More than torch's limit of graphs for one function, which every `Sequential` shares."""
    for _ in range(torch._dynamo.config.recompile_limit):
        method = make("vae", **PERCEPTRON)
        counters.clear()
        with compiled(method, "eager"):
            method(torch.rand(2, 1, 64, 64))
        assert counters["stats"]["unique_graphs"] == 2


def test_a_network_is_as_it_was_where_training_fails() -> None:
    method = make("vae", **PERCEPTRON)
    with pytest.raises(FloatingPointError), compiled(method, "eager"):
        method.encode(torch.rand(2, 1, 64, 64))
        raise FloatingPointError
    assert "forward" not in {**vars(method.encoder), **vars(method.decoder)}


def test_a_network_that_is_not_one_graph_is_an_error() -> None:
    class Branching(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return z if z.sum() > 0 else -z

    method = make("vae", **PERCEPTRON)
    method.encoder = Branching()
    with pytest.raises(torch._dynamo.exc.Unsupported, match="Data-dependent branching"), compiled(method, "eager"):
        method.encoder(torch.rand(2, 4))
