"""Charts of a study of estimators as inline SVG: values beside both truths, the crossover, error over time, lag, information."""

import math
from collections.abc import Mapping, Sequence

from disbench.reports.estimators.study import Study
from disbench.reports.estimators.verdicts import LABELS, Numbers, by_estimator, main_batch, tasks_of, times
from disbench.reports.markup.score_charts import Scale, colour, escape

WIDTH = 960
HUES = {"mine": 0, "mss": 1, "ratio": 2, "marginal": 3, "batch_average": 4, "smile": 5, "full_n": 6, "nested": 7}
HUES |= {"nwj": 3, "infonce": 1, "club": 4, "ksg": 7, "histogram": 6, "mws": 4, "column_0": 4}
FAINT = ' font-size="10.5" opacity=".75"'


def text(x: float, y: float, words: str, anchor: str = "start", extra: str = ' font-size="12"') -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(words)}</text>'


def svg(parts: Sequence[str], height: float, label: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(label)}" fill="currentColor">{"".join(parts)}</svg>'
    )


def hue(name: str) -> str:
    return colour(HUES.get(name, 6))


def rule(path: str, dash: str = "", opacity: float = 0.18, width: float = 1.0) -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="{path}" stroke="currentColor" fill="none" stroke-width="{width}" opacity="{opacity}"{dashed}/>'


def line(points: Sequence[tuple[float, float]], name: str, told: str) -> str:
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return (
        f'<path d="{path}" fill="none" style="stroke:{hue(name)};stroke-width:1.8"><title>{escape(told)}</title></path>'
    )


def dot(x: float, y: float, name: str, told: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" style="fill:{hue(name)}"><title>{escape(told)}</title></circle>'


def legend(names: Sequence[str], y: float = 14) -> tuple[list[str], float]:
    """Swatches with labels, in as many lines as they need, and where the last ends."""
    parts, x = [], 0.0
    for name in names:
        needed = 44 + 6.6 * len(LABELS[name])
        if x and x + needed > WIDTH:
            x, y = 0.0, y + 20
        parts.append(f'<path d="M{x:.1f} {y - 4:.1f}h22" style="stroke:{hue(name)};stroke-width:3"/>')
        parts.append(text(x + 28, y, LABELS[name]))
        x += needed
    return parts, y + 10


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def decades(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)]


def values(study: Study) -> str:
    """A panel a task: each estimator's mean and deviation, the finite truth solid, the population truth dashed.

    A value far outside the others (MWS) is an arrow with its number.
    """
    tasks = tasks_of(study, "total_correlation")
    truths = {cell.task: cell.numbers for cell in study.of_kind("truth")}
    across, gap, label, row = 2, 20.0, 104.0, 19.0
    wide = (WIDTH - gap) / across
    body, top = [], 0.0
    for at in range(0, len(tasks), across):
        tallest = 0.0
        for column, task in enumerate(tasks[at : at + across]):
            found = by_estimator(study, "total_correlation", task, main_batch(study))
            left = column * (wide + gap) + label
            body.append(value_panel(task, found, truths[task], left, left + wide - label - 30, top, row))
            tallest = max(tallest, 62 + row * len(found))
        top += tallest + 14
    return svg(body, top, "Value and spread of every estimator of total correlation, by task")


