"""Charts of a study of estimators: values beside both truths, gradients, the crossover, error over time, lag, information."""

import math
from collections.abc import Iterable, Mapping, Sequence

from disbench.reports.estimators.averages import LABELS, Numbers, by_estimator, main_batch, tasks_of, times
from disbench.reports.estimators.study import Study
from disbench.reports.markup import svg

HUES = {"mine": 0, "mss": 1, "ratio": 2, "marginal": 3, "batch_average": 4, "smile": 5, "full_n": 6, "nested": 7}
HUES |= {"nwj": 3, "infonce": 1, "club": 4, "ksg": 7, "histogram": 6, "mws": 4, "column_0": 4}
TITLE = ' font-size="12.5" font-weight="600"'
ROW_LABEL = ' font-size="11.5"'
LEFT_OUT = ("mws", "column_0", "nwj", "infonce")  # of the charts in which they would hide the others


def hue(name: str) -> str:
    return svg.color(HUES.get(name, 6))


def rule(steps: str, dash: str = "", opacity: float = 0.18, width: float = 1.0) -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return svg.path(steps, f'stroke="currentColor" fill="none" stroke-width="{width}" opacity="{opacity}"{dashed}')


def curve(points: Iterable[svg.Point], name: str) -> str:
    return svg.line(points, f"stroke:{hue(name)};stroke-width:1.8", LABELS[name])


def dot(x: float, y: float, name: str, title: str) -> str:
    return svg.circle(x, y, 4.5, f'style="fill:{hue(name)}"', title)


def legend(names: Sequence[str]) -> tuple[list[str], float]:
    return svg.legend([LABELS[name] for name in names], lambda index: f"stroke:{hue(names[index])}", gap=10)


def decades(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)]


def values(study: Study) -> str:
    """A panel per task: the mean and deviation of each estimator, the finite truth solid, the population truth dashed.

    A value far outside the others (MWS) is an arrow with its number.
    """
    tasks = tasks_of(study, "total_correlation")
    truths = {cell.task: cell.numbers for cell in study.of_kind("truth")}
    across, gap, label, row = 2, 20.0, 104.0, 19.0
    wide = (svg.WIDTH - gap) / across
    body, top = [], 0.0
    for at in range(0, len(tasks), across):
        tallest = 0.0
        for column, task in enumerate(tasks[at : at + across]):
            found = by_estimator(study, "total_correlation", task, main_batch(study))
            left = column * (wide + gap) + label
            body.append(value_panel(task, found, truths[task], left, left + wide - label - 30, top, row))
            tallest = max(tallest, 62 + row * len(found))
        top += tallest + 14
    return svg.drawing(body, top, "Value and spread of every estimator of total correlation, by task")


def value_panel(
    task: str, found: Mapping[str, Numbers], truth: Numbers, left: float, right: float, top: float, row: float
) -> str:
    marks = {name: truth.get(name) for name in ("finite", "population")}
    drawn = {name: n for name, n in found.items() if name != "mws" and n.get("mean") is not None}
    ends = [value for value in marks.values() if value is not None]
    ends += [(n["mean"] or 0) + sign * (n["sd"] or 0) for n in drawn.values() for sign in (-1, 1)]
    low, high = min(ends), max(ends)
    pad = 0.06 * ((high - low) or 1.0)
    x = svg.Scale(low - pad, high + pad, left, right)
    begin, bottom = top + 26, top + 26 + row * len(found)
    parts = [svg.text(left, top + 14, task, extra=TITLE)]
    for name, value in marks.items():
        if value is not None:
            dash = "4 3" if name == "population" else ""
            parts.append(rule(f"M{x(value):.1f} {begin}V{bottom}", dash, 0.75, 1.4))
    parts += [
        svg.text(x(tick), bottom + 15, svg.number(tick), "middle", svg.SMALL) for tick in (low, (low + high) / 2, high)
    ]
    for index, (name, n) in enumerate(found.items()):
        y = begin + row * (index + 0.5)
        parts.append(svg.text(left - 8, y + 4, LABELS[name], "end", ROW_LABEL))
        parts.append(rule(f"M{left:.1f} {y:.1f}H{right:.1f}", opacity=0.12))
        mean, sd = n.get("mean"), n.get("sd") or 0.0
        if mean is None:
            continue
        if name not in drawn:
            parts.append(
                svg.text(right, y + 4, f"{svg.number(mean)} →", "end", f' font-size="11" style="fill:{hue(name)}"')
            )
            continue
        bar = f"M{x(mean - sd):.1f} {y:.1f}H{x(mean + sd):.1f}"
        parts.append(svg.path(bar, f'style="stroke:{hue(name)};stroke-width:2.4"'))
        parts.append(dot(x(mean), y, name, f"{LABELS[name]}, {task}: {mean:.3f} ± {sd:.3f} nats"))
    return "".join(parts)


