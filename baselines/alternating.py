"""Methods with several optimizers: a training step is a list of stages.

A stage has a loss and names the optimizers that minimize it, but does not say how. So one description serves a model that is
trained alone (here) and several that are trained as one (`disbench.benchmarks.training.experimental.seed_ensemble`).
"""

import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from disbench.baselines.method import Batch, Method, Step, accepts, as_batch
from disbench.baselines.precision import float32
from disbench.baselines.vae import VAE


class StageResult(NamedTuple):
    """Hold what a stage returns.

    Parameters
    ----------
    losses : tuple of Tensor
        Losses that are minimized one after the other, mostly one or none.
    terms : dict of str to Tensor
        Scalars for the curves.
    context : Any
        What the next stage gets.
    """

    losses: tuple[Tensor, ...]
    terms: dict[str, Tensor]
    context: Any


class Stage(NamedTuple):
    """Describe a part of a training step.

    Parameters
    ----------
    name : str
        Stages of one name draw the same noise, in the same order.
    run : callable
        `run(method, batch, context) -> StageResult`, where `batch` is a `Batch`.
    optimizers : tuple of int
        The optimizers that minimize the losses, by their numbers in what `configure_optimizers` returns.
    clip : float, optional
        The largest norm of the gradient.
    data_dependent : bool
        Whether control flow depends on values of tensors, so that several models cannot run it as one. Such a stage draws from a
        random state that it restores, has no losses, and returns the context that it got.
    """

    name: str
    run: Callable[[Any, Batch, Any], StageResult]
    optimizers: tuple[int, ...] = ()
    clip: float | None = None
    data_dependent: bool = False


class Alternating(Method):
    """Train with one optimizer or more that take turns. A method writes `stages` and `configure_optimizers`.

    Derive from it alone, or put it before another base, as `AlternatingVAE` does. `configure_optimizers` returns an optimizer, a
    list of optimizers, or ([optimizers], [schedulers]); schedulers are stepped once per training step.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.automatic_optimization = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        own = vars(cls).get("stages")
        if callable(own) and not accepts(own, 2) and accepts(own, 3):
            warnings.warn(
                f"{cls.__name__}.stages(batch_idx, steps) is deprecated and removed in the next release. Write: "
                "stages(self, step), with step.number and step.total",
                DeprecationWarning,
                stacklevel=2,
            )
            cls.stages = _with_one_argument(own)  # type: ignore[method-assign]

    def stages(self, step: Step) -> Iterator[Stage]:
        """Yield the stages of one training step, in order.

        Parameters
        ----------
        step : Step
            Where training is.

        Yields
        ------
        Stage
        """
        raise NotImplementedError(
            f"{type(self).__name__} needs stages(step), which yields the Stages of a training step."
        )

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Run the stages of one step. A bare tensor of images works, too."""
        batch, step = as_batch(batch), self.current_step(batch_idx)
        found: Any = self.optimizers()
        optimizers: list[Any] = found if isinstance(found, list) else [found]  # Lightning returns a single one bare
        terms: dict[str, Tensor] = {}
        context: Any = ()
        stepped = False
        for stage in self.stages(step):
            check_stage(self, stage, len(optimizers))
            outcome = stage.run(self, batch, context)
            for loss in outcome.losses:
                moved = [optimizers[number] for number in stage.optimizers]
                if self.fabric is None:  # in a Trainer, which counts the steps of optimizers
                    counted = 0 if stepped else 1
                    moved[counted:] = [Uncounted(self.trainer, each) for each in moved[counted:]]
                    stepped = True
                self.minimize(moved, loss, stage.clip)
            terms |= outcome.terms
            context = outcome.context
        settings: Any  # one that waits for a value is refused when training begins
        for settings in self.trainer.lr_scheduler_configs:  # Lightning steps none of a method that steps its optimizers
            if (step.number + 1) % settings.frequency == 0:
                settings.scheduler.step()
        return {name: value.detach() for name, value in terms.items()}

    def minimize(self, optimizers: list[Any], loss: Tensor, clip: float | None = None) -> None:
        """Let several optimizers take one step on one loss, whose gradient has at most the norm `clip`."""
        moved = [
            parameter for optimizer in optimizers for group in optimizer.param_groups for parameter in group["params"]
        ]
        for parameter in moved:
            parameter.grad = None
        with float32(loss.device):  # autocast would round the backward pass of what was computed in float32 on purpose
            self.manual_backward(loss, inputs=moved)  # not the gradients of what stands still
        if clip is not None:
            # Not Lightning's, which refuses fused optimizers at mixed precision, and takes one optimizer at a time.
            clip_grad_norm_(moved, clip * self.loss_scale())
        for optimizer in optimizers:
            optimizer.step()


class AlternatingVAE(Alternating, VAE):
    """Train a variational autoencoder whose training step is a list of stages.

    The parameters are those of `VAE`.

    Examples
    --------
    >>> from disbench.baselines.alternating import AlternatingVAE, Stage, StageResult
    >>> class TwoStages(AlternatingVAE):
    ...     def stages(self, step):
    ...         yield Stage("loss", type(self).loss_stage, optimizers=(0,))
    ...
    ...     def loss_stage(self, batch, context):
    ...         q = self.posterior(batch.images)
    ...         loss = self.reconstruction_loss(batch.images, q.sample())
    ...         return StageResult((loss,), {"loss": loss}, context)
    """


def check_stage(method: Method, stage: Stage, optimizers: int) -> None:
    """Raise ValueError if a stage names a missing optimizer, or has none for its losses."""
    if wrong := [number for number in stage.optimizers if not 0 <= number < optimizers]:
        raise ValueError(
            f"{type(method).__name__}: the stage {stage.name!r} names optimizer {wrong[0]}, but configure_optimizers returns "
            f"{optimizers}, numbered from 0."
        )


class Uncounted:
    """Wrap an optimizer so that its steps do not count in Lightning's `global_step`.

    The first optimizer of a training step is counted, so that `global_step` and `max_steps` count training steps.
    """

    def __init__(self, trainer: Any, optimizer: Any) -> None:
        self.trainer = trainer
        self.optimizer = optimizer.optimizer
        self.param_groups = self.optimizer.param_groups

    def step(self) -> None:
        """Step the optimizer by the gradients that are there."""
        self.trainer.strategy.optimizer_step(self.optimizer, lambda: None)  # the gradients are there already


def _with_one_argument(stages: Callable[..., Iterator[Stage]]) -> Callable[..., Iterator[Stage]]:
    """Make `stages` that take a `Step` of `stages(self, batch_idx, steps)`."""

    @functools.wraps(stages)
    def adapted(self: Alternating, step: Step) -> Iterator[Stage]:
        return stages(self, step.number, step.total)

    return adapted
