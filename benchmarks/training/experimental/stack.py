"""S models of one class as one, whose parameters and buffers have a leading axis S for the seed.

A step is taken by its stages (`disbench.baselines.alternating`); of a method with one optimizer the whole is one.

Noise: under `vmap` one call of `torch.randn_like` cannot draw from S generators. So the first stage of a name is rehearsed to see
what it asks for, every seed draws that from its own generator, and the calls are answered with it.
"""

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from disbench.baselines.alternating import Alternating, Stage, StageResult
from disbench.baselines.method import Batch, Independent, Step
from disbench.baselines.precision import float32
from disbench.baselines.vae import VAE

SOURCES: dict[Any, Callable[..., Tensor]] = {
    torch.randn_like: Tensor.normal_,
    torch.randn: Tensor.normal_,
    torch.rand_like: Tensor.uniform_,
    torch.rand: Tensor.uniform_,
}
PLAIN: tuple[Any, Any] = (Alternating.training_step, Alternating.minimize)


def stages_of(method: VAE, batch_idx: int, steps: int) -> Iterator[Stage]:
    """What a training step consists of. Raises ValueError where it cannot be stacked."""
    if not isinstance(method.sampling, Independent):
        raise ValueError(
            f"{type(method).__name__} cannot be trained stacked: it samples {method.sampling}, and stacked training knows images "
            "alone. Train its seeds apart."
        )
    if method.quantized:
        raise ValueError(
            f"{type(method).__name__} cannot be trained stacked: stacked sums round differently, which moves quantized codes to "
            "another value, so that a seed would not have its own losses. Train its seeds apart."
        )
    # By the methods themselves, so that a subclass with others is not trained as its parent.
    own: Any = type(method)
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
    """The method's optimizers. Raises ValueError unless each is an Adam with one group, which works elementwise."""
    own: Any = method.configure_optimizers()
    found: list[Any] = own if isinstance(own, list) else [own]
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
    """S methods of one class as one: stacked parameters and buffers, the method's optimizers, and S sources of noise."""

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
        # What of `diagnostics` a seed has not, and a zero stands for.
        self.lacking: list[set[str]] = [set() for _ in methods]
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
        for parameter in self.parameters.values():  # gradients of frozen parameters are not needed
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
        terms: dict[str, Tensor] = detached(outcome.terms)
        return terms

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


def cuda(device: torch.device) -> list[torch.device]:
    """The devices, beside the CPU, whose random state `fork_rng` has to keep."""
    return [device] if device.type == "cuda" else []


def global_stream(device: torch.device) -> torch.Generator:
    """A separate generator that starts from the state of the device's global one."""
    state = torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
    return torch.Generator(device).set_state(state)


def set_global_stream(generator: torch.Generator, device: torch.device) -> None:
    """Let the device's global generator go on from where this one is."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(generator.get_state(), device)
    else:
        torch.set_rng_state(generator.get_state())
