"""Charts of a table as inline SVG: every seed's score beside floor and ceiling, and the training curves.

What grows with the number of trials is drawn in less detail where there are many: past MANY dots a row's seeds are one path
without their values, past LINES curves each row has that of one trial.

Written as SVG directly, not through matplotlib, because the page's own style sheet then colours them (dark and light), text
stays text and a dot can say its value. Colours are Okabe and Ito's colour-blind-safe set (2008), darkened where a
light page needs it; the page may override `--series-0` ... `--series-7`.
"""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from disbench.datasets.untrusted import printable
from disbench.reports.markup.embedded_pictures import median_trial
from disbench.reports.records import Record
from disbench.reports.records.collect import whole
from disbench.reports.tables.aggregate import Row, Table
from disbench.reports.tables.columns import Column

PALETTE = ("#0072b2", "#c04f00", "#007f5f", "#a8488b", "#8a6d00", "#2b8cbe", "#5b5b5b", "#7a3b1d")
WIDTH = 960
_PANELS = 6  # metrics side by side
CHARACTER = 6.6  # units a character of a label takes
_POINTS = 160  # of a curve that are drawn
MANY = 600  # dots that say their value, in one chart
LINES = 60  # trials whose curves stand in one chart
_Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """A line from data values to drawing units, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, span = self._data
        return self.start + ((math.log10(value) if self.log else value) - low) / span * (self.end - self.start)

    @cached_property
    def _data(self) -> tuple[float, float]:
        """Where the data starts and how far it goes, each as its logarithm on a logarithmic line."""
        low, high = (math.log10(v) if self.log else v for v in (self.low, self.high))
        return low, (high - low) or 1.0


def colour(series: int) -> str:
    """CSS colour of a row by its position in the table."""
    index = series % len(PALETTE)
    return f"var(--series-{index}, {PALETTE[index]})"


def scores(table: Table) -> str:
    """Dot plot: a panel a metric, a line a row, a dot a seed, a bar the mean; floor dashed, ceiling solid."""
    rows = (*table.rows, *table.untrained)
    label_width = min(230.0, 14 + CHARACTER * max(len(row.label) for row in rows)) if rows else 0.0
    row_height, head, foot = 24, 40, 30
    block = head + row_height * len(rows) + foot
    blocks = [table.columns[at : at + _PANELS] for at in range(0, len(table.columns), _PANELS)]
    pitch = (WIDTH - label_width) / max(1, min(_PANELS, len(table.columns)))
    body = []
    for number, heads in enumerate(blocks):
        top = number * block + head
        for line, row in enumerate(rows):
            y = top + row_height * (line + 0.5)
            body.append(text(label_width - 10, y + 4, short(row.label, 34), anchor="end", extra=' font-size="12"'))
        for position, column in enumerate(heads):
            left = label_width + position * pitch + 12
            body.append(_panel(table, column, rows, left, left + pitch - 24, top, row_height))
    return svg(body, block * len(blocks), "Scores of every seed, by metric and method")


def _panel(
    table: Table, column: Column, rows: Sequence[Row], left: float, right: float, top: float, height: float
) -> str:
    cells = [row.cells[column.key] for row in rows]
    named = sum(cell.n for cell in cells) * len(table.columns) <= MANY
    floor, ceiling = table.floor[column.key].mean, table.ceiling[column.key].mean
    drawn = [value for cell in cells for value in cell.values.values()]
    drawn += [value for value in (floor, ceiling) if value is not None]
    bounds = [bound for bound in (column.low, column.high) if math.isfinite(bound)]
    low, high = min(drawn + bounds, default=0.0), max(drawn + bounds, default=1.0)
    x = Scale(low, high if high > low else low + 1, left, right)
    bottom = top + height * len(rows)
    better = {True: "better →", False: "← better", None: ""}[column.higher_is_better]
    at, anchor = (left, "start") if column.higher_is_better is False else (right, "end")
    parts = [
        text(left, top - 24, f"{column.label} {column.arrow}", extra=' font-size="12" font-weight="600"'),
        text(at, top - 9, better, anchor=anchor, extra=' font-size="10.5" opacity=".75"'),
    ]
    for line in range(len(rows)):
        y = top + height * (line + 0.5)
        parts.append(f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" stroke="currentColor" opacity=".18"/>')
    for mark, name, dash in ((floor, "floor", ' stroke-dasharray="3 3"'), (ceiling, "ceiling", "")):
        if mark is not None:
            parts.append(
                f'<path d="M{x(mark):.1f} {top:.1f}V{bottom:.1f}" stroke="currentColor" stroke-width="1.3" opacity=".6"'
                f"{dash}><title>{name} {mark:.3f}</title></path>"
            )
    for tick in (x.low, (x.low + x.high) / 2, x.high):
        parts.append(
            text(x(tick), bottom + 14, f"{tick:.3g}", anchor="middle", extra=' font-size="10.5" opacity=".75"')
        )
    for line, (row, cell) in enumerate(zip(rows, cells, strict=True)):
        y = top + height * (line + 0.5)
        hue = colour(line) if row.trial.steps else "currentColor"
        paint = f"fill:{hue};fill-opacity:.45;stroke:{hue}" if row.trial.steps else f"fill:none;stroke:{hue}"
        if cell.mean is not None:
            parts.append(f'<path d="M{x(cell.mean):.1f} {y - 8:.1f}v16" style="stroke:{hue};stroke-width:2.5"/>')
        if not named:
            parts.append(dots([(x(value), y) for value in cell.values.values()], 7, hue, row.label))
            continue
        for seed, value in cell.values.items():
            label = escape(f"{row.label}, seed {seed}: {value:.3f}")
            parts.append(
                f'<circle cx="{x(value):.1f}" cy="{y:.1f}" r="4" style="{paint}"><title>{label}</title></circle>'
            )
    return "".join(parts)


def dots(points: Sequence[_Point], size: float, hue: str, title: str) -> str:
    """Many dots as one path: lines of no length with round ends, a tenth of the text that circles take."""
    path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)
    style = f"stroke:{hue};stroke-width:{size};stroke-linecap:round;stroke-opacity:.45"
    return f'<path d="{path}" fill="none" style="{style}"><title>{escape(title)}</title></path>' if path else ""


def curves(rows: Sequence[Row]) -> tuple[str, str]:
    """Training curves in two charts: of terms that methods share, and of those that only one of several methods records.

    A panel a loss term, a thin line a seed, a colour a row; empty where no trial recorded any. Past LINES trials a row's line is
    that of its median seed.
    """
    drawn, labels = _drawn(rows)
    several = len({row.trial.method for row in rows if row.trials}) > 1
    alone = {term: several and len(methods) == 1 for term, methods in _recorded(drawn).items()}
    shared, apart = ([term for term in alone if alone[term] is wanted] for wanted in (False, True))
    return _curves(drawn, labels, 150, shared), _curves(drawn, labels, 150, apart)


def _drawn(rows: Sequence[Row]) -> tuple[list[tuple[int, Record]], list[str]]:
    """The whole records whose curves are drawn, each with its row's position, and the labels of rows."""
    trained = [row for row in rows if row.trials]
    many = sum(len(row.trials) for row in trained) > LINES
    drawn = [
        (series, whole(*found))
        for series, row in enumerate(trained)
        for found in ([median_trial(row.trials)] if many else row.trials)
    ]
    return drawn, [row.label for row in trained]


