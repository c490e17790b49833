"""`disbench report`, `export`, `compare`, `select` and `merge`: the page of records, tables, two methods
compared, model selection, folders merged.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column
from rich.text import Text

from disbench.benchmarks.cli.terminal.options import Plugins
from disbench.benchmarks.cli.terminal.printing import console, fail, new_table, say, write_file
from disbench.benchmarks.settings.choices import Format, Statistic
from disbench.reports.records.collect import collect, no_garbage_collection, without_culprits

if TYPE_CHECKING:
    import pandas as pd

    from disbench.reports.comparison.selection import Selection
    from disbench.reports.records.collect import Collection

report_app = typer.Typer()

Folder = Annotated[Path, typer.Argument(help="A folder with records, at any depth.", show_default=False)]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")]


@report_app.command()
def report(
    folder: Folder,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: leaderboard.html in the folder.")
    ] = None,
    every_trial: Annotated[
        bool, typer.Option("--every-trial", help="Also write a page for each trial if there are more than a thousand.")
    ] = False,
    standalone: Annotated[
        bool,
        typer.Option(
            "--standalone", help="Make a page without links to other files, so that it can be published alone."
        ),
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Make the leaderboard page from the records in a folder."""
    show_page(folder, output, every_trial=every_trial, linked=not standalone)


def collected(folder: Path) -> "Collection":
    """The records below a folder; the metrics in them that installed packages have are registered, so that they have labels."""
    from disbench.benchmarks.plugins.packages import provide
    from disbench.metrics import METRICS

    found = collect(folder)
    for name in {name for _, record in found.found for name in record.metric_options} - {*METRICS}:
        with suppress(ValueError):  # it is shown under the name that the records have
            provide("metric", name)
    return found


@no_garbage_collection()
def show_page(folder: Path, output: Path | None = None, *, every_trial: bool = False, linked: bool = True) -> None:
    """Print the tables of a folder's records, write its page and print the path; the records are read once."""
    from disbench.reports.page.render import tabulated, write_page
    from disbench.reports.tables.text import text_of

    grouped, collection = tabulated(collected(folder))
    say(text_of(collection, grouped))
    say(write_page(collection, grouped, output, every_trial=every_trial, linked=linked).resolve())


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
    curves: Annotated[
        bool, typer.Option("--score-curves", help="The scores during training: a line for each trial, metric and step.")
    ] = False,
    seed: Seed = 0,
    plugin: Plugins = None,
) -> None:
    """Write the leaderboard for other programs (csv, json, parquet) or for a paper (latex, markdown)."""
    from disbench.reports.export import export, export_score_curves
    from disbench.reports.tables.aggregate import tables

    if form == "parquet" and output is None:
        raise fail("Parquet cannot be printed to a terminal: name a file with -o.")
    try:
        content, collection = without_culprits(
            collected(folder),
            lambda found: (
                export_score_curves(tables(found), form)
                if curves
                else export(tables(found), form, statistic=statistic, seed=seed)
            ),
        )
    except (ValueError, OSError, ImportError) as error:
        raise fail(error) from error
    if output is not None:
        write_file(output, content)
        say(output)
    else:
        typer.echo(content, nl=False)  # bytes: a file that this is redirected to is UTF-8, whatever the terminal is
    tell_left_out(collection.unreadable)


@report_app.command("compare")
def compare_(
    one: Annotated[str, typer.Argument(metavar="A", help="A method, named as on the page.", show_default=False)],
    other: Annotated[str, typer.Argument(metavar="B", help="Another: 'beta_vae (beta=4)'.", show_default=False)],
    folder: Folder,
    seed: Seed = 0,
    plugin: Plugins = None,
) -> None:
    """Compare A with B: for each dataset and metric the difference of means, its interval, and a verdict.

    A tie is a difference whose 95 % interval (Welch) holds zero. Fewer than three seeds give no interval and no verdict.
    """
    from disbench.reports.comparison import DATA, compare, score_frame
    from disbench.reports.tables.aggregate import tables

    scores, collection = without_culprits(collected(folder), lambda found: score_frame(tables(found)))
    found = compare(scores, one, other, seed=seed)
    if found.empty:
        raise fail(f"{one} and {other} have no dataset in common, so there is nothing to compare.")
    for key, group in found.groupby([*DATA, "view"], sort=False):
        *data, view = map(str, key)
        console.print(f"{title(*data)}, {view} view", markup=False, highlight=False)
        print_comparison(group, one, other)
    shared = set(found[DATA].itertuples(index=False, name=None))
    for only_one in dict.fromkeys(scores[DATA].itertuples(index=False, name=None)):
        if only_one not in shared:
            console.print(f"Not compared on {title(*only_one)}: one of them is missing.", markup=False, highlight=False)
    console.print(
        f"Difference: mean of {one} minus mean of {other}, 95 % interval (Welch). P(improve): the probability that a seed of "
        f"{one} beats a seed of {other}, 95 % bootstrap interval. Verdict: on {one}; a tie where the difference's interval "
        "holds zero. Each line stands alone: of twenty comparisons of equal methods one is expected to look different.",
        markup=False,
        highlight=False,
    )
    seen = [", ".join(sorted(set(scores.loc[scores["method"] == name, "sees"]))) for name in (one, other)]
    if seen[0] != seen[1]:
        words = f"{one} sees {seen[0]}; {other} sees {seen[1]}. On the page they are not ranked together."
        console.print(words, markup=False, highlight=False)
    if found["budgets_differ"].any():
        console.print("Unequal budgets: the two were trained for different numbers of steps.", markup=False)
    tell_left_out(collection.unreadable)


