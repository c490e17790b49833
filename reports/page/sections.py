"""The sections below the tables of the page: each is a heading and a piece of markup, made from records alone.

Per dataset: scores, pairwise comparison, agreement of metrics, cost, sensitivity, learning curves, training curves, pictures of
one trial per method, failed and skipped, and the trials one by one. For all datasets together: critical differences, pairwise
comparison, and the verdicts of a study of estimators if there is one below the folder.
"""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
from markupsafe import Markup

from disbench.reports import statistics
from disbench.reports.comparison import diagrams, pairs_over, pairs_within, score_frame
from disbench.reports.comparison.selection import CHOICES, SELECTION_FILE, Selection, criterion_label, read_selection
from disbench.reports.estimators.page import PAGE_FILE as ESTIMATORS_PAGE
from disbench.reports.estimators.study import read_study
from disbench.reports.estimators.verdicts import verdicts
from disbench.reports.markup import comparison_charts as charts, learning_curves, score_charts as plots
from disbench.reports.page import trial_details as details
from disbench.reports.page.layout import Layout
from disbench.reports.page.macros import MOST, macro
from disbench.reports.page.picture_section import pictures_section
from disbench.reports.page.trials import every_trial, trials_section
from disbench.reports.records import STUDY_FILE
from disbench.reports.records.collect import Collection
from disbench.reports.records.reasons import FROM_VALUES, reason_of
from disbench.reports.tables.columns import QUALITIES, Column, column
from disbench.reports.tables.notices import distinct, skipped, without_quality
from disbench.reports.tables.table import Table

BLOCKS = 3  # datasets that a critical-difference diagram needs


@dataclass(frozen=True)
class Section:
    """`id` is unique within its dataset (letters, digits, hyphens), `title` is plain text, `html` is safe to include as it is."""

    id: str
    title: str
    html: Markup


def overall_sections(collection: Collection, tables: Sequence[Table], layout: Layout) -> list[Section]:
    """Sections on all datasets together, in reading order."""
    scores = score_frame(tables)
    found = [
        ("critical-differences", "Critical differences over datasets", _critical(scores, tables)),
        ("pairs", "Who beats whom, over datasets", _pairs_over(scores)),
        ("estimators", "MINE versus Monte Carlo", _estimators(collection.studies, layout)),
    ]
    return [Section(*section) for section in found if section[2]]


def dataset_sections(table: Table, layout: Layout, selection: Selection | None = None) -> list[Section]:
    """Sections on one dataset, in reading order. `selection`: what `disbench select` found for these records."""
    found: list[tuple[str, str, Markup]] = [("missing", "Failed and skipped", _missing(table))]
    if any(row.trials for row in table.first_views):
        found = [
            ("scores", "Scores of every seed", _scores(table)),
            ("pairs", "Who beats whom", _pairs_within(table)),
            ("selection", "Choosing a model without labels", _selection(table, selection)),
            ("agreement", "Agreement between metrics", _agreement(table)),
            ("cost", "Cost and reconstructions", _cost(table)),
            ("sensitivity", "Sensitivity to settings", _sensitivity(table)),
            ("learning-curves", "Learning curves of scores", _learning_curves(table)),
            ("curves", "Training curves", _curves(table)),
            ("pictures", "Latent traversals and reconstructions", pictures_section(table, layout)),
            *found,
        ]
    found.append(("trials", "Trials", trials_section(table, layout)))
    return [Section(*section) for section in found if section[2]]


def _critical(scores: pd.DataFrame, tables: Sequence[Table]) -> Markup:
    """Diagrams over three datasets or more; with fewer, a text that says so."""
    first = {table.rows[0].view for table in tables if table.rows}
    tested = [one for one in diagrams(scores) if one.view in first]
    drawn = [one for one in tested if one.found is not None and one.found.blocks >= BLOCKS]
    names: dict[str, list[str]] = {}
    for table in tables:
        if table.rows:
            names.setdefault(table.key[-1], []).append(table.dataset)
    shown = {one.provenance for one in drawn}
    few = [(provenance, len(own), own) for provenance, own in names.items() if provenance not in shown]
    if not drawn and not few:
        return Markup()
    heads = _heads(one.metric for one in drawn)
    return macro(
        "critical",
        drawn,
        heads,
        lambda one: charts.critical_difference(one, f"Critical differences on {heads[one.metric].label}"),
        few,
    )


