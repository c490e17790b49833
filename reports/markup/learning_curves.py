"""Learning curves of scores: the mean over seeds at each step, with an interval where there are three seeds."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import stdtrit

from disbench.reports.markup import svg
from disbench.reports.markup.score_charts import thinned
from disbench.reports.records import Record
from disbench.reports.statistics.estimates import MIN_SEEDS
from disbench.reports.tables.columns import column
from disbench.reports.tables.table import Row

ACROSS, HEIGHT = 3, 170
POINTS = 160  # of a curve that are drawn
Point = tuple[int, float, float]  # a step, the mean over seeds there, and half of its interval or 0
Line = tuple[int, str, list[Point]]  # the place of the row, which gives the color; its label; its points


def over_seeds(records: Sequence[Record], metric: str) -> list[Point]:
    """The mean at each step over the seeds that have a point there, and the 95 % interval of Student's t from three seeds on."""
    scores: dict[int, list[float]] = {}
    for record in records:
        for step, score in record.score_curves.get(metric, []):
            if math.isfinite(score):
                scores.setdefault(step, []).append(score)
    points = []
    for step, own in sorted(scores.items()):
        n, half = len(own), 0.0
        if n >= MIN_SEEDS:
            half = float(stdtrit(n - 1, 0.975) * np.std(own, ddof=1) / math.sqrt(n))
        points.append((step, float(np.mean(own)), half))
    return points


def of_rows(rows: Sequence[Row]) -> str:
    """A panel per metric, a line per row of the table; empty where no trial has a curve."""
    trained = [row for row in rows if row.trials]
    lines: dict[str, list[Line]] = {}
    for series, row in enumerate(trained):
        records = [record for _, record in row.trials]
        for metric in dict.fromkeys(metric for record in records for metric in record.score_curves):
            if points := over_seeds(records, metric):
                lines.setdefault(metric, []).append((series, row.label, points))
    labels = [row.label for row in trained]
    return _drawn(lines, labels) if lines else ""


def of_trial(record: Record) -> str:
    """A panel per metric of one trial; empty where it has no curve."""
    found = {metric: over_seeds([record], metric) for metric in record.score_curves}
    return _drawn({metric: [(0, "", points)] for metric, points in found.items() if points}, [])


def _drawn(lines: Mapping[str, Sequence[Line]], labels: Sequence[str]) -> str:
    if not lines:
        return ""
    body, top = svg.legend(labels) if labels else ([], 0.0)
    pitch = svg.WIDTH / ACROSS
    for place, (metric, own) in enumerate(lines.items()):
        left, above = place % ACROSS * pitch, top + place // ACROSS * (HEIGHT + 44)
        body.append(_panel(metric, own, left + 50, left + pitch - 14, above))
    height = top + math.ceil(len(lines) / ACROSS) * (HEIGHT + 44)
    return svg.drawing(body, height, "Learning curves of scores by metric")


def _panel(metric: str, lines: Sequence[Line], left: float, right: float, above: float) -> str:
    head = column(metric)
    points = [point for *_, own in lines for point in own]
    bottom = above + HEIGHT

    def limited(value: float) -> float:
        """An interval ends where the scores of the metric end."""
        return min(max(value, head.low), head.high)

    # The panel ends at the highest point: scores early in training are near the lowest.
    held = [end for _, mean, half in points for end in (mean, limited(mean - half), limited(mean + half))]
    low, high = min([*held, head.low] if math.isfinite(head.low) else held), max(held)
    y = svg.Scale(low, high if high > low else low + 1, bottom, above + 24)
    x = svg.Scale(0, max(step for step, *_ in points), left, right)
    parts = [
        svg.text(left, above + 12, f"{head.label} {head.arrow}", extra=svg.BOLD),
        *svg.levels(y, left, right, svg.number),
    ]
    for step, anchor in ((x.low, "start"), (x.high, "end")):
        parts.append(svg.text(x(step), bottom + 16, f"{step:,.0f}", anchor, svg.SMALL))
    parts.append(svg.text((left + right) / 2, bottom + 16, "steps", "middle", svg.SMALL))
    for series, _, own in lines:
        if any(half for *_, half in own):
            band = [(x(step), y(limited(mean + half))) for step, mean, half in own]
            band += [(x(step), y(limited(mean - half))) for step, mean, half in reversed(own)]
            parts.append(svg.path(f"{svg.through(band)}Z", f'style="fill:{svg.color(series)};fill-opacity:.14"'))
    for series, label, own in lines:
        last = own[-1]
        title = f"{label}: " * bool(label) + f"{last[1]:.3f} at step {last[0]:,}"
        drawn = thinned([(step, mean) for step, mean, _ in own], POINTS)
        parts.append(svg.line([(x(step), y(mean)) for step, mean in drawn], svg.stroke(series), title))
        if len(drawn) == 1:
            parts.append(svg.dots([(x(last[0]), y(last[1]))], 5, svg.color(series), title))
    return "".join(parts)
