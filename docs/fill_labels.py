"""Put the study `labels` between the marks in three pages: python docs/fill_labels.py results/labels

The folder holds the records of `disbench run results/labels/labels.yaml` and `selection.json` of `disbench select`. The tables
are in docs/methods/semi_supervised.md and docs/methods/pair_vae.md, the scores, and in docs/selection.md, the regrets.
"""

import json
import re
import sys
from pathlib import Path

from disbench.metrics import METRICS
from disbench.reports.comparison.selection import CHOICES, Pick, criterion_label, read_selection
from disbench.reports.records.collect import collect
from disbench.reports.statistics import difference
from disbench.reports.tables.aggregate import tables
from disbench.reports.tables.table import Cell, Table

DOCS = Path(__file__).parent
SHOWN = ("mig", "dci_disentanglement", "dci_informativeness", "infom")


def between(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- table:{name} -->\n).*?(?=<!-- /table:{name} -->)", flags=re.DOTALL)


def written(cell: Cell) -> str:
    """Mean and sample standard deviation over seeds."""
    return "-" if cell.mean is None else f"{cell.mean:.3f} ± {cell.sd or 0:.3f}"


def score_lines(table: Table, compared: str, hidden: tuple[str, ...]) -> list[str]:
    """A line per method, then the difference of the compared one and of the best that sees images alone, by each metric."""
    rows = [row for row in table.rows if row.trial.method not in hidden]
    rows = sorted(rows, key=lambda row: (row.sees, -(row.cells["mig"].mean or 0)))
    lines = [
        f"| method | sees | seeds | {' | '.join(METRICS[name].label for name in SHOWN)} |",
        f"|{'---|' * (3 + len(SHOWN))}",
    ]
    for row in rows:
        lines.append(
            f"| `{row.label}` | {row.sees} | {row.seeds} | {' | '.join(written(row.cells[name]) for name in SHOWN)} |"
        )
    [ours] = [row for row in rows if row.trial.method == compared]
    gaps = []
    for name in SHOWN:
        best = max((row for row in rows if row.sees == "images"), key=lambda row: row.cells[name].mean or 0.0)
        found = difference(ours.cells[name].scores, best.cells[name].scores)
        gaps.append(f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}] against `{best.label}`")
    return [*lines, f"| `{compared}` less the best that sees images | | | {' | '.join(gaps)} |"]


def gap_lines(folder: Path) -> list[str]:
    """The mean gap of MIG of each factor, a line per method."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/record.json"))]
    names = records[0]["factor_names"]
    lines = [f"| method | {' | '.join(names)} |", f"|{'---|' * (1 + len(names))}"]
    for method in ("mine_vae", "beta_tcvae", "ada_gvae", "s2_beta_vae"):
        found = [each["detail"]["mig"]["factors"] for each in records if each["trial"]["method"] == method]
        gaps = [sum(factors[place]["gap"] for factors in found) / len(found) for place in range(len(names))]
        lines.append(f"| `{method}` | {' | '.join(f'{gap:.2f}' for gap in gaps)} |")
    return lines


def pick_line(pick: Pick) -> str:
    if pick.score is None or pick.regret is None:
        return f"| {criterion_label(pick.criterion)} | | - | - |"
    interval = "" if pick.low is None else f" [{pick.low:.3f}, {pick.high:.3f}]"
    return f"| {criterion_label(pick.criterion)} | {pick.picked} | {pick.score:.3f} | {pick.regret:.3f}{interval} |"


def regret_lines(folder: Path) -> list[str]:
    """A table for each metric and choice."""
    selection = read_selection(folder / "selection.json")
    lines = []
    for dataset in selection.datasets:
        for metric in selection.metrics:
            for choice, words in CHOICES.items():
                own = [pick for pick in dataset.picks if (pick.metric, pick.choice) == (metric, choice)]
                lines += [
                    "",
                    f"{METRICS[metric].label}. {words}:",
                    "",
                    "| criterion | picks | score | regret |",
                    "|---|---|---|---|",
                ]
                lines += [pick_line(pick) for pick in own]
    return [*lines[1:], ""]


def filled(text: str, name: str, lines: list[str]) -> str:
    """`text` with lines between its marks. Raises ValueError where it has no marks."""
    if not between(name).search(text):
        raise ValueError(
            f"The text needs the lines <!-- table:{name} --> and <!-- /table:{name} -->, and has not both."
        )
    return between(name).sub(lambda _: "".join(f"{line}\n" for line in lines), text)


def pages(folder: Path) -> dict[Path, str]:
    """The pages with the tables of the records in `folder`."""
    [table] = tables(collect(folder).found)
    labels, pairs, regrets = (
        DOCS / name for name in ("methods/semi_supervised.md", "methods/pair_vae.md", "selection.md")
    )
    of_labels = score_lines(table, "s2_beta_vae", ("ada_gvae",))
    of_pairs = score_lines(table, "ada_gvae", ("s2_beta_vae", "supervised"))
    return {
        labels: filled(labels.read_text(encoding="utf-8"), "labels", of_labels),
        pairs: filled(filled(pairs.read_text(encoding="utf-8"), "pairs", of_pairs), "gaps", gap_lines(folder)),
        regrets: filled(regrets.read_text(encoding="utf-8"), "selection", regret_lines(folder)),
    }


if __name__ == "__main__":
    for path, text in pages(Path(sys.argv[1])).items():
        path.write_text(text, encoding="utf-8")