def _pairs_over(scores: pd.DataFrame) -> Markup:
    found = pairs_over(scores, most=MOST)
    groups = [
        [one for one in found if (one.provenance, one.sees) == kind]
        for kind in dict.fromkeys((one.provenance, one.sees) for one in found)
    ]
    return Markup("").join(macro("pairs", own, _heads(one.metric for one in own), True) for own in groups)


def _pairs_within(table: Table) -> Markup:
    found = pairs_within(table, most=MOST)
    groups = [[one for one in found if one.sees == sees] for sees in dict.fromkeys(one.sees for one in found)]
    return Markup("").join(macro("pairs", own, _heads(one.metric for one in own), False) for own in groups)


def _agreement(table: Table) -> Markup:
    """Rank correlations over trials, and over rows' means where there are enough rows."""
    heads = [head for head in table.columns if head.higher_is_better is not None]
    if len(heads) < 2:
        return Markup()
    keys = [head.key for head in heads]
    higher = {head.key: bool(head.higher_is_better) for head in heads}
    trials = pd.DataFrame(
        [
            [row.cells[key].values.get(record.trial.seed, math.nan) for key in keys]
            for row in table.rows
            for _, record in row.trials
        ],
        columns=keys,
        dtype=float,
    )
    means = pd.DataFrame([[row.cells[key].mean for key in keys] for row in table.rows], columns=keys, dtype=float)
    found = []
    for title, own in (
        (f"Over {len(trials):,} trials", trials),
        (f"Over {len(table.rows)} methods' means", means),
    ):
        matrix = statistics.agreement(own, higher).to_numpy(copy=True)
        if not np.isnan(matrix).all():
            np.fill_diagonal(matrix, 1.0)
            values = [[None if math.isnan(value) else value for value in row] for row in matrix.tolist()]
            found.append((title, [head.label for head in heads], values))
    return macro("agreement", found, _heads(head.key for head in heads)) if found else Markup()


def _scores(table: Table) -> Markup:
    legend = "Every dot is a seed, the upright bar their mean. Dashed line: floor. Solid line: ceiling."
    views = " First views only." if table.further else ""
    return macro(
        "chart",
        plots.scores(table),
        f"Plot of scores on {table.dataset}",
        f"{legend} Hollow dots: untrained encoder.{views}",
    )


def _cost(table: Table) -> Markup:
    rows = [row for row in table.first_views if row.trials]
    lines = [
        {
            "label": row.label,
            "seconds": details.amount(record.seconds.get("train") for _, record in row.trials),
            "speed": details.amount(details.images_per_second(record) for _, record in row.trials),
            "memory": details.memory_of(row),
            "parameters": sorted({r.parameters for _, r in row.trials if r.parameters is not None}),
            "images": sorted({r.images_seen for _, r in row.trials if r.images_seen is not None}),
            "devices": details.devices(row.trials),
            "quality": row.quality,
        }
        for row in rows
    ]
    counts = sorted({r.reconstruction["images"] for row in rows for _, r in row.trials if "images" in r.reconstruction})
    images = " to ".join(f"{count:,.0f}" for count in dict.fromkeys((*counts[:1], *counts[-1:])))
    told = macro("cost", lines, QUALITIES, images, list(without_quality(table)))
    drawn = charts.cost(table)
    if not drawn:
        return told
    machines = details.devices([found for row in table.rows for found in row.trials])
    caption = "A small dot is a trial, a ring the mean of its row. Time is that of training alone."
    if len(machines) > 1:
        caption += f" Trials ran on different devices ({', '.join(machines)}), so their times are not comparable."
    return told + macro("chart", drawn, f"Score against training time on {table.dataset}", caption)


def _sensitivity(table: Table) -> Markup:
    found = charts.sweeps(table)
    if not found:
        return Markup()
    shown = found[: charts.PANELS]
    caption = "Rows that differ in one number alone, by its value: the line goes through the means, a dot is a seed."
    told = [
        f" {sweep.method}, {sweep.name}: {len(sweep.values)} values"
        f"{_shared(sweep, [other for other in found if other.method == sweep.method and other.name == sweep.name])}."
        for sweep in shown
    ]
    rest = len(found) - len(shown)
    more = f" {rest} shorter {'sweep is' if rest == 1 else 'sweeps are'} not drawn." if rest else ""
    return macro(
        "chart",
        charts.sensitivity(table, shown),
        f"Sensitivity to settings on {table.dataset}",
        f"{caption}{''.join(told)}{more}",
    )


