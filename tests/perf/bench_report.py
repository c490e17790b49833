"""Rendering the page of 200 records, beside only reading their files with `json`. `make bench`."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from disbench.metrics import METRICS
from disbench.reports.page.render import render
from disbench.reports.records import RECORD_FILE, Record, Trial, write_record

pytestmark = pytest.mark.benchmark(timer=time.process_time, group="the page of 200 records")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    for method in ("vae", "beta_vae", "factor_vae", "beta_tcvae"):
        for dataset in ("dsprites_like", "shapes3d_like"):
            for seed in range(25):
                fields = {"dataset": dataset, "dataset_version": "1", "steps": 3000, "batch_size": 64}
                trial = Trial(method=method, seed=seed, **fields)
                scores = {name: float(rng.uniform()) for name in list(METRICS)[:6]}
                curves = {"loss": [(step, float(rng.uniform())) for step in range(30, 3001, 30)]}
                record = Record(
                    trial=trial, status="ok", provenance="procedural", views={"mean": scores}, curves=curves
                )
                write_record(record, root / trial.id)
    return root


def bench_render(benchmark: BenchmarkFixture, folder: Path) -> None:
    benchmark.pedantic(render, args=(folder,), rounds=3, warmup_rounds=1)


def bench_reading_alone(benchmark: BenchmarkFixture, folder: Path) -> None:
    def read() -> int:
        return len([json.loads(path.read_text(encoding="utf-8")) for path in folder.glob(f"*/{RECORD_FILE}")])

    assert benchmark.pedantic(read, rounds=3, warmup_rounds=1) == 200
