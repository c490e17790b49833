"""The accuracy study: every estimator on every task, in cells that can be finished one by one.

The seed of a cell is derived from its name, so adding or removing cells changes no other cell.
"""

import contextlib
import dataclasses
import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from disbench.benchmarks.estimators import CLASSICAL, GROUPED, INFORMATION, MONTE_CARLO, TOTAL_CORRELATION, cells
from disbench.benchmarks.estimators.profiles import PROFILES, Profile
from disbench.benchmarks.estimators.tasks import PosteriorTask, group_setting, group_task, pair_tasks, posterior_tasks
from disbench.benchmarks.estimators.trained import TRAINED
from disbench.benchmarks.runtime.environment import code_version, environment
from disbench.benchmarks.runtime.optional import system_lines
from disbench.benchmarks.runtime.seeds import seed_for
from disbench.benchmarks.training.progress import duration
from disbench.reports.estimators.study import Cell, Study, read_study, write_study
from disbench.reports.records import STUDY_FILE

log = logging.getLogger(__name__)
EASY = "easy"
TIMED = ("mss", "mine", "ratio", "marginal")


@contextlib.contextmanager
def seeded(*names: object) -> Iterator[None]:
    """Torch's global generator at a seed of these names inside, as it was afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed_for("estimators", *names))
        yield


class Run:
    """The cells of a profile, in order, and the tasks that they share. encoder: posteriors of a trained encoder, if any."""

    def __init__(self, profile: Profile, device: torch.device, trained: Callable[[], PosteriorTask]) -> None:
        self.profile = profile
        self.device = device
        self.make_trained = trained
        with seeded("posterior tasks"):
            self.known = {task.name: task for task in posterior_tasks(profile.rows, profile.rows_of_many, device)}
        self.pairs = {task.name: task for task in pair_tasks(device)}
        self.truths: dict[str, cells.Truth] = {}
        self.settings = {group_setting(*law): law for law in profile.group_settings}
        self.group_truths: dict[tuple[str, int], cells.Truth] = {}

    def posterior_task(self, name: str) -> PosteriorTask:
        if name == TRAINED and name not in self.known:
            self.known[name] = self.make_trained()
        return self.known[name]

    def truth(self, name: str) -> cells.Truth:
        if name not in self.truths:
            with seeded("truth", name):
                self.truths[name] = cells.Truth(self.posterior_task(name), self.profile.truth_passes)
        return self.truths[name]

    def group_truth(self, setting: str, width: int) -> cells.Truth:
        """Only the last one is kept, for its gradients are large."""
        if (setting, width) not in self.group_truths:
            with seeded("groups", setting, width):
                task = group_task(self.profile.group_rows, width, *self.settings[setting], self.device)
                self.group_truths = {(setting, width): cells.Truth(task, 1, self.profile.group_draws)}
        return self.group_truths[setting, width]

    def planned_groups(self) -> Iterator[Cell]:
        """Those of groups of latents; the `dims` of a cell are the latents in a group."""
        profile = self.profile
        for setting, width in product(self.settings, profile.group_widths):
            yield Cell(kind="group_truth", task=setting, estimator="exhaustive", dims=width)
            every = self.settings[setting] == profile.group_all
            for name in GROUPED if every else profile.group_estimators:
                for seed in range(profile.seeds if name not in MONTE_CARLO else 1):
                    yield Cell(kind="groups", task=setting, estimator=name, batch=profile.batch, dims=width, seed=seed)

    def planned_cells(self) -> Iterator[Cell]:
        """Empty cells, which `measure` fills."""
        if not self.profile.only_groups:
            yield from self.planned_others()
        yield from self.planned_groups()

    def planned_others(self) -> Iterator[Cell]:
        profile = self.profile
        yield Cell(kind="check", task=EASY, estimator="full_n")
        yield Cell(kind="check", task=profile.swept, estimator="column_0", batch=64)
        for name, dims, batch in product(TIMED, profile.grid_dims, profile.grid_batches):
            if name != "mss" or batch * batch * dims <= profile.grid_elements:
                yield Cell(kind="timing", task="grid", estimator=name, batch=batch, dims=dims)
        for task in profile.posterior_tasks or (*self.known, TRAINED):
            yield Cell(kind="truth", task=task, estimator="exhaustive")
            for batch in (profile.batch, *profile.batches) if task == profile.swept else (profile.batch,):
                names = profile.posterior_estimators if batch == profile.batch else profile.swept_estimators
                for name in TOTAL_CORRELATION if task == EASY else names:
                    for seed in range(profile.seeds if name not in MONTE_CARLO else 1):
                        yield Cell(kind="total_correlation", task=task, estimator=name, batch=batch, seed=seed)
        for name in TIMED:
            yield Cell(kind="lag", task="moving", estimator=name, batch=profile.batch)
        for task, name in product(profile.pair_tasks or tuple(self.pairs), INFORMATION):
            if name not in CLASSICAL or self.pairs[task].dims == (1, 1):
                for seed in range(profile.seeds if name not in CLASSICAL else 1):
                    yield Cell(kind="information", task=task, estimator=name, batch=profile.pair_batch, seed=seed)

    def measure(self, cell: Cell) -> tuple[cells.Numbers, cells.Curves]:
        """The numbers and curves of a cell. Draws from torch's global generator."""
        name, profile, device = cell.estimator, self.profile, self.device
        if cell.kind == "total_correlation":
            task, truth = self.posterior_task(cell.task), self.truth(cell.task)
            return cells.measure_total_correlation(name, task, truth, cell.batch, profile, profile.critic_steps)
        if cell.kind == "groups":
            truth = self.group_truth(cell.task, cell.dims)
            return cells.measure_total_correlation(name, truth.task, truth, cell.batch, profile, profile.group_steps)
        if cell.kind == "group_truth":
            return self.group_truth(cell.task, cell.dims).numbers(), {}
        if cell.kind == "lag":
            return cells.measure_lag(name, profile, device)
        if cell.kind == "timing":
            return cells.measure_time(name, cell.batch, cell.dims, device), {}
        if cell.kind == "truth":
            return self.truth(cell.task).numbers(), {}
        if cell.kind == "information":
            pairs = self.pairs[cell.task]
            known: cells.Numbers = {"truth": pairs.truth, "ceiling": cells.ceiling(name)}
            return known | cells.measure_information(name, pairs, device, profile), {}
        if name == "full_n":
            return cells.check_exhaustive(device), {}
        return cells.check_column_zero(self.posterior_task(cell.task), cell.batch, 200), {}

    def descriptions(self) -> dict[str, str]:
        described = {name: task.description for name, task in self.known.items()}
        return {TRAINED: "", **described, **{name: task.description for name, task in self.pairs.items()}}