def value_panel(
    task: str, found: Mapping[str, Numbers], truth: Numbers, left: float, right: float, top: float, row: float
) -> str:
    marks = {name: truth.get(name) for name in ("finite", "population")}
    known = [value for value in marks.values() if value is not None]
    drawn = {name: n for name, n in found.items() if name != "mws" and n.get("mean") is not None}
    ends = known + [(n["mean"] or 0) + sign * (n["sd"] or 0) for n in drawn.values() for sign in (-1, 1)]
    pad = 0.06 * ((max(ends) - min(ends)) or 1.0)
    x = Scale(min(ends) - pad, max(ends) + pad, left, right)
    begin, bottom = top + 26, top + 26 + row * len(found)
    parts = [text(left, top + 14, task, extra=' font-size="12.5" font-weight="600"')]
    for name, value in marks.items():
        if value is not None:
            dash = "4 3" if name == "population" else ""
            parts.append(rule(f"M{x(value):.1f} {begin}V{bottom}", dash, 0.75, 1.4))
    for tick in (min(ends), (min(ends) + max(ends)) / 2, max(ends)):
        parts.append(text(x(tick), bottom + 15, number(tick), "middle", FAINT))
    for index, (name, n) in enumerate(found.items()):
        y = begin + row * (index + 0.5)
        parts.append(text(left - 8, y + 4, LABELS[name], "end", ' font-size="11.5"'))
        parts.append(rule(f"M{left:.1f} {y:.1f}H{right:.1f}", opacity=0.12))
        mean, sd = n.get("mean"), n.get("sd") or 0.0
        if mean is None:
            continue
        told = f"{LABELS[name]}, {task}: {mean:.3f} ± {sd:.3f} nats"
        if name not in drawn:
            parts.append(text(right, y + 4, f"{number(mean)} →", "end", f' font-size="11" style="fill:{hue(name)}"'))
            continue
        parts.append(
            f'<path d="M{x(mean - sd):.1f} {y:.1f}H{x(mean + sd):.1f}" style="stroke:{hue(name)};stroke-width:2.4"/>'
        )
        parts.append(dot(x(mean), y, name, told))
    return "".join(parts)


def gradients(study: Study) -> str:
    """Six panels: bias, noise and cosine against either truth; a line a task, a dot an estimator."""
    tasks = tasks_of(study, "total_correlation")
    found = {task: by_estimator(study, "total_correlation", task, main_batch(study)) for task in tasks}
    hidden = ("mws", "column_0", "nwj", "infonce")
    names = [name for name in dict.fromkeys(name for task in tasks for name in found[task]) if name not in hidden]
    if not names:
        return ""
    body, top = legend(names)
    label, row = 104.0, 22.0
    wide, block = (WIDTH - label) / 3, 62 + row * len(tasks)
    for down, truth in enumerate(("finite", "population")):
        begin = top + 34 + down * block
        for line_, task in enumerate(tasks):
            body.append(text(label - 10, begin + row * (line_ + 0.5) + 4, task, "end", ' font-size="11.5"'))
        for across, (what, low, high) in enumerate((("bias", 0.01, 10.0), ("noise", 0.01, 10.0), ("cosine", 0.0, 1.0))):
            left = label + across * wide + 8
            x = Scale(low, high, left, left + wide - 30, log=low > 0)
            body.append(text(left, begin - 10, f"{what}, {truth}", extra=' font-size="12.5" font-weight="600"'))
            for tick in decades(low, high) if low > 0 else [0.0, 0.5, 1.0]:
                body.append(rule(f"M{x(tick):.1f} {begin:.1f}V{begin + row * len(tasks):.1f}", opacity=0.12))
                body.append(text(x(tick), begin + row * len(tasks) + 14, f"{tick:g}", "middle", FAINT))
            for line_, task in enumerate(tasks):
                y = begin + row * (line_ + 0.5)
                body.append(rule(f"M{left:.1f} {y:.1f}H{left + wide - 30:.1f}"))
                for name in names:
                    value = found[task].get(name, {}).get(f"gradient_{what}_{truth}")
                    if value is not None:
                        told = f"{LABELS[name]}, {task}: {what} {value:.3f}"
                        body.append(dot(x(min(max(value, low), high)), y, name, told))
    return svg(body, top + 2 * block + 14, "Bias, noise and cosine of the gradient against both truths")


