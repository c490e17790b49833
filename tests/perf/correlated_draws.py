"""Images a second that training gets of a dataset whose rows are drawn by weight, beside one whose rows are drawn uniformly.

    python tests/perf/correlated_draws.py

The two take turns; CPU time, the median of the rounds, and the median of each round's ratio. `rows` are the drawn row numbers
alone, `images` also the images of the rows.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from disbench.baselines.method import Independent
from disbench.benchmarks.training.batches import Images
from disbench.datasets import load
from disbench.reports.records import Trial

ROUNDS = 7
SIZE = 64
LAWS: dict[str, dict[str, Any]] = {"uniform": {}, "weighted": {"correlated": "single_1"}}


def source(name: str, options: dict[str, Any]) -> Images:
    trial = Trial(method="vae", dataset=name, dataset_version="1", seed=0, steps=10**6, batch_size=SIZE, hparams={})
    return Images(load(name, **options).training, trial, Independent())


def seconds(stream: Iterator[Any], batches: int) -> float:
    began = time.process_time()
    for _ in range(batches):
        next(stream)
    return time.process_time() - began


def compare(what: str, batches: int, stream_of: Callable[[Images], Iterator[Any]], name: str) -> None:
    streams = {law: stream_of(source(name, options)) for law, options in LAWS.items()}
    for stream in streams.values():
        next(stream)
    rounds = [{law: seconds(stream, batches) for law, stream in streams.items()} for _ in range(ROUNDS)]
    speed = {law: batches * SIZE / statistics.median(took[law] for took in rounds) for law in LAWS}
    ratio = statistics.median(took["uniform"] / took["weighted"] for took in rounds)
    sys.stdout.write(
        f"{name} {what}: uniform {speed['uniform']:,.0f} a second, weighted {speed['weighted']:,.0f}, ratio {ratio:.3f}\n"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    for name in ("dsprites_like", "shapes3d_like"):
        compare("rows", 15_000, lambda images: images.rows(cpu, 0), name)
        compare("images", 100, lambda images: images.stream(cpu), name)
