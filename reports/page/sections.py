"""What stands below the tables of the page: each section is a heading and a piece of markup, made from records alone.

For each data set: scores drawn, pairwise comparison, agreement of metrics, cost, sensitivity, curves, pictures of one trial a
method, what failed or was skipped, and the trials one by one. For all data sets together: critical differences, pairwise
comparison over data sets, and the verdicts of a study of estimators where there is one below the folder.
"""

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from jinja2 import Environment
from markupsafe import Markup

from disbench.datasets.storage.atomic import write_atomic
from disbench.datasets.untrusted import printable
from disbench.reports import statistics
from disbench.reports.comparison import Pairs, diagrams, pairs_over, pairs_within, score_frame
from disbench.reports.estimators.page import PAGE_FILE as ESTIMATORS_PAGE
from disbench.reports.estimators.study import read_study
from disbench.reports.estimators.verdicts import verdicts
from disbench.reports.markup import comparison_charts as charts
from disbench.reports.markup import embedded_pictures as pictures
from disbench.reports.markup import score_charts as plots
from disbench.reports.markup.svg import PALETTE
from disbench.reports.markup.templates import environment
from disbench.reports.page import trial_details as details
from disbench.reports.records import RECORD_FILE, STUDY_FILE, Partition, Record
from disbench.reports.records.collect import Collection, Found, whole
from disbench.reports.records.left_out import FROM_VALUES
from disbench.reports.records.reasons import reason_of
from disbench.reports.tables.columns import QUALITIES, Column, column
from disbench.reports.tables.notices import skipped, without_quality
from disbench.reports.tables.table import Table

INLINE = 100  # trials whose details one page holds
PAGED = 1000  # trials that all have a page beside it: each takes 4 ms and has some 40 kB
MOST = 8  # methods of a table of pairs
EMBEDDED = 9 << 20  # characters of pictures that a page takes in, over all data sets
BLOCKS = 3  # data sets that a critical-difference diagram needs
TRIALS_FOLDER = "trials"
STYLE_FILE = "trials.css"


@dataclass(frozen=True)
class Section:
    """`id` is unique within its data set (letters, digits, hyphens), `title` plain text, `html` safe to include as it is."""

    id: str
    title: str
    html: Markup


@dataclass(frozen=True)
class Layout:
    """`folder` is the one that the page is written to; `inline` whether every trial's details stand in the page itself.

    `embedded` is how many characters of pictures one data set may take, `paged` whether every trial has a page of its own where
    they are not inside, or those that failed and each row's median alone. A page that is not `linked` has no link to a file
    beside it. What cannot be shown is added to `left_out` (what, why), and the folder of a trial without a page to `unpaged`.
    """

    folder: Path
    inline: bool
    embedded: int = EMBEDDED
    paged: bool = True
    linked: bool = True
    left_out: list[tuple[str, str]] = field(default_factory=list, compare=False)
    unpaged: set[Path] = field(default_factory=set, compare=False)


def layout_of(tables: Sequence[Table], output: Path, every_trial: bool = False, linked: bool = True) -> Layout:
    """The layout of a page at `output`: details inside up to INLINE trials, beyond that in pages beside it.

    Beyond PAGED there is a page for every trial only where `every_trial` asks for it.
    """
    trials = sum(len(row.trials) + len(row.failed) for table in tables for row in table.first_views)
    return Layout(
        output.parent,
        trials <= INLINE or not linked,
        EMBEDDED // max(1, len(tables)),
        every_trial or trials <= PAGED,
        linked,
    )


def overall_sections(collection: Collection, tables: Sequence[Table], layout: Layout) -> list[Section]:
    """Sections on all data sets together, in the order in which they are read."""
    scores = score_frame(tables)
    found = [
        ("critical-differences", "Critical differences over data sets", _critical(scores, tables)),
        ("pairs", "Who beats whom, over data sets", _pairs_over(scores)),
        ("estimators", "MINE versus Monte Carlo", _estimators(collection.studies, layout)),
    ]
    return [Section(*section) for section in found if section[2]]


