"""Print the estimated cost of a suite and the state of its trials."""

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from disbench.benchmarks.cli.terminal.printing import console, new_table, say
from disbench.benchmarks.studies.status import Row, State, TrialState, rows
from disbench.benchmarks.training.progress import duration
from disbench.datasets.wording import amount

if TYPE_CHECKING:
    from disbench.benchmarks.studies.budget import Estimate

SHOWN = 10  # trials that are listed one by one, of each state


def print_estimates(found: "list[Estimate]") -> None:
    for dataset in dict.fromkeys(row.dataset for row in found):
        table = new_table("method", "steps", "trials", "finished", "time left", "disk", "from", title=dataset)
        for row in (row for row in found if row.dataset == dataset):
            method = row.method if row.steps else f"untrained {row.method}"
            numbers = [f"{number:,}" for number in (row.steps, row.trials, row.trials - row.left)]
            still = "?" if row.seconds is None else duration(row.seconds)
            disk = "?" if row.size is None else amount(round(row.size))
            table.add_row(method, *numbers, still, disk, Text(row.source or "–"))
        console.print(table)
    seconds, size = sum(row.seconds or 0.0 for row in found), sum(row.size or 0.0 for row in found)
    trials, left = sum(row.trials for row in found), sum(row.left for row in found)
    say(
        f"{trials} trials, {trials - left} finished. The other {left} need about {duration(seconds)} one after the other, on a "
        f"machine like the measured one, and {amount(round(size))} of disk. No trial was run."
    )
    if unknown := [row for row in found if row.seconds is None]:
        names = ", ".join(f"{row.method} on {row.dataset}" for row in unknown)
        say(f"Not counted, because it cannot be measured: {names}.")


def status_lines(found: list[TrialState]) -> RenderableType:
    """A table of rows per dataset, then the running and the failed trials."""
    grouped = rows(found)
    parts: list[RenderableType] = []
    for dataset in dict.fromkeys(row.dataset for row in grouped):
        table = new_table("row", "finished", "running", "failed", "waiting", title=dataset)
        for row in (row for row in grouped if row.dataset == dataset):
            kinds: list[tuple[State, ...]] = [("finished",), ("running",), ("failed",), ("waiting", "stopped")]
            table.add_row(Text(row.label), *(str(row.count(*kind) or "–") for kind in kinds))
        parts.append(table)
    labels = {state.folder: row for row in grouped for state in row.trials}
    for kind in ("running", "stopped", "failed", "unreadable"):
        told = [state for state in found if state.state == kind]
        parts += [Text(state_line(state, labels.get(state.folder))) for state in told[:SHOWN]]
        if len(told) > SHOWN:
            parts.append(Text(f"{kind}: {len(told) - SHOWN} more"))
    totals = Counter(state.state for state in found)
    parts.append(Text(f"{len(found)} trials: " + ", ".join(f"{count} {kind}" for kind, count in totals.items())))
    return Group(*parts)


def state_line(state: TrialState, row: Row | None) -> str:
    if state.trial is None or row is None:
        return f"{state.state}: {state.folder}: {state.reason}"
    words = f"{state.state}: {row.dataset}, {row.label}, seed {state.trial.seed}"
    if state.step is not None and state.state in ("running", "stopped"):
        words += f", step {state.step:,} of {state.trial.steps:,}"
    if state.seconds_left is not None:
        words += f", {duration(state.seconds_left)} left"
    return f"{words}: {state.reason}" if state.reason else words
