"""The leaderboard: one self-contained HTML page made from records and their files alone.

The page makes no requests, works without JavaScript, and is the same for the same records: it does not depend on the clock.
"""

import datetime
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from disbench.datasets.storage.atomic import write_atomic
from disbench.metrics import METRICS
from disbench.reports import export
from disbench.reports.markup.svg import PALETTE, color
from disbench.reports.markup.templates import environment
from disbench.reports.page.layout import Layout, layout_of
from disbench.reports.page.sections import dataset_sections, overall_sections, selection_beside
from disbench.reports.page.tables import boards, facets, overviews, what_was_run
from disbench.reports.page.trials import write_trial_pages
from disbench.reports.records import SCHEMA_VERSION
from disbench.reports.records.collect import Collection, Found, collect, no_garbage_collection, without_culprits
from disbench.reports.tables.aggregate import tables
from disbench.reports.tables.columns import columns, protocol
from disbench.reports.tables.notices import distinct, short_runs
from disbench.reports.tables.table import Table
from disbench.reports.tables.text import as_text

__all__ = ["as_text", "render"]

PAGE_FILE = "leaderboard.html"
TEMPLATE = "leaderboard.html.j2"
LATEST = datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC).timestamp()  # a file may bear any date


def render(
    folder: Path,
    output: Path | None = None,
    *,
    date: datetime.date | None = None,
    every_trial: bool = False,
    linked: bool = True,
) -> Path:
    """Write the leaderboard of all records below a folder as an HTML page, whole or not at all.

    The page lists records that cannot be read or shown.

    Parameters
    ----------
    folder : Path
        Any folder with trial folders below it.
    output : Path, optional
        File to write; by default `folder/leaderboard.html`.
    date : date, optional
        Date at the end of the page; by default the UTC day on which the newest record was written.
    every_trial : bool, default False
        Whether each trial gets a page even in a study of thousands.
    linked : bool, default True
        False writes a page without links to other files, which can be published alone.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileNotFoundError
        If there is no record.
    ValueError
        If no record can be shown.

    Examples
    --------
    >>> from disbench.reports.page.render import render
    >>> from pathlib import Path
    >>> from disbench.reports.records import Record, Trial, write_record
    >>> trial = Trial(method="vae", dataset="dsprites_like", dataset_version="1", seed=0, steps=100, batch_size=64)
    >>> record = Record(trial=trial, status="ok", views={"mean": {"mig": 0.25}})
    >>> path = write_record(record, Path("runs") / trial.id)
    >>> render(Path("runs")).name
    'leaderboard.html'
    """
    grouped, collection = tabulated(collect(folder))
    return write_page(collection, grouped, output, date=date, every_trial=every_trial, linked=linked)


def tabulated(collection: Collection) -> tuple[tuple[Table, ...], Collection]:
    """Make the tables of a collection, and the collection without the records that cannot be tabulated."""
    return without_culprits(collection, tables)


@no_garbage_collection()
def write_page(
    collection: Collection,
    grouped: Sequence[Table],
    output: Path | None = None,
    *,
    date: datetime.date | None = None,
    every_trial: bool = False,
    linked: bool = True,
) -> Path:
    """Write the page of `render` from a collection and its tables."""
    output = Path(output) if output is not None else collection.folder / PAGE_FILE

    def build(found: Sequence[Found]) -> tuple[Sequence[Table], Layout, str]:
        own = grouped if len(found) == len(collection.found) else tables(found)
        layout = layout_of(own, output, every_trial, linked)
        write_trial_pages(own, layout)  # before the page, which links to them
        return own, layout, _page(replace(collection, found=tuple(found)), own, layout, date)

    (own, layout, page), shown = without_culprits(collection, build)
    if shown is not collection:
        page = _page(shown, own, replace(layout, left_out=[]), date)
    write_atomic(output, page.encode())
    return output


def _page(collection: Collection, grouped: Sequence[Table], layout: Layout, date: datetime.date | None) -> str:
    newest = datetime.datetime.fromtimestamp(min(collection.newest, LATEST), tz=datetime.UTC).date()
    ranks = overviews(grouped) if len(grouped) > 1 else ()
    own = boards(grouped)
    overall = overall_sections(collection, grouped, layout)
    selection = selection_beside(collection, layout)
    sections = [dataset_sections(table, layout, selection) for table in grouped]
    frame = {
        "head": export.LATEX_HEAD,
        "before": export.LATEX_BEFORE,
        "between": export.LATEX_BETWEEN,
        "after": export.LATEX_AFTER,
        "beside": list(export.METRICS_BESIDE.values()),
        "boards": {one.slug: one.exported for one in own} | {one.slug: one.exported for one in ranks},
    }
    template = environment().get_template(TEMPLATE)
    return template.render(
        boards=own,
        overviews=ranks,
        overall=overall,
        sections=sections,
        facets=facets(grouped),
        glossary=columns(head.key for table in grouped for head in table.columns),
        protocols=_protocols(grouped),
        short=short_runs(record for _, record in collection.found),
        unreadable=tuple(dict.fromkeys((*collection.unreadable, *layout.left_out))),
        frame=frame,
        schema=SCHEMA_VERSION,
        date=(date or newest).isoformat(),
        palette=range(len(PALETTE)),
        color=color,
        numbers=export.numbers,
        overview_numbers=export.overview_numbers,
        what_was_run=what_was_run,
    )


def _protocols(grouped: Sequence[Table]) -> dict[str, list[str]]:
    """{metric: its different settings}; more than one if trials differ."""
    asked: dict[str, list[dict[str, Any]]] = {}
    for table in grouped:
        for row in table.first_views:
            for _, record in row.trials:
                for key in record.scores:
                    asked.setdefault(key, []).append(record.metric_options.get(key, {}))
    return {
        key: list(dict.fromkeys(protocol(key, own) for own in distinct(options).values())) if key in METRICS else []
        for key, options in asked.items()
    }
