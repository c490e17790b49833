"""Claims about MINE and Monte Carlo, each judged from the numbers of a study alone.

A comparison over tasks holds if it holds on every task, does not hold if it holds on none, and depends otherwise. Two numbers
that differ by less than twice their standard error are level, which is no gain. Without the numbers a claim is "not measured".
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from disbench.reports.estimators.averages import LABELS, Numbers, by_estimator, main_batch, tasks_of, times
from disbench.reports.estimators.study import Study

CLOSE = 0.05  # nats that the value of an easy task may be off, plus its sampling error
KEPT_UP = 0.05  # of the cycle: a lag below it counts as keeping up
Measure = Callable[[Numbers], tuple[float, float] | None]  # a value and its standard error, None where there is none


@dataclass(frozen=True)
class Verdict:
    """outcome: 'holds', 'does not hold', 'depends' or 'not measured'. figure: the id of the section that shows it."""

    claim: str
    outcome: str
    because: str
    figure: str


def outcome_of(better: int, compared: int) -> str:
    if not compared:
        return "not measured"
    return "holds" if better == compared else "depends" if better else "does not hold"


def listed(tasks: Sequence[str]) -> str:
    return ", ".join(tasks) or "none"


def nats(value: float) -> str:
    return f"{value:.3g}"


def spread(numbers: Numbers) -> tuple[float, float] | None:
    """The deviation over batches, and its standard error for normal values."""
    sd, n = numbers.get("sd"), numbers.get("n")
    return None if sd is None or n is None else (sd, sd / math.sqrt(2 * max(n - 1, 1)))


def size_of_bias(truth: str) -> Measure:
    def measure(numbers: Numbers) -> tuple[float, float] | None:
        bias, sd, n = numbers.get(f"bias_{truth}"), numbers.get("sd"), numbers.get("n")
        return None if bias is None or sd is None or n is None else (abs(bias), sd / math.sqrt(n))

    return measure


def of_gradient(name: str, truth: str) -> Measure:
    """name: 'bias' or 'noise'."""

    def measure(numbers: Numbers) -> tuple[float, float] | None:
        value, error = (numbers.get(f"gradient_{key}_{truth}") for key in (name, f"{name}_error"))
        return None if value is None or error is None else (value, error)

    return measure


TRUTHS = {"finite": "the finite-N truth", "population": "the population truth"}


def lowered(study: Study, what: str, quantity: str, figure: str, measure: Measure, unit: str = "") -> Verdict:
    """Whether MINE lowers a number of MSS, task by task."""
    claim = f"MINE lowers {what}."
    smaller: list[str] = []
    level: list[str] = []
    larger: list[str] = []
    pairs = []
    for task in tasks_of(study, "total_correlation"):
        found = by_estimator(study, "total_correlation", task, main_batch(study))
        carlo, mine = (measure(found.get(name, {})) for name in ("mss", "mine"))
        if carlo is not None and mine is not None:
            pairs.append(f"{task} {nats(carlo[0])} → {nats(mine[0])}")
            gap, error = mine[0] - carlo[0], 2 * math.hypot(carlo[1], mine[1])
            (level if abs(gap) <= error else smaller if gap < 0 else larger).append(task)
    if not pairs:
        return Verdict(claim, "not measured", "The study holds no such pair of numbers.", figure)
    because = (
        f"{quantity}, MSS → MINE{unit}: {'; '.join(pairs)}. Smaller with MINE on: {listed(smaller)}; level: {listed(level)}; "
        f"larger: {listed(larger)}."
    )
    return Verdict(claim, outcome_of(len(smaller), len(pairs)), because, figure)


def high_variance(study: Study) -> Verdict:
    """What is high is said in the claim; the deviation of the log ratio itself stands beside it."""
    claim = "Monte Carlo estimates of total correlation have high variance (a deviation above a tenth of the truth)."
    found, high = [], 0
    batch = main_batch(study)
    for cell in study.of_kind("truth"):
        numbers = by_estimator(study, "total_correlation", cell.task, batch).get("mss", {})
        sd, truth, ratio = numbers.get("sd"), cell.numbers["finite"], cell.numbers["sd_log_ratio"]
        if sd is not None and truth and ratio is not None:
            found.append(
                f"{cell.task} {nats(sd)} of {nats(truth)} (the log ratio's own: {nats(ratio / math.sqrt(batch))})"
            )
            high += sd > 0.1 * abs(truth)
    because = f"Deviation of MSS at B={batch} and the finite truth, nats: {'; '.join(found)}. " if found else ""
    because += (
        "The log ratio's own is its deviation over images by the square root of B: a mean of the true ratio has that."
    )
    return Verdict(claim, outcome_of(high, len(found)), because, "values")


def cheaper(study: Study) -> Verdict:
    claim = "MINE costs less time per use than Monte Carlo, its critic's update included."
    found = times(study)
    ratios = {
        (B, D): ms / found["mine", B, D]
        for (name, B, D), ms in found.items()
        if name == "mss" and found.get(("mine", B, D))
    }
    if not ratios:
        return Verdict(claim, "not measured", "No times were taken of both.", "crossover")
    cells = sorted(ratios)
    wins = [cell for cell in cells if ratios[cell] > 1]
    large = [cell for cell in cells if cell[0] >= 256 or cell[1] >= 128]
    won = sum(ratios[cell] > 1 for cell in large)
    because = (
        f"MSS / MINE, one run: from {ratios[min(cells, key=ratios.__getitem__)]:.2g} to "
        f"{ratios[max(cells, key=ratios.__getitem__)]:.3g}; MINE is cheaper in {len(wins)} of "
        f"{len(cells)} cells, and in {won} of the {len(large)} with B ≥ 256 or D ≥ 128."
    )
    if (64, 10) in ratios:
        because += f" At B=64, D=10 the ratio is {ratios[64, 10]:.2g}."
    slower = [f"B={B}, D={D}" for B, D in large if ratios[B, D] <= 1]
    if slower:
        because += f" Monte Carlo is cheaper still at {', '.join(slower)}."
    return Verdict(claim, outcome_of(len(wins), len(cells)), because, "crossover")


def keeps_up(study: Study) -> Verdict:
    claim = f"A critic with one update a step keeps up with a moving encoder (lag below {KEPT_UP:.0%} of the cycle)."
    found = {cell.estimator: cell.numbers for cell in study.of_kind("lag")}
    lags = {name: (n["lag_steps"] or 0.0, n["steps"] or 1.0) for name, n in found.items() if name in ("mine", "ratio")}
    told = []
    for name, n in found.items():
        rising, falling = n["error_rising"], n["error_falling"]
        if rising is not None and falling is not None:
            told.append(
                f"{LABELS[name]} {n['lag_steps']:.0f} steps (error rising {rising:+.2f}, falling {falling:+.2f} nats)"
            )
    kept = sum(lag <= KEPT_UP * steps for lag, steps in lags.values())
    cycle = next((f" of a cycle of {steps:.0f}" for _, steps in lags.values()), "")
    return Verdict(claim, outcome_of(kept, len(lags)), f"Lag{cycle}: {'; '.join(told)}." if told else "", "lag")


def capped(study: Study) -> Verdict:
    claim = "InfoNCE cannot read more than the log of its candidates' number, however much information there is."
    cells = [cell for cell in study.of_kind("information") if cell.numbers.get("ceiling") is not None]
    over = [cell for cell in cells if (cell.numbers["truth"] or 0) > (cell.numbers["ceiling"] or 0)]
    told = [f"{cell.task}: {nats(cell.numbers['mean'] or 0)} of {nats(cell.numbers['truth'] or 0)}" for cell in over]
    below = sum((cell.numbers["mean"] or 0) <= (cell.numbers["ceiling"] or 0) + 1e-4 for cell in over)
    ceiling = f" (ceiling {nats(cells[0].numbers['ceiling'] or 0)} nats)" if cells else ""
    because = (
        f"Where the truth is above the ceiling{ceiling}: {'; '.join(told)}."
        if told
        else "No truth is above the ceiling."
    )
    return Verdict(claim, outcome_of(below, len(over)), because, "information")


def low_at_high_information(study: Study) -> Verdict:
    claim = "Donsker-Varadhan (MINE) reads less than 90 % of the truth where information is high (6 nats and more)."
    told, low, compared = [], 0, 0
    for task in tasks_of(study, "information"):
        mine = by_estimator(study, "information", task).get("mine", {})
        truth, value = mine.get("truth"), mine.get("mean")
        if truth is not None and value is not None and truth >= 6 - 1e-9:
            compared += 1
            low += value < 0.9 * truth
            told.append(f"{task}: {nats(value)} of {nats(truth)}")
    return Verdict(claim, outcome_of(low, compared), "; ".join(told) + "." if told else "", "information")


def column_zero(study: Study) -> Verdict:
    claim = (
        "MSS with its self-weight in column 0, as four public copies have it, is plain batch averaging within .05 nats."
    )
    cells = [cell for cell in study.of_kind("check") if cell.estimator == "column_0"]
    if not cells:
        return Verdict(claim, "not measured", "", "checks")
    n = cells[0].numbers
    because = (
        f"Means over the same {n['batches']:.0f} batches of {cells[0].batch}, {cells[0].task}: "
        f"column 0 {nats(n['column_0'] or 0)}, batch averaging {nats(n['batch_average'] or 0)}, MSS {nats(n['mss'] or 0)} nats."
    )
    return Verdict(claim, "holds" if abs(n["difference"] or 0) <= 0.05 else "does not hold", because, "checks")


def full_is_exhaustive(study: Study) -> Verdict:
    claim = "The full-N estimator is the exhaustive sum, to 1e-6."
    cells = [cell for cell in study.of_kind("check") if cell.estimator == "full_n"]
    if not cells or cells[0].numbers["difference"] is None:
        return Verdict(claim, "not measured", "", "checks")
    gap = cells[0].numbers["difference"]
    because = f"It differs by {gap:.1e} nats from torch.distributions' mixture density, both in double precision."
    return Verdict(claim, "holds" if gap <= 1e-6 else "does not hold", because, "checks")


def converges(study: Study) -> Verdict:
    """MWS and CLUB are left out: the one is above by (D - 1) log N, the other at its best above the information."""
    claim = "On an easy task every estimator but MWS and CLUB finds its truth."
    told, good = [], 0
    for kind, task in (("total_correlation", "easy"), ("information", "normal")):
        for name, n in by_estimator(study, kind, task).items():
            biases = [b for b in (n.get("bias_finite"), n.get("bias_population")) if b is not None]
            if name in ("mws", "club") or not biases:
                continue
            error = min(abs(b) for b in biases)
            close = error <= CLOSE + 3 * (n["sd"] or 0.0) / math.sqrt(n["n"] or 1.0)
            good += close
            told.append(f"{LABELS[name]} {error:.3f} ({task})")
    because = f"Distance from the nearer truth, nats: {', '.join(told)}." if told else ""
    return Verdict(claim, outcome_of(good, len(told)), because, "values")


def verdicts(study: Study) -> list[Verdict]:
    """In the order of the page: the document's claims first."""
    bias, noise = "Bias over the true gradient's norm", "Noise over the norm of the finite-N gradient"
    return [
        high_variance(study),
        lowered(study, "the variance of the value", "Deviation over batches", "values", spread, ", nats"),
        *(
            lowered(study, f"the bias, against {words}", "Size of the bias", "values", size_of_bias(truth), ", nats")
            for truth, words in TRUTHS.items()
        ),
        *(
            lowered(study, f"the bias of the gradient, against {words}", bias, "gradients", of_gradient("bias", truth))
            for truth, words in TRUTHS.items()
        ),
        lowered(study, "the noise of the gradient", noise, "gradients", of_gradient("noise", "finite")),
        cheaper(study),
        keeps_up(study),
        converges(study),
        capped(study),
        low_at_high_information(study),
        column_zero(study),
        full_is_exhaustive(study),
    ]
