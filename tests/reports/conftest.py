"""Made-up trial folders for the tests of reports: the scores are invented, the files real."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from disbench.reports.markup.image_grids import image_grid, png
from disbench.reports.records import FurtherView, Partition, Record, Trial, write_record

METRICS = ("z_diff", "z_min_var", "factor_vae_score", "irs", "mig", "jemmig")
FLOOR = {"z_diff": 0.25, "z_min_var": 0.75, "factor_vae_score": 0.25, "irs": 0.32, "mig": 0.001, "jemmig": 0.11}
CEILING = {"z_diff": 1.0, "z_min_var": 0.0, "factor_vae_score": 1.0, "irs": 1.0, "mig": 0.997, "jemmig": 0.999}
SCORES = {  # two seeds each, in the order of METRICS
    ("vae", 3000): ((0.97, 0.08, 0.92, 0.47, 0.11, 0.21), (0.93, 0.27, 0.73, 0.48, 0.10, 0.18)),
    ("beta_vae", 3000): ((0.99, 0.15, 0.85, 0.53, 0.21, 0.28), (1.0, 0.04, 0.96, 0.52, 0.17, 0.23)),
    ("beta_tcvae", 3000): ((1.0, 0.0, 1.0, 0.51, 0.30, 0.32), (1.0, 0.0, 1.0, 0.40, 0.14, 0.20)),
    ("factor_vae", 3000): ((0.97, 0.23, 0.77, 0.48, 0.08, 0.22), (1.0, 0.09, 0.91, 0.58, 0.23, 0.33)),
    ("vae", 0): ((0.65, 0.46, 0.54, 0.50, 0.01, 0.15), (0.78, 0.48, 0.52, 0.48, 0.03, 0.16)),
}
HPARAMS: dict[str, dict[str, Any]] = {
    "beta_vae": {"beta": 8.0},
    "beta_tcvae": {"beta": 8.0},
    "factor_vae": {"gamma": 100.0},
}


def _trial(method: str = "vae", seed: int = 0, **fields: Any) -> Trial:
    given = {"dataset": "dsprites", "dataset_version": "1", "steps": 3000, "batch_size": 64, "rows": 12_000, **fields}
    return Trial(method=method, seed=seed, **given)


def _record(scores: dict[str, float] | None = None, method: str = "vae", seed: int = 0, **fields: Any) -> Record:
    own = {name: fields.pop(name) for name in list(fields) if name in Trial.model_fields}
    given: dict[str, Any] = {"status": "ok", "provenance": "procedural", **fields}
    if scores is not None:
        given.setdefault("views", {"mean": scores})
    return Record(trial=_trial(method, seed, **own), **given)


def _partitioned(record: Record, scores: dict[str, float]) -> None:
    """Give a record a second view, a partition of four latents over two factors, and pictures of it."""
    record.views["group"] = {key: value * 0.9 for key, value in scores.items()}
    record.further_views["group"] = FurtherView(
        codes=["group 1", "group 2"], floor=dict.fromkeys(FLOOR, 0.123), detail={"mig": {"gaps": [0.1]}}
    )
    record.partition = Partition(
        assignment=[[0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.0, 0.1, 0.9], [0.9, 0.05, 0.05]],
        group=[1, 1, 2, 0],
        nats=[0.5, 6.25, 3.25],
        target=[0.1, 0.5, 0.4],
        complexities=[9.5, 7.25],
    )
    record.artefacts["group_traversal"] = "group_traversal.png"


def _curves(method: str, seed: int) -> dict[str, list[tuple[int, float]]]:
    generator = np.random.default_rng(seed + sum(map(ord, method)))
    steps = range(0, 3001, 20)
    level = {"vae": 40.0, "beta_vae": 62.0, "beta_tcvae": 55.0, "factor_vae": 48.0}[method]
    fall = [level + 2000 * math.exp(-step / 130) for step in steps]
    rise = [22 - level / 5 - 6 * math.exp(-step / 500) for step in steps]
    noise = generator.normal(0, 1, (2, len(fall)))
    return {
        "reconstruction": [(s, v + abs(n)) for s, v, n in zip(steps, fall, noise[0], strict=True)],
        "kl": [(s, v + n / 4) for s, v, n in zip(steps, rise, noise[1], strict=True)],
    }


@pytest.fixture(scope="session")
def make_record() -> Callable[..., Record]:
    """Make a record: `make_record({'mig': 0.1}, method='vae', seed=0, steps=..., skipped=...)`."""
    return _record


@pytest.fixture(scope="session")
def traversal_png() -> bytes:
    """A small real picture: ten rows of a bright square that moves."""
    images = np.zeros((10, 8, 1, 64, 64), dtype=np.uint8)
    for latent in range(10):
        for step in range(8):
            size, at = 10 + latent, 4 + 5 * step * (latent % 3 > 0)
            images[latent, step, :, 20 : 20 + size, at : at + size] = 255
    labels = [f"z{latent}" for latent in range(10)]
    return png(image_grid(images, labels, [f"{value:.1f}" for value in np.linspace(-2, 2, 8)], "latent traversal"))


@pytest.fixture(scope="session")
def fill(traversal_png: bytes) -> Callable[[Path], Path]:
    """Fill a folder with two datasets' trials: four methods and the untrained encoder, one failed trial."""

    def fill_folder(folder: Path) -> Path:
        options: dict[str, Any] = {"shapes": ["ellipse"], "hues": 1}
        for (method, steps), seeds in SCORES.items():
            for seed, values in enumerate(seeds):
                scores = dict(zip(METRICS, values, strict=True))
                own = {"steps": steps, "hparams": HPARAMS.get(method, {}), "seed": seed}
                common: dict[str, Any] = {
                    "floor": FLOOR,
                    "ceiling": CEILING,
                    "parameters": 1_218_325,
                    "images_seen": steps * 64,
                    "reconstruction": {"psnr": 21.5 + seed, "ssim": 0.75, "images": 1000.0},
                    "reconstruction_skipped": {"lpips": "LPIPS needs weights.", "fid": "FID needs weights."},
                    "seconds": {"train": steps * 0.011, "encode": 2.1, "score": 1.4},
                    "environment": {"torch": "2.6.0", "python": "3.12.3", "threads": 1},
                    "metric_options": {"mig": {"bins": 20}, "jemmig": {"bins": 20}, "irs": {"quantile": 0.99}},
                    "detail": {"mig": {"gaps": {"scale": 0.31, "x": 0.22}}},
                    "curves": _curves(method, seed) if steps else {},
                    "artefacts": {"traversal": "traversal.png", "samples": "samples.png", "codes": "codes.h5"},
                    "command": f"disbench run quick --method {method} --seed {seed} --steps {steps} --out runs",
                }
                first = _record(
                    scores,
                    method,
                    **own,
                    **common,
                    dataset_options=options,
                    factor_names=["scale", "orientation", "x", "y"],
                    factor_sizes=[6, 10, 20, 10],
                )
                if method == "factor_vae":  # as if it had a partition
                    _partitioned(first, scores)
                second = _record(
                    {key: value for key, value in scores.items() if key != "irs"},
                    method,
                    **own,
                    **common,
                    dataset="shapes3d",
                    dataset_version="h5-2018",
                    provenance="official",
                    factor_names=["floor hue", "wall hue", "object hue", "scale", "shape", "orientation"],
                    factor_sizes=[10, 10, 10, 8, 4, 15],
                    skipped={"irs": "IRS needs a group of two rows or more for every value, got one."},
                )
                for record in (first, second):
                    path = write_record(record, folder / record.trial.id).parent
                    if (method, seed) != ("factor_vae", 0):  # its files went astray
                        (path / "traversal.png").write_bytes(traversal_png)
                        for picture in ("samples.png", "group_traversal.png"):
                            (path / picture).write_bytes(traversal_png)
        failed = _record(
            method="factor_vae",
            seed=2,
            status="failed",
            provenance=None,
            hparams=HPARAMS["factor_vae"],
            dataset_options=options,
            error="Traceback (most recent call last):\n  step 1204\nFloatingPointError: the loss is not finite.",
            command="disbench run quick --method factor_vae --seed 2 --steps 3000 --out runs",
        )
        write_record(failed, folder / failed.trial.id)
        return folder

    return fill_folder


