"""Several seeds of one method trained as one model, whose parameters have a leading axis S for the seed.

A network of this size leaves most of a GPU idle, and S of them in each call fill it: under `torch.func.vmap` layers become
batched products and grouped convolutions. Each seed keeps the streams that it has when trained alone (weights, order of
images, noise), so its losses are the same up to rounding. On a CPU it is no faster.

Noise: under `vmap` one call of `torch.randn_like` cannot draw from S generators. So a step is rehearsed once to see what it
asks for, every seed draws that from its own generator, and the calls are answered with it.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.overrides import TorchFunctionMode

from disbench.baselines.factor_vae import FactorVAE
from disbench.baselines.optim import adam
from disbench.baselines.vae import VAE
from disbench.benchmarks.train import CURVE_POINTS, EXPLODED, Images, build, minibatches
from disbench.datasets import FactorDataset
from disbench.reports.records import Trial

PRECISIONS = ("32-true", "bf16-mixed")
SOURCES: dict[Any, Callable[..., Tensor]] = {torch.randn_like: torch.randn, torch.rand_like: torch.rand}
Points = dict[str, list[tuple[int, float]]]
# One optimiser's part of a step: (method, step, batch, what the part before carried over) -> (terms, what it carries over).
# The first of its terms is what it descends.
Move = Callable[[Any, int, Tensor, Any], tuple[dict[str, Tensor], Any]]


def whole_step(method: VAE, step: int, batch: Tensor, carried: Any) -> tuple[dict[str, Tensor], Any]:
    return method.training_step(batch, step), carried


def autoencoder(method: FactorVAE, step: int, batch: Tensor, carried: Any) -> tuple[dict[str, Tensor], Any]:
    return method.autoencoder_terms(batch.chunk(2)[0])


def discriminator(method: FactorVAE, step: int, batch: Tensor, z: Tensor) -> tuple[dict[str, Tensor], Any]:
    return {"discriminator": method.discriminator_loss(z, batch.chunk(2)[1])}, z


def moves_of(method: VAE) -> tuple[Move, ...]:
    """What a step of the method consists of, a move for each optimiser. Raises ValueError where it cannot be stacked."""
    name = type(method).__name__
    if isinstance(method, FactorVAE):
        return autoencoder, discriminator
    if not method.automatic_optimization:
        raise ValueError(
            f"{name} cannot be trained stacked: it has several optimisers and moves them in a schedule of its own, which "
            "torch.func cannot run for all seeds at once. Train its seeds apart."
        )
    if buffers := [key for key, _ in method.named_buffers()]:
        raise ValueError(f"{name} cannot be trained stacked: its steps write buffers ({', '.join(buffers)}).")
    return (whole_step,)


class Draw(NamedTuple):
    """One call for noise: who makes it, and what it is like for one seed."""

    source: Callable[..., Tensor]
    shape: torch.Size
    dtype: torch.dtype


class Rehearsal(TorchFunctionMode):
    """Lists the noise that the code within asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.draws: list[Draw] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in SOURCES:
            self.draws.append(Draw(SOURCES[function], args[0].shape, args[0].dtype))
        return function(*args, **(kwargs or {}))


class Answers(TorchFunctionMode):
    """Hands the code within the noise that was drawn for it, in order."""

    def __init__(self, noise: Iterable[Tensor]) -> None:
        super().__init__()
        self.noise = deque(noise)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.noise.popleft() if function in SOURCES else function(*args, **(kwargs or {}))


class Moved(nn.Module):
    """A move of a method as a module's forward, so that `functional_call` can put another seed's parameters in its place."""

    def __init__(self, method: VAE, move: Move) -> None:
        super().__init__()
        self.method = method
        self.move = move

    def forward(self, step: int, noise: Sequence[Tensor], batch: Tensor, carried: Any) -> tuple[dict[str, Tensor], Any]:
        with Answers(noise):
            return self.move(self.method, step, batch, carried)


