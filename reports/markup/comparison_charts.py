"""Charts that compare methods: critical differences, score against training time, score against a setting.

The critical-difference diagram is figure 1 of Demsar 2006, JMLR 7: methods on an axis of mean ranks, 1 the best, and bars below
the axis that join methods without a significant difference.
"""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from disbench.reports.comparison import Diagram
from disbench.reports.markup import svg
from disbench.reports.markup.score_charts import MANY, scale_of
from disbench.reports.tables.aggregate import settings_of
from disbench.reports.tables.columns import Column
from disbench.reports.tables.table import Row, Table

PANELS = 9  # of sensitivity
_ACROSS = 3  # panels side by side
_PITCH = svg.WIDTH / _ACROSS
_HEIGHT = 170.0  # of a panel
_DOWN = _HEIGHT + 62  # from one line of panels to the next
_TINY = ' font-size="11"'


def critical_difference(diagram: Diagram, label: str) -> str:
    """Methods on an axis of mean ranks, joined where they do not differ. Empty where the diagram has no test."""
    found = diagram.found
    if found is None:
        return ""
    order = sorted(range(len(diagram.methods)), key=lambda method: found.mean_ranks[method])
    labels = [svg.short(method, 44) for method in diagram.methods]
    side = 16 + svg.CHARACTER * (max(map(len, labels)) + 6)
    width = 2 * side + 280
    x = svg.Scale(1, len(order), side, width - side)
    axis, step = 58.0, 20.0
    below = axis + 12 + 8 * len(found.cliques)
    parts = [svg.path(f"M{x.start:.1f} {axis}H{x.end:.1f}", 'stroke="currentColor" stroke-width="1.3"')]
    for rank in range(1, len(order) + 1):
        if len(order) <= 12 or rank in (1, len(order)) or rank % 5 == 0:
            parts.append(svg.path(f"M{x(rank):.1f} {axis}v-6", 'stroke="currentColor"'))
            parts.append(svg.text(x(rank), axis - 10, str(rank), "middle", _TINY))
    reach = min(found.critical_difference, len(order) - 1)
    more = "" if reach == found.critical_difference else " (wider than the axis)"
    bar = f"M{x(1):.1f} 16v8M{x(1):.1f} 20H{x(1 + reach):.1f}M{x(1 + reach):.1f} 16v8"
    parts.append(svg.path(bar, 'fill="none" stroke="currentColor"'))
    parts.append(svg.text(x(1), 11, f"CD = {found.critical_difference:.2f}{more}", extra=_TINY))
    for place, clique in enumerate(found.cliques):
        low, high = (found.mean_ranks[clique[end]] for end in (0, -1))
        names = ", ".join(diagram.methods[method] for method in clique)
        bar = f"M{x(low) - 4:.1f} {axis + 9 + 8 * place}H{x(high) + 4:.1f}"
        parts.append(svg.path(bar, f'style="stroke:{svg.color(0)};stroke-width:4"', f"no difference: {names}"))
    half = (len(order) + 1) // 2
    for place, method in enumerate(order):
        left = place < half
        level = below + 6 + step * (place if left else len(order) - 1 - place)
        end = side - 6 if left else width - side + 6
        way = f"M{x(found.mean_ranks[method]):.1f} {axis}V{level:.1f}H{end:.1f}"
        parts.append(svg.path(way, 'fill="none" stroke="currentColor" opacity=".7"'))
        words = f"{labels[method]}  {found.mean_ranks[method]:.2f}"
        parts.append(svg.text(end + (-5 if left else 5), level + 4, words, "end" if left else "start"))
    return svg.drawing(parts, below + 6 + step * half, label, width)


def _corner(place: int, top: float) -> tuple[float, float]:
    """The upper left corner of a panel."""
    return place % _ACROSS * _PITCH + 46, top + place // _ACROSS * _DOWN


def cost(table: Table) -> str:
    """Score against training time: a panel per metric, a small dot per trial, a ring at the row's mean.

    Empty without times.
    """
    spent = [_seconds(row) for row in table.rows]
    times = [second for own in spent for second in own.values()]
    if not times:
        return ""
    body, top = svg.legend([row.label for row in table.rows])
    log = max(times) > 8 * min(times)
    margin = 1.0 if log else 0.06 * (max(times) - min(times))
    low, high = (min(times) / 1.15, max(times) * 1.15) if log else (min(times) - margin, max(times) + margin)
    for place, column in enumerate(table.columns):
        left, above = _corner(place, top)
        x = svg.Scale(low, high if high > low else low + 1, left, left + _PITCH - 66, log)
        body.append(_cost_panel(table, spent, column, x, above))
    lines = math.ceil(len(table.columns) / _ACROSS)
    return svg.drawing(body, top + lines * _DOWN, "Score against training time, by metric")


