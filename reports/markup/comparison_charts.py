"""Charts that compare methods, as inline SVG in the manner of `plots`: critical differences, score against cost, sensitivity.

Critical-difference diagram: Demsar 2006, JMLR 7, figure 1: methods on an axis of mean ranks, 1 the best, bars below the axis
joining those that do not differ.
"""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from disbench.reports.comparison import Diagram
from disbench.reports.markup import score_charts as plots
from disbench.reports.markup.score_charts import (
    CHARACTER,
    MANY,
    WIDTH,
    Scale,
    colour,
    dots,
    escape,
    legend,
    number,
    short,
    svg,
    text,
)
from disbench.reports.tables.aggregate import Row, Table
from disbench.reports.tables.columns import Column

PANELS = 9  # of sensitivity
_ACROSS = 3
_SMALL = ' font-size="10.5" opacity=".75"'
_BOLD = ' font-size="12" font-weight="600"'


def critical_difference(diagram: Diagram, label: str) -> str:
    """Methods on an axis of mean ranks, joined where they do not differ. Empty where the diagram has no test."""
    found = diagram.found
    if found is None:
        return ""
    order = sorted(range(len(diagram.methods)), key=lambda method: found.mean_ranks[method])
    labels = [short(method, 44) for method in diagram.methods]
    side = 16 + CHARACTER * (max(map(len, labels)) + 6)
    width = 2 * side + 280
    x = Scale(1, len(order), side, width - side)
    axis, step = 58.0, 20.0
    below = axis + 12 + 8 * len(found.cliques)
    parts = [f'<path d="M{x.start:.1f} {axis}H{x.end:.1f}" stroke="currentColor" stroke-width="1.3"/>']
    for rank in range(1, len(order) + 1):
        if len(order) <= 12 or rank in (1, len(order)) or rank % 5 == 0:
            parts.append(f'<path d="M{x(rank):.1f} {axis}v-6" stroke="currentColor"/>')
            parts.append(text(x(rank), axis - 10, str(rank), anchor="middle", extra=' font-size="11"'))
    reach = min(found.critical_difference, len(order) - 1)
    more = "" if reach == found.critical_difference else " (wider than the axis)"
    parts.append(
        f'<path d="M{x(1):.1f} 16v8M{x(1):.1f} 20H{x(1 + reach):.1f}M{x(1 + reach):.1f} 16v8" fill="none" '
        f'stroke="currentColor"/>'
    )
    parts.append(text(x(1), 11, f"CD = {found.critical_difference:.2f}{more}", extra=' font-size="11"'))
    for place, clique in enumerate(found.cliques):
        low, high = (found.mean_ranks[clique[end]] for end in (0, -1))
        names = ", ".join(diagram.methods[method] for method in clique)
        parts.append(
            f'<path d="M{x(low) - 4:.1f} {axis + 9 + 8 * place}H{x(high) + 4:.1f}" '
            f'style="stroke:{colour(0)};stroke-width:4"><title>{escape(f"no difference: {names}")}</title></path>'
        )
    half = (len(order) + 1) // 2
    for place, method in enumerate(order):
        left = place < half
        level = below + 6 + step * (place if left else len(order) - 1 - place)
        at = x(found.mean_ranks[method])
        end = side - 6 if left else width - side + 6
        parts.append(
            f'<path d="M{at:.1f} {axis}V{level:.1f}H{end:.1f}" fill="none" stroke="currentColor" opacity=".7"/>'
        )
        words = f"{labels[method]}  {found.mean_ranks[method]:.2f}"
        anchor = "end" if left else "start"
        parts.append(text(end + (-5 if left else 5), level + 4, words, anchor=anchor, extra=' font-size="12"'))
    return svg(parts, below + 6 + step * half, label, width)


