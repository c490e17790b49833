"""The leaderboard in formats for other programs (CSV, JSON, Parquet) and for papers (LaTeX, Markdown).

CSV, JSON and Parquet hold the columns of `comparison.LEADERBOARD`, a line for each dataset, view, method and metric. LaTeX and
Markdown hold a table for each dataset and view, so official and procedural data are never in one table: the best mean is bold,
means within noise of it are underlined, by the same rule as on the page, and notices follow the table. The script of the page
joins its exports from the same texts (`pieces`).
"""

import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import pandas as pd

from disbench.datasets.untrusted import printable, spreadsheet_text
from disbench.reports.comparison import leaderboard, score_curve_frame, score_frame
from disbench.reports.tables.columns import Column, columns
from disbench.reports.tables.escape import latex_text, markdown_text
from disbench.reports.tables.notices import short_runs
from disbench.reports.tables.table import DATA, DataKey, Table

Format = Literal["csv", "json", "latex", "markdown", "parquet"]
Statistic = Literal["mean", "iqm", "rank"]
FORMATS: tuple[Format, ...] = ("csv", "json", "latex", "markdown", "parquet")

STATISTICS: tuple[Statistic, ...] = ("mean", "iqm", "rank")
METRICS_BESIDE = {"mean": 4, "iqm": 3, "rank": 4}  # columns that fit beside each other on a page
_MARKS = (
    "Bold: best mean; underlined: within noise of it, that is, Welch's 95 % interval of the difference of both means holds "
    "zero, which needs three seeds of each. An exponent counts the scores behind a cell where some are missing."
)
_LEGENDS: dict[Statistic, str] = {
    "mean": f"Mean ± sample standard deviation over seeds. {_MARKS}",
    "iqm": f"Interquartile mean over seeds with 95 % bootstrap interval, which needs three seeds. {_MARKS}",
    "rank": "Place: one more than the number of methods that are better by Welch's 95 % interval; = is tied with another. In "
    f"brackets the rank by mean in 95 % of bootstraps over seeds. (In parentheses): by mean alone, too few seeds. {_MARKS}",
}
_OVERVIEW = (
    "Mean rank over datasets, by each method's mean there, 1 the best; in brackets 95 % of bootstraps over seeds.",
    "Interquartile mean over all seeds of all datasets with 95 % bootstrap interval.",
    "Mean rank over datasets, by each method's mean there, 1 the best; in brackets 95 % of bootstraps over seeds.",
)
LATEX_HEAD = "% Needs \\usepackage{booktabs} in the preamble.\n"
LATEX_BEFORE = "\\begin{table}\n\\centering\\footnotesize\\setlength{\\tabcolsep}{4pt}\n"
LATEX_BETWEEN = "\n\n\\medskip\n"
LATEX_AFTER = (
    "\n\n\\medskip\n\\begin{minipage}{\\linewidth}\\scriptsize\n",
    "\n\\end{minipage}\n\\end{table}\n",
)


class Page(NamedTuple):
    """One dataset's table in one view; `lines` {(method, metric): line of the leaderboard}."""

    data: DataKey
    view: str
    title: str
    heads: tuple[Column, ...]
    trained: tuple[str, ...]
    untrained: tuple[str, ...]
    lines: dict[tuple[str, str], dict[str, Any]]
    budgets_differ: bool
    shows_sight: bool
    notices: tuple[str, ...]


