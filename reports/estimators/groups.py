"""Total correlation between groups of latents: from which number of latents in a group on Monte Carlo is wrong.

The error is the root mean square error of one use against the population truth. Of Monte Carlo and of the critics the best
estimator counts, for each number of latents. Errors that differ by less than twice their standard error are level.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from disbench.reports.estimators import figures
from disbench.reports.estimators.averages import LABELS, Numbers, averaged
from disbench.reports.estimators.study import Cell, Study
from disbench.reports.estimators.verdicts import Verdict, nats, outcome_of
from disbench.reports.markup import svg

MONTE_CARLO = ("mss", "mws", "nested", "full_n", "batch_average", "column_0")
CRITICS = ("mine", "nwj", "infonce", "smile", "ratio")
LOST = 0.5  # a cosine of the gradient with the true one below this is a lost direction
RELATIVE, ABSOLUTE, LARGEST_TRUTH, WIDEST = 0.1, 0.05, 2.5, 8  # of a good reading, and where it is asked for


@dataclass(frozen=True)
class Point:
    """The better of some estimators at one number of latents in a group: its name, its error and that error's own, in nats."""

    name: str
    error: float
    uncertainty: float


def settings_of(study: Study) -> list[str]:
    return list(dict.fromkeys(cell.task for cell in (*study.of_kind("group_truth"), *study.of_kind("groups"))))


def widths_of(study: Study) -> list[int]:
    return sorted({cell.dims for cell in (*study.of_kind("group_truth"), *study.of_kind("groups"))})


def numbers_of(study: Study, setting: str, width: int) -> dict[str, Numbers]:
    """Each estimator's numbers averaged over seeds."""
    found: dict[str, list[Cell]] = {}
    for cell in study.of_kind("groups"):
        if (cell.task, cell.dims) == (setting, width):
            found.setdefault(cell.estimator, []).append(cell)
    return {name: averaged(cells) for name, cells in found.items()}


def truth_of(study: Study, setting: str, width: int) -> Numbers:
    cells = [cell for cell in study.of_kind("group_truth") if (cell.task, cell.dims) == (setting, width)]
    return cells[0].numbers if cells else {}


def best_of(found: dict[str, Numbers], names: Sequence[str]) -> Point | None:
    """The smallest error among some estimators; None where none of them was measured."""
    points = []
    for name in names:
        bias, sd, n = (found.get(name, {}).get(key) for key in ("bias_population", "sd", "n"))
        if bias is not None and sd is not None and n:
            error = math.hypot(bias, sd)
            spread = math.sqrt((4 * bias**2 * sd**2 + 2 * sd**4) / n)  # of a squared error, for normal values
            points.append(Point(name, error, spread / (2 * error) if error else 0.0))
    return min(points, key=lambda point: point.error, default=None)


def worse(carlo: Point, critic: Point) -> bool:
    return carlo.error - critic.error > 2 * math.hypot(carlo.uncertainty, critic.uncertainty)


def pairs_of(study: Study, setting: str) -> dict[int, tuple[Point, Point] | None]:
    """The best of Monte Carlo and the best critic, by the number of latents in a group; None where one is missing."""
    found: dict[int, tuple[Point, Point] | None] = {}
    for width in widths_of(study):
        numbers = numbers_of(study, setting, width)
        carlo, critic = best_of(numbers, MONTE_CARLO), best_of(numbers, CRITICS)
        found[width] = None if carlo is None or critic is None else (carlo, critic)
    return found


def crossover_of(pairs: dict[int, tuple[Point, Point] | None]) -> int | None:
    """The number of latents from which on Monte Carlo's error is above the critics' at every measured number; None: no such."""
    first = None
    for width in sorted(pairs, reverse=True):
        pair = pairs[width]
        if pair is None or not worse(*pair):
            break
        first = width
    return first


def crossover(study: Study) -> Verdict:
    """Whether every setting has a crossover; a setting with a missing pair is named and does not count."""
    claim = "From some number G of latents in a group on, Monte Carlo is further from the truth than a critic."
    told, crossed, compared = [], 0, 0
    for setting in settings_of(study):
        pairs = pairs_of(study, setting)
        missing = [width for width, pair in pairs.items() if pair is None]
        if missing:
            told.append(f"{setting}: not measured at G = {', '.join(map(str, missing))}")
            continue
        compared += 1
        first = crossover_of(pairs)
        crossed += first is not None
        shown = first if first is not None else max(pairs)
        pair = pairs[shown]
        assert pair is not None, "a missing pair was left out above"
        carlo, critic = pair
        where = f"from G = {first} on" if first is not None else "none"
        told.append(
            f"{setting}: {where} (at G = {shown} {LABELS[carlo.name]} {nats(carlo.error)}, "
            f"{LABELS[critic.name]} {nats(critic.error)})"
        )
    because = "Error of one use against the population truth, the best of each kind, nats. " if told else ""
    return Verdict(claim, outcome_of(crossed, compared), because + "; ".join(told) + ("." if told else ""), "groups")