@pytest.fixture(scope="session")
def fill_study() -> Callable[[Path], Path]:
    """Fill a folder with a small study: two procedural datasets and an official one, three seeds a row.

    On `grid_a` the methods a and b are tied and c is behind. On `grid_b` c is missing, and `easy` is there alone. On `real` a
    was trained for two budgets.
    """
    rows: list[tuple[str, str, tuple[float, ...], dict[str, Any]]] = [
        ("a", "grid_a", (0.50, 0.52, 0.54), {}),
        ("b", "grid_a", (0.49, 0.51, 0.53), {"hparams": {"beta": 4}}),
        ("c", "grid_a", (0.10, 0.11, 0.12), {}),
        ("a", "grid_a", (0.01, 0.02, 0.03), {"steps": 0}),
        ("a", "grid_b", (0.30, 0.32, 0.34), {}),
        ("b", "grid_b", (0.60, 0.61, 0.62), {"hparams": {"beta": 4}}),
        ("easy", "grid_b", (0.90, 0.91, 0.92), {}),
        ("a", "real", (0.20, 0.21, 0.22), {}),
        ("a", "real", (0.40, 0.41, 0.45), {"steps": 9000}),
    ]

    def fill_folder(folder: Path) -> Path:
        for method, dataset, values, own in rows:
            for seed, value in enumerate(values):
                record = _record(
                    {"mig": value, "z_min_var": round(1 - value, 2)},
                    method,
                    seed,
                    dataset=dataset,
                    provenance="official" if dataset == "real" else "procedural",
                    floor={"mig": 0.0, "z_min_var": 0.8},
                    ceiling={"mig": 1.0, "z_min_var": 0.0},
                    environment={"code": "0123456789ab", "device": "cpu"},
                    **own,
                )
                write_record(record, folder / record.trial.id)
        return folder

    return fill_folder
