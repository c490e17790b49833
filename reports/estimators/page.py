"""MINE versus Monte Carlo as one self-contained HTML page, made from the file of a study alone."""

from pathlib import Path

from jinja2 import UndefinedError

from disbench.datasets.storage.atomic import write_atomic
from disbench.reports.estimators import figures, groups
from disbench.reports.estimators.averages import LABELS, by_estimator, main_batch, tasks_of, times
from disbench.reports.estimators.study import Study, read_study
from disbench.reports.estimators.verdicts import verdicts
from disbench.reports.markup.svg import PALETTE
from disbench.reports.markup.templates import environment
from disbench.reports.records import STUDY_FILE
from disbench.reports.records.reasons import FROM_VALUES, reason_of

PAGE_FILE = "estimators.html"
TEMPLATE = "estimators.html.j2"
BUDGETS = (1.0, 3.0, 10.0, 30.0, 100.0)  # milliseconds, of the table of error at equal time


def render_study(folder: Path, output: Path | None = None) -> Path:
    """Write the page of `folder/estimators.json` to `output` (`folder/estimators.html`), whole or not at all.

    Raises ValueError for a damaged study, FileNotFoundError where there is none.
    """
    folder = Path(folder)
    output = Path(output) if output is not None else folder / PAGE_FILE
    write_atomic(output, page_in(folder).encode())
    return output


def page_in(folder: Path) -> str:
    """The page of `folder/estimators.json`, which may hold a part of the study. Raises as `render_study` does."""
    study = read_study(folder)
    try:
        return page_of(study)
    except (UndefinedError, *FROM_VALUES) as error:
        raise ValueError(
            f"{folder / STUDY_FILE} lacks a number that the page needs, or has a wrong one: {reason_of(error)}. Remove the "
            "file, or name another folder."
        ) from error


def page_of(study: Study) -> str:
    found = environment()
    found.filters.update(nats=nats, signed=signed, ms=milliseconds)
    grid = times(study)
    swept = (
        by_estimator(study, "total_correlation", study.settings["swept"]) if study.of_kind("total_correlation") else {}
    )
    return found.get_template(TEMPLATE).render(
        study=study,
        verdicts=[*groups.group_verdicts(study), *verdicts(study)],
        figures=figures,
        groups=groups,
        labels=LABELS,
        batch=main_batch(study),
        truths={cell.task: cell.numbers for cell in study.of_kind("truth")},
        tasks=tasks_of(study, "total_correlation"),
        pairs=tasks_of(study, "information"),
        numbers=lambda kind, task, size=None: by_estimator(study, kind, task, size),
        grid=grid,
        grid_dims=sorted({key[2] for key in grid}),
        grid_rows=sorted({key[1] for key in grid}),
        grid_names=list(dict.fromkeys(key[0] for key in grid)),
        budgets=BUDGETS,
        swept_names=[name for name in swept if name not in ("mws", "column_0")],
        best_error=lambda name, truth, budget: figures.best_error(study, name, truth, budget),
        palette=range(len(PALETTE)),
    )


def nats(value: float | None) -> str:
    """Three digits; a dash where there is no number."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def signed(value: float | None) -> str:
    return "–" if value is None else f"{'+' if value > 0 else ''}{nats(value)}"


def milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