def dataset_sections(table: Table, layout: Layout) -> list[Section]:
    """Sections on one data set, in the order in which they are read."""
    rows = table.first_views
    found: list[tuple[str, str, Markup]] = [("missing", "Failed and skipped", _missing(table))]
    if any(row.trials for row in rows):
        found = [
            ("scores", "Scores of every seed", _scores(table)),
            ("pairs", "Who beats whom", _pairs_within(table)),
            ("agreement", "Agreement between metrics", _agreement(table)),
            ("cost", "Cost and reconstructions", _cost(table)),
            ("sensitivity", "Sensitivity to settings", _sensitivity(table)),
            ("curves", "Training curves", _curves(table)),
            ("pictures", "Latent traversals and reconstructions", _pictures(table, layout)),
            *found,
        ]
    found.append(("trials", "Trials", _trials(table, layout)))
    return [Section(*section) for section in found if section[2]]


def write_trial_pages(tables: Sequence[Table], layout: Layout) -> int:
    """Write the pages of trials to `layout.folder/trials` where the leaderboard does not hold them; how many were written.

    A page depends on its trial alone, so one that is newer than the record and than this package's files is left as it is.
    """
    if layout.inline:
        return 0
    folder = layout.folder / TRIALS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    style = "".join(_environment().get_template(name).render() for name in ("leaderboard.css.j2", "sections.css.j2"))
    write_atomic(folder / STYLE_FILE, style.encode(), durable=False)
    package = (path for kind in ("*.py", "*.j2") for path in Path(__file__).parents[1].rglob(kind))
    newest = max(path.stat().st_mtime for path in package)
    written = 0
    for table in tables:
        paged = _paged(table, layout)
        for _, (place, summary) in _every_trial(table):
            if place not in paged:
                continue
            try:
                written += _write_trial_page(place, summary, folder / _page_name(summary), newest, layout)
            except FROM_VALUES as error:
                layout.unpaged.add(place)
                layout.left_out.append((f"{printable(place.name)}/{RECORD_FILE}", f"No page: {reason_of(error)}"))
    return written


def _write_trial_page(place: Path, summary: Record, path: Path, newest: float, layout: Layout) -> bool:
    """Write a trial's page unless it is newer than the record and than `newest`; whether it was written."""
    try:
        if path.stat().st_mtime > max(newest, (place / RECORD_FILE).stat().st_mtime):
            return False
    except FileNotFoundError:  # there is no page yet, or the trial is gone meanwhile
        pass
    record = whole(place, summary)
    named = sorted(filter(partial(_is_picture, record), record.artefacts), key=_by_kind)
    own = [pictures.linked(place, name, record.artefacts[name], path.parent) for name in named]
    view = _view(place, record, replace(layout, folder=path.parent))
    template = _environment().get_template("trial.html.j2")
    page = template.render(record=record, view=view, pictures=own, style=STYLE_FILE, macros=_macros())
    write_atomic(path, page.encode(), durable=False)  # there may be thousands, and they are made again at will
    return True


def _critical(scores: pd.DataFrame, tables: Sequence[Table]) -> Markup:
    """Diagrams over three data sets or more; where there are fewer, the words that say so."""
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
    return _macro(
        "critical",
        drawn,
        heads,
        lambda one: charts.critical_difference(one, f"Critical differences on {heads[one.metric].label}"),
        few,
    )


def _pairs_over(scores: pd.DataFrame) -> Markup:
    found = pairs_over(scores, most=MOST)
    provenances = dict.fromkeys(one.provenance for one in found)
    parts = [_macro("pairs", own, _heads(one.metric for one in own), True) for own in _groups(found, provenances)]
    return Markup("").join(parts)


def _groups(found: Sequence[Pairs], provenances: Iterable[str]) -> Iterable[list[Pairs]]:
    for provenance in provenances:
        yield [one for one in found if one.provenance == provenance]


def _pairs_within(table: Table) -> Markup:
    found = pairs_within(table, most=MOST)
    return _macro("pairs", found, _heads(one.metric for one in found), False) if found else Markup()


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
    return _macro("agreement", found, _heads(head.key for head in heads)) if found else Markup()


