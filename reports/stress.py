"""The result of the stress suite as one self-contained HTML page, as CSV and as sentences."""

import csv
import io

from disbench.metrics.stress import AS_PERFECT, SEEN, StressRow, StressRun, findings
from disbench.reports.markup.templates import environment

TEMPLATE = "stress.html.j2"
KINDS = {
    "reference": "reference",
    "harmless": "harmless changes",
    "defect": "defects",
    "condition": "perfect codes, hard tables",
}
COLUMNS = ("metric", "encoder", "score", "floor", "ceiling", "place", "binary_factors", "reason")


def stress_page(run: StressRun, command: str = "") -> str:
    """Make the page of a run of the stress suite.

    Parameters
    ----------
    run : StressRun
        What `disbench.metrics.stress.stress` returned.
    command : str, default ""
        The command that repeats it.

    Returns
    -------
    str
        HTML that needs no other file.

    Examples
    --------
    >>> from disbench.metrics.stress import stress
    >>> from disbench.reports.stress import stress_page
    >>> "What each metric sees" in stress_page(stress(["mig"]))
    True
    """
    found = environment()
    kinds = [
        (title, [name for name in run.encoders if run.encoders[name]["kind"] == kind]) for kind, title in KINDS.items()
    ]
    return found.get_template(TEMPLATE).render(
        run=run,
        kinds=[(title, names) for title, names in kinds if names],
        encoders={name: run.encoders[name] for _, names in kinds for name in names},
        sentences={row.metric: sentences(row, run) for row in run.metrics},
        as_perfect=AS_PERFECT,
        seen=SEEN,
        command=command,
    )


def sentences(row: StressRow, run: StressRun) -> dict[str, str]:
    """Say what a metric sees, under short headings; a heading with nothing below it is left out."""
    found = findings(row, run.encoders)

    def labels(names: list[str]) -> str:
        return ", ".join(run.encoders[name]["label"] for name in names)

    reasons: dict[str, list[str]] = {}
    for name, reason in found.without.items():
        reasons.setdefault(reason, []).append(name)
    written = {
        "Sees": labels(found.sees),
        "Hardly sees": labels(found.hardly_sees),
        "Does not see": labels(found.misses),
        "Charges, though harmless": labels(found.charges),
        "Another score for perfect codes": labels(found.moves),
        "Not applicable": "; ".join(f"{labels(names)}: {reason}" for reason, names in reasons.items()),
    }
    return {heading: words for heading, words in written.items() if words}


def stress_csv(run: StressRun) -> str:
    """Write a line for each metric and encoder."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in run.metrics:
        for name, cell in row.cells.items():
            numbers = (cell.score, cell.floor, cell.ceiling, cell.place)
            writer.writerow([row.metric, name, *numbers, row.binary, cell.reason])
    return written.getvalue()
