"""A use of each estimator of total correlation: MINE versus Monte Carlo, by batch size B and latents D. `make bench`.

A table is one D and B. In it, forward is the value, backward the value and its gradient to the encoder's outputs, update one
step of a critic, which Monte Carlo does not have: a training step costs backward and update. On an accelerator, if there is one.
Tables of groups are of the total correlation between four groups of G latents.
"""

import os
from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from disbench.baselines.gaussian import Posterior
from disbench.benchmarks.estimators import MONTE_CARLO, total_correlation
from disbench.benchmarks.estimators.measures import now, synchronise
from disbench.benchmarks.estimators.study import machine
from disbench.benchmarks.estimators.tasks import GROUPS, Draw, Encoder

DEVICE = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
NAMES = ("mss", "mine", "ratio", "marginal")
BATCHES = (64, 128, 256, 512, 1024)
DIMS = (2, 10, 32, 128)
GROUP_NAMES = ("mss", "nested", "mine", "ratio")
WIDTHS = (1, 4, 8, 16)  # latents in each of the groups
LARGEST = (
    6e7 if DEVICE.type == "cpu" else 2e8
)  # floats of MSS's B x B x D table; beyond, one use takes seconds on a CPU
pytestmark = pytest.mark.benchmark(timer=lambda: now(DEVICE), disable_gc=True)


@pytest.fixture(scope="module", autouse=True)
def one_thread(pytestconfig: pytest.Config) -> Iterator[None]:
    """One CPU thread, as times are the process's; and a line that says where they are taken."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    terminal = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled():
        terminal.write_line("\n" + ", ".join(f"{name} {value}" for name, value in machine(DEVICE).items()))
    yield
    torch.set_num_threads(threads)


def cases(names: tuple[str, ...]) -> list[tuple[int, int, str]]:
    """By B and D, so that the tables come in that order."""
    return [(B, D, name) for D in DIMS for B in BATCHES for name in names if name != "mss" or B * B * D <= LARGEST]


def group_cases() -> list[tuple[int, str, str]]:
    uses = [(name, what) for name in GROUP_NAMES for what in ("backward", "update")]
    return [(G, name, what) for G in WIDTHS for name, what in uses if what != "update" or name not in MONTE_CARLO]


def measure(benchmark: BenchmarkFixture, what: str, B: int, D: int, name: str, width: int = 1) -> None:
    torch.manual_seed(0)
    estimator = total_correlation(name, D, B, DEVICE)
    mean = torch.randn(10 * B, D, device=DEVICE)
    encoder = Encoder.of(Posterior(mean, torch.full_like(mean, -2.0)))
    rows = torch.arange(B, device=DEVICE)
    q = Posterior(*(part.detach().requires_grad_(what == "backward") for part in encoder(rows)))

    def draw() -> Draw:
        return Draw(q.sample(), q, rows, encoder, width)

    def call() -> None:
        if what == "update":
            estimator.update(draw())
        elif what == "backward":
            torch.autograd.grad(estimator.estimate(draw()), q)
        else:
            with torch.no_grad():
                estimator.estimate(draw())
        synchronise(DEVICE)

    groups = "" if width == 1 else f" in groups of {width:2d}"
    benchmark.group = f"total correlation, D={D:3d}{groups}, B={B:4d}"
    benchmark.extra_info.update(machine(DEVICE))
    benchmark.pedantic(call, rounds=5 if B * B * D < 4e6 or name != "mss" else 1, warmup_rounds=1)


@pytest.mark.parametrize(("B", "D", "name"), cases(NAMES))
def bench_forward(benchmark: BenchmarkFixture, B: int, D: int, name: str) -> None:
    measure(benchmark, "forward", B, D, name)


@pytest.mark.parametrize(("B", "D", "name"), cases(NAMES))
def bench_backward(benchmark: BenchmarkFixture, B: int, D: int, name: str) -> None:
    measure(benchmark, "backward", B, D, name)


@pytest.mark.parametrize(("B", "D", "name"), cases(tuple(name for name in NAMES if name not in MONTE_CARLO)))
def bench_update(benchmark: BenchmarkFixture, B: int, D: int, name: str) -> None:
    measure(benchmark, "update", B, D, name)


@pytest.mark.parametrize(("G", "name", "what"), group_cases())
def bench_groups(benchmark: BenchmarkFixture, G: int, name: str, what: str) -> None:
    measure(benchmark, what, 256, GROUPS * G, name, G)