def gradients(study: Study) -> str:
    """Six panels: bias, noise and cosine against either truth; a line per task, a dot per estimator."""
    tasks = tasks_of(study, "total_correlation")
    found = {task: by_estimator(study, "total_correlation", task, main_batch(study)) for task in tasks}
    names = [name for name in dict.fromkeys(name for task in tasks for name in found[task]) if name not in LEFT_OUT]
    if not names:
        return ""
    body, top = legend(names)
    label, row = 104.0, 22.0
    wide, block = (svg.WIDTH - label) / 3, 62 + row * len(tasks)
    for down, truth in enumerate(("finite", "population")):
        begin = top + 34 + down * block
        bottom = begin + row * len(tasks)
        heights = [begin + row * (place + 0.5) for place in range(len(tasks))]
        body += [svg.text(label - 10, y + 4, task, "end", ROW_LABEL) for y, task in zip(heights, tasks, strict=True)]
        for across, (what, low, high) in enumerate((("bias", 0.01, 10.0), ("noise", 0.01, 10.0), ("cosine", 0.0, 1.0))):
            left = label + across * wide + 8
            x = svg.Scale(low, high, left, left + wide - 30, log=low > 0)
            body.append(svg.text(left, begin - 10, f"{what}, {truth}", extra=TITLE))
            for tick in decades(low, high) if low > 0 else [0.0, 0.5, 1.0]:
                body.append(rule(f"M{x(tick):.1f} {begin:.1f}V{bottom:.1f}", opacity=0.12))
                body.append(svg.text(x(tick), bottom + 14, f"{tick:g}", "middle", svg.SMALL))
            for y, task in zip(heights, tasks, strict=True):
                body.append(rule(f"M{left:.1f} {y:.1f}H{left + wide - 30:.1f}"))
                for name in names:
                    value = found[task].get(name, {}).get(f"gradient_{what}_{truth}")
                    if value is not None:
                        title = f"{LABELS[name]}, {task}: {what} {value:.3f}"
                        body.append(dot(x(min(max(value, low), high)), y, name, title))
    return svg.drawing(body, top + 2 * block + 14, "Bias, noise and cosine of the gradient against both truths")


def crossover(study: Study) -> str:
    """Two grids over B and D of Monte Carlo's time over a critic's: blue where the critic is cheaper, orange otherwise."""
    found = times(study)
    rivals = [name for name in ("mine", "marginal") if any(key[0] == name for key in found)]
    batches = sorted({key[1] for key in found}, reverse=True)
    dims = sorted({key[2] for key in found})
    if not rivals or not any(key[0] == "mss" for key in found):
        return ""
    wide, tall, gap = 440.0, 40.0, 80.0
    body = []
    for position, rival in enumerate(rivals):
        left = position * (wide + gap) + 54
        pitch = (wide - 54) / len(dims)
        body.append(svg.text(left, 16, f"MSS / {LABELS[rival]}, time per use", extra=TITLE))
        for place, B in enumerate(batches):
            y = 30 + tall * place
            body.append(svg.text(left - 8, y + tall / 2 + 4, f"B {B}", "end", ROW_LABEL))
            for column, D in enumerate(dims):
                body.append(crossover_cell(found, rival, B, D, (left + pitch * column, y, pitch - 3, tall - 3)))
        for column, D in enumerate(dims):
            at = left + pitch * (column + 0.5)
            body.append(svg.text(at, 46 + tall * len(batches), f"D {D}", "middle", ROW_LABEL))
    return svg.drawing(body, 60 + tall * len(batches), "Time of MSS over time of a critic, by batch size and latents")