def _scores(table: Table) -> Markup:
    legend = "Every dot is a seed, the upright bar their mean. Dashed line: floor. Solid line: ceiling."
    views = " First views only." if table.further else ""
    return _macro(
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
    told = _macro("cost", lines, QUALITIES, images, list(without_quality(table)))
    drawn = charts.cost(table)
    if not drawn:
        return told
    machines = details.devices([found for row in table.rows for found in row.trials])
    caption = "A small dot is a trial, a ring the mean of its row. Time is that of training alone."
    if len(machines) > 1:
        caption += f" Trials ran on different devices ({', '.join(machines)}), so their times are not comparable."
    return told + _macro("chart", drawn, f"Score against training time on {table.dataset}", caption)


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
    return _macro(
        "chart",
        charts.sensitivity(table, shown),
        f"Sensitivity to settings on {table.dataset}",
        f"{caption}{''.join(told)}{more}",
    )


def _shared(sweep: charts.Sweep, alike: Sequence[charts.Sweep]) -> str:
    """What tells a sweep from others of the same number: the settings that its rows share and others do not."""
    telling = [n for n, v in sweep.others.items() if any(other.others.get(n) != v for other in alike)]
    return f" at {', '.join(f'{name}={sweep.others[name]}' for name in telling)}" if telling else ""


def _curves(table: Table) -> Markup:
    """Terms that methods share; behind a fold those that one method alone records, its discriminator's or audits'."""
    shared, alone = plots.curves(table.rows)
    if not shared and not alone:
        return Markup()
    many = sum(len(row.trials) for row in table.rows) > plots.LINES
    line = "A line is a row's seed of median MIG" if many else "A line is a seed"
    caption = f"{line}. Nats per image unless the term's name says otherwise."
    return _macro("curves", shared, alone, f"Training curves on {table.dataset}", caption)


def _pictures(table: Table, layout: Layout) -> Markup:
    """Of each method one trial's pictures, as many as the data set's share of the page can take."""
    chosen = [(row.label, folder, record) for row, (folder, record) in pictures.representatives(table.rows)]
    wanted = [
        (*_by_kind(name), line)
        for line, (_, _, record) in enumerate(chosen)
        for name in record.artefacts
        if _is_picture(record, name)
    ]
    embedded = {}
    for *_, name, line in sorted(wanted):
        _, folder, record = chosen[line]
        embedded[line, name] = pictures.picture(folder, name, record.artefacts[name])
    lossy = sum(len(picture.uri) for picture in embedded.values()) > layout.embedded
    if lossy:
        with ThreadPoolExecutor() as pool:  # Pillow compresses outside of Python's lock
            embedded = dict(zip(embedded, pool.map(pictures.smaller, embedded.values()), strict=True))
    left = layout.embedded
    own: list[list[tuple[pictures.Picture, str]]] = [[] for _ in chosen]
    # By kind, so that where there is no room for all each method has its traversal before any has the rest.
    for (line, name), picture in embedded.items():
        record = chosen[line][2]
        if len(picture.uri) > left:
            note = f"Not in this page, which holds enough pictures: see {record.artefacts[name]}, a file of this trial."
            picture = pictures.Picture(name, note=note)
        left -= len(picture.uri)
        if picture.note.startswith(pictures.REFUSED):
            layout.left_out.append((f"{printable(chosen[line][1].name)}/{record.artefacts[name]}", picture.note))
        own[line].append((picture, f"picture-{_safe(record.trial.id)}-{_safe(name)}"))
    found = [
        (label, record, given, _view(folder, record, layout))
        for (label, folder, record), given in zip(chosen, own, strict=True)
    ]
    return _macro("pictures", found, lossy, layout.linked) if found else Markup()


def _is_picture(record: Record, name: str) -> bool:
    """Whether an artefact is a picture to show; a partition is drawn from its numbers instead."""
    drawn = record.partition is not None and name in ("assignment", "capacity")
    return record.artefacts[name].lower().endswith(".png") and not drawn


def _by_kind(name: str) -> tuple[bool, bool, str]:
    """The order in which a trial's pictures are shown."""
    return name != pictures.TRAVERSAL, name != "reconstructions", name


def _missing(table: Table) -> Markup:
    failed = [
        (label, record.trial.seed, record.failure or "error", _last_line(record.error))
        for label, (_, record) in _every_trial(table)
        if record.status == "failed"
    ]
    reasons = list(skipped(table))
    return _macro("missing", failed, reasons) if failed or reasons else Markup()


def _last_line(error: str | None) -> str:
    return (error or "no error was recorded").strip().splitlines()[-1]


def _every_trial(table: Table) -> Iterable[tuple[str, Found]]:
    """Every trial with its row's label, failed ones first."""
    rows = table.first_views
    for row in rows:
        for found in row.failed:
            yield row.label, found
    for row in rows:
        for found in row.trials:
            yield row.label, found


def _trials(table: Table, layout: Layout) -> Markup:
    every = list(_every_trial(table))
    if not every:
        return Markup()
    if layout.inline:
        return Markup("").join(_trial(label, found, layout) for label, found in every)
    paged = _paged(table, layout)
    # The way to a study's folder is looked for once, and not for each of its thousands of trials.
    parents = {folder.parent for _, (folder, _) in every}
    ways = {parent: Path(os.path.relpath(parent, layout.folder)).as_posix() for parent in parents}
    links = [
        f"{TRIALS_FOLDER}/{_page_name(record)}"
        if folder in paged and folder not in layout.unpaged
        else quote(f"{ways[folder.parent]}/{folder.name}/{RECORD_FILE}")
        for _, (folder, record) in every
    ]
    lines = [(label, record, link) for (label, (_, record)), link in zip(every, links, strict=True)]
    return _macro("trial_list", lines, layout.paged)


def _trial(label: str, found: Found, layout: Layout) -> Markup:
    """The details of one trial; what is wrong with them leaves those of the others."""
    folder, summary = found
    try:
        record = whole(folder, summary)
        return _macro("trials", [(label, record, _view(folder, record, layout))])
    except FROM_VALUES as error:
        layout.left_out.append((f"{printable(folder.name)}/{RECORD_FILE}", f"No details: {reason_of(error)}"))
        return Markup()


def _paged(table: Table, layout: Layout) -> set[Path]:
    """The folders of the trials that have a page of their own."""
    if layout.paged:
        return {folder for _, (folder, _) in _every_trial(table)}
    rows = table.first_views
    failed = {folder for row in rows for folder, _ in row.failed}
    return failed | {pictures.median_trial(row.trials)[0] for row in rows if row.trials}


@dataclass(frozen=True)
class _View:
    """Of a trial what its record does not say in so many words; `files` (name, link)."""

    speed: float | None
    code: str
    versions: Mapping[str, Any]
    files: tuple[tuple[str, str], ...]
    information: details.Information
    order: tuple[int, ...]
    groups: tuple[str, ...]
    curves: str


def _view(folder: Path, record: Record, layout: Layout) -> _View:
    """What can be drawn of a trial; its scores and facts are shown even where that fails."""
    try:
        return _drawn_view(folder, record, layout)
    except FROM_VALUES as error:
        layout.left_out.append((f"{printable(folder.name)}/{RECORD_FILE}", f"Not drawn: {reason_of(error)}"))
        return _View(None, details.code_version(record), {}, (), details.Information(), (), (), "")


def _drawn_view(folder: Path, record: Record, layout: Layout) -> _View:
    links = ((name, pictures.address(folder, path, layout.folder)) for name, path in sorted(record.artefacts.items()))
    order: tuple[int, ...] = ()
    groups: tuple[str, ...] = ()
    if (partition := record.partition) is not None and _fits(partition):
        order, groups = _order(partition), ("nuisance", *(f"group {k}" for k in range(1, len(partition.nats))))
    return _View(
        details.images_per_second(record),
        details.code_version(record),
        details.versions(record),
        tuple((name, link if layout.linked else "") for name, link in links if link is not None),
        details.information(folder, record) if record.status == "ok" else details.Information(),
        order,
        groups,
        plots.trial_curves(record),
    )


def _fits(partition: Partition) -> bool:
    """Whether the numbers of a partition belong together; a record of anybody's may hold any."""
    groups = len(partition.nats)
    return (
        groups > 0
        and len(partition.assignment) == len(partition.group) > 0
        and all(len(shares) == groups for shares in partition.assignment)
        and len(partition.target) == groups == len(partition.complexities) + 1
    )


def _order(partition: Partition) -> tuple[int, ...]:
    """Latents by group, the surest of a group first."""
    return tuple(sorted(range(len(partition.group)), key=lambda d: (partition.group[d], -max(partition.assignment[d]))))


def _shares_of(partition: Partition, order: Sequence[int]) -> list[list[float]]:
    """(K+1, D): the share of each latent in each group, latents in the given order."""
    shares = np.clip(np.array([partition.assignment[d] for d in order]), 0.0, 1.0)
    return [[float(share) for share in row] for row in shares.T]


def _estimators(folders: Iterable[Path], layout: Layout) -> Markup:
    """The verdicts of the first study of estimators that can be read; its page is the link where there is one."""
    for folder in folders:
        page = folder / ESTIMATORS_PAGE
        target = page if page.exists() else folder / STUDY_FILE
        try:
            study = read_study(folder)
            link = quote(Path(os.path.relpath(target, layout.folder)).as_posix()) if layout.linked else ""
            return _macro("estimators", link, study, verdicts(study))
        except (OSError, *FROM_VALUES) as error:  # another program's file of that name, a newer or a damaged study
            layout.left_out.append((printable(folder.name) + f"/{STUDY_FILE}", reason_of(error)))
    return Markup()


def _safe(name: str) -> str:
    """A name from anybody's record in characters that are safe in a file's name, an address and an id, its end kept."""
    return re.sub(r"[^A-Za-z0-9-]+", "_", name)[-120:]


def _page_name(record: Record) -> str:
    return f"{_safe(record.trial.id)}.html"


def _heads(keys: Iterable[str]) -> dict[str, Column]:
    return {key: column(key) for key in keys}


def _macro(name: str, *arguments: Any) -> Markup:
    return Markup(getattr(_macros(), name)(*arguments))


@cache
def _macros() -> Any:
    return _environment().get_template("sections.html.j2").module


@cache
def _environment() -> Environment:
    found = environment()
    found.filters.update(
        compact=lambda value: json.dumps(value, ensure_ascii=False),
        gibibytes=_gibibytes,
        numbers=lambda values: " to ".join(f"{value:,}" for value in dict.fromkeys((*values[:1], *values[-1:]))),
        p_value=lambda value: "p < 0.001" if value < 0.001 else f"p = {value:.3f}",
        latents=lambda order: [f"z{d}" for d in order],
    )
    found.globals.update(
        heat=_heat,
        heats=_heats,
        qualities=QUALITIES,
        most=MOST,
        shares_of=_shares_of,
        palette=range(len(PALETTE)),
    )
    return found


def _heat(
    value: float | None, low: float = 0.0, high: float = 1.0, middle: float | None = None, mark: str = ""
) -> Markup:
    """The cell of a matrix, shaded by where its value is between the ends, or by how far it is from the middle."""
    if value is None:
        return Markup('<td class="heat none">–</td>\n')
    if middle is None:
        side, shade = "", (value - low) / (high - low)
    else:
        side, shade = " below" if value < middle else "", abs(value - middle) / (high - middle)
    return Markup(f'<td class="heat{side}" style="--v:{shade:.2f}">{value:.2f}{mark}</td>\n')


def _heats(values: Iterable[float | None], *scale: Any) -> Markup:
    return Markup("").join(_heat(value, *scale) for value in values)


def _gibibytes(count: float) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**29 else f"{count / 2**20:,.0f} MiB"
