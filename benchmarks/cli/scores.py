"""Select metrics by name, and show scores as tables, CSV or a picture."""

import csv
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text

from disbench.benchmarks.cli.terminal.options import metric_settings
from disbench.benchmarks.cli.terminal.printing import Terminal, console, fail, new_table, say, write_file
from disbench.benchmarks.plugins.packages import names as names_of, provide
from disbench.benchmarks.settings.choices import DEFAULT_METRICS
from disbench.benchmarks.trials.score import Scores, named_entries
from disbench.benchmarks.trials.tables.named_table import NamedTable
from disbench.datasets.untrusted import spreadsheet_text
from disbench.datasets.wording import did_you_mean, listed, shown
from disbench.metrics import METRICS, PROTOCOLS
from disbench.metrics.information import table_information
from disbench.metrics.repeated_rows import rows_of_images
from disbench.metrics.table import NotApplicable, as_table
from disbench.reports.markup.image_grids import information_matrix, png

SPREAD = {"bootstrap": "95 %", "seeds": "{n} seeds"}
CONFIDENCE_COLUMNS = ("kind", "low", "high", "mean", "sd", "n")
DETAIL_COLUMNS = 5  # as many as a terminal holds
PICTURE_BINS = 20
REPEATED = 0.01  # share of rows, below which repeats hardly change a score


def metric_options(
    names: str | None, settings: list[str] | None, protocol: str | None = None
) -> dict[str, dict[str, Any]]:
    """The metrics that are asked for, the usual ones by default, with the settings of a publication if one is named.

    Single settings win over the publication's.
    """
    if protocol is not None and protocol not in PROTOCOLS:
        meant = did_you_mean(protocol, PROTOCOLS)
        raise fail(f"There is no protocol {shown(protocol)}; there are {', '.join(PROTOCOLS)}.{meant}")
    known: Collection[str] = PROTOCOLS[protocol] if protocol else names_of("metric")
    usual = [name for name in DEFAULT_METRICS if name in known]
    wanted = usual if names is None else [name.strip() for name in names.split(",") if name.strip()]
    strange = [name for name in wanted if name not in known]
    if strange or not wanted:
        whose = f"Of {protocol} there are settings for" if protocol else "Known:"
        meant = did_you_mean(strange[0], known) if strange else ""
        raise fail(f"Unknown metric {listed(strange) if strange else '(none given)'}. {whose} {listed(known)}.{meant}")
    for name in wanted:
        provide("metric", name)
    own = metric_settings(settings)
    if idle := [name for name in own if name not in wanted]:
        raise fail(
            f"--metric-option sets {', '.join(idle)}, the metrics asked for are {', '.join(wanted)}. Add --metrics."
        )
    return {name: {**(PROTOCOLS[protocol][name] if protocol else {}), **own.get(name, {})} for name in wanted}


def metrics_without_settings(names: str | None, protocol: str | None) -> dict[str, str]:
    """The usual metrics that a publication has no settings for, with the reason why they have no score."""
    if protocol is None or names is not None:
        return {}
    reason = f"{protocol} has no settings for it; it has settings for {', '.join(PROTOCOLS[protocol])}."
    return {name: reason for name in DEFAULT_METRICS if name not in PROTOCOLS[protocol]}


def announce(wanted: dict[str, Any], rows: int) -> None:
    """Say on a terminal what is scored: DCI takes minutes on ten thousand rows."""
    terminal = Terminal(stderr=True)
    if terminal.is_terminal:
        terminal.print(f"Scoring {rows:,} rows: {', '.join(wanted)}", highlight=False)


def warn_of_repeated_rows(table: NamedTable) -> None:
    """Say on stderr that images are in the table several times, which a held-out row must not be."""
    rows = len(table.codes)
    try:
        repeated = rows - len(rows_of_images(as_table(table.codes, table.factors, quantized=table.quantized)))
    except NotApplicable:  # the scores say so
        return
    if repeated >= REPEATED * rows:
        say(
            f"{repeated:,} of {rows:,} rows repeat another row in all codes and factors. Predictors and nearest rows"
            " recognize them, so score each image once.",
            err=True,
        )


def print_scores(found: Scores, options: Mapping[str, Mapping[str, Any]]) -> None:
    """A table of scores, which the metrics have under `options`."""

    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    spread = bool(found.confidence or found.no_confidence)
    table = new_table("metric", "score", "floor", "ceiling", "range", *["confidence"] * spread)
    for name in found.scores:
        metric = METRICS[name]
        low, high = metric.bounds_with(options.get(name, {}))
        numbers = [number(scores.get(name)) for scores in (found.scores, found.floor, found.ceiling)]
        around = found.confidence.get(name)
        told = "–" if around is None else f"{around['low']:.3f} to {around['high']:.3f}, {SPREAD[around['kind']]}"
        arrow = "↑" if metric.higher_is_better else "↓"
        table.add_row(
            f"{metric.label} {arrow}",
            *numbers,
            f"{low:g} to {high:g}" if np.isfinite(high) else f"from {low:g}",
            *[told.format(**around or {})] * spread,
        )
    console.print(table)
    for name, reason in found.skipped.items():
        console.print(f"{METRICS[name].label}: not applicable. {reason}", markup=False)
    for name, reason in found.no_confidence.items():
        console.print(f"{METRICS[name].label}: no confidence, {reason}", markup=False)
    if found.confidence:
        console.print(
            "95 %: where another sample of as many rows would score; the smallest and largest of seeds: how far the"
            " metric's own draws move it.",
            markup=False,
        )