def crossover(study: Study) -> str:
    """Two grids over B and D, Monte Carlo's time over a critic's: blue where the critic is cheaper, orange where it is not."""
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
        title = f"MSS / {LABELS[rival]}, time per use"
        body.append(text(left, 16, title, extra=' font-size="12.5" font-weight="600"'))
        for line_, B in enumerate(batches):
            y = 30 + tall * line_
            body.append(text(left - 8, y + tall / 2 + 4, f"B {B}", "end", ' font-size="11.5"'))
            for column, D in enumerate(dims):
                body.append(crossover_cell(found, rival, B, D, left + pitch * column, y, pitch - 3, tall - 3))
        for column, D in enumerate(dims):
            body.append(
                text(left + pitch * (column + 0.5), 46 + tall * len(batches), f"D {D}", "middle", ' font-size="11.5"')
            )
    return svg(body, 60 + tall * len(batches), "Time of MSS over time of a critic, by batch size and latents")


def crossover_cell(
    found: Mapping[tuple[str, int, int], float],
    rival: str,
    B: int,
    D: int,
    x: float,
    y: float,
    wide: float,
    tall: float,
) -> str:
    carlo, critic = found.get(("mss", B, D)), found.get((rival, B, D))
    box = f'x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}" rx="3"'
    if not carlo or not critic:
        why = escape(f"B={B}, D={D}: not measured")
        dashed = 'fill="none" stroke="currentColor" stroke-opacity=".25" stroke-dasharray="3 3"'
        return f"<rect {box} {dashed}><title>{why}</title></rect>" + text(
            x + wide / 2, y + tall / 2 + 4, "–", "middle", FAINT
        )
    ratio = carlo / critic
    strength = 0.1 + 0.45 * min(1.0, abs(math.log10(ratio)) / 2)
    told = escape(f"B={B}, D={D}: MSS {carlo:.2f} ms, {LABELS[rival]} {critic:.2f} ms")
    shown = f"× {ratio:.0f}" if ratio >= 10 else f"× {ratio:.1f}" if ratio >= 1 else f"× {ratio:.2f}"
    return (
        f'<rect {box} style="fill:{colour(0 if ratio > 1 else 1)};fill-opacity:{strength:.2f}"><title>{told}</title></rect>'
        + text(x + wide / 2, y + tall / 2 + 4, shown, "middle", ' font-size="12.5" font-weight="600"')
    )


def error_at(numbers: Numbers, truth: str, budget: float) -> float | None:
    """RMSE of the mean of as many independent uses as fit into a budget of milliseconds; None where not one fits."""
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


BUDGETS = tuple(10 ** (step / 8) for step in range(-2, 25))  # .56 ms to 1 s


def equal_time(study: Study) -> str:
    """Two panels, a truth each: error over a time budget, each estimator at its best batch size."""
    task = study.settings["swept"]
    names = [
        name
        for name in by_estimator(study, "total_correlation", task)
        if name not in ("mws", "column_0", "nwj", "infonce")
    ]
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
    for position, (truth, panel) in enumerate(curves.items()):
        left, right = position * (WIDTH / 2) + 44, (position + 1) * (WIDTH / 2) - 30
        above = top + 30
        x = Scale(BUDGETS[0], BUDGETS[-1], left, right, log=True)
        y = Scale(low, high, above + height, above, log=True)
        body.append(
            text(left, above - 10, f"against the {truth} truth, {task}", extra=' font-size="12.5" font-weight="600"')
        )
        for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0):
            if low <= tick <= high:
                body.append(rule(f"M{left:.1f} {y(tick):.1f}H{right:.1f}", opacity=0.14))
                body.append(text(left - 6, y(tick) + 4, f"{tick:g}", "end", FAINT))
        for tick in decades(BUDGETS[0], BUDGETS[-1]):
            body.append(rule(f"M{x(tick):.1f} {above:.1f}V{above + height:.1f}", opacity=0.1))
            body.append(text(x(tick), above + height + 16, f"{tick:g} ms", "middle", FAINT))
        for name, points in panel.items():
            if points:
                placed = [(x(budget), y(max(error, low))) for budget, error in points]
                body.append(line(placed, name, LABELS[name]))
                body.append(dot(*placed[0], name, f"{LABELS[name]}: one use, {points[0][1]:.3f} nats"))
    return svg(body, top + height + 58, "Root mean square error over a time budget")


