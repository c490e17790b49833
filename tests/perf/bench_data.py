"""Random minibatches of 64 in one run: ours from a cache and drawn, beside a loader of single items. `make bench`."""

from collections.abc import Iterable
from itertools import islice

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch.utils.data import DataLoader, Dataset

from disbench.baselines.method import Independent, Pairs
from disbench.benchmarks.training.batches import Images
from disbench.datasets import load
from disbench.datasets.storage.store import ImageStore
from disbench.reports.records import Trial

BATCH, BATCHES, ROWS = 64, 16, 20_000
GROUP = f"{BATCHES} random minibatches of {BATCH}"


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """20,000 images (3, 64, 64) in an uncompressed file, mapped."""
    path = tmp_path_factory.mktemp("cache") / "images.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (ROWS, 3, 64, 64), dtype=np.uint8))
    return np.load(path, mmap_mode="r")


class SingleItems(Dataset[torch.Tensor]):
    """The usual way: an item is one image, and a float tensor unless told to stay bytes."""

    def __init__(self, array: np.ndarray, *, floats: bool) -> None:
        self.array = array
        self.floats = floats

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, row: int) -> torch.Tensor:
        image = torch.from_numpy(np.array(self.array[row]))
        return image.float().div_(255) if self.floats else image


def consume(batches: Iterable[torch.Tensor]) -> None:
    """Let go of each batch before the next, as training does: memory that is used again is in the processor's cache."""
    for _ in batches:
        pass


def random_rows(length: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return list(torch.randint(length, (BATCH * BATCHES,), generator=generator).split(BATCH))


@pytest.mark.benchmark(group=GROUP)
@pytest.mark.parametrize("floats", [True, False], ids=["floats", "bytes"])
def bench_single_items(benchmark: BenchmarkFixture, cached: np.ndarray, floats: bool) -> None:
    rows = torch.cat(random_rows(ROWS)).tolist()
    loader = DataLoader(SingleItems(cached, floats=floats), batch_size=BATCH, sampler=rows)
    benchmark(lambda: consume(loader))


@pytest.mark.benchmark(group=GROUP)
@pytest.mark.parametrize("held", [True, False], ids=["held", "mapped"])
def bench_cache(benchmark: BenchmarkFixture, cached: np.ndarray, held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not held:
        monkeypatch.setattr("disbench.datasets.storage.store.HELD_BYTES", 0)
    store, rows = ImageStore(cached), random_rows(ROWS)
    benchmark(lambda: consume(store.take(batch).float().div_(255) for batch in rows))


@pytest.mark.benchmark(group=GROUP)
@pytest.mark.parametrize("held", [True, False], ids=["held", "mapped"])
def bench_cache_bytes(
    benchmark: BenchmarkFixture, cached: np.ndarray, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As bytes, which is what leaves the dataset: an accelerator makes the floats."""
    if not held:
        monkeypatch.setattr("disbench.datasets.storage.store.HELD_BYTES", 0)
    store, rows = ImageStore(cached), random_rows(ROWS)
    benchmark(lambda: consume(store.take(batch) for batch in rows))


@pytest.mark.benchmark(group=GROUP)
@pytest.mark.parametrize(
    "name", ["dsprites_like", "shapes3d_like", "mpi3d_like", "faces_like", "graded_like", "xy_squares"]
)
def bench_drawn(benchmark: BenchmarkFixture, name: str) -> None:
    dataset = load(name)
    rows = random_rows(len(dataset))
    dataset.batch(rows[0])
    benchmark(lambda: consume(dataset.batch(batch) for batch in rows))


@pytest.mark.benchmark(group="images of pairs and of single images")
@pytest.mark.parametrize(
    "sampling",
    [Independent(2), Pairs(1), Pairs(None), Pairs(None, law="laplace")],
    ids=["independent", "one_factor", "some_factors", "laplace"],
)
def bench_pairs(benchmark: BenchmarkFixture, sampling: Independent | Pairs) -> None:
    """Twice 64 images a step, independent or in pairs."""
    dataset = load("shapes3d_like")
    trial = Trial(method="vae", dataset=dataset.name, dataset_version=dataset.version, seed=0, steps=1, batch_size=64)
    stream = Images(dataset, trial, sampling).stream(torch.device("cpu"))
    benchmark(lambda: consume(batch.images for batch in islice(stream, 20)))
