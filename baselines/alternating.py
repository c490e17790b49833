"""Methods with several optimisers: their training step is a list of stages, each with a loss and those who descend it.

A stage says what is computed and who moves, and leaves to others how, so that one description serves a model that is trained
alone (here) and several that are trained as one (`disbench.benchmarks.training.experimental.seed_ensemble`).
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from disbench.baselines.networks import float32
from disbench.baselines.vae import VAE


class StageResult(NamedTuple):
    """What a stage gives: losses that are losses in turn, mostly one or none; terms for curves; what the next is handed."""

    losses: tuple[Tensor, ...]
    terms: dict[str, Tensor]
    context: Any


class Stage(NamedTuple):
    """A part of a step: `run(method, batch, context)`, then a descent of its loss by `optimizers`, by their numbers.

    clip: the largest gradient norm. Stages of one `name` draw the same noise, in the same order. data_dependent: it does what
    depends on the numbers it computes, so that several models cannot do it as one; it draws from a random state that it restores,
    descends nothing and hands on what it was handed.
    """

    name: str
    run: Callable[[Any, Tensor, Any], StageResult]
    optimizers: tuple[int, ...] = ()
    clip: float | None = None
    data_dependent: bool = False


class AlternatingVAE(VAE):
    """The shell of a method whose parties move in turn. A method is its `stages` and `configure_optimizers`.

    The latter returns a list of optimizers, one or more, or that list and a list of schedulers, stepped once per training step.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.automatic_optimization = False

    def stages(self, batch_idx: int, steps: int) -> Iterator[Stage]:
        """What training step number `batch_idx` (0, 1, ...) of `steps` consists of."""
        raise NotImplementedError

    def training_step(self, batch: Tensor, batch_idx: int) -> dict[str, Tensor]:
        found = self.optimizers()
        optimizers = found if isinstance(found, list) else [found]  # Lightning returns a single one bare
        terms: dict[str, Tensor] = {}
        context: Any = ()
        for stage in self.stages(batch_idx, self.trainer.num_training_batches):
            outcome = stage.run(self, batch, context)
            movers = [optimizers[number] for number in stage.optimizers]
            for loss in outcome.losses:
                self.minimize(movers, loss, stage.clip)
            terms |= outcome.terms
            context = outcome.context
        for settings in self.trainer.lr_scheduler_configs:  # with several optimizers Lightning steps none
            if (batch_idx + 1) % settings.frequency == 0:
                settings.scheduler.step()
        return {name: value.detach() for name, value in terms.items()}

    def minimize(self, optimizers: list[Any], loss: Tensor, clip: float | None = None) -> None:
        """One step of several optimisers down one loss."""
        moved = [
            parameter for optimizer in optimizers for group in optimizer.param_groups for parameter in group["params"]
        ]
        for parameter in moved:
            parameter.grad = None
        with float32(loss.device):  # autocast would round the backward pass of what was computed in float32 on purpose
            self.manual_backward(loss, inputs=moved)  # not the gradients of what stands still
        if clip is not None:
            # Not Lightning's, which refuses fused optimisers at mixed precision, on account of a scaler that bf16 has not.
            clip_grad_norm_(moved, clip)
        for optimizer in optimizers:
            optimizer.step()
