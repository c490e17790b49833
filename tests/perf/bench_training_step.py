"""A training step of each method, batch 64 at one channel, beside a plain loop of the same method in the same run. `make bench`.

CPU time of 10 steps. Both have the allocator's settings that `disbench` makes, for they share a process: what those give is to
be seen in `against_peers.py`, which gives each trainer a process of its own. bf16 pays on a CPU with AMX.
"""

import os
import runpy
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from step_input import images_of_a_step, with_all_it_samples

from disbench.benchmarks import METHODS
from disbench.benchmarks.runtime.allocator import keep_memory
from disbench.benchmarks.training.steps import Loop
from disbench.mine_vae import MINEDisentangleVAE

STEPS = 10
PLAIN = runpy.run_path(str(Path(__file__).with_name("worker.py")))
SAME_LOOP = {"vae": "beta_vae", "mine_vae": "beta_tcvae"}  # a method without a loop of its own, and one that is like it

pytestmark = pytest.mark.benchmark(timer=time.process_time)


@pytest.fixture(scope="module", autouse=True)
def as_the_command_does() -> None:
    keep_memory()
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_audits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two in a whole training, however long: in twenty steps they would be all that is timed."""
    monkeypatch.setattr(MINEDisentangleVAE, "audit_at", ())


def time_ours(benchmark: BenchmarkFixture, name: str, precision: str = "32-true", **options: float) -> None:
    method = METHODS[name]((1, 64, 64), 10_000, **options)
    images = torch.randint(256, (images_of_a_step(method, 64), 1, 64, 64), dtype=torch.uint8)

    def steps() -> None:
        Loop(STEPS, precision=precision).fit(
            method, (with_all_it_samples(method, images.float().div_(255)) for _ in range(STEPS))
        )

    benchmark.pedantic(steps, rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("form", ["plain", "32-true", "bf16-mixed"])
def bench_training_step(benchmark: BenchmarkFixture, name: str, form: str) -> None:
    loop = SAME_LOOP.get(name, name)
    if form == "plain" and loop not in PLAIN["METHODS"]:
        pytest.skip(f"There is no plain loop of {name}.")
    benchmark.group = f"{STEPS} steps of {name}; plain: a loop of {loop}"
    if form == "plain":
        run = PLAIN["plain"](loop, "fp32")
        benchmark.pedantic(run, args=(STEPS,), rounds=5, warmup_rounds=1)
    else:
        time_ours(benchmark, name, form)


@pytest.mark.benchmark(group=f"{STEPS} steps at latent_dim 128, the MINE VAE in its second phase")
@pytest.mark.parametrize(("name", "options"), [("beta_tcvae", {}), ("mine_vae", {"mine_start": 0.0})])
def bench_many_latents(benchmark: BenchmarkFixture, name: str, options: dict[str, float]) -> None:
    time_ours(benchmark, name, latent_dim=128, **options)
