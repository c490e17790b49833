"""What the training loop and data take of a training step: one method and optimizer, with the loop and without it by turns.

    python tests/perf/shares.py --methods beta_vae beta_tcvae

The loop gets its minibatches from a generator, which takes as many steps without the loop before it yields the next ones, so that
both see the same machine. CPU time; in each process the median over the rounds, of each round's own ratio. Where arrays happen to
lie moves that by a hundredth of a step or two, either way, for as long as a process lives, so there are several, and the table
has their median and range.
"""

import argparse
import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import torch
from torch import Tensor

from disbench.benchmarks import METHODS
from disbench.benchmarks.runtime.allocator import keep_memory
from disbench.benchmarks.training.loop import Curves
from disbench.benchmarks.training.steps import Loop
from disbench.datasets.storage.store import ImageStore

BATCH, N, STEPS, WARM_UP = 64, 4096, 10, 3
METHODS_OF_ONE_OPTIMISER = ("vae", "beta_vae", "beta_tcvae")


def measure(name: str, precision: str, rounds: int) -> tuple[float, float, float]:
    """Milliseconds a step in the loop; the shares of the loop and of making the minibatch."""
    keep_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = ImageStore(torch.randint(256, (N, 1, 64, 64), dtype=torch.uint8).numpy())
    method = METHODS[name]((1, 64, 64), N)
    steps = (WARM_UP + rounds + 1) * STEPS
    loop = Loop(steps, [Curves(steps)], precision=precision, accelerator="cpu")
    with_it: list[float] = []
    without: list[float] = []
    data: list[float] = []

    def minibatch() -> Tensor:
        return images.take(torch.randint(N, (BATCH,))).float().div_(255)

    def step() -> None:
        (optimizer,) = loop.optimizers
        x = minibatch()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = method.training_step(x, 0)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def minibatches() -> Iterator[Tensor]:
        while True:
            started = time.process_time()
            for _ in range(STEPS):
                step()
            between = time.process_time()
            without.append((between - started) / STEPS)
            making = 0.0
            for _ in range(STEPS):
                began = time.process_time()
                x = minibatch()
                making += time.process_time() - began
                yield x
            with_it.append((time.process_time() - between) / STEPS)
            data.append(making / STEPS)

    loop.fit(method, minibatches())
    kept = [row[WARM_UP : WARM_UP + rounds] for row in (with_it, without, data)]
    of_loop = statistics.median(1 - bare / whole for whole, bare in zip(kept[0], kept[1], strict=True))
    made = statistics.median(making / whole for whole, making in zip(kept[0], kept[2], strict=True))
    return statistics.median(kept[0]) * 1e3, of_loop, made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS_OF_ONE_OPTIMISER, default=METHODS_OF_ONE_OPTIMISER)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=10, help="in each process")
    chosen = parser.parse_args()
    sys.stdout.write(f"{'':22}  ms a step        loop   (range)            data\n")
    anew = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=anew, max_tasks_per_child=1) as one_after_another:
        for name in chosen.methods:
            for precision in ("32-true", "bf16-mixed"):
                asked = [[each] * chosen.processes for each in (name, precision, chosen.rounds)]
                taken, of_loop, made = zip(*one_after_another.map(measure, *asked), strict=True)
                spread = f"({min(of_loop):.1%} - {max(of_loop):.1%})"
                sys.stdout.write(
                    f"{name:10}  {precision:10}  {statistics.median(taken):9.1f} {statistics.median(of_loop):10.1%}"
                    f"    {spread:16} {statistics.median(made):6.1%}\n"
                )
                sys.stdout.flush()


if __name__ == "__main__":
    main()