def _recorded(drawn: Sequence[tuple[int, Record]]) -> dict[str, set[str]]:
    """{term: the methods that recorded it}."""
    methods: dict[str, set[str]] = {}
    for _, record in drawn:
        for term in record.curves:
            methods.setdefault(term, set()).add(record.trial.method)
    return methods


def trial_curves(record: Record) -> str:
    """One trial's training curves, a panel a loss term; empty where it recorded none."""
    return _curves([(0, record)], [], 100, list(record.curves))


def _curves(drawn: Sequence[tuple[int, Record]], labels: Sequence[str], height: float, terms: Sequence[str]) -> str:
    if not terms:
        return ""
    body, top = legend(labels) if labels else ([], 0.0)
    across = min(3, max(2, len(terms))) if labels else 4
    pitch = WIDTH / across
    points = _POINTS if labels else _POINTS // 3
    for number, term in enumerate(terms):
        left = (number % across) * pitch
        above = top + (number // across) * (height + 44)
        lines = [
            (series, record.trial.seed, thinned(record.curves[term], points))
            for series, record in drawn
            if term in record.curves
        ]
        body.append(_curve_panel(term, lines, labels, left + 50, left + pitch - 14, above, height))
    return svg(body, top + math.ceil(len(terms) / across) * (height + 44), "Training curves by loss term")


def _curve_panel(
    term: str,
    lines: Sequence[tuple[int, int, list[_Point]]],
    labels: Sequence[str],
    left: float,
    right: float,
    above: float,
    height: float,
) -> str:
    points = [point for _, _, line in lines for point in line]
    parts = [text(left, above + 12, term, extra=' font-size="12" font-weight="600"')]
    if not points:
        return "".join([*parts, text(left, above + 40, "no finite value", extra=' font-size="11"')])
    low, high = min(value for _, value in points), max(value for _, value in points)
    # The first steps of a loss are often a hundred times the last ones and would flatten all that follows.
    log = low > 0 and high > 20 * low
    high = high if high > low else low + (abs(low) or 1.0)
    top, bottom = above + 24, above + height
    y = Scale(low, high, bottom, top, log)
    x = Scale(min(step for step, _ in points), max(step for step, _ in points), left, right)
    if log:
        parts.append(
            text(
                right,
                above + 12,
                "log scale" if labels else "log",
                anchor="end",
                extra=' font-size="10.5" opacity=".75"',
            )
        )
    middle = math.sqrt(low * high) if log else (low + high) / 2
    for tick in (low, middle, high):
        parts.append(f'<path d="M{left:.1f} {y(tick):.1f}H{right:.1f}" stroke="currentColor" opacity=".18"/>')
        parts.append(text(left - 6, y(tick) + 4, number(tick), anchor="end", extra=' font-size="10.5" opacity=".75"'))
    for step, anchor in ((x.low, "start"), (x.high, "end")):
        parts.append(text(x(step), bottom + 16, f"{step:,.0f}", anchor=anchor, extra=' font-size="10.5" opacity=".75"'))
    parts.append(
        text((left + right) / 2, bottom + 16, "steps", anchor="middle", extra=' font-size="10.5" opacity=".75"')
    )
    for series, seed, line in lines:
        path = "M" + "L".join(f"{x(step):.1f} {y(value):.1f}" for step, value in line)
        name = escape(f"{labels[series]}, seed {seed}" if labels else f"seed {seed}")
        parts.append(
            f'<path d="{path}" fill="none" style="{stroke(series)}"><title>{name}</title></path>' if line else ""
        )
    return "".join(parts)


def legend(labels: Sequence[str]) -> tuple[list[str], float]:
    """Swatches with labels in as many lines as they need, and the height they take."""
    parts, x, y = [], 0.0, 14.0
    for series, label in enumerate(short(label, 60) for label in labels):
        needed = 44 + CHARACTER * len(label)
        if x and x + needed > WIDTH:
            x, y = 0.0, y + 20
        parts.append(f'<path d="M{x:.1f} {y - 4:.1f}h22" style="{stroke(series)};stroke-width:3"/>')
        parts.append(text(x + 28, y, label, extra=' font-size="12"'))
        x += needed
    return parts, y + 14


def stroke(series: int) -> str:
    """A row's line; past the palette's end colours come again, dashed."""
    dash = ";stroke-dasharray:5 3" if series >= len(PALETTE) else ""
    return f"stroke:{colour(series)};stroke-width:1.4{dash}"


def thinned(points: Sequence[tuple[int, float]], most: int) -> list[_Point]:
    """Finite points, about `most` of them or fewer, the last always among them."""
    finite = [(float(step), value) for step, value in points if math.isfinite(value)]
    stride = max(1, math.ceil(len(finite) / most))
    return finite[::stride] + (finite[-1:] if finite and (len(finite) - 1) % stride else [])


def number(value: float) -> str:
    """An axis label of about three digits without an exponent in the usual range of losses."""
    if 0 < abs(value) < 1e-3:
        return f"{value:.1e}".replace("e-0", "e-")
    return f"{value:,.0f}" if 100 <= abs(value) < 1e7 else f"{value:.3g}"


def short(label: str, most: int) -> str:
    """A label cut to so many characters, since it may come from anybody."""
    return label if len(label) <= most else f"{label[: most - 1]}…"


def text(x: float, y: float, words: str, anchor: str = "start", extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(words)}</text>'


def escape(words: str) -> str:
    """Words as the text or attribute of a drawing."""
    return html.escape(printable(words))


def svg(parts: Sequence[str], height: float, label: str, width: float = WIDTH) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{escape(label)}" fill="currentColor">{"".join(parts)}</svg>'
    )
