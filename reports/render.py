"""The leaderboard: one self-contained HTML page from nothing but records and the files they name.

The page makes no request of any kind, works without JavaScript, and is equal for equal records: no clock is read here.
"""

import datetime
import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from disbench.reports import plots
from disbench.reports.aggregate import Found, Table, tables
from disbench.reports.collect import collect
from disbench.reports.columns import QUALITIES, columns
from disbench.reports.estimators_page import PAGE_FILE as ESTIMATORS_FILE
from disbench.reports.notices import short_runs, skipped, without_quality
from disbench.reports.pictures import other_pictures, traversal
from disbench.reports.records import SCHEMA_VERSION
from disbench.reports.text import as_text

__all__ = ["as_text", "render"]

PAGE_FILE = "leaderboard.html"
TEMPLATE = "leaderboard.html.j2"


def render(folder: Path, output: Path | None = None, *, date: datetime.date | None = None) -> Path:
    """Write the leaderboard of every record below `folder` to `output` (`folder/leaderboard.html`), whole or not at all.

    `date` is printed at the page's end; left out, it is the day (UTC) on which the newest record was written. A record
    that cannot be read is listed on the page. Raises FileNotFoundError where there is no record.
    """
    folder = Path(folder)
    output = Path(output) if output is not None else folder / PAGE_FILE
    page = _page(folder, date, _estimator_study(folder, output))
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    partial.write_text(page, encoding="utf-8")
    partial.replace(output)
    return output


def _estimator_study(folder: Path, output: Path) -> str | None:
    """The address, seen from the leaderboard, of the first estimator study below `folder`; None where there is none."""
    for page in sorted(folder.rglob(ESTIMATORS_FILE)):
        return quote(Path(os.path.relpath(page, output.parent)).as_posix())
    return None


def _page(folder: Path, date: datetime.date | None, study: str | None) -> str:
    collection = collect(folder)
    grouped = tables(collection.found)
    newest = datetime.datetime.fromtimestamp(collection.newest, tz=datetime.UTC).date()
    return (
        _environment()
        .get_template(TEMPLATE)
        .render(
            tables=grouped,
            glossary=columns(head.key for table in grouped for head in table.columns),
            short=short_runs(record for _, record in collection.found),
            unreadable=collection.unreadable,
            study=study,
            schema=SCHEMA_VERSION,
            date=(date or newest).isoformat(),
            palette=range(len(plots.PALETTE)),
            scores_plot=plots.scores,
            curves_plot=plots.curves,
            colour=plots.colour,
            skipped=skipped,
            qualities=QUALITIES,
            without_quality=without_quality,
            traversal=traversal,
            other_pictures=other_pictures,
        )
    )


def _environment() -> Environment:
    # By path, not PackageLoader: the package is mapped into a namespace, and its folder is wherever this file is.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(score=_score, thousands=_thousands, settings=_settings, structured=_structured)
    environment.filters.update(training_seconds=_training_seconds, images_reconstructed=_images_reconstructed)
    return environment


def _score(value: float) -> str:
    """A score, three digits behind the point."""
    return f"{value:.3f}"


def _thousands(value: float) -> str:
    return f"{value:,}"


def _settings(values: dict[str, Any]) -> str:
    """`beta=4, lr=0.001`, in order of name."""
    return ", ".join(f"{name}={value}" for name, value in sorted(values.items()))


def _training_seconds(trials: Sequence[Found]) -> str:
    """The mean over a row's trials, '' where none says."""
    seconds = [record.seconds["train"] for _, record in trials if "train" in record.seconds]
    return f"{statistics.fmean(seconds):,.1f}" if seconds else ""


def _images_reconstructed(table: Table) -> str:
    """`1,000`, or `500 to 1,000` where trials differ; '' where none says."""
    rows = (*table.rows, *table.untrained)
    counts = sorted({r.reconstruction["images"] for row in rows for _, r in row.trials if "images" in r.reconstruction})
    return " to ".join(f"{count:,.0f}" for count in dict.fromkeys((*counts[:1], *counts[-1:])))


def _structured(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
