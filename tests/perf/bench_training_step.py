"""A training step of each method, batch 64 at one channel, beside a plain VAE loop in the same run. `make bench`."""

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from disbench.benchmarks import METHODS
from disbench.benchmarks.train import make_trainer
from disbench.mine_vae import MINEDisentangleVAE
from disbench.reports.records import Trial

STEPS = 20


@pytest.fixture(autouse=True)
def no_audits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two in a whole training, however long: in twenty steps they would be all that is timed."""
    monkeypatch.setattr(MINEDisentangleVAE, "audit_at", ())


@pytest.mark.benchmark(group="20 training steps, convolutional network, batch 64, the methods' own latents")
@pytest.mark.parametrize("name", METHODS)
def bench_training_steps(benchmark: BenchmarkFixture, name: str) -> None:
    time_steps(benchmark, name)


@pytest.mark.benchmark(group="20 training steps at latent_dim 128, the MINE VAE in its second phase")
@pytest.mark.parametrize(("name", "options"), [("beta_tcvae", {}), ("mine_vae", {"handover": 0.0})])
def bench_many_latents(benchmark: BenchmarkFixture, name: str, options: dict[str, float]) -> None:
    time_steps(benchmark, name, latent_dim=128, **options)


def time_steps(benchmark: BenchmarkFixture, name: str, **options: float) -> None:
    method = METHODS[name]((1, 64, 64), 10_000, **options)
    batch = torch.rand(64 * method.batches_per_step, 1, 64, 64)
    trial = Trial(method=name, dataset="none", dataset_version="1", seed=0, steps=STEPS, batch_size=64)

    def steps() -> None:
        make_trainer(trial, []).fit(method, (batch for _ in range(STEPS)))

    benchmark.pedantic(steps, rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="20 training steps, convolutional network, batch 64, the methods' own latents")
def bench_plain_loop(benchmark: BenchmarkFixture) -> None:
    """The reference: the same VAE without Lightning."""
    method = METHODS["vae"]((1, 64, 64), 10_000)
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-4)
    batch = torch.rand(64, 1, 64, 64)

    def steps() -> None:
        for step in range(STEPS):
            optimizer.zero_grad()
            method.training_step(batch, step)["loss"].backward()
            optimizer.step()

    benchmark.pedantic(steps, rounds=3, warmup_rounds=1)
