"""Search one method's hyperparameters for the best mean of one metric over seeds, with Optuna. Needs the extra [search].

Akiba et al. 2019, arXiv:1907.10902v1; the sampler is Optuna's tree-structured Parzen estimator. Every setting that it proposes is
run as ordinary trials, which are kept, resumed and reported as any others; what was proposed and what came of it is in
`search.db` beside them, so that the same command resumes the search. Choose seeds that no table of results has: a
setting chosen on them is too good there.
"""

import hashlib
import itertools
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from disbench.benchmarks.runtime.machine import Machine
from disbench.benchmarks.runtime.seeds import seed_for
from disbench.benchmarks.settings.defaults import MetricOptions, resolved_trial
from disbench.benchmarks.settings.hyperparameters import Range, check_count, check_method, hyperparameters, plain_number
from disbench.benchmarks.settings.score_schedule import ScoreSchedule
from disbench.benchmarks.settings.validation import Seed, check_metric, explained
from disbench.benchmarks.studies.engines import Engine, opened, run_here
from disbench.benchmarks.studies.run import Planned, run_trials
from disbench.benchmarks.studies.status import is_locked, write_plan
from disbench.benchmarks.training.loop import ON_THIS_MACHINE
from disbench.datasets.wording import listed, shown
from disbench.metrics import METRICS
from disbench.reports.records import Record, Trial

log = logging.getLogger(__name__)
STORAGE = "search.db"
SEEDS = 1_000


class Search(NamedTuple):
    """`base`: a trial without what is searched. The first of `metrics` is searched for, the others are scored, too."""

    base: Trial
    seeds: Sequence[int]
    metrics: MetricOptions
    grid: Mapping[str, list[Any]]
    ranges: Mapping[str, Range]
    schedule: ScoreSchedule | None = None

    @property
    def metric(self) -> str:
        return next(iter(self.metrics))

    @property
    def name(self) -> str:
        """A readable part, then a hash of every setting of the search, so that the same command resumes the same search."""
        ranges = {name: values.model_dump() for name, values in self.ranges.items()}
        decides = [
            resolved_trial(self.base).model_dump(mode="json"),
            list(self.seeds),
            self.metrics,
            dict(self.grid),
            ranges,
        ]
        digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:10]
        return f"search-{self.base.method}-{self.base.dataset}-{self.metric}-{digest}"

    def trials(self, hparams: Mapping[str, Any]) -> list[Trial]:
        """One setting's trials, a seed each."""
        found = check_method(self.base.method, {**self.base.hparams, **hparams})
        return [resolved_trial(self.base.model_copy(update={"seed": seed, "hparams": found})) for seed in self.seeds]


def seeds_of(text: str) -> list[int]:
    """The seeds of --seeds, each once. Raises ValueError for anything that is no list of seeds."""
    try:
        seeds = TypeAdapter(list[Seed]).validate_python([word.strip() for word in text.split(",") if word.strip()])
    except ValidationError as error:
        raise ValueError(f"--seeds needs whole numbers such as 10,11. {explained(error)}") from error
    if not seeds or len(seeds) > SEEDS:
        raise ValueError(f"--seeds needs 1 to {SEEDS} seeds, got {len(seeds)}.")
    return list(dict.fromkeys(seeds))


class Evaluated(NamedTuple):
    """A setting and its mean score, or the reason why it has none."""

    number: int
    hparams: dict[str, Any]
    value: float | None
    reason: str = ""


def check_search(search: Search) -> None:
    """Raise ValueError where something that is to be searched is no hyperparameter, is fixed, or has no such values."""
    method = search.base.method
    check_method(method, search.base.hparams)
    for metric, options in search.metrics.items():
        check_metric(metric, options)
    space = {**search.grid, **search.ranges}
    if not space:
        raise ValueError(
            f"A search needs a hyperparameter of {method} with --grid or --range, such as beta=[1, 4, 16]."
        )
    if twice := [name for name in space if name in search.base.hparams] or [
        n for n in search.grid if n in search.ranges
    ]:
        raise ValueError(f"{listed(twice)} is both fixed and searched, or has both a grid and a range; one decides.")
    for name, values in search.grid.items():
        if not isinstance(values, list) or not values or any(isinstance(value, list | dict) for value in values):
            raise ValueError(f"The grid of {name} needs a list of values, such as [1, 4, 16], got {shown(values)}.")
        check_count(method, {name: values})
        for value in values:
            search.trials({name: value})
    if not search.ranges:
        check_count(method, search.grid)
    for name, limits in search.ranges.items():
        if limits.n is not None:
            raise ValueError(
                f"The range of {name} has n: {limits.n}, which is for a suite; a search takes any value in it."
            )
        if (known := hyperparameters(method)).get(name) and known[name].annotation not in (int, float):
            raise ValueError(f"{method}: {name} is no number, so it has no range; use --grid {name}=[...].")
        for end in (limits.low, limits.high):
            search.trials({name: plain_number(end)})


