"""`disbench report`, `export`, `compare` and `merge`: what records say, as a page or table, of two methods, of several groups."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table
from rich.text import Text

from disbench.benchmarks.choices import Format, Statistic
from disbench.benchmarks.options import console, fail
from disbench.datasets.atomic import write_atomic
from disbench.reports.collect import collect, no_garbage_collection
from disbench.reports.records import RECORD_FILE, Record

if TYPE_CHECKING:
    import pandas as pd

report_app = typer.Typer()

Folder = Annotated[Path, typer.Argument(help="A folder with records, at any depth.", show_default=False)]
Seed = Annotated[int, typer.Option(min=0, help="Of the bootstrap.")]


@report_app.command()
def report(
    folder: Folder,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: leaderboard.html in the folder.")
    ] = None,
    every_trial: Annotated[
        bool, typer.Option("--every-trial", help="A page for each trial beside it, of more than a thousand too.")
    ] = False,
) -> None:
    """Make the page from the records in a folder."""
    try:
        show_page(folder, output, every_trial=every_trial)
    except (ValueError, OSError) as error:
        raise fail(error) from error


@no_garbage_collection()
def show_page(folder: Path, output: Path | None = None, *, every_trial: bool = False) -> None:
    """Print the tables of a folder's records, make its page and print where it is; the records are read once."""
    from disbench.reports.aggregate import tables
    from disbench.reports.render import write_page
    from disbench.reports.text import text_of

    collection = collect(folder)
    grouped = tables(collection.found)
    print(text_of(collection, grouped))
    print(write_page(collection, grouped, output, every_trial=every_trial).resolve())


@report_app.command("export")
def export_(
    folder: Folder,
    form: Annotated[Format, typer.Option("--format", help="Parquet needs pip install 'disbench[parquet]'.")] = "csv",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Default: the terminal.")] = None,
    statistic: Annotated[
        Statistic,
        typer.Option(
            help="In LaTeX and Markdown: mean ± deviation, interquartile mean [95 % interval], or place [95 % of ranks]."
        ),
    ] = "mean",
    seed: Seed = 0,
) -> None:
    """The leaderboard as a table for other programs (csv, json, parquet) or for a paper (latex, markdown)."""
    from disbench.reports.aggregate import tables
    from disbench.reports.export import export

    if form == "parquet" and output is None:
        raise fail("Parquet is no text for a terminal: name a file with -o.")
    try:
        collection = collect(folder)
        content = export(tables(collection.found), form, statistic=statistic, seed=seed)
        if output is not None:
            write_atomic(output, content)
    except (ValueError, OSError, ImportError) as error:
        raise fail(error) from error
    typer.echo(content.decode() if output is None else output, nl=output is not None)
    tell_unreadable(collection.unreadable)


@report_app.command("compare")
def compare_(
    one: Annotated[str, typer.Argument(metavar="A", help="A method as the page names it.", show_default=False)],
    other: Annotated[str, typer.Argument(metavar="B", help="Another: 'beta_vae (beta=4)'.", show_default=False)],
    folder: Folder,
    seed: Seed = 0,
) -> None:
    """Whether A is better than B: for each data set and metric the difference of means, its interval, and a verdict.

    A tie is a difference whose 95 % interval (Welch) holds zero. Fewer than three seeds give no interval and no verdict.
    """
    from disbench.reports.aggregate import tables
    from disbench.reports.compare import DATA, compare, score_frame

    try:
        collection = collect(folder)
        scores = score_frame(tables(collection.found))
        found = compare(scores, one, other, seed=seed)
    except (ValueError, OSError) as error:
        raise fail(error) from error
    if found.empty:
        raise fail(f"{one} and {other} share no data set: there is nothing to compare.")
    for key, group in found.groupby([*DATA, "view"], sort=False):
        *data, view = map(str, key)
        console.print(f"{title(*data)}, {view} view", markup=False, highlight=False)
        print_comparison(group, one, other)
    shared = set(found[DATA].itertuples(index=False, name=None))
    for data in dict.fromkeys(scores[DATA].itertuples(index=False, name=None)):
        if data not in shared:
            console.print(f"Not compared on {title(*data)}: not both are there.", markup=False, highlight=False)
    console.print(
        f"Difference: mean of {one} less mean of {other}, 95 % interval (Welch). P(improve): the probability that a seed of "
        f"{one} beats a seed of {other}, 95 % bootstrap interval. Verdict: on {one}; a tie where the difference's interval "
        "holds zero. Each line stands alone: of twenty comparisons of equal methods one is expected to look different.",
        markup=False,
        highlight=False,
    )
    if found["budgets_differ"].any():
        console.print("Unequal budgets: the two were trained for different numbers of steps.", markup=False)
    tell_unreadable(collection.unreadable)


def print_comparison(lines: "pd.DataFrame", one: str, other: str) -> None:
    """One data set's comparison, and below it why something is missing."""
    from disbench.reports.columns import column

    table = Table("metric", Column(Text(one)), Column(Text(other)), "difference", "P(improve)", "verdict")
    notes: dict[str, list[str]] = {}
    for line in lines.to_dict("records"):
        head = column(line["metric"])
        means = [f"{number(line[f'mean_{side}'])} (n={line[f'n_{side}']})" for side in ("one", "other")]
        gap = number(line["difference"], "+") + interval(line["low"], line["high"], "+")
        chance = number(line["improvement"]) + interval(line["improvement_low"], line["improvement_high"])
        table.add_row(*(Text(text) for text in (f"{head.label} {head.arrow}", *means, gap, chance, line["verdict"])))
        if line["note"]:
            notes.setdefault(line["note"], []).append(head.label)
    console.print(table)
    for note, labels in notes.items():
        console.print(f"{', '.join(labels)}: {note}.", markup=False, highlight=False)


