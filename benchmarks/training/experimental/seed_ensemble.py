"""Several seeds of one method trained as one model, whose parameters and buffers have a leading axis S for the seed.

A network of this size leaves most of a GPU idle, and S of them in each call fill it: under `torch.func.vmap` layers become
batched products and grouped convolutions. Each seed keeps the streams that it has when trained alone (weights, order of
images, noise), so its losses are the same up to rounding. On a CPU it is no faster.

A step is taken by its stages (`disbench.baselines.alternating`); of a method with one optimiser the whole is one.

Noise: under `vmap` one call of `torch.randn_like` cannot draw from S generators. So the first stage of a name is rehearsed to see
what it asks for, every seed draws that from its own generator, and the calls are answered with it.
"""

import copy
import logging
import math
import time
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from disbench.baselines.alternating import Alternating, Stage, StageResult
from disbench.baselines.method import Batch, Independent, Step
from disbench.baselines.precision import float32
from disbench.baselines.vae import VAE
from disbench.benchmarks.runtime.environment import code_version
from disbench.benchmarks.runtime.seeds import random_state
from disbench.benchmarks.training.batches import Images
from disbench.benchmarks.training.checkpoint import DESCRIPTION, write_checkpoint
from disbench.benchmarks.training.loop import CURVE_POINTS, EXPLODED, build
from disbench.benchmarks.training.progress import Progress
from disbench.datasets import FactorDataset
from disbench.reports.records import Trial

log = logging.getLogger(__name__)
PRECISIONS = ("32-true", "bf16-mixed")
SOURCES: dict[Any, Callable[..., Tensor]] = {
    torch.randn_like: Tensor.normal_,
    torch.randn: Tensor.normal_,
    torch.rand_like: Tensor.uniform_,
    torch.rand: Tensor.uniform_,
}
PLAIN = Alternating.training_step, Alternating.minimize
Points = dict[str, list[tuple[int, float]]]


def stages_of(method: VAE, batch_idx: int, steps: int) -> Iterator[Stage]:
    """What a training step consists of. Raises ValueError where it cannot be stacked."""
    if not isinstance(method.sampling, Independent):
        raise ValueError(
            f"{type(method).__name__} cannot be trained stacked: it samples {method.sampling}, and stacked training knows images "
            "alone. Train its seeds apart."
        )
    # By the methods themselves, so that a subclass with others is not trained as its parent.
    own = type(method)
    if isinstance(method, Alternating) and (own.training_step, own.minimize) == PLAIN:
        return method.stages(Step(batch_idx, steps))
    if not method.automatic_optimization:
        raise ValueError(
            f"{type(method).__name__} cannot be trained stacked: it has several optimisers and moves them in a training_step "
            "of its own, which torch.func cannot run for all seeds at once. Train its seeds apart."
        )

    def run(method: VAE, batch: Batch, context: Any) -> StageResult:
        terms = method.training_step(batch, batch_idx)
        return StageResult((terms["loss"],), terms, context)

    return iter([Stage("step", run, (0,))])


def optimizers_of(method: VAE) -> list[torch.optim.Adam]:
    """The method's optimisers. Raises ValueError unless each is an Adam of one group, which knows nothing of a leading axis."""
    own = method.configure_optimizers()
    found = own if isinstance(own, list) else [own]
    for optimizer in found:
        if type(optimizer) is not torch.optim.Adam or len(optimizer.param_groups) != 1:
            raise ValueError(
                f"{type(method).__name__} cannot be trained stacked: that needs torch.optim.Adam with one group of parameters "
                f"and no scheduler, got {type(optimizer).__name__}. Train its seeds apart."
            )
    return found


class RecordNoise(TorchFunctionMode):
    """Lists the noise that the code within asks for: how it is filled, and a tensor like it."""

    def __init__(self) -> None:
        super().__init__()
        self.draws: list[tuple[Callable[..., Tensor], Tensor]] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        if function in SOURCES:
            self.draws.append((SOURCES[function], found))
        return found


class ReplayNoise(TorchFunctionMode):
    """Hands the code within the noise that was drawn for it, in order."""

    def __init__(self, noise: Iterable[Tensor]) -> None:
        super().__init__()
        self.noise = deque(noise)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.noise.popleft() if function in SOURCES else function(*args, **(kwargs or {}))


