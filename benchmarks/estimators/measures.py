"""What is measured of an estimator: its values against a truth, its gradients against a truth's, its time."""

import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WINDOW = 25  # values whose mean must come within 10 % of the truth


def synchronise(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def now(device: torch.device) -> float:
    """Seconds: on a CPU the process's own, so that other programs do not count; else the wall's, after what was queued."""
    if device.type == "cpu":
        return time.process_time()
    synchronise(device)
    return time.perf_counter()


def milliseconds(call: Callable[[], object], device: torch.device, *, budget: float = 0.3, most: int = 15) -> float:
    """The median time of a call after one to warm up: as many as fit into `budget` seconds, at least 2, at most `most`."""
    call()
    taken: list[float] = []
    while len(taken) < most and (len(taken) < 2 or sum(taken) < budget):
        started = now(device)
        call()
        taken.append(now(device) - started)
    return 1e3 * sorted(taken)[len(taken) // 2]


def value_errors(values: Sequence[float], finite: float | None, population: float | None) -> dict[str, float | None]:
    """Mean, sample deviation, and of each truth the bias and the root mean square error of a single use. Nats."""
    n = len(values)
    mean = sum(values) / n
    variance = sum((value - mean) ** 2 for value in values) / (n - 1)
    found: dict[str, float | None] = {"mean": mean, "sd": math.sqrt(variance), "n": n}
    for name, truth in (("finite", finite), ("population", population)):
        bias = None if truth is None else mean - truth
        found[f"bias_{name}"] = bias
        found[f"rmse_{name}"] = None if bias is None else math.sqrt(bias**2 + variance)
    return found


def gradient_errors(gradients: Tensor, truth: Tensor, truth_error: float) -> dict[str, float | None]:
    """Of R gradients (R, P) against a true one (P,), relative to its norm: bias, noise of one use, both with their standard
    errors, the mean cosine, and the norm of the mean gradient.

    truth_error: the standard error of the truth's norm, 0 in closed form. The sampling error of both means is taken out of the
    squared bias, whose own error is a jackknife's. All None where the truth is not three times its error, as at independence.
    """
    norm = float(truth.norm())
    if norm <= max(3 * truth_error, 1e-6):
        return dict.fromkeys(("bias", "bias_error", "noise", "noise_error", "cosine", "norm"))
    count = len(gradients)
    away = (gradients - gradients.mean(0)).square().sum(1)  # (R,)
    noise = float(away.sum()) / (count - 1)
    square = float((gradients.mean(0) - truth).square().sum()) - noise / count - truth_error**2
    without = (gradients.sum(0) - gradients) / (count - 1)  # (R, P): the mean of the others
    squares = (without - truth).square().sum(1)
    square_error = math.sqrt((count - 1) * float(squares.var(correction=0)))
    bias = math.sqrt(max(square, 0.0))
    noise_error = float(away.std()) / math.sqrt(count) / (2 * math.sqrt(noise)) if noise else 0.0
    return {
        "bias": bias / norm,
        "bias_error": min(square_error / (2 * bias) if bias else math.inf, math.sqrt(square_error)) / norm,
        "noise": math.sqrt(noise) / norm,
        "noise_error": noise_error / norm,
        "cosine": float(torch.cosine_similarity(gradients, truth[None], dim=1).mean()),
        "norm": float(gradients.mean(0).norm()) / norm,
    }


def updates_until_close(values: Sequence[float], truth: float) -> int | None:
    """The first update after which the mean of WINDOW values is within 10 % of the truth (0.02 nats near 0); None: never."""
    allowed = max(0.1 * abs(truth), 0.02)
    for end in range(WINDOW, len(values) + 1):
        if abs(sum(values[end - WINDOW : end]) / WINDOW - truth) <= allowed:
            return end
    return None


def lag_of(values: Sequence[float], truth: Sequence[float], most: int) -> int:
    """The delay in steps, 0..most, at which a curve of values correlates best with the truth."""
    found = torch.tensor(values)
    expected = torch.tensor(truth)
    if float(found.std()) == 0:
        return most

    def correlation(delay: int) -> float:
        late, early = found[most:], expected[most - delay : len(expected) - delay]
        return float(torch.corrcoef(torch.stack([late, early]))[0, 1])

    return max(range(most + 1), key=correlation)
