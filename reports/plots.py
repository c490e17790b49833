"""Charts of a table as inline SVG: every seed's score beside floor and ceiling, and the training curves.

Written as SVG directly, not through matplotlib, because the page's own style sheet then colours them (dark and light), text
stays text and a dot can say its value. Colours are Okabe and Ito's colour-blind-safe set (2008), darkened where a
light page needs it; the page may override `--series-0` ... `--series-7`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from disbench.reports.aggregate import Row, Table
from disbench.reports.columns import Column

PALETTE = ("#0072b2", "#c04f00", "#007f5f", "#a8488b", "#8a6d00", "#2b8cbe", "#5b5b5b", "#7a3b1d")
_WIDTH = 960
_PANELS = 6  # metrics side by side
_CHARACTER = 6.6  # units a character of a label takes
_POINTS = 160  # of a curve that are drawn
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
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (at - low) / ((high - low) or 1.0) * (self.end - self.start)


def colour(series: int) -> str:
    """CSS colour of a row by its position in the table."""
    index = series % len(PALETTE)
    return f"var(--series-{index}, {PALETTE[index]})"


def scores(table: Table) -> str:
    """Dot plot: a panel a metric, a line a row, a dot a seed, a bar the mean; floor dashed, ceiling solid."""
    rows = (*table.rows, *table.untrained)
    label_width = min(230.0, 14 + _CHARACTER * max(len(row.label) for row in rows)) if rows else 0.0
    row_height, head, foot = 24, 40, 30
    block = head + row_height * len(rows) + foot
    blocks = [table.columns[at : at + _PANELS] for at in range(0, len(table.columns), _PANELS)]
    pitch = (_WIDTH - label_width) / max(1, min(_PANELS, len(table.columns)))
    body = []
    for number, heads in enumerate(blocks):
        top = number * block + head
        for line, row in enumerate(rows):
            y = top + row_height * (line + 0.5)
            shown = row.label if len(row.label) <= 34 else f"{row.label[:33]}…"
            body.append(_text(label_width - 10, y + 4, shown, anchor="end", extra=' font-size="12"'))
        for position, column in enumerate(heads):
            left = label_width + position * pitch + 12
            body.append(_panel(table, column, rows, left, left + pitch - 24, top, row_height))
    return _svg(body, block * len(blocks), "Scores of every seed, by metric and method")


def _panel(
    table: Table, column: Column, rows: Sequence[Row], left: float, right: float, top: float, height: float
) -> str:
    cells = [row.cells[column.key] for row in rows]
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
        _text(left, top - 24, f"{column.label} {column.arrow}", extra=' font-size="12" font-weight="600"'),
        _text(at, top - 9, better, anchor=anchor, extra=' font-size="10.5" opacity=".75"'),
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
            _text(x(tick), bottom + 14, f"{tick:.3g}", anchor="middle", extra=' font-size="10.5" opacity=".75"')
        )
    for line, (row, cell) in enumerate(zip(rows, cells, strict=True)):
        y = top + height * (line + 0.5)
        hue = colour(line) if row.trial.steps else "currentColor"
        paint = f"fill:{hue};fill-opacity:.45;stroke:{hue}" if row.trial.steps else f"fill:none;stroke:{hue}"
        if cell.mean is not None:
            parts.append(f'<path d="M{x(cell.mean):.1f} {y - 8:.1f}v16" style="stroke:{hue};stroke-width:2.5"/>')
        for seed, value in cell.values.items():
            label = escape(f"{row.label}, seed {seed}: {value:.3f}")
            parts.append(
                f'<circle cx="{x(value):.1f}" cy="{y:.1f}" r="4" style="{paint}"><title>{label}</title></circle>'
            )
    return "".join(parts)


def curves(rows: Sequence[Row]) -> str:
    """Training curves: a panel a loss term, a thin line a seed, a colour a row. Empty where no trial recorded any."""
    terms = list(dict.fromkeys(term for row in rows for _, record in row.trials for term in record.curves))
    if not terms:
        return ""
    body, top = _legend([row.label for row in rows])
    across = min(3, max(2, len(terms)))
    height, pitch = 150, _WIDTH / across
    for number, term in enumerate(terms):
        left = (number % across) * pitch
        above = top + (number // across) * (height + 44)
        lines = [
            (series, record.trial.seed, _thinned(record.curves[term]))
            for series, row in enumerate(rows)
            for _, record in row.trials
            if term in record.curves
        ]
        body.append(_curve_panel(term, lines, [row.label for row in rows], left + 50, left + pitch - 14, above, height))
    return _svg(body, top + math.ceil(len(terms) / across) * (height + 44), "Training curves by loss term")


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
    parts = [_text(left, above + 12, term, extra=' font-size="12" font-weight="600"')]
    if not points:
        return "".join([*parts, _text(left, above + 40, "no finite value", extra=' font-size="11"')])
    low, high = min(value for _, value in points), max(value for _, value in points)
    # The first steps of a loss are often a hundred times the last ones and would flatten all that follows.
    log = low > 0 and high > 20 * low
    high = high if high > low else low + (abs(low) or 1.0)
    top, bottom = above + 24, above + height
    y = Scale(low, high, bottom, top, log)
    x = Scale(min(step for step, _ in points), max(step for step, _ in points), left, right)
    if log:
        parts.append(_text(right, above + 12, "log scale", anchor="end", extra=' font-size="10.5" opacity=".75"'))
    middle = math.sqrt(low * high) if log else (low + high) / 2
    for tick in (low, middle, high):
        parts.append(f'<path d="M{left:.1f} {y(tick):.1f}H{right:.1f}" stroke="currentColor" opacity=".18"/>')
        parts.append(_text(left - 6, y(tick) + 4, _number(tick), anchor="end", extra=' font-size="10.5" opacity=".75"'))
    for step, anchor in ((x.low, "start"), (x.high, "end")):
        parts.append(
            _text(x(step), bottom + 16, f"{step:,.0f}", anchor=anchor, extra=' font-size="10.5" opacity=".75"')
        )
    parts.append(
        _text((left + right) / 2, bottom + 16, "steps", anchor="middle", extra=' font-size="10.5" opacity=".75"')
    )
    for series, seed, line in lines:
        path = "M" + "L".join(f"{x(step):.1f} {y(value):.1f}" for step, value in line)
        name = escape(f"{labels[series]}, seed {seed}")
        parts.append(
            f'<path d="{path}" fill="none" style="{_stroke(series)}"><title>{name}</title></path>' if line else ""
        )
    return "".join(parts)


def _legend(labels: Sequence[str]) -> tuple[list[str], float]:
    """Swatches with labels in as many lines as they need, and the height they take."""
    parts, x, y = [], 0.0, 14.0
    for series, label in enumerate(labels):
        needed = 44 + _CHARACTER * len(label)
        if x and x + needed > _WIDTH:
            x, y = 0.0, y + 20
        parts.append(f'<path d="M{x:.1f} {y - 4:.1f}h22" style="{_stroke(series)};stroke-width:3"/>')
        parts.append(_text(x + 28, y, label, extra=' font-size="12"'))
        x += needed
    return parts, y + 14


def _stroke(series: int) -> str:
    """A row's line; past the palette's end colours come again, dashed."""
    dash = ";stroke-dasharray:5 3" if series >= len(PALETTE) else ""
    return f"stroke:{colour(series)};stroke-width:1.4{dash}"


def _thinned(points: Sequence[tuple[int, float]]) -> list[_Point]:
    """Finite points, at most about _POINTS of them, the last always among them."""
    finite = [(float(step), value) for step, value in points if math.isfinite(value)]
    stride = max(1, math.ceil(len(finite) / _POINTS))
    return finite[::stride] + (finite[-1:] if finite and (len(finite) - 1) % stride else [])


def _number(value: float) -> str:
    """An axis label of about three digits without an exponent in the usual range of losses."""
    return f"{value:,.0f}" if 100 <= abs(value) < 1e7 else f"{value:.3g}"


def _text(x: float, y: float, words: str, anchor: str = "start", extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(words)}</text>'


def _svg(parts: Sequence[str], height: float, label: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(label)}" fill="currentColor">{"".join(parts)}</svg>'
    )