def export(tables: Sequence[Table], form: Format, *, statistic: Statistic = "mean", seed: int = 0) -> bytes:
    """Write the leaderboard as the content of a file.

    Parameters
    ----------
    tables : sequence of Table
        As `tables` makes them.
    form : {"csv", "json", "latex", "markdown", "parquet"}
        Format of the file.
    statistic : {"mean", "iqm", "rank"}, default "mean"
        What LaTeX and Markdown show: mean and standard deviation, interquartile mean and interval, or place and ranks.
    seed : int, default 0
        Seed of the bootstrap.

    Returns
    -------
    bytes
        Text is UTF-8.

    Raises
    ------
    ValueError
        If the format is unknown.
    ImportError
        If the format is Parquet and pyarrow is not installed.

    Examples
    --------
    >>> from disbench.reports.export import export
    >>> from pathlib import Path
    >>> from disbench.reports.records import Record, Trial, write_record
    >>> trial = Trial(method="vae", dataset="dsprites_like", dataset_version="1", seed=0, steps=100, batch_size=64)
    >>> record = Record(trial=trial, status="ok", views={"mean": {"mig": 0.25}})
    >>> path = write_record(record, Path("runs") / trial.id)
    >>> from disbench.reports.records.collect import collect
    >>> from disbench.reports.tables.aggregate import tables
    >>> lines = export(tables(collect(Path("runs")).found), "markdown").decode().splitlines()
    >>> [line for line in lines if "vae" in line]
    ['| vae | 1 | 0.250 |']
    """
    if form not in FORMATS:
        raise ValueError(f"There is no format {form!r}; there are {', '.join(FORMATS)}.")
    scores = score_frame(tables)
    board = leaderboard(scores, seed=seed)
    if form == "parquet":
        board["tied_with"] = [list(names) for names in board["tied_with"]]
        return _parquet(board)
    if form == "csv":
        board["tied_with"] = ["; ".join(names) for names in board["tied_with"]]
        return _csv(board)
    if form == "json":
        return _json(board, scores, tables).encode()
    written = [(_latex if form == "latex" else _markdown)(page, statistic) for page in pages(board, tables)]
    return ((LATEX_HEAD if form == "latex" else "") + "\n".join(written)).encode()


def export_score_curves(tables: Sequence[Table], form: Format) -> bytes:
    """Write the scores during training as CSV, JSON or Parquet. Raises ValueError for another format, or without scores."""
    curves = score_curve_frame(tables)
    if form in ("latex", "markdown"):
        raise ValueError(f"Scores during training can be csv, json or parquet, not {form}.")
    if curves.empty:
        raise ValueError(
            "No trial has scores during training: train with evaluate_every, and see `disbench run --help`."
        )
    if form == "json":
        return (printable(json.dumps(records(curves), indent=1, ensure_ascii=False, allow_nan=False)) + "\n").encode()
    return _parquet(curves) if form == "parquet" else _csv(curves)


def pages(board: pd.DataFrame, tables: Iterable[Table]) -> Iterable[Page]:
    """Iterate over a page for each dataset and view of a leaderboard (`comparison.leaderboard`)."""
    notices = {table.key: notices_of(table) for table in tables}
    for key, group in board.groupby([*DATA, "view"], sort=False):
        dataset, options, version, provenance, view = map(str, key)
        settings = ", ".join(f"{name}={value}" for name, value in sorted(json.loads(options).items()))
        title = f"{dataset} ({provenance}, version {version}{', ' if settings else ''}{settings}), {view} view"
        data = dataset, options, version, provenance
        yield Page(
            data,
            view,
            title,
            heads=columns(group["metric"]),
            trained=tuple(dict.fromkeys(group["method"][group["trained"]])),
            untrained=tuple(dict.fromkeys(group["method"][~group["trained"]])),
            lines={(line["method"], line["metric"]): line for line in records(group)},
            budgets_differ=bool(group["budgets_differ"].any()),
            shows_sight=bool((group["sees"][group["trained"]] != "images").any()),
            notices=notices[data],
        )


def notices_of(table: Table) -> tuple[str, ...]:
    """List the notices that belong next to a table wherever it is shown."""
    short = short_runs(record for row in table.rows for _, record in row.trials)
    return (short, *table.notices) if short else table.notices


def records(board: pd.DataFrame) -> list[dict[str, Any]]:
    """Convert the lines of a leaderboard to dicts, with None where there is no number."""
    lines: list[dict[Any, Any]] = board.astype(object).where(board.notna(), None).to_dict("records")
    return lines


def pieces(page: Page) -> dict[str, Any]:
    """List the texts of which LaTeX and Markdown of a page consist, as values for JSON.

    `cells` of a row is {metric: {form: texts}}, `notes` {form: lists of texts}, each in the order of STATISTICS.
    """
    rows = []
    for method in (*page.trained, *page.untrained):
        lines = {head.key: page.lines.get((method, head.key)) for head in page.heads}
        cells = {key: [(numbers(line, s), *_standing(line)) for s in STATISTICS] for key, line in lines.items()}
        rows.append((method, method in page.trained, _lead(page, method), cells))
    first = ["Method", *["Sees"] * page.shows_sight, "Seeds", *["Steps"] * page.budgets_differ]
    notes = [(_LEGENDS[s], *page.notices) for s in STATISTICS]
    return _pieces(page.view, page.title, first, page.heads, rows, notes)


