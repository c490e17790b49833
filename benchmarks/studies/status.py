"""The state of the trials in a folder: finished, failed, running, stopped, or not started.

A driver leaves the list of its trials in `plans/`. The rest is what the trials themselves leave: a record once one has ended, a
lock while one is run, and how far it was at its last checkpoint.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from pydantic import BaseModel, Field

from disbench.benchmarks.runtime.locks import try_lock
from disbench.benchmarks.training.position import STARTED, position
from disbench.datasets.storage.atomic import write_atomic
from disbench.datasets.untrusted import read_regular
from disbench.reports.records import (
    LARGEST,
    RECORD_FILE,
    SCHEMA_VERSION,
    Trial,
    UsedPlugin,
    migrated_to_today,
    read_record,
    trial_of,
)
from disbench.reports.records.reasons import FROM_VALUES, reason_of

PLANS = "plans"
Parts = frozenset[tuple[str, str]]
State = Literal["finished", "failed", "running", "stopped", "waiting", "unreadable"]


class Progress(BaseModel):
    """What of a record says how a trial ended; the rest of it is passed over, which makes reading twice as fast."""

    trial: Trial
    status: Literal["ok", "failed"]
    error: str | None = None
    seconds: dict[str, float] = Field(default_factory=dict)
    metric_versions: dict[str, int] = Field(default_factory=dict)
    plugins: list[UsedPlugin] = Field(default_factory=list)
    schema_version: int = SCHEMA_VERSION


class TrialState(NamedTuple):
    """`step`, at its last checkpoint, and `seconds_left` from there where there is one; `reason` of a failure.

    `earlier`: an earlier disbench left its record. `plugins`: what its record takes from which (see `parts`).
    """

    trial: Trial | None
    folder: Path
    state: State
    step: int | None = None
    seconds_left: float | None = None
    reason: str = ""
    earlier: bool = False
    plugins: Parts = frozenset()


class Plan(NamedTuple):
    """What a driver listed in `file`: the trials of a suite or search by id, and the plugins that it had."""

    file: Path
    name: str
    trials: dict[str, Trial]
    plugins: list[UsedPlugin]


class Row(NamedTuple):
    """The trials of one method with one set of hyperparameters on one dataset; `label` has what tells it from its like."""

    dataset: str
    label: str
    trials: list[TrialState]

    def count(self, *states: State) -> int:
        return sum(trial.state in states for trial in self.trials)


def write_plan(
    name: str, trials: Sequence[Trial], out: Path, decides: str = "", plugins: Sequence[UsedPlugin] = ()
) -> None:
    """Leave the list of a driver's trials in `out`, whole or not at all; two drivers of one suite write the same file.

    decides: the content of the suite. Two suites of one name have each a file, because its hash is a part of the file's name.
    """
    folder = out / PLANS
    folder.mkdir(parents=True, exist_ok=True)
    digest = f"-{hashlib.sha256(decides.encode()).hexdigest()[:10]}" if decides else ""
    path = folder / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)[:150]}{digest}.json"
    content = {"name": name, "trials": [trial.model_dump(mode="json") for trial in trials]}
    content["plugins"] = [plugin.model_dump(mode="json") for plugin in plugins]
    write_atomic(path, json.dumps(content).encode())


def started_trials(out: Path) -> dict[str, Trial]:
    """Every trial in `out` that has begun and has no record yet, by its id."""
    found: dict[str, Trial] = {}
    for path in sorted(out.glob(f"[!.]*/{STARTED}")):
        try:
            trial = Trial.model_validate_json(read_regular(path, LARGEST))
        except (OSError, ValueError):
            continue  # its training replaces it
        if trial.id == path.parent.name:
            found[trial.id] = trial
    return found


def plans_in(out: Path) -> tuple[list[Plan], list[TrialState]]:
    """What drivers have listed in `out`, and the lists that cannot be read."""
    found, unreadable = [], []
    for path in sorted((out / PLANS).glob("[!.]*.json")):
        try:
            content = json.loads(read_regular(path, LARGEST))
            plugins = [UsedPlugin.model_validate(plugin) for plugin in content.get("plugins", [])]
            trials = {trial.id: trial for trial in map(trial_of, content["trials"])}
            found.append(Plan(path, str(content.get("name", path.stem)), trials, plugins))
        except (OSError, RecursionError, *FROM_VALUES) as error:
            reason = f"it is no plan ({reason_of(error)}). Remove it, or run its suite again."
            unreadable.append(TrialState(None, path, "unreadable", reason=reason))
    return found, unreadable


def plans_of_one_name(out: Path) -> list[str]:
    """For each name that several plans in `out` have, a line with their files: a suite that was edited leaves its old plan."""
    files: dict[str, list[str]] = {}
    for plan in plans_in(out)[0]:
        files.setdefault(plan.name, []).append(plan.file.name)
    return [
        f"{len(paths)} plans are named {name}: {', '.join(paths)}. Where a suite was edited, remove the "
        f"old one from {out / PLANS}, or its trials stay waiting."
        for name, paths in files.items()
        if len(paths) > 1
    ]


def parts(trial: Trial, plugins: Sequence[UsedPlugin], metrics: Mapping[str, int] = MappingProxyType({})) -> Parts:
    """What a trial takes from plugins, such as "method x, version 1, of x.py", each with the plugin's version and hash."""
    versions: dict[str, object] = {f"metric {name}": version for name, version in metrics.items()}
    versions |= {f"method {trial.method}": trial.method_version, f"dataset {trial.dataset}": trial.dataset_version}
    return frozenset(
        (f"{what}, version {versions[what]}, of {plugin.name}", f"{plugin.version} {plugin.sha256[:12]}".strip())
        for plugin in plugins
        for what in plugin.used_for
        if what in versions
    )