def crossover_cell(found: Mapping[tuple[str, int, int], float], rival: str, B: int, D: int, box: svg.Box) -> str:
    """The ratio of MSS's time to a critic's, on a color that deepens with it; dashed where one of them was not measured."""
    x, y, wide, tall = box
    carlo, critic = found.get(("mss", B, D)), found.get((rival, B, D))
    placed = f'x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}" rx="3"'
    middle = x + wide / 2, y + tall / 2 + 4
    if not carlo or not critic:
        dashed = 'fill="none" stroke="currentColor" stroke-opacity=".25" stroke-dasharray="3 3"'
        empty = svg.shape("rect", f"{placed} {dashed}", f"B={B}, D={D}: not measured")
        return empty + svg.text(*middle, "–", "middle", svg.SMALL)
    ratio = carlo / critic
    strength = 0.1 + 0.45 * min(1.0, abs(math.log10(ratio)) / 2)
    fill = f'style="fill:{svg.color(0 if ratio > 1 else 1)};fill-opacity:{strength:.2f}"'
    title = f"B={B}, D={D}: MSS {carlo:.2f} ms, {LABELS[rival]} {critic:.2f} ms"
    shown = f"× {ratio:.0f}" if ratio >= 10 else f"× {ratio:.1f}" if ratio >= 1 else f"× {ratio:.2f}"
    return svg.shape("rect", f"{placed} {fill}", title) + svg.text(*middle, shown, "middle", TITLE)


def error_at(numbers: Numbers, truth: str, budget: float) -> float | None:
    """RMSE of the mean of as many independent uses as fit into a budget in milliseconds; None if not even one fits."""
    bias, sd, use = numbers.get(f"bias_{truth}"), numbers.get("sd"), numbers.get("use_ms")
    if bias is None or sd is None or not use or use > budget:
        return None
    return math.sqrt(bias**2 + sd**2 / math.floor(budget / use))


def best_error(study: Study, name: str, truth: str, budget: float) -> tuple[float, int] | None:
    """The smallest `error_at` of an estimator over the batch sizes of the swept task, and that batch size."""
    task = study.settings["swept"]
    found = []
    for batch in sorted({cell.batch for cell in study.of_kind("total_correlation") if cell.task == task}):
        numbers = by_estimator(study, "total_correlation", task, batch).get(name)
        error = error_at(numbers, truth, budget) if numbers else None
        if error is not None:
            found.append((error, batch))
    return min(found, default=None)


BUDGETS = tuple(10 ** (step / 8) for step in range(-2, 25))  # 0.56 ms to 1 s


def equal_time(study: Study) -> str:
    """Two panels, one per truth: error over a time budget, each estimator at its best batch size."""
    task = study.settings["swept"]
    names = [name for name in by_estimator(study, "total_correlation", task) if name not in LEFT_OUT]
    body, top = legend(names)
    curves = {
        truth: {
            name: [(budget, best[0]) for budget in BUDGETS if (best := best_error(study, name, truth, budget))]
            for name in names
        }
        for truth in ("finite", "population")
    }
    drawn = [error for panel in curves.values() for points in panel.values() for _, error in points]
    if not drawn:
        return ""
    height, low, high = 250.0, max(min(drawn) * 0.8, 1e-3), max(drawn) * 1.25
    above = top + 30
    for position, (truth, panel) in enumerate(curves.items()):
        left, right = position * (svg.WIDTH / 2) + 44, (position + 1) * (svg.WIDTH / 2) - 30
        x = svg.Scale(BUDGETS[0], BUDGETS[-1], left, right, log=True)
        y = svg.Scale(low, high, above + height, above, log=True)
        body.append(svg.text(left, above - 10, f"against the {truth} truth, {task}", extra=TITLE))
        ticks = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
        body += svg.levels(y, left, right, "{:g}".format, [tick for tick in ticks if low <= tick <= high])
        for tick in decades(BUDGETS[0], BUDGETS[-1]):
            body.append(rule(f"M{x(tick):.1f} {above:.1f}V{above + height:.1f}", opacity=0.1))
            body.append(svg.text(x(tick), above + height + 16, f"{tick:g} ms", "middle", svg.SMALL))
        for name, points in panel.items():
            if points:
                placed = [(x(budget), y(max(error, low))) for budget, error in points]
                body.append(curve(placed, name))
                body.append(dot(*placed[0], name, f"{LABELS[name]}: one use, {points[0][1]:.3f} nats"))
    return svg.drawing(body, top + height + 58, "Root mean square error over a time budget")