def processor() -> str:
    """The CPU's model, where Linux tells it; else what `platform` knows."""
    lines = system_lines("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def machine(device: torch.device) -> dict[str, Any]:
    """Where times are taken; a study is of one machine, because its times are compared with each other."""
    found = {name: value for name, value in environment(device).items() if name != "code"}
    return {**found, "processor": processor(), "cores": os.cpu_count()}


def open_study(folder: Path, name: str, device: torch.device, source: str, command: str) -> Study:
    """The study begun in a folder, or a new one. Raises ValueError where what is there was measured otherwise."""
    fresh = Study(
        profile=name,
        settings={**json.loads(json.dumps(dataclasses.asdict(PROFILES[name]))), "trained_encoder": source},
        machine=machine(device),
        command=command,
    )
    if not (folder / STUDY_FILE).exists():
        return fresh
    found = read_study(folder)
    for what in ("profile", "settings", "machine"):
        if getattr(found, what) != getattr(fresh, what):
            old, new = getattr(found, what), getattr(fresh, what)
            names = [k for k in new if old.get(k) != new[k]] if isinstance(new, dict) else [old]
            raise ValueError(
                f"{folder / STUDY_FILE} was measured with another {what} ({', '.join(map(str, names))}), and its numbers "
                "cannot be mixed with these; name another folder, or remove the file."
            )
    return found


def time_left(spent: Mapping[str, Sequence[float]], ahead: Sequence[str]) -> float:
    """Seconds that cells of the kinds `ahead` take: the mean of their kind so far, or of all kinds where there is none."""
    every = [seconds for some in spent.values() for seconds in some]
    return sum(fmean(spent.get(kind, every)) for kind in ahead)


def run_study(
    folder: Path,
    name: str,
    device: torch.device,
    trained: Callable[[], PosteriorTask],
    *,
    source: str,
    command: str = "",
    told: Callable[[str], None] = log.info,
) -> Study:
    """Measure what is not in `folder` yet, and write the file after each cell. told: is given a line a cell.

    trained: makes the trained encoder's posteriors, when first needed; source: what tells these from others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    study = open_study(folder, name, device, source, command)
    run = Run(PROFILES[name], device, trained)
    planned = list(run.planned_cells())
    code = code_version()
    spent: dict[str, list[float]] = {}  # seconds of the cells that were measured here, by kind
    for number, cell in enumerate(planned, 1):
        if cell.key in study.cells:
            continue
        started = time.perf_counter()
        with seeded(cell.key):
            numbers, curves = run.measure(cell)
        study.cells[cell.key] = Cell(**{**cell.model_dump(), "numbers": numbers, "curves": curves})
        study.tasks = run.descriptions()
        study.code = list(dict.fromkeys([*study.code, code]))
        write_study(study, folder)
        seconds = time.perf_counter() - started
        spent.setdefault(cell.kind, []).append(seconds)
        ahead = [later.kind for later in planned[number:] if later.key not in study.cells]
        left = f", about {duration(time_left(spent, ahead))} left" if ahead else ""
        told(f"[{number}/{len(planned)}] {cell.key}: {seconds:.1f} s{left}")
    return study