def planned_parts(out: Path) -> dict[str, Parts]:
    """What each listed trial takes from plugins, as the drivers that listed it had them, by the trial's id."""
    plans = [plan for plan in plans_in(out)[0] if plan.plugins]
    return {name: parts(trial, plan.plugins) for plan in plans for name, trial in plan.trials.items()}


def begun_with_others(out: Path, plugins: Sequence[UsedPlugin]) -> list[str]:
    """A sentence for each plugin that changed after trials in `out` started. These trials continue with the new version."""
    planned = planned_parts(out)
    changed: dict[str, int] = {}
    for name, trial in started_trials(out).items():
        then = dict(planned.get(name, ()))
        for what, digest in parts(trial, plugins):
            if then.get(what, digest) != digest:
                changed[what] = changed.get(what, 0) + 1
    return [
        f"The {what} has changed since {count} unfinished trial{'s' * (count > 1)} in {out} began. They go on with the changed "
        "code. To begin anew, remove their folders, or raise `version` in the plugin."
        for what, count in changed.items()
    ]


def changed_plugins(out: Path, found: Sequence[TrialState]) -> list[str]:
    """A sentence for each thing from a plugin of which trials in `out` have different code under one version."""
    hashes: dict[str, set[str]] = {}
    for taken in (*(state.plugins for state in found), *planned_parts(out).values()):
        for what, digest in taken:
            hashes.setdefault(what, set()).add(digest)
    return [
        f"The {what}, was changed between trials here ({', '.join(sorted(digests))}). If that changes results, raise "
        "`version` in the plugin and run again."
        for what, digests in hashes.items()
        if len(digests) > 1
    ]


def is_locked(folder: Path) -> bool:
    """Whether a process is running the trial of this folder now."""
    try:
        with try_lock(folder) as ours:
            return not ours
    except PermissionError:  # another user's folder, whose lock cannot be tried
        return False


def taken_up_again(folder: Path) -> bool:
    """Whether a trial whose record says that it failed has been run since: it runs now, or was stopped before its end."""
    return folder.is_dir() and ((folder / STARTED).exists() or is_locked(folder))


def ended(folder: Path) -> TrialState | None:
    """What the record in a folder says; None where there is none."""
    try:
        content = read_regular(folder / RECORD_FILE, LARGEST)
        found = Progress.model_validate_json(content)
        if found.schema_version > SCHEMA_VERSION:
            raise ValueError("newer")
    except FileNotFoundError:
        return None
    except (OSError, *FROM_VALUES):
        return TrialState(None, folder, "unreadable", reason=why_unreadable(folder))
    earlier = found.schema_version < SCHEMA_VERSION
    trial = migrated_to_today(found.trial) if earlier else found.trial
    if found.status == "ok":
        taken = parts(trial, found.plugins, found.metric_versions)
        return TrialState(trial, folder, "finished", trial.steps, earlier=earlier, plugins=taken)
    reason = (found.error or "no error was recorded").strip().splitlines()[-1]
    return TrialState(trial, folder, "failed", reason=reason, earlier=earlier)


