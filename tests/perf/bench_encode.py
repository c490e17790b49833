"""Encoding 5,000 images, beside a plain loop over single items in minibatches of 64. `make bench`."""

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch.utils.data import DataLoader, Dataset

from disbench.baselines.vae import VAE
from disbench.benchmarks.trials.encode import encode
from disbench.datasets import FactorDataset, load

ROWS = torch.arange(5000)
pytestmark = pytest.mark.benchmark(timer=time.process_time, group=f"encoding {len(ROWS)} images")


class SingleItems(Dataset[torch.Tensor]):
    def __init__(self, dataset: FactorDataset) -> None:
        self.images = dataset.batch(ROWS)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> torch.Tensor:
        return self.images[row].float() / 255


@pytest.fixture(scope="module")
def dataset() -> FactorDataset:
    return load("dsprites_like")


@pytest.fixture(scope="module")
def method() -> VAE:
    torch.manual_seed(0)
    return VAE((1, 64, 64), 1000)


def bench_encode(benchmark: BenchmarkFixture, dataset: FactorDataset, method: VAE) -> None:
    benchmark.pedantic(encode, args=(method, dataset, ROWS, torch.device("cpu")), rounds=5, warmup_rounds=1)


def bench_plain_loop(benchmark: BenchmarkFixture, dataset: FactorDataset, method: VAE) -> None:
    loader = DataLoader(SingleItems(dataset), batch_size=64)

    @torch.no_grad()
    def loop() -> torch.Tensor:
        return torch.cat([method.encode(x).values for x in loader])

    found = benchmark.pedantic(loop, rounds=5, warmup_rounds=1)
    codes = encode(method, dataset, ROWS, torch.device("cpu")).codes
    torch.testing.assert_close(found, torch.from_numpy(codes), rtol=1e-4, atol=1e-5)