def overview_pieces(
    title: str, heads: Sequence[Column], lines: Mapping[tuple[str, str], Mapping[str, Any]], notices: Sequence[str]
) -> dict[str, Any]:
    """List the texts of `comparison.overview`, whose `lines` are {(method, metric): line}."""
    rows = []
    for method in dict.fromkeys(method for method, _ in lines):
        own = {head.key: lines.get((method, head.key)) for head in heads}
        cells = {key: [(overview_numbers(line, s), "", "") for s in STATISTICS] for key, line in own.items()}
        most = max(int(line["datasets"]) for line in own.values() if line is not None)
        rows.append((method, True, [method, f"{most}"], cells))
    return _pieces("", title, ["Method", "Datasets"], heads, rows, [(legend, *notices) for legend in _OVERVIEW])


def _pieces(
    view: str,
    title: str,
    first: Sequence[str],
    heads: Sequence[Column],
    rows: Iterable[tuple[str, bool, Sequence[str], Mapping[str, Sequence[tuple[Any, str, str]]]]],
    notes: Sequence[Sequence[str]],
) -> dict[str, Any]:
    words: dict[str, Callable[[str], str]] = {"latex": latex_text, "markdown": markdown_text}
    return {
        "view": view,
        "title": {form: own(title) for form, own in words.items()},
        "first": list(first),
        "heads": {head.key: {form: own(f"{head.label} {head.arrow}") for form, own in words.items()} for head in heads},
        "rows": [
            {
                "method": method,
                "trained": trained,
                "lead": {form: [own(word) for word in lead] for form, own in words.items()},
                "cells": {
                    key: {form: [_cell(*cell, form) for cell in own] for form in words} for key, own in cells.items()
                },
            }
            for method, trained, lead, cells in rows
        ],
        "notes": {form: [[own(note) for note in beside] for beside in notes] for form, own in words.items()},
    }


def _latex(page: Page, statistic: Statistic) -> str:
    own, at, beside = pieces(page), STATISTICS.index(statistic), METRICS_BESIDE[statistic]
    blocks = []
    for keys in (list(own["heads"])[start : start + beside] for start in range(0, len(page.heads), beside)):
        header = [*own["first"], *(own["heads"][key]["latex"] for key in keys)]
        body = []
        for trained in (True, False):
            rows = [row for row in own["rows"] if row["trained"] is trained]
            body += ["\\midrule"] * bool(rows)
            for row in rows:
                cells = [row["cells"][key]["latex"][at] for key in keys]
                body.append(" & ".join([*row["lead"]["latex"], *cells]) + " \\\\")
        columns_of = f"l{'r' * (len(own['first']) - 1)}{'c' * len(keys)}"
        top = [f"\\begin{{tabular}}{{{columns_of}}}", "\\toprule", " & ".join(header) + " \\\\"]
        blocks.append("\n".join([*top, *body, "\\bottomrule", "\\end{tabular}"]))
    caption = f"\\caption{{{own['title']['latex']}}}\n"
    return f"{LATEX_BEFORE}{caption}{LATEX_BETWEEN.join(blocks)}{LATEX_AFTER[0]}" + (
        "\n\n".join(own["notes"]["latex"][at]) + LATEX_AFTER[1]
    )