class Stack:
    """S methods of one class as one: stacked parameters, an optimiser for each move, and S sources of noise."""

    def __init__(self, methods: Sequence[VAE], generators: Sequence[torch.Generator]) -> None:
        self.methods = methods
        self.generators = generators
        self.moves = moves_of(methods[0])
        self.parameters, _ = stack_module_state(list(methods))
        own = methods[0].configure_optimizers()
        names = {parameter: name for name, parameter in methods[0].named_parameters()}
        self.optimizers = []
        for optimizer in own if isinstance(own, list) else [own]:
            (group,) = optimizer.param_groups
            stacked = [self.parameters[names[parameter]] for parameter in group["params"]]
            self.optimizers.append(adam(stacked, group["lr"], group["betas"]))
        self.draws: list[list[Draw]] = []

    def rehearse(self, batch: Tensor) -> None:
        """See what each move of a step draws, on the batch (B, C, H, W) of the first seed; leaves the random state alone."""
        device = batch.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            carried: Any = ()
            for move in self.moves:
                with Rehearsal() as rehearsal:
                    _, carried = move(self.methods[0], 0, batch, carried)
                self.draws.append(rehearsal.draws)

    def noise(self, draw: Draw) -> Tensor:
        """(S, ...): a draw of each seed from its own generator."""
        drawn = [
            draw.source(draw.shape, generator=each, dtype=draw.dtype, device=each.device) for each in self.generators
        ]
        return torch.stack(drawn)

    def step(self, number: int, batches: Tensor, autocast: torch.autocast) -> dict[str, Tensor]:
        """Every seed's step on its own minibatch, batches (S, B, C, H, W). Returns the terms, each (S,)."""
        if not self.draws:
            self.rehearse(batches[0])
        found: dict[str, Tensor] = {}
        carried: Any = ()
        for move, draws, optimizer in zip(self.moves, self.draws, self.optimizers, strict=True):
            moved = Moved(self.methods[0], move)
            noise = [self.noise(draw) for draw in draws]

            def of_one_seed(parameters: Any, noise: Any, batch: Tensor, carried: Any, moved: Moved = moved) -> Any:
                return functional_call(moved, parameters, (number, noise, batch, carried))

            named = {f"method.{name}": parameter for name, parameter in self.parameters.items()}
            with autocast:
                terms, carried = vmap(of_one_seed)(named, noise, batches, carried)
            optimizer.zero_grad()
            # No weight is shared, so the sum's gradient is each seed's own.
            next(iter(terms.values())).sum().backward(inputs=optimizer.param_groups[0]["params"])
            optimizer.step()
            found |= {name: value.detach() for name, value in terms.items()}
        return found

    def unstack(self) -> None:
        """Give the methods the parameters that were trained."""
        for seed, method in enumerate(self.methods):
            method.load_state_dict({name: parameter[seed] for name, parameter in self.parameters.items()})


def check_alike(trials: Sequence[Trial]) -> None:
    """Raise ValueError unless the trials differ in their seeds alone."""
    if not trials:
        raise ValueError("Stacked training needs at least one trial, got none.")
    if trials[0].precision not in PRECISIONS:
        raise ValueError(f"Stacked training knows precision {' and '.join(PRECISIONS)}, got {trials[0].precision!r}.")
    first = trials[0].model_dump(exclude={"seed"})
    for trial in trials[1:]:
        other = trial.model_dump(exclude={"seed"})
        if differing := [field for field in first if first[field] != other[field]]:
            raise ValueError(
                f"Trials that are trained stacked differ in their seeds alone; {trial.id} differs from {trials[0].id} in "
                f"{', '.join(differing)}. Stack them by method, data set and settings."
            )


def global_stream(device: torch.device) -> torch.Generator:
    """A generator of its own that goes on from where the device's global one is."""
    state = torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
    return torch.Generator(device).set_state(state)


def train_stacked(
    trials: Sequence[Trial], dataset: FactorDataset, device: torch.device | None = None
) -> list[tuple[VAE, Points]]:
    """Train trials that differ in their seeds alone, all at once: of each the method and its curves, as `train` gives them.

    device: an accelerator by default, where there is one. Raises ValueError for a method that cannot be stacked and for
    trials that are not alike, FloatingPointError where a seed diverges.
    """
    check_alike(trials)
    device = device or torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    methods, generators, streams = [], [], []
    for trial in trials:
        method = build(trial, dataset.image_shape, len(dataset)).to(device)
        methods.append(method)
        generators.append(global_stream(device))
        images = Images(dataset, trial, method.batches_per_step)
        streams.append(minibatches(dataset, images.size, images.generator, device))
    stack = Stack(methods, generators)
    steps = trials[0].steps
    every = max(1, steps // CURVE_POINTS)
    curves: list[Points] = [{} for _ in trials]
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=trials[0].precision == "bf16-mixed")
    for step in range(1, steps + 1):
        batches = torch.stack([next(stream) for stream in streams]).to(device).float().div_(255)
        terms = stack.step(step - 1, batches, autocast)
        if step % every == 0 or step == steps:
            keep(curves, trials, step, terms)
    stack.unstack()
    return list(zip(methods, curves, strict=True))


def keep(curves: list[Points], trials: Sequence[Trial], step: int, terms: dict[str, Tensor]) -> None:
    """Add each seed's terms, (S,) each, to its curves. Raises FloatingPointError where one diverged."""
    table = torch.stack(list(terms.values()), dim=1).tolist()  # (S, terms), in one transfer
    for points, trial, values in zip(curves, trials, table, strict=True):
        for name, value in zip(terms, values, strict=True):
            if not math.isfinite(value) or (name == "loss" and abs(value) > EXPLODED):
                raise FloatingPointError(
                    f"{name} of seed {trial.seed} is {value} at step {step}: the run diverged. Try a smaller lr, or train "
                    "the seeds apart."
                )
            points.setdefault(name, []).append((step, value))
