"""The training loop: call `training_step` of a method repeatedly, on any device of Lightning Fabric.

Fabric chooses the device, the precision and the gradients' way between devices. Everything that happens in a step is in
`Loop.take`. Methods are LightningModules, so they also train in your own Trainer.
"""

import inspect
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from disbench.baselines.method import Method
from disbench.benchmarks.training.contracts import ContractError, checked_optimizers, checked_terms

log = logging.getLogger(__name__)
LOGGERS = ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric")
MODULES = r"(pytorch_lightning|lightning_fabric|lightning_utilities|lightning)\b"
# Hooks of a LightningModule that would change a step, and that no step here calls.
NEVER_CALLED = ("optimizer_step", "optimizer_zero_grad", "transfer_batch_to_device", "on_before_batch_transfer")


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hold back Lightning's notices and its own warnings within. Errors and the warnings of other packages stay.

    Afterwards Lightning is as it was, for other code of the process.
    """
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=MODULES)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class Mixed(MixedPrecision):
    """Mixed precision in which images stay float32, and weights are rounded anew each time that they are used.

    Fabric's rounds the images too, of which the loss is computed, and keeps rounded weights, which are out of date once a step of
    several optimizers has changed them.
    """

    def forward_context(self) -> AbstractContextManager[Any]:
        dtype = torch.float16 if self.precision == "16-mixed" else torch.bfloat16
        return torch.autocast(self.device, dtype=dtype, cache_enabled=False)

    def convert_input(self, data: Any) -> Any:
        return data

    def convert_output(self, data: Any) -> Any:
        return data


class Callback:
    """What a `Loop` calls beside the method's own hooks. Override what you need."""

    def on_start(self, loop: "Loop") -> None:
        """Before the first step, or before the first after a resume."""

    def on_step(self, loop: "Loop", step: int, terms: dict[str, Tensor]) -> None:
        """After step number `step`, counted from 1, with what `training_step` returned."""

    def on_end(self, loop: "Loop") -> None:
        """After the last step."""

    def on_save(self, loop: "Loop", content: dict[str, Any]) -> None:
        """Add to the content of a checkpoint."""

    def on_load(self, loop: "Loop", content: Mapping[str, Any]) -> None:
        """Read what `on_save` added."""


def device_kind(accelerator: str) -> str:
    """The type of torch device that an accelerator's name stands for, such as 'cuda' for 'gpu'."""
    if accelerator not in ("auto", "gpu"):
        return accelerator
    found = torch.accelerator.current_accelerator(check_available=True)
    return "cpu" if found is None else found.type


def precision_options(precision: str, accelerator: str) -> dict[str, Any]:
    """Fabric's arguments for a precision; float16 needs a GPU, so on a CPU it is replaced by bfloat16."""
    # Under SLURM, too, there is one process for each device of this machine.
    plugins: list[Any] = [LightningEnvironment()]
    if precision not in ("16-mixed", "bf16-mixed"):
        return {"plugins": plugins, "precision": precision}
    kind = device_kind(accelerator)
    if kind == "cpu" and precision == "16-mixed":
        log.warning("16-mixed needs a GPU. On this CPU the training uses bf16-mixed.")
        precision = "bf16-mixed"
    return {"plugins": [*plugins, Mixed("16-mixed" if precision == "16-mixed" else "bf16-mixed", kind)]}