def distributions(search: Search) -> dict[str, Any]:
    """What Optuna draws each hyperparameter from."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    known = hyperparameters(search.base.method)
    found: dict[str, Any] = {name: CategoricalDistribution(values) for name, values in search.grid.items()}
    for name, limits in search.ranges.items():
        if known[name].annotation is int:
            found[name] = IntDistribution(math.ceil(limits.low), math.floor(limits.high), log=limits.log)
        else:
            found[name] = FloatDistribution(limits.low, limits.high, log=limits.log)
    return found


def plain(hparams: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain_number(value) if isinstance(value, float) else value for name, value in hparams.items()}


def outcome(search: Search, records: Sequence[Record]) -> tuple[float | None, str]:
    """The mean score of a setting's records, or why there is none."""
    for record in records:
        if record.status == "failed":
            return None, f"seed {record.trial.seed} failed: {record.error_line}"
        if search.metric not in record.scores:
            return None, record.skipped.get(search.metric, f"{search.metric} was not scored")
    return fmean(record.scores[search.metric] for record in records), ""


def run_search(
    search: Search,
    out: Path,
    root: str | None = None,
    *,
    settings: int = 20,
    at_once: int = 1,
    engine: Engine = run_here,
    machine: Machine = ON_THIS_MACHINE,
) -> Iterator[Evaluated]:
    """Try settings until there are as many as asked for, those of earlier calls included; yield each, earlier ones first.

    at_once: settings that are proposed together, for an engine that runs several trials at a time.
    """
    try:
        import optuna
    except ImportError as error:
        raise ValueError("disbench search needs Optuna: pip install 'disbench[search]'") from error
    check_search(search)
    version = opened(search.base, root).version
    search = search._replace(base=search.base.model_copy(update={"dataset_version": version}))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{out / STORAGE}",
        study_name=search.name,
        direction="maximize" if METRICS[search.metric].higher_is_better else "minimize",
        load_if_exists=True,
    )
    if not search.ranges:  # there is nothing to guess: each point of the grid once
        points = list(itertools.product(*search.grid.values()))
        settings = min(settings, len(points))
        for point in points:
            study.enqueue_trial(dict(zip(search.grid, point, strict=True)), skip_if_exists=True)
    ended = [trial for trial in study.trials if trial.state.is_finished()]
    for trial in ended:
        reason = "" if trial.value is not None else "had no score when it was tried"
        yield Evaluated(trial.number, plain(trial.params), trial.value, reason)
    space = distributions(search)
    listed = [trial for earlier in study.trials if earlier.params for trial in search.trials(plain(earlier.params))]
    # A setting that was stopped in the middle; one that another driver works at is left to it.
    asked = {
        trial.number: plain(trial.params)
        for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
        if set(trial.params) == set(space)
        and not any(is_locked(out / one.id) for one in search.trials(plain(trial.params)) if (out / one.id).exists())
    }
    while True:
        tried = sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
        while len(asked) < min(at_once, settings - tried):
            study.sampler = optuna.samplers.TPESampler(
                seed=seed_for(search.name, len(study.get_trials(deepcopy=False))), constant_liar=at_once > 1
            )
            proposed = study.ask(space)
            asked[proposed.number] = plain(proposed.params)
        if not asked:
            return
        chosen = [trial for hparams in asked.values() for trial in search.trials(hparams)]
        listed += chosen
        write_plan(search.name, listed, out)
        plan = [Planned(trial, search.metrics, schedule=search.schedule) for trial in chosen]
        unique = {entry.trial.id: entry for entry in plan}
        records = {r.trial.id: r for r in run_trials(list(unique.values()), out, root, engine=engine, machine=machine)}
        for number, hparams in asked.items():
            value, reason = outcome(search, [records[trial.id] for trial in search.trials(hparams)])
            state = optuna.trial.TrialState.COMPLETE if value is not None else optuna.trial.TrialState.FAIL
            study.tell(number, value, state=state, skip_if_finished=True)
            yield Evaluated(number, hparams, value, reason)
        asked = {}


def best(found: Sequence[Evaluated], metric: str) -> Evaluated | None:
    """The setting with the best mean score; None where none has one."""
    scored = [setting for setting in found if setting.value is not None]
    sign = 1 if METRICS[metric].higher_is_better else -1
    return max(scored, key=lambda setting: sign * (setting.value or 0.0), default=None)