def _shared(sweep: charts.Sweep, alike: Sequence[charts.Sweep]) -> str:
    """What distinguishes a sweep from others of the same setting: the values that its rows share and others lack."""
    telling = [n for n, v in sweep.others.items() if any(other.others.get(n) != v for other in alike)]
    return f" at {', '.join(f'{name}={sweep.others[name]}' for name in telling)}" if telling else ""


def _curves(table: Table) -> Markup:
    """Terms that methods share, and folded away those that one method alone records, such as those of its discriminator."""
    shared, alone = plots.curves(table.rows)
    if not shared and not alone:
        return Markup()
    many = sum(len(row.trials) for row in table.rows) > plots.LINES
    line = "A line is a row's seed of median MIG" if many else "A line is a seed"
    caption = f"{line}. Nats per image unless the term's name says otherwise."
    return macro("curves", shared, alone, f"Training curves on {table.dataset}", caption)


def _learning_curves(table: Table) -> Markup:
    """Scores during training, of trials that were scored then."""
    drawn = learning_curves.of_rows(table.rows)
    if not drawn:
        return Markup()
    caption = (
        "Lines are means over seeds, shaded areas 95 % intervals of the mean (Student's t), which need three seeds. Each seed "
        "scores a fixed sample of its training rows, so the last point differs from the score in the table."
    )
    made = distinct(
        {key: value for key, value in record.score_curve_settings.items() if key != "every"}
        for row in table.first_views
        for _, record in row.trials
        if record.score_curves
    )
    sizes = [f"{settings['rows']:,}" for settings in made.values() if type(settings.get("rows")) is int]
    caption += f" Rows: {' or '.join(dict.fromkeys(sizes))}." if sizes else ""
    if len(made) > 1:
        caption += " Trials differ in rows, options or versions of metrics, so these curves are not all comparable."
    return macro("chart", drawn, f"Learning curves of scores on {table.dataset}", caption)


def _missing(table: Table) -> Markup:
    failed = [
        (label, record.trial.seed, record.failure or "error", record.error_line)
        for label, (_, record) in every_trial(table)
        if record.status == "failed"
    ]
    reasons = list(skipped(table))
    return macro("missing", failed, reasons) if failed or reasons else Markup()


def _estimators(folders: Iterable[Path], layout: Layout) -> Markup:
    """The verdicts of the first study of estimators that can be read, linked to its page if there is one."""
    for folder in folders:
        page = folder / ESTIMATORS_PAGE
        target = page if page.exists() else folder / STUDY_FILE
        try:
            study = read_study(folder)
            link = quote(Path(os.path.relpath(target, layout.folder)).as_posix()) if layout.linked else ""
            return macro("estimators", link, study, verdicts(study))
        except (OSError, *FROM_VALUES) as error:  # another program's file of that name, or a newer or damaged study
            layout.leave_out(folder, reason_of(error), STUDY_FILE)
    return Markup()


def selection_beside(collection: Collection, layout: Layout) -> Selection | None:
    """What `disbench select` wrote for these records, if it did."""
    path = collection.folder / SELECTION_FILE
    if not path.exists():
        return None
    try:
        found = read_selection(path)
        _check_selection(found, collection)
    except (OSError, *FROM_VALUES) as error:
        layout.leave_out(collection.folder, reason_of(error), SELECTION_FILE)
        return None
    return found


def _selection(table: Table, found: Selection | None) -> Markup:
    """What each criterion picks on this dataset."""
    own = [each for each in found.datasets if (each.dataset, each.options) == table.key[:2]] if found else []
    if found is None or not own:
        return Markup()
    return macro("selection", found, own[0], _heads(found.metrics), CHOICES, criterion_label)


def _check_selection(found: Selection, collection: Collection) -> None:
    """Raise ValueError where a selection is of other trials, or of other scores, than the records."""
    records = {record.trial.id: record for _, record in collection.found}
    for each in (candidate for dataset in found.datasets for candidate in dataset.candidates):
        record = records.get(each.trial)
        if record is None or any(record.scores.get(name) != score for name, score in each.scores.items()):
            raise ValueError(f"{each.trial} has no record here with these scores. Run disbench select again.")


def _heads(keys: Iterable[str]) -> dict[str, Column]:
    return {key: column(key) for key in keys}
