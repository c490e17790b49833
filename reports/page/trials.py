"""The single trials of a table: on the leaderboard page, or on separate pages if there are many."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from disbench.datasets.storage.atomic import write_atomic
from disbench.reports.markup import embedded_pictures as pictures
from disbench.reports.page.layout import Layout
from disbench.reports.page.macros import macro, macros, section_environment
from disbench.reports.page.trial_details import view_of
from disbench.reports.records import RECORD_FILE, Record
from disbench.reports.records.collect import Found, whole
from disbench.reports.records.reasons import FROM_VALUES, reason_of
from disbench.reports.tables.table import Table

TRIALS_FOLDER = "trials"
STYLE_FILE = "trials.css"


def write_trial_pages(tables: Sequence[Table], layout: Layout) -> int:
    """Write pages of trials to `layout.folder/trials` unless the leaderboard holds their details; return the number written.

    A page depends only on its trial, so a page newer than the record and the files of this package is kept.
    """
    if layout.inline:
        return 0
    folder = layout.folder / TRIALS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    style = "".join(
        section_environment().get_template(name).render() for name in ("leaderboard.css.j2", "sections.css.j2")
    )
    write_atomic(folder / STYLE_FILE, style.encode(), durable=False)
    package = (path for kind in ("*.py", "*.j2") for path in Path(__file__).parents[1].rglob(kind))
    newest = max(path.stat().st_mtime for path in package)
    written = 0
    for table in tables:
        paged = _paged(table, layout)
        for _, (place, summary) in every_trial(table):
            if place not in paged:
                continue
            try:
                written += _write_trial_page(place, summary, folder / _page_name(summary), newest, layout)
            except FROM_VALUES as error:
                layout.unpaged.add(place)
                layout.leave_out(place, f"No page: {reason_of(error)}")
    return written


def _write_trial_page(place: Path, summary: Record, path: Path, newest: float, layout: Layout) -> bool:
    """Write a trial's page unless it is newer than the record and `newest`; return whether it was written."""
    try:
        if path.stat().st_mtime > max(newest, (place / RECORD_FILE).stat().st_mtime):
            return False
    except FileNotFoundError:  # there is no page yet, or the trial was removed meanwhile
        pass
    record = whole(place, summary)
    named = sorted(filter(partial(is_picture, record), record.artefacts), key=by_kind)
    own = [pictures.linked(place, name, record.artefacts[name], path.parent) for name in named]
    view = view_of(place, record, replace(layout, folder=path.parent))
    template = section_environment().get_template("trial.html.j2")
    page = template.render(record=record, view=view, pictures=own, style=STYLE_FILE, macros=macros())
    write_atomic(path, page.encode(), durable=False)  # not durable: there may be thousands, and they can be made again
    return True


def trials_section(table: Table, layout: Layout) -> Markup:
    every = list(every_trial(table))
    if not every:
        return Markup()
    if layout.inline:
        return Markup("").join(_trial(label, found, layout) for label, found in every)
    paged = _paged(table, layout)
    # The path to a study's folder is computed once, not for each of thousands of trials.
    ways = {
        parent: Path(os.path.relpath(parent, layout.folder)).as_posix()
        for parent in {folder.parent for _, (folder, _) in every}
    }
    links = [
        f"{TRIALS_FOLDER}/{_page_name(record)}"
        if folder in paged and folder not in layout.unpaged
        else quote(f"{ways[folder.parent]}/{folder.name}/{RECORD_FILE}")
        for _, (folder, record) in every
    ]
    lines = [(label, record, link) for (label, (_, record)), link in zip(every, links, strict=True)]
    return macro("trial_list", lines, layout.paged)


def _trial(label: str, found: Found, layout: Layout) -> Markup:
    """The details of one trial; an error in them does not affect other trials."""
    folder, summary = found
    try:
        record = whole(folder, summary)
        return macro("trials", [(label, record, view_of(folder, record, layout))])
    except FROM_VALUES as error:
        layout.leave_out(folder, f"No details: {reason_of(error)}")
        return Markup()


def _paged(table: Table, layout: Layout) -> set[Path]:
    """The folders of the trials that have separate pages."""
    if layout.paged:
        return {folder for _, (folder, _) in every_trial(table)}
    rows = table.first_views
    failed = {folder for row in rows for folder, _ in row.failed}
    return failed | {pictures.median_trial(row.trials)[0] for row in rows if row.trials}


def every_trial(table: Table) -> Iterable[tuple[str, Found]]:
    """Every trial with its row's label, failed ones first."""
    for kind in ("failed", "trials"):
        for row in table.first_views:
            yield from ((row.label, found) for found in getattr(row, kind))


def is_picture(record: Record, name: str) -> bool:
    """Whether an artifact is a picture to show; a partition is drawn from its numbers instead."""
    drawn = record.partition is not None and name in ("assignment", "capacity")
    return record.artefacts[name].lower().endswith(".png") and not drawn


def by_kind(name: str) -> tuple[bool, bool, str]:
    """The order in which a trial's pictures are shown."""
    return name != pictures.TRAVERSAL, name != "reconstructions", name


def safe(name: str) -> str:
    """The end of a name from a record, in characters that are safe in a file name, an address and an id."""
    return re.sub(r"[^A-Za-z0-9-]+", "_", name)[-120:]


def _page_name(record: Record) -> str:
    return f"{safe(record.trial.id)}.html"
