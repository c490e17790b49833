"""Put the study `methods` between the marks in docs/methods/README.md: python docs/fill_methods.py results/methods

The folder holds the records of `disbench run methods` and `step_times.json` of `tests/perf/step_times.py`.
"""

import json
import re
import sys
from pathlib import Path

from disbench.benchmarks import METHODS
from disbench.metrics import METRICS
from disbench.reports.records.collect import collect
from disbench.reports.tables.aggregate import tables
from disbench.reports.tables.table import Cell, Row, Table

PAGE = Path(__file__).parent / "methods" / "README.md"
BETWEEN = re.compile(r"(?<=<!-- table:methods -->\n).*?(?=<!-- /table:methods -->)", flags=re.DOTALL)
JUDGED = ("mig", "infom")  # a method beats the untrained encoder by one of these or both
DATA = {"dsprites_like": "ellipses", "shapes3d_like": "`shapes3d_like`"}
NETWORK = "conv"  # whose step times are told


def written(cell: Cell) -> str:
    """Mean and sample standard deviation over seeds."""
    return "-" if cell.mean is None else f"{cell.mean:.3f} ± {cell.sd or 0:.3f}"


def beats(row: Row, untrained: Row, metric: str) -> bool:
    """Whether every seed scores above every seed of the untrained encoder."""
    ours, others = row.cells[metric].values.values(), untrained.cells[metric].values.values()
    return bool(ours) and min(ours) > max(others)


def lines(page: str, found: list[Table], times: dict[str, float]) -> list[str]:
    """The table in Markdown, a line per method with the link that `page` has, the untrained encoder last."""
    heads = [f"{METRICS[metric].label}, {DATA[table.dataset]}" for table in found for metric in JUDGED]
    rows = [f"| method | {' | '.join(heads)} | step time |", f"|---|{'---|' * (len(heads) + 1)}"]
    methods = dict.fromkeys(row.trial.method for table in found for row in table.rows)
    for method in methods:
        cells = []
        for table in found:
            row = next((each for each in table.rows if each.trial.method == method), None)
            for metric in JUDGED:
                text = "-" if row is None else written(row.cells[metric])
                alike = metric != "infom" or not METHODS[method].quantized  # another variant of the metric
                better = row is not None and alike and beats(row, table.untrained[0], metric)
                cells.append(f"**{text}**" if better else text)
        link = re.search(rf"\[`{method}`\]\([^)]*\)", page)
        assert link is not None
        rows.append(f"| {link.group()} | {' | '.join(cells)} | {times[method]:.2f} |")
    floor = [written(table.untrained[0].cells[metric]) for table in found for metric in JUDGED]
    return [*rows, f"| untrained encoder | {' | '.join(floor)} | |"]


def filled(text: str, folder: Path) -> str:
    """`text` with the table of the records in `folder` between its marks. Raises ValueError where it has no marks."""
    if not BETWEEN.search(text):
        raise ValueError(
            "The text needs the lines <!-- table:methods --> and <!-- /table:methods -->, and has not both."
        )
    times = json.loads((folder / "step_times.json").read_text(encoding="utf-8"))[NETWORK]
    found = sorted(tables(collect(folder).found), key=lambda table: table.dataset)
    return BETWEEN.sub(lambda _: "".join(f"{line}\n" for line in lines(text, found, times)), text)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), Path(sys.argv[1])), encoding="utf-8")