def add_to_records(runs: Path, names: str, settings: list[str] | None, root: str | None) -> None:
    """Score each trial of a folder by further metrics, write them into its record, and print them."""
    from disbench.benchmarks.trials.tables.added import (
        add_scores,
        folders,
    )  # with torch, which scores alone do not need

    wanted = metric_options(names, settings)
    found = folders(runs)
    if not found:
        raise fail(f"{runs} has no records. Give a folder that `disbench run` or `train` wrote, or one trial of it.")
    table = new_table("trial", *wanted)
    left_out = []
    for number, folder in enumerate(found, start=1):
        try:
            record = add_scores(folder, wanted, root, f"[{number}/{len(found)}] {folder.name}")
        except (ValueError, OSError) as error:
            left_out.append(f"{folder.name}: {error}")
            continue
        scores = [record.scores.get(name) for name in wanted]
        table.add_row(folder.name, *("–" if score is None else f"{score:.3f}" for score in scores))
    if table.row_count:
        console.print(table)
    for line in left_out:
        say(line, err=True)
    if not table.row_count:
        raise fail(f"None of {len(found)} records in {runs} could be scored.")
    say(f"Added to {table.row_count} of {len(found)} records in {runs}.")


def print_detail(found: Scores, factor_names: Sequence[str], code_names: Sequence[str]) -> None:
    """What each metric says of each factor or code: names and its first numbers; JSON and CSV hold all of them."""
    for name, detail in found.detail.items():
        for entries in named_entries(detail, factor_names, code_names):
            table = new_table(
                *(key.replace("_", " ") for key in list(entries[0])[:DETAIL_COLUMNS]), title=METRICS[name].label
            )
            for entry in entries:
                table.add_row(*(Text(cell(value)) for value in list(entry.values())[:DETAIL_COLUMNS]))
            console.print(table)
    for what, names, letter in (("constant_factors", factor_names, "v"), ("dropped_codes", code_names, "z")):
        for name, detail in found.detail.items():
            if left_out := [names[i] if names else f"{letter}{i}" for i in detail.get(what, ())]:
                told = f"{METRICS[name].label}: without {what.replace('_', ' ')} {', '.join(left_out)}."
                console.print(told, markup=False)


def cell(value: object) -> str:
    """A value of a detail as a reader wants it."""
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def write_csv(found: Scores) -> None:
    """Scores, a metric a line, empty where it has no number; reasons go to stderr."""
    spread = CONFIDENCE_COLUMNS if found.confidence or found.no_confidence else ()
    writer = csv.writer(sys.stdout)
    writer.writerow(["metric", "score", "floor", "ceiling", *spread])
    for name in (*found.scores, *found.skipped):
        around = found.confidence.get(name, {})
        numbers = [scores.get(name) for scores in (found.scores, found.floor, found.ceiling)]
        writer.writerow([name, *numbers, *(around.get(column) for column in spread)])
    for name, reason in {**found.skipped, **found.no_confidence}.items():
        say(f"{name}: {reason}", err=True)


def write_detail_csv(found: Scores, factor_names: Sequence[str], code_names: Sequence[str]) -> None:
    """One number a line: of which metric, about which factor and code, which number."""
    writer = csv.writer(sys.stdout)
    writer.writerow(["metric", "factor", "code", "quantity", "value"])
    for name, detail in found.detail.items():
        for entries in named_entries(detail, factor_names, code_names):
            for entry in entries:
                named = (entry.get("factor"), entry.get("code"))
                about = [spreadsheet_text(name) if isinstance(name, str) else name for name in named]
                numbers = {key: value for key, value in entry.items() if key not in ("factor", "code")}
                writer.writerows([name, *about, key, value] for key, value in numbers.items())


def draw_information(path: Path, table: NamedTable) -> None:
    """The information in each code about each factor that varies, as a picture."""
    if path.suffix.lower() != ".png":
        raise fail(f"--picture writes a .png, got {path}.")
    checked = as_table(table.codes, table.factors, quantized=table.quantized)
    found = table_information(checked, PICTURE_BINS)
    shares = found.mutual / found.factor_entropy[:, None]
    factors = [table.factor_names[k] if table.factor_names else f"v{k}" for k in checked.columns]
    codes = table.code_names or [f"z{j}" for j in range(shares.shape[1])]
    title = f"I(code; factor) / H(factor), {PICTURE_BINS} bins"
    picture = png(information_matrix(np.minimum(shares, 1.0), factors, codes, title))
    write_file(path, picture)