def print_comparison(lines: "pd.DataFrame", one: str, other: str) -> None:
    """The comparison on one dataset, and the reasons for missing values below it."""
    from disbench.reports.tables.columns import column

    table = new_table("metric", Column(Text(one)), Column(Text(other)), "difference", "P(improve)", "verdict")
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


def number(value: float | None, sign: str = "") -> str:
    return "–" if value is None or math.isnan(value) else f"{value:{sign}.3f}"


def interval(low: float | None, high: float | None, sign: str = "") -> str:
    return "" if low is None or math.isnan(low) else f" [{low:{sign}.3f}, {high:{sign}.3f}]"


@report_app.command("select")
def select_(
    folder: Folder,
    metrics: Annotated[
        str, typer.Option("--metrics", help="Comma-separated names of metrics of the records.")
    ] = "mig,dci_disentanglement",
    labels: Annotated[str, typer.Option("--labels", help="Comma-separated numbers of labelled rows.")] = "100,1000",
    draws: Annotated[int, typer.Option(min=1, help="Draws of labelled rows, which picks are averaged over.")] = 10,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: selection.json in the folder, which the page shows.")
    ] = None,
    seed: Seed = 0,
    plugin: Plugins = None,
) -> None:
    """Choose trials without labels and with few, and show what each choice costs.

    Criteria: UDR, seed consistency, reconstruction, lower bound and scores that methods compute, against the score of few
    labeled rows, the best choice and the median. Most need the codes of the trials beside their records.
    """
    from disbench.benchmarks.studies.selection import selection_of
    from disbench.metrics import METRICS
    from disbench.reports.comparison.selection import SELECTION_FILE, Selection, write_selection
    from disbench.reports.tables.aggregate import tables

    wanted = [name.strip() for name in metrics.split(",")]
    if unknown := [name for name in wanted if name not in METRICS]:
        raise fail(f"Unknown metric {unknown[0]!r}. See: disbench list metrics")
    try:
        counts = [int(count) for count in labels.split(",")]
    except ValueError as error:
        raise fail(f"--labels needs whole numbers, such as 100,1000; got {labels!r}.") from error
    collection = collected(folder)
    found = [selection_of(table, wanted, counts, draws, seed) for table in tables(collection.found)]
    datasets = [each for each in found if each is not None]
    if not datasets:
        raise fail(f"{folder} has no dataset with two trials without supervision, so there is nothing to choose.")
    command = f"disbench select {folder.as_posix()} --metrics {metrics} --labels {labels} --draws {draws} --seed {seed}"
    selection = Selection(command=command, metrics=wanted, labels=counts, draws=draws, seed=seed, datasets=datasets)
    path = write_selection(selection, output or folder / SELECTION_FILE)
    print_selection(selection)
    say(path)
    tell_left_out(collection.unreadable)


def print_selection(selection: "Selection") -> None:
    """The picks of every dataset, a table for each metric and choice."""
    from disbench.reports.comparison.selection import CHOICES, criterion_label
    from disbench.reports.tables.columns import column

    for dataset in selection.datasets:
        for metric in selection.metrics:
            for choice, words in CHOICES.items():
                own = [pick for pick in dataset.picks if (pick.metric, pick.choice) == (metric, choice)]
                if not own:
                    continue
                console.print(f"{dataset.dataset}, {column(metric).label}. {words}:", markup=False, highlight=False)
                table = new_table("criterion", "picks", "score", "regret")
                for pick in own:
                    regret = number(pick.regret) + interval(pick.low, pick.high)
                    table.add_row(
                        *(
                            Text(each)
                            for each in (criterion_label(pick.criterion), pick.picked, number(pick.score), regret)
                        )
                    )
                console.print(table)
        for reason in dataset.missing.values():
            say(reason, err=True)


@report_app.command()
def merge(
    out: Annotated[Path, typer.Argument(help="The folder to copy to.", show_default=False)],
    folders: Annotated[list[Path], typer.Argument(help="Folders with records, at any depth.", show_default=False)],
) -> None:
    """Copy trials from several folders into one. Nothing is overwritten.

    A trial that occurs twice is copied once if its scores are the same. If they differ, nothing is copied, and you have to
    decide which scores are right.
    """
    from disbench.benchmarks.studies.merge import merge_folders

    merged = merge_folders(out, folders)
    say(f"{out}: {merged.copied} trial{'s' * (merged.copied != 1)} copied, {merged.kept} already there or duplicates.")
    for trial in merged.remade:
        say(f"Another record with the same scores was not copied: {trial}")
    tell_left_out(merged.left_out)
    if merged.left_out:
        raise typer.Exit(1)


def tell_left_out(left_out: Sequence[tuple[str, str]]) -> None:
    for path, reason in left_out:
        say(f"Left out: {path}: {reason}", err=True)
