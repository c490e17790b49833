"""Fill docs/metrics/which.md from the record of a stress run beside it: python docs/fill_which.py

Metrics that are new, or have another version, are measured first and written to docs/metrics/stress.json; with --all, all
metrics are. Run it after adding a metric or changing what one computes.
"""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

from disbench.datasets.wording import listed
from disbench.metrics import METRICS
from disbench.metrics.stress import Cell, StressRow, StressRun, stress
from disbench.reports.stress import sentences

FOLDER = Path(__file__).parent / "metrics"
PAGE, RECORD = FOLDER / "which.md", FOLDER / "stress.json"
BETWEEN = re.compile(r"(?<=<!-- stress:(\w{5}) -->\n).*?(?=<!-- /stress:\1 -->)", flags=re.DOTALL)
SHOWN = ["permuted", "nonlinear", "reordered", "circle", "spare", "rotated_10", "rotated_45", "duplicated", "merged"]
SHOWN = ["perfect", *SHOWN, "dropped", "noisy", "noise", "correlated"]


def outdated(run: StressRun) -> list[str]:
    """Name the metrics that the record lacks, or has in another version."""
    known = {row.metric: row.version for row in run.metrics}
    return [name for name, metric in METRICS.items() if known.get(name) != metric.version]


def measured(run: StressRun, names: list[str]) -> StressRun:
    """Measure some metrics again, and describe all of them as their cards do now."""
    rows = {row.metric: row for row in run.metrics}
    rows |= {row.metric: row for row in stress(names, rows=run.rows, seed=run.seed).metrics}
    cards = {
        name: {key: getattr(METRICS[name], key) for key in ("label", "definition", "insensitive_to")}
        for name in METRICS
    }
    return replace(run, metrics=[replace(rows[name], **cards[name]) for name in METRICS])


def scores(run: StressRun) -> str:
    """The table of scores."""
    shown = [name for name in SHOWN if name in run.encoders]
    labels = [run.encoders[name]["label"] for name in shown]
    lines = [f"| key | {' | '.join(labels)} |", "|---" * (len(shown) + 1) + "|"]
    for row in run.metrics:
        arrow = "↑" if row.higher_is_better else "↓"
        lines.append(f"| `{row.metric}` {arrow} | {' | '.join(number(row.cells[name]) for name in shown)} |")
    return "\n".join(lines)


def number(cell: Cell) -> str:
    return "–" if cell.score is None else f"{cell.score:.2f}"


def words(run: StressRun) -> str:
    """The table of what each metric sees, and what its card says that it does not."""
    lines = ["| key | sees | does not see | charges, though harmless | blind spots |", "|---|---|---|---|---|"]
    for row in run.metrics:
        lines.append(f"| `{row.metric}` | {' | '.join([*columns(row, run), row.insensitive_to.replace('|', '/')])} |")
    return "\n".join(lines)


def columns(row: StressRow, run: StressRun) -> list[str]:
    said = sentences(row, run)
    return [said.get(heading, "–") for heading in ("Sees", "Does not see", "Charges, though harmless")]


def encoders(run: StressRun) -> str:
    """The list of encoders."""
    return "\n".join(f"- **{encoder['label']}**: {encoder['what']}" for encoder in run.encoders.values())


def filled(text: str, run: StressRun) -> str:
    """`text` with the tables of a run between its marks. Raises ValueError where a mark is missing."""
    parts = {"codes": encoders, "table": scores, "words": words}
    marks = [found[1] for found in BETWEEN.finditer(text)]
    if sorted(marks) != sorted(parts):
        raise ValueError(f"The text needs the marks <!-- stress:NAME --> and <!-- /stress:NAME --> of {listed(parts)}.")
    return BETWEEN.sub(lambda found: f"{parts[found[1]](run)}\n", text)


def recorded() -> StressRun:
    """Read the record; an empty one where there is none."""
    if RECORD.exists():
        return StressRun.from_json(json.loads(RECORD.read_text(encoding="utf-8")))
    return stress([])


def as_text(run: StressRun) -> str:
    """Write a line for each metric, so that a changed metric changes one line."""
    whole = run.as_json()
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in whole.pop("metrics"))
    return f'{json.dumps(whole, ensure_ascii=False)[:-1]}, "metrics": [\n{rows}\n]}}\n'


if __name__ == "__main__":
    run = recorded()
    run = measured(run, list(METRICS) if "--all" in sys.argv[1:] else outdated(run))
    RECORD.write_text(as_text(run), encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), run), encoding="utf-8")