def cost(table: Table) -> str:
    """Score against training time: a panel a metric, a small dot a trial, a ring the row's mean. Empty without times."""
    rows = [row for row in table.rows if any(_seconds(row).values())]
    times = [second for row in rows for second in _seconds(row).values()]
    if not times:
        return ""
    body, top = legend([row.label for row in table.rows])
    height, pitch = 170.0, WIDTH / _ACROSS
    spent = [_seconds(row) for row in table.rows]
    log = max(times) > 8 * min(times)
    margin = 1.0 if log else 0.06 * (max(times) - min(times))
    low, high = (min(times) / 1.15, max(times) * 1.15) if log else (min(times) - margin, max(times) + margin)
    for place, column in enumerate(table.columns):
        left, above = place % _ACROSS * pitch + 46, top + place // _ACROSS * (height + 62)
        x = Scale(low, high if high > low else low + 1, left, left + pitch - 66, log)
        body.append(_cost_panel(table, spent, column, x, above, height))
    lines = math.ceil(len(table.columns) / _ACROSS)
    return svg(body, top + lines * (height + 62), "Score against training time, by metric")


def _cost_panel(
    table: Table, spent: Sequence[dict[int, float]], column: Column, x: Scale, above: float, height: float
) -> str:
    drawn = [value for row in table.rows for value in row.cells[column.key].values.values()]
    bounds = [bound for bound in (column.low, column.high) if math.isfinite(bound)]
    low, high = min(drawn + bounds, default=0.0), max(drawn + bounds, default=1.0)
    y = Scale(low, high if high > low else low + 1, above + height, above + 22)
    better = {True: "better: up and left", False: "better: down and left", None: ""}[column.higher_is_better]
    parts = [
        text(x.start, above + 8, f"{column.label} {column.arrow}", extra=_BOLD),
        text(x.end, above + 8, better, anchor="end", extra=_SMALL),
    ]
    for tick in (y.low, (y.low + y.high) / 2, y.high):
        parts.append(_rule(x.start, x.end, y(tick)))
        parts.append(text(x.start - 6, y(tick) + 4, f"{tick:.3g}", anchor="end", extra=_SMALL))
    inside = math.sqrt(x.low * x.high) if x.log else (x.low + x.high) / 2
    for tick, anchor in ((x.low, "start"), (inside, "middle"), (x.high, "end")):
        parts.append(text(x(tick), above + height + 15, _seconds_label(tick), anchor=anchor, extra=_SMALL))
    named = len(drawn) * len(table.columns) <= MANY
    for series, (row, seconds) in enumerate(zip(table.rows, spent, strict=True)):
        scores = row.cells[column.key].values
        points = {seed: (x(seconds[seed]), y(score)) for seed, score in scores.items() if seed in seconds}
        if not points:
            continue
        if named:
            for seed, (across, up) in points.items():
                words = escape(f"{row.label}, seed {seed}: {scores[seed]:.3f} after {seconds[seed]:,.0f} s")
                parts.append(
                    f'<circle cx="{across:.1f}" cy="{up:.1f}" r="2.6" style="fill:{colour(series)};fill-opacity:.6">'
                    f"<title>{words}</title></circle>"
                )
        else:
            parts.append(dots(list(points.values()), 5, colour(series), row.label))
        took, scored = (statistics.fmean(seconds[s] for s in points), statistics.fmean(scores[s] for s in points))
        words = escape(f"{row.label}, mean of {len(points)}: {scored:.3f} after {took:,.0f} s")
        parts.append(
            f'<circle cx="{x(took):.1f}" cy="{y(scored):.1f}" r="6" fill="none" '
            f'style="stroke:{colour(series)};stroke-width:2.2"><title>{words}</title></circle>'
        )
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
    """Rows of one method that differ in one number only: `rows` in the order of its `values`; `others` what they share."""

    method: str
    name: str
    values: tuple[float, ...]
    rows: tuple[Row, ...]
    others: dict[str, Any]


def sweeps(table: Table) -> tuple[Sweep, ...]:
    """Every number of a method's settings that takes two values or more with all else equal, the longest first."""
    found = []
    for method in dict.fromkeys(row.trial.method for row in table.rows):
        own = [(_settings(row), row) for row in table.rows if row.trial.method == method]
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