class Staged(nn.Module):
    """A method whose forward is a stage, so that `functional_call` can put another seed's tensors in its place.

    `diagnostics` is the one thing that methods keep in a Python attribute: it goes in and comes out.
    """

    def __init__(self, method: VAE) -> None:
        super().__init__()
        self.method = method

    def forward(self, stage: Stage, noise: Sequence[Tensor], batch: Tensor, context: Any, diagnostics: Any) -> Any:
        self.method.diagnostics = dict(diagnostics)
        with ReplayNoise(noise) as answers:
            outcome = stage.run(self.method, Batch(batch), context)
        if answers.noise:
            raise RuntimeError(
                f"The stage {stage.name!r} drew less noise than when it was rehearsed. Train the seeds apart."
            )
        diagnostics = self.method.diagnostics
        self.method.diagnostics = {}  # no tensor of `vmap`'s may be left behind
        return outcome, diagnostics


class NoTrainer:
    """In a trainer's place, so that a step which asks for more than `batch_idx` is refused; without one `global_step` reads 0."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"Stacked training has no trainer, and so no {name}. Train the seeds apart.")


class Stack:
    """S methods of one class as one: stacked parameters and buffers, the method's optimisers, and S sources of noise."""

    def __init__(self, methods: Sequence[VAE], generators: Sequence[torch.Generator], steps: int) -> None:
        self.methods = methods
        self.generators = generators
        self.steps = steps
        stages_of(methods[0], 0, steps)  # refuses what cannot be stacked
        own = optimizers_of(methods[0])
        parameters, buffers = stack_module_state(list(methods))
        self.parameters = {f"method.{name}": tensor for name, tensor in parameters.items()}
        self.buffers = {f"method.{name}": tensor for name, tensor in buffers.items()}
        self.staged = Staged(methods[0])
        names = {parameter: f"method.{name}" for name, parameter in methods[0].named_parameters()}
        self.optimizers = []
        for optimizer in own:
            (group,) = optimizer.param_groups
            options = {name: value for name, value in group.items() if name != "params"}
            moved = [self.parameters[names[parameter]] for parameter in group["params"]]
            self.optimizers.append(torch.optim.Adam(moved, **options))
        methods[0].trainer = NoTrainer()  # type: ignore[assignment]
        self.context: Any = ()
        self.diagnostics: dict[str, Tensor] = {}
        self.lacking: list[set[str]] = [
            set() for _ in methods
        ]  # what of `diagnostics` a seed has not, and a zero stands for
        self.draws: dict[str, list[tuple[Callable[..., Tensor], Tensor]]] = {}

    def step(self, number: int, batches: Tensor) -> dict[str, Tensor]:
        """Every seed's step on its own minibatch, batches (S, B, C, H, W). Returns the terms, each (S,)."""
        found: dict[str, Tensor] = {}
        for stage in stages_of(self.methods[0], number, self.steps):
            found |= self.apart(stage, batches) if stage.data_dependent else self.together(stage, batches)
        return found

    def together(self, stage: Stage, batches: Tensor) -> dict[str, Tensor]:
        moving = [self.optimizers[position] for position in stage.optimizers]
        moved = [parameter for optimizer in moving for parameter in optimizer.param_groups[0]["params"]]
        for parameter in self.parameters.values():  # nobody asks for the gradients of what stands still
            parameter.requires_grad_(False)
        for parameter in moved:
            parameter.requires_grad_(True)
        if stage.name not in self.draws:
            self.rehearse(stage, batches[0])
        noise = [self.noise(*draw) for draw in self.draws[stage.name]]

        def of_one_seed(parameters: Any, buffers: Any, *given: Any) -> Any:
            state = {**parameters, **buffers}
            outcome = functional_call(self.staged, state, (stage, *given))
            return outcome, {name: state[name] for name in buffers}  # whether written in place or replaced

        (outcome, diagnostics), buffers = vmap(of_one_seed)(
            self.parameters, self.buffers, noise, batches, self.context, self.diagnostics
        )
        outcome, self.diagnostics, self.buffers = StageResult(*outcome), detached(diagnostics), detached(buffers)
        self.context = detached(outcome.context)
        for loss in outcome.losses:
            for parameter in moved:
                parameter.grad = None
            with float32(loss.device):
                loss.sum().backward(inputs=moved)  # no weight is shared, so the sum's gradient is each seed's own
            if stage.clip is not None:
                clip_each(moved, stage.clip)
            for optimizer in moving:
                optimizer.step()
        return detached(outcome.terms)

    def rehearse(self, stage: Stage, batch: Tensor) -> None:
        """See what a stage draws, on a copy of the first seed's method; leaves the random state alone."""
        rehearsing = copy.deepcopy(self.staged)
        context, diagnostics = tree_map(lambda tensor: tensor[0], (self.context, self.diagnostics))
        with torch.random.fork_rng(cuda(batch.device)), RecordNoise() as rehearsal:
            rehearsing.method.diagnostics = dict(diagnostics)
            stage.run(rehearsing.method, Batch(batch), context)
        self.draws[stage.name] = [(fill, like.detach()) for fill, like in rehearsal.draws]

    def noise(self, fill: Callable[..., Tensor], like: Tensor) -> Tensor:
        """(S, ...): a draw of each seed from its own generator."""
        return torch.stack([fill(torch.empty_like(like), generator=each) for each in self.generators])

    def apart(self, stage: Stage, batches: Tensor) -> dict[str, Tensor]:
        """A stage without a descent, of each seed in turn on its own method."""
        if stage.optimizers:
            raise ValueError(
                f"The stage {stage.name!r} cannot be trained stacked: it is data_dependent and has optimisers "
                f"{stage.optimizers}. Train the seeds apart."
            )
        self.unstack()
        outcomes = []
        device = batches.device
        with torch.random.fork_rng(cuda(device)):
            for seed, (method, generator) in enumerate(zip(self.methods, self.generators, strict=True)):
                set_global_stream(generator, device)
                context = tree_map(lambda tensor, seed=seed: tensor[seed], self.context)
                outcomes.append(stage.run(method, Batch(batches[seed]), context))
        buffers = stack_module_state(list(self.methods))[1]
        self.buffers = {f"method.{name}": tensor for name, tensor in buffers.items()}
        reads = [method.diagnostics for method in self.methods]
        self.diagnostics = stacked(reads)
        self.lacking = [self.diagnostics.keys() - read.keys() for read in reads]
        return stacked([outcome.terms for outcome in outcomes])

    @torch.no_grad()
    def unstack(self) -> None:
        """Give the methods what was trained."""
        state = {**self.parameters, **self.buffers}
        for seed, method in enumerate(self.methods):
            for name, tensor in chain(method.named_parameters(), method.named_buffers()):
                tensor.copy_(state[f"method.{name}"][seed])
            own = self.diagnostics.keys() - self.lacking[seed]
            method.diagnostics = {name: value[seed].clone() for name, value in self.diagnostics.items() if name in own}


