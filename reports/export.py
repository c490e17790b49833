"""The leaderboard in forms for other programs and for papers: CSV, JSON, Parquet; LaTeX, Markdown.

CSV, JSON and Parquet hold the columns of `compare.LEADERBOARD`, a line for each dataset, view, method and metric. LaTeX and
Markdown hold a table for each dataset and view, so official and procedural data never meet in one: the best mean is bold, means
within noise of it are underlined, by the page's own rule, and notices stand below the table.
"""

import html
import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import pandas as pd

from disbench.reports.aggregate import Table
from disbench.reports.columns import Column, columns
from disbench.reports.compare import DATA, leaderboard, score_frame
from disbench.reports.notices import short_runs

Format = Literal["csv", "json", "latex", "markdown", "parquet"]
Statistic = Literal["mean", "iqm"]
FORMATS: tuple[Format, ...] = ("csv", "json", "latex", "markdown", "parquet")

_METRICS = {"mean": 4, "iqm": 3}  # columns that fit beside each other on a page
_LEGENDS = {
    "mean": "Mean ± sample standard deviation over seeds. Bold: best mean; underlined: within noise of it, that is, no further "
    "than the combined standard deviation of both. An exponent counts the scores behind a cell where some are missing.",
    "iqm": "Interquartile mean over seeds with 95 % bootstrap interval, which needs three seeds. Bold: best mean; underlined: "
    "within noise of it. An exponent counts the scores behind a cell where some are missing.",
}
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",  # the straight quote is not in TeX's default encoding
    "–": "--",
    "×": r"$\times$",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "[": "{[}",  # after a line's \\ a bracket or star would be read as its argument
    "*": "{*}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


class Page(NamedTuple):
    """One dataset's table in one view. `lines` {(method, metric): its line of the leaderboard}."""

    title: str
    heads: tuple[Column, ...]
    trained: tuple[str, ...]
    untrained: tuple[str, ...]
    lines: dict[tuple[str, str], dict[str, Any]]
    budgets_differ: bool
    notices: tuple[str, ...]


def export(tables: Sequence[Table], form: Format, *, statistic: Statistic = "mean", seed: int = 0) -> bytes:
    """The leaderboard as the content of a file; text is UTF-8.

    `statistic` is what LaTeX and Markdown show: mean and standard deviation, or interquartile mean and interval. Raises
    ImportError for Parquet without pyarrow, ValueError for an unknown format.
    """
    if form not in FORMATS:
        raise ValueError(f"There is no format {form!r}; there are {', '.join(FORMATS)}.")
    scores = score_frame(tables)
    board = leaderboard(scores, seed=seed)
    if form == "parquet":
        return _parquet(board)
    if form == "csv":
        board["tied_with"] = ["; ".join(names) for names in board["tied_with"]]
        return board.to_csv(index=False, lineterminator="\n").encode()
    if form == "json":
        return _json(board, scores, tables).encode()
    written = [(_latex if form == "latex" else _markdown)(page, statistic) for page in _pages(board, tables)]
    head = "% Needs \\usepackage{booktabs} in the preamble.\n" if form == "latex" else ""
    return (head + "\n".join(written)).encode()


def latex_text(words: str) -> str:
    """Words that LaTeX prints as they are. What its default fonts lack is named by its code point."""
    return "".join(_latex_character(character) for character in " ".join(words.split()))


def markdown_text(words: str) -> str:
    """Words that Markdown, also inside a table, shows as they are."""
    escaped = html.escape(" ".join(words.split()), quote=False)
    return re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", escaped)