def lag(study: Study) -> str:
    """The truth of a moving encoder, dashed, and what each estimator read at the time."""
    cells = [cell for cell in study.of_kind("lag") if cell.curves.get("value")]
    if not cells:
        return ""
    body, top = legend([cell.estimator for cell in cells])
    truth = cells[0].curves["truth"]
    drawn = [value for cell in cells for value in cell.curves["value"]] + truth
    left, right, above, height = 44.0, WIDTH - 16.0, top + 12, 240.0
    y = Scale(min(drawn), max(drawn), above + height, above)
    for tick in ticks(min(drawn), max(drawn)):
        body.append(rule(f"M{left:.1f} {y(tick):.1f}H{right:.1f}", opacity=0.14))
        body.append(text(left - 6, y(tick) + 4, f"{tick:g}", "end", FAINT))

    def placed(points: Sequence[float]) -> list[tuple[float, float]]:
        x = Scale(0, max(len(points) - 1, 1), left, right)
        return [(x(index), y(value)) for index, value in enumerate(points)]

    path = "M" + "L".join(f"{x:.1f} {at:.1f}" for x, at in placed(truth))
    body += [line(placed(cell.curves["value"]), cell.estimator, LABELS[cell.estimator]) for cell in cells]
    body.append(rule(path, "5 4", 0.9, 1.8))
    body.append(text(left, above + height + 18, "0", extra=FAINT))
    steps = cells[0].numbers["steps"] or 0
    body.append(text(right, above + height + 18, f"{steps:.0f} steps", "end", FAINT))
    return svg(body, above + height + 28, "Estimates while the encoder moves")


def ticks(low: float, high: float) -> list[float]:
    """Round values, about five, within a range."""
    raw = (high - low) / 5 or 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    return [round(step * index, 10) for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def information(study: Study) -> str:
    """What each estimator read over what is true, both in nats; on the diagonal they agree."""
    tasks = tasks_of(study, "information")
    if not tasks:
        return ""
    found = {task: by_estimator(study, "information", task) for task in tasks}
    names = list(dict.fromkeys(name for numbers in found.values() for name in numbers))
    body, top = legend(names)
    high = 1.08 * max(n["truth"] or 0.0 for numbers in found.values() for n in numbers.values())
    left, right, above, height = 44.0, 700.0, top + 12, 380.0
    low = 0.1
    x, y = Scale(low, high, left, right, log=True), Scale(low, high, above + height, above, log=True)
    for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10):
        if tick <= high:
            body.append(
                rule(
                    f"M{left:.1f} {y(tick):.1f}H{right:.1f}M{x(tick):.1f} {above:.1f}V{above + height:.1f}",
                    opacity=0.12,
                )
            )
            body.append(text(left - 6, y(tick) + 4, f"{tick:g}", "end", FAINT))
            body.append(text(x(tick), above + height + 16, f"{tick:g}", "middle", FAINT))
    body.append(rule(f"M{x(low):.1f} {y(low):.1f}L{x(high):.1f} {y(high):.1f}", "5 4", 0.7, 1.4))
    for task, numbers in found.items():
        for name, n in numbers.items():
            value, truth = n.get("mean"), n.get("truth")
            if value is not None and truth is not None:
                shown = min(max(value, low), high)
                told = f"{LABELS[name]}, {task}: {value:.3f} nats, true {truth:.3f}"
                body.append(dot(x(truth), y(shown), name, told))
    body.append(text(right + 16, y(high) + 16, "estimate = truth", extra=FAINT))
    body.append(text((left + right) / 2, above + height + 34, "true information, nats", "middle", FAINT))
    return svg(body, above + height + 44, "Estimated over true mutual information")