def title(dataset: str, options: str, version: str, provenance: str) -> str:
    return f"{dataset} ({provenance}, version {version}) {'' if options == '{}' else options}".rstrip()


def number(value: float, sign: str = "") -> str:
    import pandas as pd

    return "–" if pd.isna(value) else f"{value:{sign}.3f}"


def interval(low: float, high: float, sign: str = "") -> str:
    import pandas as pd

    return "" if pd.isna(low) else f" [{low:{sign}.3f}, {high:{sign}.3f}]"


@report_app.command()
def merge(
    out: Annotated[Path, typer.Argument(help="The folder that they are copied to.", show_default=False)],
    folders: Annotated[list[Path], typer.Argument(help="Folders with records, at any depth.", show_default=False)],
) -> None:
    """Copy trials from several folders into one. Nothing is overwritten.

    A trial that is there twice is copied once if its scores are the same. If they differ, nothing is copied at all: somebody
    has to say which are right.
    """
    try:
        copied, kept, unreadable = merge_folders(out, folders)
    except (ValueError, OSError) as error:
        raise fail(error) from error
    typer.echo(f"{out}: {copied} trial{'s' * (copied != 1)} copied, {kept} there already or twice.")
    tell_unreadable(unreadable)
    if unreadable:
        raise typer.Exit(1)


def merge_folders(out: Path, folders: Sequence[Path]) -> tuple[int, int, list[tuple[str, str]]]:
    """How many trials were copied to `out`, how many were not because they are known, and what could not be read.

    Raises ValueError before anything is copied where two records of a trial disagree, FileNotFoundError for a folder without
    records.
    """
    for folder in folders:
        if out.resolve().is_relative_to(folder.resolve()) or folder.resolve().is_relative_to(out.resolve()):
            raise ValueError(f"merge needs a folder apart from those it reads, got {out} for {folder}.")
    there = collect(out).found if next(out.rglob(RECORD_FILE), None) else ()
    known: dict[str, tuple[Path, Record]] = {record.trial.id: (path, record) for path, record in there}
    wanted: dict[str, tuple[Path, Record]] = {}
    unreadable: list[tuple[str, str]] = []
    kept = 0
    for folder in folders:
        collection = collect(folder)
        unreadable += [(str(folder / path), message) for path, message in collection.unreadable]
        for path, record in collection.found:
            trial = record.trial.id
            earlier = known.get(trial) or wanted.get(trial)
            if earlier is None or (trial in wanted and finished_at_last(earlier[1], record)):
                kept += earlier is not None
                wanted[trial] = (path, record)
                continue
            agree(earlier, (path, record))
            kept += 1
    for trial in wanted:
        if (out / trial).exists():
            raise ValueError(f"{out / trial} is there but holds no readable record. Move it away, then merge again.")
    out.mkdir(parents=True, exist_ok=True)
    for trial, (path, _) in wanted.items():
        # A copy that is cut off must not look like a trial.
        with tempfile.TemporaryDirectory(prefix=".merge-", dir=out) as partial:
            shutil.copytree(path, Path(partial) / trial, ignore=not_its_own)
            (Path(partial) / trial).rename(out / trial)
    return len(wanted), kept, unreadable


def finished_at_last(earlier: Record, later: Record) -> bool:
    return earlier.status == "failed" and later.status == "ok"


def agree(one: tuple[Path, Record], other: tuple[Path, Record]) -> None:
    """Raise ValueError that names both where two records of a trial cannot stand for each other."""
    (here, first), (there, second) = one, other
    if finished_at_last(first, second):
        raise ValueError(
            f"{here} failed, and the same trial finished in {there}. Move the first away, then merge again."
        )
    if second.status == "failed":  # what is there finished, or failed as well
        return
    if as_compared(first) != as_compared(second):
        raise ValueError(
            f"{here} and {there} are the same trial with different scores{differences(first, second)}. Nothing was copied. "
            "Find out which is right and leave the other out."
        )


def as_compared(record: Record) -> dict[str, Any]:
    """A record's scores; a NaN equals a NaN."""
    return {view: {key: str(score) for key, score in scores.items()} for view, scores in record.views.items()}


def differences(first: Record, second: Record) -> str:
    """Of the first score that differs: which, and both values."""
    ours, theirs = as_compared(first), as_compared(second)
    for view in (*ours, *theirs):
        mine, others = ours.get(view, {}), theirs.get(view, {})
        for key in (*mine, *others):
            if mine.get(key) != others.get(key):
                return f" ({key}, {view} view: {mine.get(key, 'none')} and {others.get(key, 'none')})"
    return ""


def not_its_own(folder: str, names: list[str]) -> list[str]:
    """What of a trial's folder is not copied: links, which may lead anywhere, and other trials inside it."""
    paths = [Path(folder) / name for name in names]
    return [path.name for path in paths if path.is_symlink() or (path / RECORD_FILE).exists()]


def tell_unreadable(unreadable: Sequence[tuple[str, str]]) -> None:
    for path, message in unreadable:
        typer.echo(f"Left out, unreadable: {path}: {message.splitlines()[0]}", err=True)
