"""Charts of one table: the scores of every seed beside floor and ceiling, and the training curves.

Where there are many trials, less detail is drawn: above MANY dots, the seeds of a row are one path without values; above LINES
curves, each row shows the curve of one trial.
"""

import math
from collections.abc import Sequence

from disbench.reports.markup import svg
from disbench.reports.markup.embedded_pictures import median_trial
from disbench.reports.records import Record
from disbench.reports.records.collect import whole
from disbench.reports.tables.columns import Column
from disbench.reports.tables.table import Row, Table

MANY = 600  # dots with their values in one chart
LINES = 60  # trials whose curves are all in one chart
_PANELS = 6  # metrics side by side
Line = tuple[int, int, list[svg.Point]]  # the place of the row, which gives the color; the seed; the points
_POINTS = 160  # of a curve that are drawn


def scores(table: Table) -> str:
    """Dot plot: a panel per metric, a line per row, a dot per seed, a bar at the mean; floor dashed, ceiling solid."""
    rows = table.first_views
    label_width = min(230.0, 14 + svg.CHARACTER * max(len(row.label) for row in rows)) if rows else 0.0
    row_height, head, foot = 24, 40, 30
    block = head + row_height * len(rows) + foot
    blocks = [table.columns[at : at + _PANELS] for at in range(0, len(table.columns), _PANELS)]
    pitch = (svg.WIDTH - label_width) / max(1, min(_PANELS, len(table.columns)))
    body = []
    for index, heads in enumerate(blocks):
        top = index * block + head
        for place, row in enumerate(rows):
            body.append(
                svg.text(label_width - 10, top + row_height * (place + 0.5) + 4, svg.short(row.label, 34), "end")
            )
        for place, column in enumerate(heads):
            left = label_width + place * pitch + 12
            body.append(_score_panel(table, column, rows, left, left + pitch - 24, top, row_height))
    return svg.drawing(body, block * len(blocks), "Scores of every seed, by metric and method")


def _score_panel(
    table: Table, column: Column, rows: Sequence[Row], left: float, right: float, top: float, height: float
) -> str:
    cells = [row.cells[column.key] for row in rows]
    floor, ceiling = table.floor[column.key].mean, table.ceiling[column.key].mean
    drawn = [value for cell in cells for value in cell.values.values()]
    x = scale_of(column, drawn + [value for value in (floor, ceiling) if value is not None], left, right)
    bottom = top + height * len(rows)
    better = {True: "better →", False: "← better", None: ""}[column.higher_is_better]
    at, anchor = (left, "start") if column.higher_is_better is False else (right, "end")
    parts = [
        svg.text(left, top - 24, f"{column.label} {column.arrow}", extra=svg.BOLD),
        svg.text(at, top - 9, better, anchor, svg.SMALL),
    ]
    parts += [svg.rule(left, right, top + height * (place + 0.5)) for place in range(len(rows))]
    for mark, name, dash in ((floor, "floor", ' stroke-dasharray="3 3"'), (ceiling, "ceiling", "")):
        if mark is not None:
            faint = f'stroke="currentColor" stroke-width="1.3" opacity=".6"{dash}'
            parts.append(svg.path(f"M{x(mark):.1f} {top:.1f}V{bottom:.1f}", faint, f"{name} {mark:.3f}"))
    parts += [svg.text(x(tick), bottom + 14, f"{tick:.3g}", "middle", svg.SMALL) for tick in x.ticks]
    with_values = len(drawn) * len(table.columns) <= MANY
    for place, (row, cell) in enumerate(zip(rows, cells, strict=True)):
        y = top + height * (place + 0.5)
        hue = svg.color(place) if row.trial.steps else "currentColor"
        fill = f"fill:{hue};fill-opacity:.45" if row.trial.steps else "fill:none"
        if cell.mean is not None:
            parts.append(svg.path(f"M{x(cell.mean):.1f} {y - 8:.1f}v16", f'style="stroke:{hue};stroke-width:2.5"'))
        if not with_values:
            parts.append(svg.dots([(x(value), y) for value in cell.values.values()], 7, hue, row.label))
            continue
        for seed, value in cell.values.items():
            title = f"{row.label}, seed {seed}: {value:.3f}"
            parts.append(svg.circle(x(value), y, 4, f'style="{fill};stroke:{hue}"', title))
    return "".join(parts)


