"""Estimate the hours and bytes of a suite from records of similar trials in the folder, or from a few steps."""

import json
import statistics
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from disbench.benchmarks import METHODS
from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.settings.hyperparameters import hyperparameters
from disbench.benchmarks.studies.engines import opened
from disbench.benchmarks.studies.run import Planned
from disbench.benchmarks.trials.existing import Earlier, finished
from disbench.benchmarks.trials.trial import run_trial
from disbench.reports.records import RECORD_FILE, NewerRecordError, Record, Trial, read_record

PROBED_STEPS = (3, 53)  # two trials: what both have in common is no part of a step
PROBED_ROWS = 500


class Cost(NamedTuple):
    """Of one trial: seconds a step, seconds besides, bytes in its folder; `source` says how they were found."""

    step: float
    besides: float
    size: float
    source: str


class Estimate(NamedTuple):
    """The trials of one method on one dataset: how many there are and are left; `cost` is of all that are left, None unknown."""

    dataset: str
    method: str
    steps: int
    trials: int
    left: int
    seconds: float | None
    size: float | None
    source: str


def kind(trial: Trial) -> str:
    """Trials of one kind take equally long: all that decides a trial but its seed, its length, weights and rates."""
    known = hyperparameters(trial.method)
    sizes = {
        name: value for name, value in trial.hparams.items() if name in known and known[name].annotation is not float
    }
    same = [trial.method, trial.dataset, trial.dataset_options, trial.batch_size, trial.precision, trial.rows, sizes]
    return json.dumps([*same, trial.steps > 0], sort_keys=True)


def folder_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def cost_of(record: Record, size: float, source: str) -> Cost:
    training = record.seconds.get("train", 0.0)
    besides = sum(value for name, value in record.seconds.items() if name in ("evaluate", "encode", "score", "decode"))
    return Cost(training / max(1, record.trial.steps), besides, size, source)


def measured(folders: Iterable[Path]) -> dict[str, Cost]:
    """The median cost of each kind of trial that has finished in one of these folders."""
    found: dict[str, list[Cost]] = {}
    for folder in folders:
        try:
            record = read_record(folder / RECORD_FILE)
        except (OSError, ValueError):
            continue
        if record.status == "ok" and record.trial.method in METHODS:
            found.setdefault(kind(record.trial), []).append(cost_of(record, folder_size(folder), ""))
    return {key: _median(costs) for key, costs in found.items()}


def _median(costs: Sequence[Cost]) -> Cost:
    step, besides, size = (statistics.median(numbers) for numbers in zip(*(cost[:3] for cost in costs), strict=True))
    return Cost(step, besides, size, f"{len(costs)} trials")


def probe(trial: Trial, root: str | None, machine: Machine) -> Cost:
    """Train two very short trials of this kind in a separate folder, and compare them without scoring."""
    dataset = opened(trial, root)
    rows = min(trial.rows, len(dataset))
    probed = min(rows, PROBED_ROWS)
    records = []
    eager = replace(machine, compiler="")  # the first of the two would pay for compiling, and the other look free
    with tempfile.TemporaryDirectory(prefix="disbench-probe-") as folder:
        for steps in PROBED_STEPS if trial.steps else (0,):
            short = trial.model_copy(update={"steps": steps, "rows": probed})
            records.append(run_trial(short, dataset, Path(folder), {}, machine=eager, root=root))
            if records[-1].status == "failed":
                raise ValueError((records[-1].error or "failed").strip().splitlines()[-1])
        size = folder_size(Path(folder) / records[-1].trial.id)
        codes = (Path(folder) / records[-1].trial.id / "codes.h5").stat().st_size
    first, last = records[0], records[-1]
    seconds = last.seconds["train"] - first.seconds["train"]
    step = max(0.0, seconds / max(1, last.trial.steps - first.trial.steps))
    besides = last.seconds["encode"] * rows / probed + last.seconds.get("decode", 0.0)
    return Cost(step, besides, size + codes * (rows / probed - 1), "a probe, without scoring")


def _is_finished(entry: Planned, out: Path, earlier: Earlier) -> bool:
    try:
        return finished(entry.trial, out, entry.metrics, entry.evaluations, earlier=earlier) is not None
    except NewerRecordError:  # nothing is run there
        return True


def estimates(plan: Sequence[Planned], out: Path, root: str | None, machine: Machine) -> list[Estimate]:
    """What is left of a plan and what it takes when run one trial at a time, by dataset and method."""
    costs = measured(path.parent for path in out.glob(f"[!.]*/{RECORD_FILE}")) if out.is_dir() else {}
    earlier = Earlier(out)
    groups: dict[tuple[str, str, int], list[Planned]] = {}
    for entry in plan:
        groups.setdefault((entry.trial.dataset, entry.trial.method, entry.trial.steps), []).append(entry)
    found = []
    for (dataset, method, steps), entries in groups.items():
        left = [entry for entry in entries if not _is_finished(entry, out, earlier)]
        seconds, size, sources = 0.0, 0.0, []
        try:
            for entry in left:
                if entry.error is not None:
                    raise entry.error
                key = kind(entry.trial)
                if key not in costs:
                    costs[key] = probe(entry.trial, root, machine)
                cost = costs[key]
                seconds += entry.trial.steps * cost.step + cost.besides
                size += cost.size
                sources.append(cost.source)
            source = ", ".join(dict.fromkeys(sources))
            found.append(Estimate(dataset, method, steps, len(entries), len(left), seconds, size, source))
        except (OSError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            found.append(Estimate(dataset, method, steps, len(entries), len(left), None, None, reason))
    return found