class Loop(Fabric):
    """Trains a method for a number of steps.

    In the method `self.trainer` and `self.fabric` are this loop. The attributes that it shares with a Trainer have its names: a
    training is one epoch of `num_training_batches` steps.

    Parameters
    ----------
    steps : int
        Calls of `training_step`.
    callbacks : sequence of Callback
        Called in this order.
    precision : str
        "32-true", "bf16-mixed" or "16-mixed", which scales the loss.
    accelerator, devices, strategy
        Fabric's. Several devices need a process for each (see `experimental.data_parallel`).
    """

    max_epochs = accumulate_grad_batches = 1
    current_epoch = 0

    def __init__(
        self,
        steps: int,
        callbacks: Sequence[Callback] = (),
        *,
        precision: str = "32-true",
        accelerator: str = "auto",
        devices: int = 1,
        strategy: Any = "auto",
    ) -> None:
        with quiet_lightning():
            options = precision_options(precision, accelerator)
            super().__init__(accelerator=accelerator, devices=devices, strategy=strategy, **options)
            self.launch()
        if not torch.cuda.is_available():
            # Lightning lets torch look for NVIDIA's driver on the disk, which an optimizer then does at every step.
            os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
        self.num_training_batches = self.max_steps = steps
        self.hooks = callbacks
        self.global_step = 0  # steps that are done
        self.method: Method
        self.optimizers: list[Optimizer] = []
        self.lr_scheduler_configs: list[Any] = []  # each with scheduler, interval, frequency and monitor

    def fit(self, method: Method, batches: Iterator[Any], resumed: Mapping[str, Any] | None = None) -> None:
        """Train `method` from where it is to the last step.

        Parameters
        ----------
        method : Method
            Is moved to the device, and stays there.
        batches : iterator
            What each of the remaining steps gets, on any device.
        resumed : mapping, optional
            A checkpoint that `content` gave, to go on from.

        Raises
        ------
        ContractError
            Where `configure_optimizers` or `training_step` returns what cannot be trained with.
        """
        self.method = method
        method.total_steps = self.num_training_batches
        check_hooks(method)
        with quiet_lightning():
            self.to_device(method)
            self.optimizers, settings = checked_optimizers(method, method.configure_optimizers())
            module, *self._wrapped = self.setup(method, *self.optimizers)
        self.lr_scheduler_configs = [SimpleNamespace(**{"frequency": 1, "monitor": None, **each}) for each in settings]
        self._training_step = module.training_step
        self._takes_index = "batch_idx" in inspect.signature(method.training_step).parameters
        try:
            if resumed is not None:
                self.restore(resumed)
            self._run(iter(batches))
        finally:
            method.fabric = None  # ends a cycle of references, and the method can be pickled and trained again

    def _run(self, batches: Iterator[Any]) -> None:
        method = self.method
        method.on_fit_start()
        for hook in self.hooks:
            hook.on_start(self)
        method.on_train_start()
        method.on_train_epoch_start()
        for index in range(self.global_step, self.num_training_batches):
            given = next(batches, None)
            if given is None:
                raise ValueError(
                    f"Training has {self.num_training_batches} steps, but the batches ended after {index}."
                )
            batch = method.on_after_batch_transfer(self.to_device(given), 0)
            terms = self.take(batch, index)
            self.global_step = index + 1
            for hook in self.hooks:
                hook.on_step(self, index + 1, terms)
        self.step_schedulers("epoch", 1, {})
        method.on_train_epoch_end()
        method.on_train_end()
        for hook in self.hooks:
            hook.on_end(self)
        method.on_fit_end()

    def take(self, batch: Any, index: int) -> dict[str, Tensor]:
        """One step: forward, backward and the optimizer's step; a method that optimizes by itself does these in its own."""
        method = self.method
        method.on_train_batch_start(batch, index)
        with self.autocast():
            found = self._training_step(batch, index) if self._takes_index else self._training_step(batch)
        terms = {"loss": found} if isinstance(found, Tensor) else found
        if not (isinstance(terms, Mapping) and isinstance(terms.get("loss"), Tensor)):
            terms = checked_terms(method, found)  # an error that says what is missing
        if method.automatic_optimization:
            (optimizer,) = self._wrapped
            method.on_before_zero_grad(optimizer)
            optimizer.zero_grad()
            method.on_before_backward(terms["loss"])
            method.backward(terms["loss"])
            method.on_after_backward()
            method.on_before_optimizer_step(optimizer)
            method.configure_gradient_clipping(optimizer)
            optimizer.step()
            self.step_schedulers("step", index + 1, terms)
        method.on_train_batch_end(terms, batch, index)
        return {name: term.detach() if isinstance(term, Tensor) else term for name, term in terms.items()}

    def step_schedulers(self, interval: str, count: int, terms: Mapping[str, Tensor]) -> None:
        """Step the schedulers of an interval whose turn it is after `count` of them; `terms`: what a scheduler may monitor."""
        for settings in self.lr_scheduler_configs if self.method.automatic_optimization else ():
            if settings.interval != interval or count % settings.frequency:
                continue
            value = None
            if isinstance(settings.scheduler, ReduceLROnPlateau):
                if settings.monitor not in terms:
                    raise ContractError(
                        f"{type(self.method).__name__}.configure_optimizers: ReduceLROnPlateau needs to monitor one of the terms "
                        f"that training_step returns, {', '.join(terms) or 'at the end of a step'}; got {settings.monitor!r}."
                    )
                value = float(terms[settings.monitor].detach())
            self.method.lr_scheduler_step(settings.scheduler, value)

    def mean(self, value: Tensor) -> float:
        """The mean of a scalar over the devices; called by all of them."""
        if self.world_size > 1:
            self.all_reduce(value := value.clone(), reduce_op="mean")
        return float(value)

    def content(self) -> dict[str, Any]:
        """What `fit` needs to go on from here: weights, optimizers, schedulers, the loss's scale and what callbacks add."""
        content: dict[str, Any] = {
            "state_dict": self.method.state_dict(),
            "optimizer_states": [optimizer.state_dict() for optimizer in self.optimizers],
            "lr_schedulers": [settings.scheduler.state_dict() for settings in self.lr_scheduler_configs],
            "global_step": self.global_step,
            "precision": self.strategy.precision.state_dict(),
        }
        for hook in self.hooks:
            hook.on_save(self, content)
        self.method.on_save_checkpoint(content)
        return content

    def restore(self, content: Mapping[str, Any]) -> None:
        """Put back what `content` gave."""
        self.global_step = content["global_step"]
        self.method.on_load_checkpoint(dict(content))
        self.method.load_state_dict(content["state_dict"])
        for optimizer, state in zip(self.optimizers, content["optimizer_states"], strict=True):
            optimizer.load_state_dict(state)
        for settings, state in zip(self.lr_scheduler_configs, content["lr_schedulers"], strict=True):
            settings.scheduler.load_state_dict(state)
        if scale := content["precision"]:
            self.strategy.precision.load_state_dict(scale)
        for hook in self.hooks:
            hook.on_load(self, content)


def check_hooks(method: Method) -> None:
    """Raise ContractError where a method overrides a hook that would change its steps and is not called here."""
    for name in NEVER_CALLED:
        if getattr(type(method), name) is not getattr(LightningModule, name):
            raise ContractError(
                f"{type(method).__name__} overrides {name}, which the training loop does not call. For several optimizers derive "
                "from AlternatingVAE; for a learning rate that changes return a scheduler from configure_optimizers."
            )
