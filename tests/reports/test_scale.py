"""Large studies: what a page holds and how large it is. Times: `python tests/reports/test_scale.py TRIAL 10000 OUT`."""

import os
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from disbench.reports.page.layout import layout_of
from disbench.reports.page.sections import dataset_sections, overall_sections
from disbench.reports.page.trials import write_trial_pages
from disbench.reports.records import Record, write_record
from disbench.reports.records.collect import collect
from disbench.reports.tables.aggregate import tables

MEGABYTE = 1 << 20
METHODS = ("vae", "beta_vae", "beta_tcvae", "factor_vae", "annealed_vae")


def multiplied(record: Record, trials: int, datasets: int = 4, settings: int = 5) -> Iterator[Record]:
    """Records of a study of about so many trials, each a copy of one with scores that a method, a setting and a seed move."""
    generator = np.random.default_rng(0)
    seeds = trials // (datasets * settings * len(METHODS))
    for dataset in range(datasets):
        for place, method in enumerate(METHODS):
            for setting in range(settings):
                for seed in range(seeds):
                    moved = {
                        "method": method,
                        "dataset": f"{record.trial.dataset}_{dataset}",
                        "seed": seed,
                        "hparams": {**record.trial.hparams, "weight": 2.0**setting},
                    }
                    views = {
                        view: {
                            key: float(np.clip(value * (1 - 0.04 * place) + generator.normal(0, 0.03), 0, 1))
                            for key, value in scores.items()
                        }
                        for view, scores in record.views.items()
                    }
                    trial = record.trial.model_copy(update=moved)
                    yield record.model_copy(update={"trial": trial, "views": views})


def fill_with(base: Path, record: Record, folder: Path, trials: int) -> int:
    """Write the multiplied records, the files of the trial in `base` linked into each folder; how many trials there are."""
    count = 0
    for copy in multiplied(record, trials):
        own = folder / copy.trial.id
        write_record(copy, own)
        for name in record.artefacts.values():
            if (base / name).exists() and not name.endswith(".ckpt"):
                os.link(base / name, own / name)
        count += 1
    return count


@pytest.fixture(scope="module")
def thousand(
    tmp_path_factory: pytest.TempPathFactory, make_record: Callable[..., Record], traversal_png: bytes
) -> Path:
    folder = tmp_path_factory.mktemp("scale")
    generator = np.random.default_rng(0)
    base = folder / "base"
    base.mkdir()
    # A real traversal in colour has some 300 kB: noise cannot be compressed.
    for name, size in (("traversal.png", 300_000), ("reconstructions.png", 60_000)):
        (base / name).write_bytes(traversal_png + generator.bytes(size))
    with h5py.File(base / "codes.h5", "w") as file:
        file["codes"], file["factors"] = generator.normal(size=(500, 10)), generator.integers(0, 4, (500, 5))
    keys = ("z_diff", "z_min_var", "factor_vae_score", "irs", "mig", "jemmig")
    record = make_record(
        dict.fromkeys(keys, 0.5),
        floor=dict.fromkeys(keys, 0.1),
        ceiling=dict.fromkeys(keys, 0.9),
        curves={f"term {k}": [(step, float(step % 7)) for step in range(100)] for k in range(6)},
        detail={key: {"factors": [{"factor": k, "gap": 0.123456789} for k in range(5)]} for key in keys},
        artefacts={"traversal": "traversal.png", "reconstructions": "reconstructions.png", "codes": "codes.h5"},
        seconds={"train": 100.0},
        images_seen=192_000,
    )
    assert fill_with(base, record, folder / "runs", 1000) == 1000
    return folder / "runs"


def test_the_sections_of_a_thousand_trials_leave_room_in_the_pages_15_megabytes(thousand: Path) -> None:
    collection = collect(thousand)
    grouped = tables(collection.found)
    layout = layout_of(grouped, thousand / "leaderboard.html")
    found = overall_sections(collection, grouped, layout)
    found += [section for table in grouped for section in dataset_sections(table, layout)]
    assert sum(len(section.html.encode()) for section in found) < 10 * MEGABYTE
    page = "".join(section.html for section in found)
    assert page.count("<tr><td><a href=") == 1000  # each trial has its line
    # Every method has its pictures in the page on every dataset.
    assert page.count("data:image/") == 2 * len(METHODS) * 4
    assert page.count("CD = ") == 6


def test_records_of_a_thousand_trials_are_kept_without_their_curves(thousand: Path) -> None:
    collection = collect(thousand)
    assert len(collection.found) == 1000
    assert not any(record.curves or record.detail for _, record in collection.found)


def test_the_page_of_a_trial_is_small_since_its_pictures_stay_where_they_are(thousand: Path, tmp_path: Path) -> None:
    grouped = tables(collect(thousand).found[:150])
    assert write_trial_pages(grouped, layout_of(grouped, tmp_path / "leaderboard.html")) == 150
    pages = list((tmp_path / "trials").glob("*.html"))
    assert max(path.stat().st_size for path in pages) < 60_000
    for source in re.findall(r'(?:src|<image[^>]* href)="([^"]+)"', pages[0].read_text()):
        assert (pages[0].parent / source).exists()


def measure(base: Path, trials: int, folder: Path) -> None:
    """Print what a study of so many copies of the trial in `base` takes."""
    from disbench.reports.page.render import render
    from disbench.reports.records import read_record

    def timed(what: str, work: Callable[[], object]) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        sys.stdout.write(f"{what}: {wall:.1f} s ({cpu:.1f} s of CPU), peak memory so far {peak:,.0f} MiB\n")

    timed("writing the records", lambda: fill_with(base, read_record(base / "record.json"), folder, trials))
    timed("reading the records", lambda: collect(folder))
    grouped = tables(collect(folder).found)
    timed("page", lambda: render(folder, folder.parent / "leaderboard.html"))
    size = (folder.parent / "leaderboard.html").stat().st_size
    sys.stdout.write(f"size of the page: {size / MEGABYTE:.1f} MiB\n")
    timed(
        "trial pages, nothing new",
        lambda: write_trial_pages(grouped, layout_of(grouped, folder.parent / "leaderboard.html")),
    )


if __name__ == "__main__":
    measure(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