def _cost_panel(table: Table, spent: Sequence[dict[int, float]], column: Column, x: svg.Scale, above: float) -> str:
    drawn = [value for row in table.rows for value in row.cells[column.key].values.values()]
    y = scale_of(column, drawn, above + _HEIGHT, above + 22)
    better = {True: "better: up and left", False: "better: down and left", None: ""}[column.higher_is_better]
    parts = [
        svg.text(x.start, above + 8, f"{column.label} {column.arrow}", extra=svg.BOLD),
        svg.text(x.end, above + 8, better, "end", svg.SMALL),
        *svg.levels(y, x.start, x.end, "{:.3g}".format),
    ]
    for tick, anchor in zip(x.ticks, ("start", "middle", "end"), strict=True):
        parts.append(svg.text(x(tick), above + _HEIGHT + 15, _seconds_label(tick), anchor, svg.SMALL))
    with_values = len(drawn) * len(table.columns) <= MANY
    for series, (row, seconds) in enumerate(zip(table.rows, spent, strict=True)):
        scores = row.cells[column.key].values
        points = {seed: (x(seconds[seed]), y(score)) for seed, score in scores.items() if seed in seconds}
        if not points:
            continue
        if with_values:
            for seed, (across, up) in points.items():
                title = f"{row.label}, seed {seed}: {scores[seed]:.3f} after {seconds[seed]:,.0f} s"
                parts.append(svg.circle(across, up, 2.6, f'style="fill:{svg.color(series)};fill-opacity:.6"', title))
        else:
            parts.append(svg.dots(points.values(), 5, svg.color(series), row.label))
        took, scored = (statistics.fmean(own[seed] for seed in points) for own in (seconds, scores))
        title = f"{row.label}, mean of {len(points)}: {scored:.3f} after {took:,.0f} s"
        ring = f'fill="none" style="stroke:{svg.color(series)};stroke-width:2.2"'
        parts.append(svg.circle(x(took), y(scored), 6, ring, title))
    return "".join(parts)


def _seconds(row: Row) -> dict[int, float]:
    """{seed: seconds of training}."""
    found = {record.trial.seed: record.seconds.get("train", math.nan) for _, record in row.trials}
    return {seed: seconds for seed, seconds in found.items() if math.isfinite(seconds) and seconds > 0}


def _seconds_label(seconds: float) -> str:
    if seconds >= 7200:
        return f"{seconds / 3600:.3g} h"
    return f"{seconds / 60:.3g} min" if seconds >= 300 else f"{seconds:.3g} s"


@dataclass(frozen=True)
class Sweep:
    """Rows of one method that differ in one number only, in the order of its `values`; `others` are the settings they share."""

    method: str
    name: str
    values: tuple[float, ...]
    rows: tuple[Row, ...]
    others: dict[str, Any]


def sweeps(table: Table) -> tuple[Sweep, ...]:
    """Every numeric setting of a method that takes two values or more with all else equal, longest sweep first."""
    found = []
    for method in dict.fromkeys(row.trial.method for row in table.rows):
        own = [(settings_of(row.trial), row) for row in table.rows if row.trial.method == method]
        for name in sorted({name for settings, _ in own for name in settings}):
            groups: dict[str, list[tuple[float, Row]]] = {}
            for settings, row in own:
                value = settings.get(name)
                if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                    rest = json.dumps({k: v for k, v in settings.items() if k != name}, sort_keys=True)
                    groups.setdefault(rest, []).append((float(value), row))
            for rest, pairs in groups.items():
                pairs.sort(key=lambda pair: pair[0])
                if len({value for value, _ in pairs}) > 1:
                    values, rows = zip(*pairs, strict=True)
                    found.append(Sweep(method, name, tuple(values), tuple(rows), json.loads(rest)))
    return tuple(sorted(found, key=lambda sweep: -len(sweep.values)))


def sensitivity(table: Table, found: Sequence[Sweep]) -> str:
    """Score against a setting's value: a panel per sweep, a line per metric through the means, a dot per seed.

    Metrics with the same range share a panel; a metric without finite bounds gets a separate one.
    """
    if not found:
        return ""
    body, top = svg.legend([f"{column.label} {column.arrow}" for column in table.columns])
    panels = [(sweep, heads) for sweep in found for heads in _ranges(table.columns)]
    for place, (sweep, heads) in enumerate(panels):
        body.append(_sweep_panel(table, sweep, heads, *_corner(place, top)))
    return svg.drawing(body, top + math.ceil(len(panels) / _ACROSS) * _DOWN, "Scores against settings' values")


def _ranges(columns: Sequence[Column]) -> list[list[Column]]:
    groups: dict[tuple[Any, ...], list[Column]] = {}
    for column in columns:
        bounded = math.isfinite(column.low) and math.isfinite(column.high)
        groups.setdefault((column.low, column.high) if bounded else (column.key,), []).append(column)
    return list(groups.values())


def _sweep_panel(table: Table, sweep: Sweep, heads: Sequence[Column], left: float, above: float) -> str:
    cells = {head.key: [row.cells[head.key] for row in sweep.rows] for head in heads}
    drawn = [value for own in cells.values() for cell in own for value in cell.values.values()]
    right = left + _PITCH - 66
    y = scale_of(heads[0], drawn, above + _HEIGHT, above + 22)
    log = sweep.values[0] > 0 and sweep.values[-1] >= 8 * sweep.values[0]
    x = svg.Scale(sweep.values[0], sweep.values[-1], left + 12, right - 12, log)
    parts = [svg.text(left, above + 8, f"{sweep.method}: {sweep.name}", extra=svg.BOLD)]
    if log:
        parts.append(svg.text(right, above + 8, "log scale", "end", svg.SMALL))
    parts += svg.levels(y, left, right, "{:.3g}".format)
    last = -math.inf
    for value in dict.fromkeys(sweep.values):
        label = svg.number(value) if value < 1e6 else f"{value:.3g}"
        if x(value) - last > svg.CHARACTER * (len(label) + 1):
            parts.append(svg.text(x(value), above + _HEIGHT + 15, label, "middle", svg.SMALL))
            last = x(value)
    for head in heads:
        series = table.columns.index(head)
        own = [(x(value), cell) for value, cell in zip(sweep.values, cells[head.key], strict=True)]
        if means := [(across, y(cell.mean)) for across, cell in own if cell.mean is not None]:
            parts.append(svg.line(means, f"{svg.stroke(series)};stroke-width:2", f"{head.label}, mean over seeds"))
        points = [(across, y(score)) for across, cell in own for score in cell.values.values()]
        parts.append(svg.dots(points, 5, svg.color(series), f"{head.label}, a dot a seed"))
    return "".join(parts)