def _latex_character(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    if character.isascii():
        return character if character.isprintable() else " "
    name = unicodedata.name(character, "")
    greek = re.fullmatch(r"GREEK SMALL LETTER (\w+)", name)
    if greek and greek[1] != "OMICRON":
        return f"$\\{greek[1].replace('LAMDA', 'LAMBDA').lower()}$"
    if "LATIN" in name and len(unicodedata.normalize("NFD", character)) == 2 and ord(character) < 0x180:
        return character
    return f"{{[}}U+{ord(character):04X}]"


def _pages(board: pd.DataFrame, tables: Iterable[Table]) -> Iterable[Page]:
    notices = {_key(table): _notices(table) for table in tables}
    for key, group in board.groupby([*DATA, "view"], sort=False):
        dataset, options, version, provenance, view = map(str, key)
        settings = ", ".join(f"{name}={value}" for name, value in sorted(json.loads(options).items()))
        title = f"{dataset} ({provenance}, version {version}{', ' if settings else ''}{settings}), {view} view"
        lines = {(line["method"], line["metric"]): line for line in _records(group)}
        trained = tuple(dict.fromkeys(group["method"][group["trained"]]))
        untrained = tuple(dict.fromkeys(group["method"][~group["trained"]]))
        differ = bool(group["budgets_differ"].any())
        yield Page(
            title,
            columns(group["metric"]),
            trained,
            untrained,
            lines,
            differ,
            notices[dataset, options, version, provenance],
        )


def _key(table: Table) -> tuple[str, str, str, str]:
    return table.dataset, json.dumps(table.options, sort_keys=True), table.version, table.provenance or "unknown"


def _notices(table: Table) -> tuple[str, ...]:
    short = short_runs(record for row in table.rows for _, record in row.trials)
    return (*([short] if short else []), *table.notices)


def _records(board: pd.DataFrame) -> list[dict[str, Any]]:
    """The lines of a leaderboard as dicts, None where there is no number."""
    plain = board.astype(object).where(board.notna(), None)
    return [{str(name): value for name, value in line.items()} for line in plain.to_dict("records")]


def _latex(page: Page, statistic: Statistic) -> str:
    def cell(line: dict[str, Any] | None) -> str:
        parts = _numbers(line, statistic)
        if line is None or parts is None:
            return "--"
        value, spread = parts
        power = f"^{{({line['n']})}}" if line["n"] != line["seeds"] else ""
        value = f"\\mathbf{{{value}}}" if line["mark"] == "best" else value
        text = (
            f"${value}{power}{' ' if spread else ''}{spread.replace('±', chr(92) + 'pm').replace('[', chr(92) + ';[')}$"
        )
        return f"\\underline{{{text}}}" if line["mark"] == "noise" else text

    blocks = []
    beside = _METRICS[statistic]
    for heads in (page.heads[start : start + beside] for start in range(0, len(page.heads), beside)):
        first = ["Method", "Seeds", *["Steps"] * page.budgets_differ]
        header = [*first, *(latex_text(f"{head.label} {head.arrow}") for head in heads)]
        body = []
        for methods in (page.trained, page.untrained):
            if methods:
                body.append("\\midrule")
            for method in methods:
                lead, cells = _line(page, method, heads, cell)
                body.append(" & ".join([*map(latex_text, lead), *cells]) + " \\\\")
        blocks.append(
            "\n".join(
                [
                    f"\\begin{{tabular}}{{l{'r' * (len(first) - 1)}{'c' * len(heads)}}}",
                    "\\toprule",
                    " & ".join(header) + " \\\\",
                    *body,
                    "\\bottomrule",
                    "\\end{tabular}",
                ]
            )
        )
    notes = "\n\n".join(latex_text(note) for note in (_LEGENDS[statistic], *page.notices))
    return "\n".join(
        [
            "\\begin{table}",
            "\\centering\\footnotesize\\setlength{\\tabcolsep}{4pt}",
            f"\\caption{{{latex_text(page.title)}}}",
            "\n\n\\medskip\n".join(blocks),
            "",
            "\\medskip\n\\begin{minipage}{\\linewidth}\\scriptsize",
            notes,
            "\\end{minipage}",
            "\\end{table}",
            "",
        ]
    )


def _markdown(page: Page, statistic: Statistic) -> str:
    def cell(line: dict[str, Any] | None) -> str:
        parts = _numbers(line, statistic)
        if line is None or parts is None:
            return "–"
        value, spread = parts
        power = f"<sup>({line['n']})</sup>" if line["n"] != line["seeds"] else ""
        value = f"**{value}**" if line["mark"] == "best" else value
        text = f"{value}{power}{' ' if spread else ''}{spread.replace('[', chr(92) + '[').replace(']', chr(92) + ']')}"
        return f"<u>{text}</u>" if line["mark"] == "noise" else text

    written = [f"### {markdown_text(page.title)}", ""]
    first = ["Method", "Seeds", *["Steps"] * page.budgets_differ]
    header = [*first, *(markdown_text(f"{head.label} {head.arrow}") for head in page.heads)]
    written += [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    for method in (*page.trained, *page.untrained):
        lead, cells = _line(page, method, page.heads, cell)
        written.append(f"| {' | '.join([*map(markdown_text, lead), *cells])} |")
    written.append("")
    for note in (_LEGENDS[statistic], *page.notices):
        written += [f"{markdown_text(note)}", ""]
    return "\n".join(written)


def _line(
    page: Page, method: str, heads: Sequence[Column], cell: Callable[[dict[str, Any] | None], str]
) -> tuple[list[str], list[str]]:
    """A method's words (label, seeds, perhaps steps) and its cells. A failed seed shows as `2 of 3`."""
    own = [page.lines[method, head.key] for head in page.heads if (method, head.key) in page.lines]
    seeds, finished = own[0]["seeds"], own[0]["seeds"] - own[0]["failed"]
    lead = [method, f"{seeds}" if finished == seeds else f"{finished} of {seeds}"]
    lead += [f"{own[0]['steps']:,}"] * page.budgets_differ
    return lead, [cell(page.lines.get((method, head.key))) for head in heads]


def _numbers(line: dict[str, Any] | None, statistic: Statistic) -> tuple[str, str] | None:
    """A cell's value and what stands behind it: ± deviation, or [interval]."""
    if line is None or line[statistic] is None:
        return None
    if statistic == "mean":
        return f"{line['mean']:.3f}", "" if line["sd"] is None else f"± {line['sd']:.3f}"
    return f"{line['iqm']:.3f}", "" if line["low"] is None else f"[{line['low']:.3f}, {line['high']:.3f}]"


def _json(board: pd.DataFrame, scores: pd.DataFrame, tables: Iterable[Table]) -> str:
    """The leaderboard with each cell's scores by seed, and the notices of each dataset."""
    key = [*DATA, "view", "method", "metric"]
    values = scores.dropna(subset="score")
    by_cell = {
        tuple(cell): {int(seed): float(score) for seed, score in zip(own["seed"], own["score"], strict=True)}
        for cell, own in values.groupby(key, sort=False)
    }
    lines = [line | {"scores": by_cell.get(tuple(line[name] for name in key), {})} for line in _records(board)]
    told = [dict(zip(DATA, _key(table), strict=True)) | {"notices": list(_notices(table))} for table in tables]
    return json.dumps({"leaderboard": lines, "datasets": told}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _parquet(board: pd.DataFrame) -> bytes:
    content = io.BytesIO()
    board["tied_with"] = [list(names) for names in board["tied_with"]]
    try:
        board.to_parquet(content, engine="pyarrow", index=False)
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow, which is not here: pip install 'disbench[parquet]'") from error
    return content.getvalue()