def lag(study: Study) -> str:
    """The truth of a moving encoder, dashed, and what each estimator returned at the time."""
    cells = [cell for cell in study.of_kind("lag") if cell.curves.get("value")]
    if not cells:
        return ""
    body, top = legend([cell.estimator for cell in cells])
    truth = cells[0].curves["truth"]
    drawn = [value for cell in cells for value in cell.curves["value"]] + truth
    left, right, above, height = 44.0, svg.WIDTH - 16.0, top + 12, 240.0
    y = svg.Scale(min(drawn), max(drawn), above + height, above)
    body += svg.levels(y, left, right, svg.number)

    def placed(points: Sequence[float]) -> list[svg.Point]:
        x = svg.Scale(0, max(len(points) - 1, 1), left, right)
        return [(x(index), y(value)) for index, value in enumerate(points)]

    body += [curve(placed(cell.curves["value"]), cell.estimator) for cell in cells]
    body.append(rule(svg.through(placed(truth)), "5 4", 0.9, 1.8))
    body.append(svg.text(left, above + height + 18, "0", extra=svg.SMALL))
    body.append(svg.text(right, above + height + 18, f"{cells[0].numbers['steps'] or 0:.0f} steps", "end", svg.SMALL))
    return svg.drawing(body, above + height + 28, "Estimates while the encoder moves")


def information(study: Study) -> str:
    """Each estimate over the true information, both in nats; on the diagonal they agree."""
    tasks = tasks_of(study, "information")
    if not tasks:
        return ""
    found = {task: by_estimator(study, "information", task) for task in tasks}
    names = list(dict.fromkeys(name for numbers in found.values() for name in numbers))
    body, top = legend(names)
    low, high = 0.1, 1.08 * max(n["truth"] or 0.0 for numbers in found.values() for n in numbers.values())
    left, right, above, height = 44.0, 700.0, top + 12, 380.0
    x, y = svg.Scale(low, high, left, right, log=True), svg.Scale(low, high, above + height, above, log=True)
    for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10):
        if tick <= high:
            cross = f"M{left:.1f} {y(tick):.1f}H{right:.1f}M{x(tick):.1f} {above:.1f}V{above + height:.1f}"
            body.append(rule(cross, opacity=0.12))
            body.append(svg.text(left - 6, y(tick) + 4, f"{tick:g}", "end", svg.SMALL))
            body.append(svg.text(x(tick), above + height + 16, f"{tick:g}", "middle", svg.SMALL))
    body.append(rule(svg.through([(x(low), y(low)), (x(high), y(high))]), "5 4", 0.7, 1.4))
    for task, numbers in found.items():
        for name, n in numbers.items():
            value, truth = n.get("mean"), n.get("truth")
            if value is not None and truth is not None:
                title = f"{LABELS[name]}, {task}: {value:.3f} nats, true {truth:.3f}"
                body.append(dot(x(truth), y(min(max(value, low), high)), name, title))
    body.append(svg.text(right + 16, y(high) + 16, "estimate = truth", extra=svg.SMALL))
    body.append(svg.text((left + right) / 2, above + height + 34, "true information, nats", "middle", svg.SMALL))
    return svg.drawing(body, above + height + 44, "Estimated over true mutual information")