def _settings(row: Row) -> dict[str, Any]:
    own = row.trial.model_dump(mode="json", include={"method_version", "steps", "batch_size", "precision", "rows"})
    return {**row.trial.hparams, **own}


def sensitivity(table: Table, found: Sequence[Sweep]) -> str:
    """Score against a setting's value: a panel a sweep, a line a metric through the means, a dot a seed.

    Metrics of one range share a panel; a metric without finite bounds has one of its own.
    """
    if not found:
        return ""
    body, top = legend([f"{column.label} {column.arrow}" for column in table.columns])
    height, pitch = 170.0, WIDTH / _ACROSS
    panels = [(sweep, heads) for sweep in found for heads in _ranges(table.columns)]
    for place, (sweep, heads) in enumerate(panels):
        left, above = place % _ACROSS * pitch + 46, top + place // _ACROSS * (height + 62)
        body.append(_sweep_panel(table, sweep, heads, left, left + pitch - 66, above, height))
    return svg(body, top + math.ceil(len(panels) / _ACROSS) * (height + 62), "Scores against settings' values")


def _ranges(columns: Sequence[Column]) -> list[list[Column]]:
    groups: dict[tuple[Any, ...], list[Column]] = {}
    for column in columns:
        bounded = math.isfinite(column.low) and math.isfinite(column.high)
        groups.setdefault((column.low, column.high) if bounded else (column.key,), []).append(column)
    return list(groups.values())


def _sweep_panel(
    table: Table, sweep: Sweep, heads: Sequence[Column], left: float, right: float, above: float, height: float
) -> str:
    cells = {head.key: [row.cells[head.key] for row in sweep.rows] for head in heads}
    drawn = [value for own in cells.values() for cell in own for value in cell.values.values()]
    bounds = [bound for bound in (heads[0].low, heads[0].high) if math.isfinite(bound)]
    low, high = min(drawn + bounds, default=0.0), max(drawn + bounds, default=1.0)
    y = Scale(low, high if high > low else low + 1, above + height, above + 22)
    log = sweep.values[0] > 0 and sweep.values[-1] >= 8 * sweep.values[0]
    x = Scale(sweep.values[0], sweep.values[-1], left + 12, right - 12, log)
    parts = [text(left, above + 8, f"{sweep.method}: {sweep.name}", extra=_BOLD)]
    if log:
        parts.append(text(right, above + 8, "log scale", anchor="end", extra=_SMALL))
    for tick in (y.low, (y.low + y.high) / 2, y.high):
        parts.append(_rule(left, right, y(tick)))
        parts.append(text(left - 6, y(tick) + 4, f"{tick:.3g}", anchor="end", extra=_SMALL))
    last = -math.inf
    for value in dict.fromkeys(sweep.values):
        label = number(value) if value < 1e6 else f"{value:.3g}"
        if x(value) - last > CHARACTER * (len(label) + 1):
            parts.append(text(x(value), above + height + 15, label, anchor="middle", extra=_SMALL))
            last = x(value)
    for head in heads:
        series = table.columns.index(head)
        means = [
            (x(value), y(cell.mean))
            for value, cell in zip(sweep.values, cells[head.key], strict=True)
            if cell.mean is not None
        ]
        if means:
            path = "M" + "L".join(f"{across:.1f} {up:.1f}" for across, up in means)
            words = escape(f"{head.label}, mean over seeds")
            parts.append(
                f'<path d="{path}" fill="none" style="{plots.stroke(series)};stroke-width:2"><title>{words}</title></path>'
            )
        points = [
            (x(value), y(score))
            for value, cell in zip(sweep.values, cells[head.key], strict=True)
            for score in cell.values.values()
        ]
        parts.append(dots(points, 5, colour(series), f"{head.label}, a dot a seed"))
    return "".join(parts)


def _rule(left: float, right: float, y: float) -> str:
    return f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" stroke="currentColor" opacity=".18"/>'
