"""Images a data set gives in whole random batches. `make bench`."""

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from disbench.datasets import load


@pytest.mark.benchmark(group="1,024 random images")
@pytest.mark.parametrize("name", ["dsprites_like", "shapes3d_like"])
def bench_batch(benchmark: BenchmarkFixture, name: str) -> None:
    dataset = load(name)
    rows = torch.randint(len(dataset), (1024,), generator=torch.Generator().manual_seed(0))
    dataset.batch(rows)
    benchmark(dataset.batch, rows)
