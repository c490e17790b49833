"""The measurements of a study. Each is a function that returns named numbers, and sometimes curves."""

import math
from functools import cached_property

import torch
from torch import Tensor

from disbench.baselines.gaussian import Posterior
from disbench.benchmarks import estimators
from disbench.benchmarks.estimators import measures, tasks
from disbench.benchmarks.estimators.measures import now, value_errors
from disbench.benchmarks.estimators.monte_carlo import batch_average, column_zero, full, stratified
from disbench.benchmarks.estimators.profiles import Profile
from disbench.benchmarks.estimators.tasks import Encoder, PairTask, PosteriorTask

Numbers = dict[str, float | None]
Curves = dict[str, list[float]]


class Truth:
    """Both truths of a task and their gradients; every row is drawn once a pass. `finite` is exact but for these draws.

    draws: no more rows than these are drawn in a pass; the mixture still has all N components.
    """

    def __init__(self, task: PosteriorTask, passes: int, draws: int | None = None) -> None:
        self.task = task
        self.encoder = Encoder.of(task.posterior)
        device = self.encoder.mean.device
        drawn = min(draws or len(self.encoder), len(self.encoder))
        chunk = max(2, min(256, drawn // 8))  # 8 gradients a pass or more, for their error
        ratios, gradients = [], []
        for _ in range(passes):
            for rows in torch.randperm(len(self.encoder), device=device)[:drawn].split(chunk):
                draw = tasks.draw_rows(rows, self.encoder, task.width)
                components = self.encoder.everything()
                weights = tasks.uniform(len(self.encoder), draw.z)
                found = tasks.log_ratios(draw.z, components, weights, task.width)
                gradients.append(self.encoder.gradient(found.mean()))
                ratios.append(found.detach())
        self.ratios = torch.cat(ratios)
        self.gradients = torch.stack(gradients)

    @property
    def finite(self) -> float:
        return float(self.ratios.mean())

    @cached_property
    def population(self) -> float | None:
        value = self.task.population(self.encoder)
        return None if value is None else float(value.detach())

    def errors(self, gradients: Tensor) -> Numbers:
        """`gradient_errors` against both truths."""
        count = len(self.gradients)
        error = math.sqrt(float(self.gradients.var(0).sum()) / count)
        found = measures.gradient_errors(gradients, self.gradients.mean(0), error)
        numbers = {f"gradient_{name}_finite": value for name, value in found.items()}
        value = self.task.population(self.encoder)
        if value is not None:
            found = measures.gradient_errors(gradients, self.encoder.gradient(value), 0.0)
            numbers |= {f"gradient_{name}_population": one for name, one in found.items()}
        return numbers

    def numbers(self) -> Numbers:
        return {
            "finite": self.finite,
            "finite_error": float(self.ratios.std()) / math.sqrt(len(self.ratios)),
            "population": self.population,
            "sd_log_ratio": float(self.ratios.std()),
            "rows": len(self.encoder),
            "latents": self.task.latent_dim,
        }


def uses_of(name: str, task: PosteriorTask, batch: int, profile: Profile) -> int:
    """How often a Monte Carlo estimator is used in a cell, by the size of its table; at least 4 times."""
    components = {"full_n": len(task.posterior.mean), "nested": profile.references}.get(name, batch)
    return int(max(4, min(profile.most_uses, profile.elements // (batch * components * task.latent_dim))))


def measure_total_correlation(
    name: str, task: PosteriorTask, truth: Truth, batch: int, profile: Profile, steps: int
) -> tuple[Numbers, Curves]:
    """Train for `steps` updates where there is something to learn, then use as in training.

    A use is the value and gradient of a minibatch, and one update.
    """
    encoder = Encoder.of(task.posterior)
    device = encoder.mean.device
    estimator = estimators.total_correlation(name, task.latent_dim, batch, device, references=profile.references)
    numbers: Numbers = {}
    curves: Curves = {}
    learns = name not in estimators.MONTE_CARLO
    if learns:
        curves["learning"], seconds = learn(estimator, task, encoder, batch, steps)
        aim = truth.population if truth.population is not None and name != "marginal" else truth.finite
        until = measures.updates_until_close(curves["learning"], aim)
        numbers["updates_to_10_percent"] = until
        numbers["seconds_to_10_percent"] = None if until is None else seconds * until / steps
        stride = max(1, len(curves["learning"]) // 100)
        curves["learning"] = curves["learning"][::stride]
    values, gradients, taken = [], [], []
    for _ in range(profile.critic_uses if learns else uses_of(name, task, batch, profile)):
        draw = task.draw(batch, encoder)
        started = now(device)
        value = estimator.estimate(draw)
        gradients.append(encoder.gradient(value))
        estimator.update(draw)
        taken.append(now(device) - started)
        values.append(float(value.detach()))
    numbers |= value_errors(values, truth.finite, truth.population)
    numbers |= truth.errors(torch.stack(gradients))
    numbers["use_ms"] = 1e3 * sorted(taken)[len(taken) // 2]
    return numbers, curves


def learn(
    estimator: estimators.Estimator, task: PosteriorTask, encoder: Encoder, batch: int, steps: int
) -> tuple[list[float], float]:
    """`steps` updates; the value before each, and the seconds that the updates took."""
    device = encoder.mean.device
    values, seconds = [], 0.0
    for _ in range(steps):
        with torch.no_grad():
            draw = task.draw(batch, encoder)
            values.append(estimator.estimate(draw))
        started = now(device)
        estimator.update(draw)
        seconds += now(device) - started
    return torch.stack(values).tolist(), seconds


def measure_information(name: str, task: PairTask, device: torch.device, profile: Profile) -> Numbers:
    """Of a critic: its value on fresh rows after learning from fresh rows, its deviation over batches, the time of a use."""
    if name in estimators.CLASSICAL:
        values, taken = [], []
        for _ in range(4):
            pairs = task.draw(4000)
            x, y = (side[:, 0].double().cpu().numpy() for side in (pairs.x, pairs.y))
            started = now(torch.device("cpu"))
            values.append(estimators.CLASSICAL[name](x, y))
            taken.append(now(torch.device("cpu")) - started)
        return value_errors(values, None, task.truth) | {"use_ms": 1e3 * sorted(taken)[2]}
    estimator = estimators.information(name, task.dims, device)
    taken = []
    for _ in range(profile.pair_steps):
        batch = task.draw(profile.pair_batch)
        started = now(device)
        estimator.update(batch)
        taken.append(now(device) - started)
    with torch.no_grad():
        large = [float(estimator.estimate(task.draw(1024))) for _ in range(8)]
        small = [float(estimator.estimate(task.draw(profile.pair_batch))) for _ in range(40)]
    numbers = value_errors(large, None, task.truth)
    spread = value_errors(small, None, task.truth)["sd"]
    return numbers | {"sd": spread, "update_ms": 1e3 * sorted(taken)[len(taken) // 2]}


def measure_time(name: str, batch: int, dims: int, device: torch.device) -> Numbers:
    """Milliseconds of a value; of a value and its gradient to the encoder's outputs; of an update; of a use, the last two."""
    estimator = estimators.total_correlation(name, dims, batch, device)
    mean = torch.randn(10 * batch, dims, device=device)
    encoder = Encoder.of(Posterior(mean, torch.full_like(mean, -2.0)))
    rows = torch.arange(batch, device=device)
    q = Posterior(*(part.detach().requires_grad_() for part in encoder(rows)))

    def value() -> Tensor:
        return estimator.estimate(tasks.Draw(q.sample(), q, rows, encoder))

    def both() -> None:
        torch.autograd.grad(value(), q)

    draw = tasks.Draw(q.sample().detach(), q.detach(), rows, encoder)
    with torch.no_grad():
        forward = measures.milliseconds(value, device)
    numbers: Numbers = {"forward_ms": forward, "backward_ms": measures.milliseconds(both, device)}
    numbers["update_ms"] = (
        0.0 if name in estimators.MONTE_CARLO else measures.milliseconds(lambda: estimator.update(draw), device)
    )
    numbers["use_ms"] = (numbers["backward_ms"] or 0.0) + (numbers["update_ms"] or 0.0)
    return numbers


def moving_task(progress: float, noise: Tensor, active: int = 5, deviation: float = 0.35) -> PosteriorTask:
    """Posteriors whose correlation rises from 0 to 0.8 and falls back while `progress` goes from 0 to 1; noise (N, D)."""
    rho = 0.8 * math.sin(math.pi * progress) ** 2
    return tasks.gaussian_posteriors("moving", "", noise[:, :active], latents=noise.shape[1], noise=deviation, rho=rho)


def measure_lag(name: str, profile: Profile, device: torch.device) -> tuple[Numbers, Curves]:
    """Follow an encoder that moves at every step, one use a step, after half as many steps at rest."""
    noise = torch.randn(profile.rows, 10, device=device)
    steps, rest = profile.lag_steps, profile.lag_steps // 2
    estimator = estimators.total_correlation(name, 10, profile.batch, device)
    values, truths = [], []
    for step in range(-rest, steps):
        task = moving_task(max(step, 0) / steps, noise)
        encoder = Encoder.of(task.posterior)
        with torch.no_grad():
            draw = task.draw(profile.batch, encoder)
            value = estimator.estimate(draw)
        estimator.update(draw)
        if step >= 0:
            values.append(float(value))
            truth = task.population(encoder)
            assert truth is not None, "the moving task has a closed form"
            truths.append(float(truth.detach()))
    window = max(1, steps // 60)
    smooth = torch.tensor(values).unfold(0, window, 1).mean(1).tolist()
    centre = truths[window // 2 : window // 2 + len(smooth)]
    half = len(smooth) // 2
    error = [value - truth for value, truth in zip(smooth, centre, strict=True)]
    numbers: Numbers = {
        "lag_steps": measures.lag_of(smooth, centre, steps // 5),
        "error_rising": sum(error[:half]) / half,
        "error_falling": sum(error[half:]) / (len(error) - half),
        "rmse_population": math.sqrt(sum(e * e for e in error) / len(error)),
        "steps": steps,
    }
    stride = max(1, len(smooth) // 100)
    return numbers, {"value": smooth[::stride], "truth": centre[::stride]}


def check_exhaustive(device: torch.device) -> Numbers:
    """`full N` in double precision against torch.distributions' mixture, by another road to the same sum."""
    (task, *_) = tasks.posterior_tasks(300, 300, device)
    posterior = Posterior(*(part.double() for part in task.posterior))
    encoder = Encoder.of(posterior)
    draw = tasks.draw_rows(torch.arange(100, device=device), encoder)
    weights = torch.distributions.Categorical(logits=torch.zeros(len(encoder), dtype=torch.float64, device=device))
    normal = torch.distributions.Normal(posterior.mean, torch.exp(0.5 * posterior.logvar))
    joint = torch.distributions.MixtureSameFamily(weights, torch.distributions.Independent(normal, 1))
    ratio = joint.log_prob(draw.z)
    for d in range(task.latent_dim):
        one = torch.distributions.Normal(posterior.mean[:, d], torch.exp(0.5 * posterior.logvar[:, d]))
        ratio = ratio - torch.distributions.MixtureSameFamily(weights, one).log_prob(draw.z[:, d])
    return {"difference": abs(float((full(draw) - ratio.mean()).detach()))}


def check_column_zero(task: PosteriorTask, batch: int, batches: int) -> Numbers:
    """Means over the same batches: MSS with its self-weight in column 0, plain batch averaging, MSS."""
    encoder = Encoder.of(task.posterior)
    totals = {"column_0": 0.0, "batch_average": 0.0, "mss": 0.0}
    with torch.no_grad():
        for _ in range(batches):
            draw = task.draw(batch, encoder)
            for name, value in (("column_0", column_zero), ("batch_average", batch_average), ("mss", stratified)):
                totals[name] += float(value(draw)) / batches
    return {**totals, "difference": totals["column_0"] - totals["batch_average"], "batches": batches}


def ceiling(name: str) -> float | None:
    """What the value cannot exceed; see `mine_vae.mine`."""
    return math.log(1 + estimators.CANDIDATES) if name == "infonce" else None