def scale_of(column: Column, values: Sequence[float], start: float, end: float) -> svg.Scale:
    """A linear scale that holds the values and the finite bounds of a metric."""
    held = [*values, *(bound for bound in (column.low, column.high) if math.isfinite(bound))]
    low, high = min(held, default=0.0), max(held, default=1.0)
    return svg.Scale(low, high if high > low else low + 1, start, end)


def curves(rows: Sequence[Row]) -> tuple[str, str]:
    """Training curves in two charts: of terms that methods share, and of terms that only one of several methods records.

    A panel per loss term, a thin line per seed, a color per row; empty where no trial recorded any. Above LINES trials, a row
    has only the line of its median seed.
    """
    trained = [row for row in rows if row.trials]
    many = sum(len(row.trials) for row in trained) > LINES
    drawn = [
        (series, whole(*found))
        for series, row in enumerate(trained)
        for found in ([median_trial(row.trials)] if many else row.trials)
    ]
    methods: dict[str, set[str]] = {}
    for _, record in drawn:
        for term in record.curves:
            methods.setdefault(term, set()).add(record.trial.method)
    several = len({row.trial.method for row in trained}) > 1
    alone = [term for term, own in methods.items() if several and len(own) == 1]
    labels = [row.label for row in trained]
    shared = [term for term in methods if term not in alone]
    return _curves(drawn, labels, 150, shared), _curves(drawn, labels, 150, alone)


def trial_curves(record: Record) -> str:
    """One trial's training curves, a panel per loss term; empty where it recorded none."""
    return _curves([(0, record)], [], 100, list(record.curves))


def _curves(drawn: Sequence[tuple[int, Record]], labels: Sequence[str], height: float, terms: Sequence[str]) -> str:
    if not terms:
        return ""
    body, top = svg.legend(labels) if labels else ([], 0.0)
    across = min(3, max(2, len(terms))) if labels else 4
    pitch = svg.WIDTH / across
    points = _POINTS if labels else _POINTS // 3
    for place, term in enumerate(terms):
        left, above = place % across * pitch, top + place // across * (height + 44)
        lines = [
            (series, record.trial.seed, thinned(record.curves[term], points))
            for series, record in drawn
            if term in record.curves
        ]
        body.append(_curve_panel(term, lines, labels, (left + 50, above, pitch - 64, height)))
    return svg.drawing(body, top + math.ceil(len(terms) / across) * (height + 44), "Training curves by loss term")


def _curve_panel(term: str, lines: Sequence[Line], labels: Sequence[str], box: svg.Box) -> str:
    left, above, width, height = box
    right, bottom = left + width, above + height
    points = [point for _, _, own in lines for point in own]
    parts = [svg.text(left, above + 12, term, extra=svg.BOLD)]
    if not points:
        return "".join([*parts, svg.text(left, above + 40, "no finite value", extra=' font-size="11"')])
    low, high = min(value for _, value in points), max(value for _, value in points)
    # The first steps of a loss are often a hundred times the last ones and would flatten everything after them.
    log = low > 0 and high > 20 * low
    y = svg.Scale(low, high if high > low else low + (abs(low) or 1.0), bottom, above + 24, log)
    x = svg.Scale(min(step for step, _ in points), max(step for step, _ in points), left, right)
    if log:
        parts.append(svg.text(right, above + 12, "log scale" if labels else "log", "end", svg.SMALL))
    parts += svg.levels(y, left, right, svg.number)
    for step, anchor in ((x.low, "start"), (x.high, "end")):
        parts.append(svg.text(x(step), bottom + 16, f"{step:,.0f}", anchor, svg.SMALL))
    parts.append(svg.text((left + right) / 2, bottom + 16, "steps", "middle", svg.SMALL))
    for series, seed, own in lines:
        title = f"{labels[series]}, seed {seed}" if labels else f"seed {seed}"
        parts += [svg.line([(x(step), y(value)) for step, value in own], svg.stroke(series), title)] if own else []
    return "".join(parts)


def thinned(points: Sequence[tuple[int, float]], most: int) -> list[svg.Point]:
    """About `most` finite points or fewer, always with the last one."""
    finite = [(float(step), value) for step, value in points if math.isfinite(value)]
    stride = max(1, math.ceil(len(finite) / most))
    return finite[::stride] + (finite[-1:] if finite and (len(finite) - 1) % stride else [])