def stacked(found: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Each of the scalars that any seed has as (S,), zero for a seed that has it not."""
    scalars = {name: value for each in found for name, value in each.items()}
    return {
        name: torch.stack([each.get(name, torch.zeros_like(like)).detach() for each in found])
        for name, like in scalars.items()
    }


def detached(tree: Any) -> Any:
    return tree_map(lambda tensor: tensor.detach(), tree)


@torch.no_grad()
def clip_each(parameters: Iterable[Tensor], largest: float) -> None:
    """Scale the gradients (S, ...) of each seed so that its norm over all parameters is at most `largest`.

    As `clip_grad_norm_` does for one seed; over stacked parameters that would take the norm of all seeds together.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    squares = [gradient.view(len(gradient), -1).square().sum(1) for gradient in gradients]
    norm = torch.stack(squares).sum(0).sqrt()  # (S,)
    scale = (largest / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.dim() - 1)))


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


def cuda(device: torch.device) -> list[torch.device]:
    """The devices, beside the CPU, whose random state `fork_rng` has to keep."""
    return [device] if device.type == "cuda" else []


def global_stream(device: torch.device) -> torch.Generator:
    """A generator of its own that goes on from where the device's global one is."""
    state = torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
    return torch.Generator(device).set_state(state)


def set_global_stream(generator: torch.Generator, device: torch.device) -> None:
    """Let the device's global generator go on from where this one is."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(generator.get_state(), device)
    else:
        torch.set_rng_state(generator.get_state())


@contextmanager
def computing(precision: str, device: torch.device) -> Iterator[None]:
    """A step within is computed at that precision, as Lightning has it, and without a word on what `vmap` has to loop over."""
    mixed = precision == "bf16-mixed"
    with torch.autocast(device.type, torch.bfloat16, mixed, cache_enabled=False), warnings.catch_warnings():
        # The MINE VAE has three such operations, in place on small buffers.
        warnings.filterwarnings(
            "ignore", "There is a performance drop because we have not yet implemented the batching"
        )
        yield


class Trained(NamedTuple):
    """Of one trial of a stack: what `train` gives, and what it would have left. The seconds are an equal share of the stack's.

    random: every global random state as it would be after the trial's own training.
    """

    trial: Trial
    method: VAE
    points: Points
    random: dict[str, Any]
    seconds: float
    cpu_seconds: float


def train_stacked(trials: Sequence[Trial], dataset: FactorDataset, device: torch.device | None = None) -> list[Trained]:
    """Train trials that differ in their seeds alone, all at once.

    device: an accelerator by default, where there is one. Raises ValueError for a method that cannot be stacked and for
    trials that are not alike, FloatingPointError where a seed diverges.
    """
    check_alike(trials)
    started, cpu_started = time.monotonic(), time.process_time()
    device = device or torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    methods, generators, streams, states = [], [], [], []
    for trial in trials:
        method = build(trial, dataset.image_shape, len(dataset)).to(device)
        methods.append(method)
        generators.append(global_stream(device))
        states.append(random_state(device))
        method.total_steps = trial.steps
        streams.append(Images(dataset, trial, method.sampling).stream(device))
    steps = trials[0].steps
    stack = Stack(methods, generators, steps)
    every = max(1, steps // CURVE_POINTS)
    curves: list[Points] = [{} for _ in trials]
    first = trials[0]
    what = f"{first.method} on {first.dataset}, seeds {', '.join(str(trial.seed) for trial in trials)}: training"
    with Progress(what, steps, "step", early=True) as progress:
        for step in range(1, steps + 1):
            batches = torch.stack([next(stream).images for stream in streams]).to(device).float().div_(255)
            with computing(trials[0].precision, device):
                terms = stack.step(step - 1, batches)
            if step % every == 0 or step == steps:
                keep(curves, trials, step, terms, stack.lacking)
            progress.done = step
            if progress.due:  # reading the loss waits for the device
                progress.update(step, f"mean loss {float(terms['loss'].mean()):.1f}")
    stack.unstack()
    methods[0].trainer = None
    seconds = (time.monotonic() - started) / len(trials), (time.process_time() - cpu_started) / len(trials)
    for method, generator, state in zip(methods, generators, states, strict=True):
        state["torch" if device.type == "cpu" else "device"] = generator.get_state()
        if len(trials) > 1:
            method.remarks.append(
                f"Trained stacked, {len(trials)} seeds as one model; each has an equal share of the seconds that it took."
            )
    return [Trained(*each, *seconds) for each in zip(trials, methods, curves, states, strict=True)]


def keep(
    curves: list[Points],
    trials: Sequence[Trial],
    step: int,
    terms: dict[str, Tensor],
    lacking: Sequence[Collection[str]],
) -> None:
    """Add each seed's terms, (S,) each, to its curves, those it lacks left out. Raises FloatingPointError where one diverged."""
    table = torch.stack(list(terms.values()), dim=1).tolist()  # (S, terms), in one transfer
    for points, trial, values, without in zip(curves, trials, table, lacking, strict=True):
        for name, value in zip(terms, values, strict=True):
            if name in without:
                continue
            if not math.isfinite(value) or (name == "loss" and abs(value) > EXPLODED):
                raise FloatingPointError(
                    f"{name} of seed {trial.seed} is {value} at step {step}: the run diverged. Try a smaller lr, or train "
                    "the seeds apart."
                )
            points.setdefault(name, []).append((step, value))


def write_finished(trained: Trained, dataset: FactorDataset, checkpoint: Path) -> None:
    """Write the checkpoint that `train` finds finished, and reads; it cannot be gone on from, for it has no optimisers."""
    trial, method = trained.trial, trained.method
    content: dict[str, Any] = {
        "state_dict": {name: tensor.cpu() for name, tensor in method.state_dict().items()},
        DESCRIPTION: {
            "trial": trial.model_dump(mode="json"),
            "image_shape": list(dataset.image_shape),
            "n_train": len(dataset),
            "step": trial.steps,
            "points": trained.points,
            "remarks": method.remarks,
            "seconds": trained.seconds,
            "cpu_seconds": trained.cpu_seconds,
            "resumed_at": [],
            "random": trained.random,
            "code": code_version(),
        },
    }
    method.on_save_checkpoint(content)
    write_checkpoint(content, checkpoint)