def why_unreadable(folder: Path) -> str:
    """What reading a folder's record raises, in a line."""
    try:
        read_record(folder / RECORD_FILE)
    except (OSError, *FROM_VALUES) as error:
        return reason_of(error)
    return "it was replaced meanwhile"


def state_of(trial: Trial, folder: Path) -> TrialState:
    """The state of a trial without a record, or of a failed one that is run again."""
    if not folder.is_dir():
        return TrialState(trial, folder, "waiting")
    last = position(folder)
    if is_locked(folder):
        if last is None or last.step == 0:
            return TrialState(trial, folder, "running")
        left = last.seconds / last.step * (last.steps - last.step)
        return TrialState(trial, folder, "running", last.step, left)
    if last is None and not (folder / STARTED).exists():
        return TrialState(trial, folder, "waiting")
    return TrialState(trial, folder, "stopped", 0 if last is None else last.step)


def states(out: Path) -> list[TrialState]:
    """The state of every trial that is listed in `out`, or was begun or recorded there.

    A trial that version 0.1 finished counts once, whatever its folder's name. Raises FileNotFoundError where there is none.
    """
    plans, unreadable = plans_in(out)
    listed = started_trials(out)
    for plan in plans:
        listed |= plan.trials
    records = {path.parent.name: ended(path.parent) for path in sorted(out.glob(f"[!.]*/{RECORD_FILE}"))}
    for name, state in list(records.items()):
        if state is not None and state.earlier and state.trial is not None and (today := state.trial.id) != name:
            own = records.get(today)
            if own is None or (own.state != "finished" and state.state == "finished"):
                records[today] = state
            del records[name]
    found = []
    for name, trial in listed.items():
        state = records.pop(name, None)
        if state is None or (state.state != "finished" and taken_up_again(out / name)):
            state = state_of(trial, out / name)
        found.append(state)
    found += [state for state in records.values() if state is not None] + unreadable
    if not found:
        inner = sorted(
            {path.parent.parent for name in (RECORD_FILE, STARTED) for path in out.glob(f"[!.]*/[!.]*/{name}")}
        )
        if inner:
            raise FileNotFoundError(f"{out} holds no trial, {inner[0]} does: disbench status {inner[0]}")
        raise FileNotFoundError(f"{out} holds no trial. Start some with: disbench run quick --out {out}")
    return found


def rows(trials: Sequence[TrialState]) -> list[Row]:
    """Trials by dataset, method and hyperparameters, in order of appearance."""
    groups: dict[str, list[TrialState]] = {}
    firsts: dict[str, Trial] = {}
    for state in trials:
        if state.trial is not None:
            key = state.trial.model_copy(update={"seed": 0}).id
            groups.setdefault(key, []).append(state)
            firsts.setdefault(key, state.trial)
    labels = labelled(list(firsts.values()))
    return [Row(firsts[key].dataset, label, groups[key]) for key, label in zip(groups, labels, strict=True)]


def labelled(trials: Sequence[Trial]) -> list[str]:
    """A name for each trial's row: its method and those settings in which it differs from others of the method on the set."""
    values: dict[tuple[str, str], dict[str, set[str]]] = {}
    settings = [{**trial.hparams, **trial.dataset_options, "steps": trial.steps} for trial in trials]
    for trial, own in zip(trials, settings, strict=True):
        for name, value in own.items():
            values.setdefault((trial.dataset, trial.method), {}).setdefault(name, set()).add(json.dumps(value))
    names = []
    for trial, own in zip(trials, settings, strict=True):
        siblings = values[trial.dataset, trial.method]
        differs = [f"{name}={own[name]}" for name in own if len(siblings[name]) > 1 and name != "steps"]
        method = trial.method if trial.steps else f"untrained {trial.method}"
        names.append(f"{method} ({', '.join(differs)})" if differs else method)
    return names