def _markdown(page: Page, statistic: Statistic) -> str:
    own, at = pieces(page), STATISTICS.index(statistic)
    header = [*own["first"], *(head["markdown"] for head in own["heads"].values())]
    written = [f"### {own['title']['markdown']}", "", f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    for row in own["rows"]:
        cells = [row["cells"][key]["markdown"][at] for key in own["heads"]]
        written.append(f"| {' | '.join([*row['lead']['markdown'], *cells])} |")
    for note in own["notes"]["markdown"][at]:
        written += ["", note]
    return "\n".join([*written, ""])


def _lead(page: Page, method: str) -> list[str]:
    """Write a row's label, what it sees if some see more than images, seeds (`2 of 3`), and steps if budgets differ."""
    own = next(page.lines[method, head.key] for head in page.heads if (method, head.key) in page.lines)
    seeds, finished = own["seeds"], own["seeds"] - own["failed"]
    lead = [method, *[own["sees"]] * page.shows_sight, f"{seeds}" if finished == seeds else f"{finished} of {seeds}"]
    return lead + [f"{own['steps']:,}"] * page.budgets_differ


def _standing(line: Mapping[str, Any] | None) -> tuple[str, str]:
    """Write a cell's mark, and the number of its scores if that is not all seeds."""
    if line is None:
        return "", ""
    return line["mark"], f"({line['n']})" if line["n"] != line["seeds"] else ""


def _cell(parts: tuple[str, str] | None, mark: str, count: str, form: str) -> str:
    if parts is None:
        return "--" if form == "latex" else "–"
    value, spread = parts
    if form == "latex":
        value = f"\\mathbf{{{value}}}" if mark == "best" else value
        spread = spread.replace("±", "\\pm").replace("[", "\\;[")
        text = f"${value}{f'^{{{count}}}' if count else ''}{' ' if spread else ''}{spread}$"
        return f"\\underline{{{text}}}" if mark == "noise" else text
    value = f"**{value}**" if mark == "best" else value
    spread = spread.replace("[", "\\[").replace("]", "\\]")
    text = f"{value}{f'<sup>{count}</sup>' if count else ''}{' ' if spread else ''}{spread}"
    return f"<u>{text}</u>" if mark == "noise" else text


def numbers(line: Mapping[str, Any] | None, statistic: Statistic) -> tuple[str, str] | None:
    """Write a cell's value, and its ± deviation or [interval]; None if there is no such number."""
    if line is None or line[statistic] is None:
        return None
    if statistic == "mean":
        return f"{line['mean']:.3f}", "" if line["sd"] is None else f"± {line['sd']:.3f}"
    if statistic == "iqm":
        return f"{line['iqm']:.3f}", _interval(line["low"], line["high"], ".3f")
    if line["place"] is None:
        return f"({line['rank']:g})", ""
    place = f"{'=' if line['tied_with'] else ''}{line['place']:g}"
    return place, _interval(line["rank_low"], line["rank_high"], "g")


def _interval(low: float | None, high: float | None, form: str) -> str:
    return "" if low is None else f"[{low:{form}}, {high:{form}}]"


def overview_numbers(line: Mapping[str, Any] | None, statistic: Statistic) -> tuple[str, str] | None:
    """Write the interquartile mean or the mean rank of a line of the overview, with its interval."""
    value, low, high = ("iqm", "low", "high") if statistic == "iqm" else ("mean_rank", "rank_low", "rank_high")
    if line is None or line[value] is None:
        return None
    form = ".3f" if statistic == "iqm" else ".2f"
    return format(line[value], form), _interval(line[low], line[high], form)


def _json(board: pd.DataFrame, scores: pd.DataFrame, tables: Iterable[Table]) -> str:
    """Write the leaderboard with each cell's scores by seed, and the notices of each dataset."""
    datasets = [dict(zip(DATA, table.key, strict=True)) | {"notices": list(notices_of(table))} for table in tables]
    content = {"leaderboard": scored_lines(board, scores), "datasets": datasets}
    return printable(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)) + "\n"


def scored_lines(board: pd.DataFrame, scores: pd.DataFrame) -> list[dict[str, Any]]:
    """List the lines of a leaderboard, each with its `scores` by seed; None where there is no number."""
    key = [*DATA, "view", "method", "metric"]
    values = scores.dropna(subset="score")
    by_cell = {
        tuple(cell): {int(seed): float(score) for seed, score in zip(own["seed"], own["score"], strict=True)}
        for cell, own in values.groupby(key, sort=False)
    }
    return [line | {"scores": by_cell.get(tuple(line[name] for name in key), {})} for line in records(board)]


def _csv(board: pd.DataFrame) -> bytes:
    words = board.map(lambda value: spreadsheet_text(value) if isinstance(value, str) else value)
    return words.to_csv(index=False, lineterminator="\n").encode()


def _parquet(board: pd.DataFrame) -> bytes:
    content = io.BytesIO()
    try:
        board.to_parquet(content, engine="pyarrow", index=False)
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow, which is not here: pip install 'disbench[parquet]'") from error
    return content.getvalue()