def gradient_is_lost(study: Study) -> Verdict:
    claim = f"Where Monte Carlo is wrong, its gradient has lost the direction, too (MSS, cosine below {LOST:g})."
    told, lost, compared = [], 0, 0
    for setting in settings_of(study):
        for width, pair in pairs_of(study, setting).items():
            numbers = numbers_of(study, setting, width)
            cosine = numbers.get("mss", {}).get("gradient_cosine_population")
            if pair is None or not worse(*pair) or cosine is None:
                continue
            compared += 1
            lost += cosine < LOST
            other = numbers.get(pair[1].name, {}).get("gradient_cosine_population")
            beside = "" if other is None else f", {LABELS[pair[1].name]} {other:.2f}"
            told.append(f"{setting}, G = {width}: {cosine:.2f}{beside}")
    because = f"Cosine with the gradient of the population truth: {'; '.join(told)}." if told else ""
    return Verdict(claim, outcome_of(lost, compared), because, "groups")


def critics_are_close(study: Study) -> Verdict:
    claim = (
        f"MINE reads the total correlation of groups within {RELATIVE:.0%} or {ABSOLUTE:g} nats, where it is below "
        f"{LARGEST_TRUTH:g} nats and groups have up to {WIDEST} latents."
    )
    told, close, compared = [], 0, 0
    for setting in settings_of(study):
        for width in (width for width in widths_of(study) if width <= WIDEST):
            numbers = numbers_of(study, setting, width).get("mine", {})
            mean, bias = numbers.get("mean"), numbers.get("bias_population")
            if mean is None or bias is None or mean - bias >= LARGEST_TRUTH:
                continue
            compared += 1
            close += abs(bias) <= max(RELATIVE * (mean - bias), ABSOLUTE)
            told.append(f"{setting}, G = {width}: {nats(mean)} of {nats(mean - bias)}")
    because = f"Mean over batches, nats: {'; '.join(told)}." if told else ""
    return Verdict(claim, outcome_of(close, compared), because, "groups")


def group_verdicts(study: Study) -> list[Verdict]:
    """The crossover first."""
    return [crossover(study), gradient_is_lost(study), critics_are_close(study)]


def chart(study: Study) -> str:
    """A panel per setting: each estimator's error over the latents in a group; dashed, how far the finite truth lies away.

    From the crossover on a panel is shaded.
    """
    settings, widths = settings_of(study), widths_of(study)
    found = {(setting, width): numbers_of(study, setting, width) for setting in settings for width in widths}
    names = list(dict.fromkeys(name for numbers in found.values() for name in numbers))
    lines = {
        (setting, name): [
            (width, rmse)
            for width in widths
            if (rmse := found[setting, width].get(name, {}).get("rmse_population")) is not None
        ]
        for setting in settings
        for name in names
    }
    drawn = [error for points in lines.values() for _, error in points if error > 0]
    if not drawn:
        return ""
    body, top = figures.legend(names)
    low, high = min(drawn) * 0.7, max(drawn) * 1.4
    across, height = 2, 190.0
    wide = svg.WIDTH / across
    for at, setting in enumerate(settings):
        left, right = (at % across) * wide + 44, (at % across + 1) * wide - 24
        above = top + 30 + (at // across) * (height + 76)
        x = svg.Scale(widths[0], max(widths[-1], widths[0] + 1), left + 14, right - 14, log=True)
        y = svg.Scale(low, high, above + height, above, log=True)
        body.append(svg.text(left, above - 10, setting, extra=figures.TITLE))
        first = crossover_of(pairs_of(study, setting))
        if first is not None:
            begin = x(first) - 12
            placed = f'x="{begin:.1f}" y="{above:.1f}" width="{right - begin:.1f}" height="{height:.1f}"'
            body.append(svg.shape("rect", f'{placed} fill="currentColor" fill-opacity=".07"', f"from G = {first} on"))
        body += svg.levels(y, left, right, "{:g}".format, [t for t in (0.01, 0.1, 1.0, 10.0) if low <= t <= high])
        for width in widths:
            body.append(svg.text(x(width), above + height + 16, f"G {width}", "middle", svg.SMALL))
        away = []
        for width in widths:
            truth = truth_of(study, setting, width)
            finite, population = truth.get("finite"), truth.get("population")
            if finite is not None and population is not None:
                away.append((x(width), y(min(max(abs(finite - population), low), high))))
        body.append(figures.rule(svg.through(away), "4 3", 0.7, 1.4))
        for name in names:
            points = lines[setting, name]
            body.append(figures.curve([(x(width), y(max(error, low))) for width, error in points], name))
            for width, error in points:
                title = f"{LABELS[name]}, {setting}, G = {width}: {error:.3f} nats"
                body.append(figures.dot(x(width), y(max(error, low)), name, title))
    rows = math.ceil(len(settings) / across)
    label = "Error of the total correlation between groups over the latents in a group"
    return svg.drawing(body, top + rows * (height + 76), label)
