"""The interface of every method: it trains as a LightningModule, encodes images and may decode codes.

`VAE` is the shell for autoencoders. A method that is none, such as a pretrained or a contrastive encoder, derives from `Method`.
"""

import inspect
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from disbench.baselines.batch import (
    START as START,
    Batch as Batch,
    Independent as Independent,
    Labelled as Labelled,
    Pairs as Pairs,
    Sampling as Sampling,
    Step as Step,
    as_batch as as_batch,
)

Grids: TypeAlias = Mapping[str, Mapping[str, Sequence[Any]]]


class Codes(NamedTuple):
    """Hold the codes of B images.

    Parameters
    ----------
    values : Tensor of shape (B, D) or (B, G, F)
        One number per latent, or a vector of F numbers for each of G latents. They are scored.
    std : Tensor, optional
        Standard deviations of the same shape, if the method has them.
    """

    values: Tensor
    std: Tensor | None = None


class PartitionReport(NamedTuple):
    """Describe how a method spreads D latents over K factors and nuisance (column 0).

    Parameters
    ----------
    assignment : Tensor of shape (D, K+1)
        Shares; rows sum to 1.
    complexities : Tensor of shape (K,)
        Complexity of each factor, in nats.
    target : Tensor of shape (K+1,)
        Intended shares of the KL divergence; they sum to 1.
    """

    assignment: Tensor
    complexities: Tensor
    target: Tensor


class Method(LightningModule):
    """Define what a method is: it trains as a LightningModule, and encodes images. Many also decode codes.

    A method writes `encode`, `training_step` and `configure_optimizers`.

    Attributes
    ----------
    sampling : `Independent`, `Pairs` or `Labelled`
        What a training step gets. A method may also set it in its constructor.
    total_steps : int or None
        Number of calls of `training_step` in the whole training. The training loop sets it; in your own Trainer it is None.
    supervision : str
        What a method sees besides images, such as "labels". Methods that see different things are never ranked together.
    label_sizes : tuple of int or None
        Number of values of each column of `Batch.labels`. The training loop sets it; in your own Trainer you set it.
    generates : bool
        False for an encoder without a decoder: no pictures are drawn and no reconstruction is measured.
    decode_limit : int or None
        Largest number of images that are decoded for each picture and for the quality of reconstructions. For an expensive
        decoder; None sets no limit.
    quantized : bool
        True if each latent takes one of few values. Its row of a picture then walks over the values that occur, and metrics
        treat it as discrete.
    data_parallel : bool
        Whether the loss is a mean over images, as training on several devices needs. It is not inherited: each class declares it.
    published : mapping of str to mapping of str to sequence
        Values of hyperparameters that a publication searched, by dataset and name; "any" is the grid for every dataset.
    version : int
        Raise it in the class whose training changes, when the same hyperparameters train to another result. Finished records of
        an earlier version then no longer count as this method's.

    Examples
    --------
    >>> import torch
    >>> from disbench.baselines.method import Codes, Method
    >>> class Pixels(Method):
    ...     # An image is encoded by the brightness of its halves. Nothing is trained.
    ...     generates = False
    ...
    ...     def encode(self, x):
    ...         return Codes(torch.stack([half.mean((1, 2, 3)) for half in x.chunk(2, dim=3)], dim=1))
    >>> Pixels().encode(torch.ones(3, 1, 64, 64)).values.shape
    torch.Size([3, 2])
    """

    version: int = 1
    published: ClassVar[Grids] = {}
    sampling: Sampling = Independent()
    total_steps: int | None = None
    supervision: str = "none"
    label_sizes: tuple[int, ...] | None = None
    generates = True
    decode_limit: int | None = None
    quantized = False
    data_parallel = False

    def __init__(self) -> None:
        super().__init__()
        self.remarks: list[str] = []  # what a reader of the results should know of this training, for its record
        self.diagnostics: dict[str, Tensor] = {}  # scalars that a method keeps between steps, for its curves

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Let a class that was written for version 0.2 work, with a warning."""
        super().__init_subclass__(**keywords)
        if isinstance(minibatches := vars(cls).get("batches_per_step"), int):
            _warn(f"{cls.__name__}.batches_per_step is deprecated. Write: sampling = Independent({minibatches})")
            del cls.batches_per_step
            cls.sampling = Independent(minibatches)

    @property
    def batches_per_step(self) -> int:
        """Deprecated: `sampling.minibatches`."""
        _warn("batches_per_step is deprecated. Use method.sampling.")
        return self.sampling.rows

    @batches_per_step.setter
    def batches_per_step(self, minibatches: int) -> None:
        """Get the number of minibatches of a step. Deprecated: use `sampling`."""
        _warn(f"batches_per_step is deprecated. Write: self.sampling = Independent({minibatches})")
        self.sampling = Independent(minibatches)

    def current_step(self, batch_idx: int) -> Step:
        """Tell how far training is in the call of `training_step` that gets `batch_idx`.

        In your own Trainer, the batches of an epoch and the limits `max_epochs` and `max_steps` decide it. `max_steps` counts
        optimizer steps; a method with one optimizer, and an `Alternating` one, makes one of these per call.
        """
        if self.total_steps is not None:
            return Step(batch_idx, self.total_steps)
        try:
            trainer = self.trainer
        except RuntimeError:  # not attached to one
            return Step(batch_idx, batch_idx + 1)
        an_epoch, accumulated = trainer.num_training_batches, trainer.accumulate_grad_batches
        if math.isfinite(an_epoch):
            number = trainer.current_epoch * int(an_epoch) + batch_idx
        else:  # a loader without a length
            number = trainer.global_step * accumulated + batch_idx % accumulated if trainer.current_epoch else batch_idx
        limits = [sys.maxsize]  # of a training that only a time limit or the user ends
        if trainer.max_steps > 0:
            limits.append(trainer.max_steps * accumulated)
        if trainer.max_epochs is not None and trainer.max_epochs > 0 and math.isfinite(an_epoch):
            limits.append(trainer.max_epochs * int(an_epoch))
        return Step(number, min(limits))

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Batch:
        """Make a `Batch` of what a data loader yields, on the training device. Lightning calls it."""
        found = as_batch(batch)
        told = isinstance(self.sampling, Pairs) and self.sampling.known and found.partner is not None
        needed = "changed" if told else {Pairs: "partner", Labelled: "labels"}.get(type(self.sampling))
        if needed is not None and getattr(found, needed) is None:
            raise TypeError(
                f"{type(self).__name__} samples {self.sampling}, but its data loader yields no {needed}. Yield Batch(images, "
                f"{needed}={needed}) or a tuple (images, {needed})."
            )
        return found

    def encode(self, x: Tensor) -> Codes:
        """Encode images. Encoding a dataset calls nothing else.

        Parameters
        ----------
        x : Tensor of shape (B, C, H, W)
            Images in [0, 1].

        Returns
        -------
        Codes
            Values (B, D) or (B, G, F). Equal images have equal codes.
        """
        raise NotImplementedError(
            f"{type(self).__name__} needs encode(x), which returns Codes(values) of shape (B, D)."
        )

    def decode(self, z: Tensor) -> Tensor:
        """Decode codes.

        Parameters
        ----------
        z : Tensor of shape (B, D) or (B, G, F)
            Values of codes.

        Returns
        -------
        Tensor of shape (B, C, H, W)
            Images in [0, 1].
        """
        raise NotImplementedError(f"{type(self).__name__} has no decode(z). Set generates = False if it needs none.")

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct images (B, C, H, W) from the values of their codes."""
        return self.decode(codes_of(self, x).values)

    def groups(self) -> Tensor | None:
        """Assign latents to groups, in a method that partitions them.

        Returns
        -------
        Tensor of shape (D,) or (G,), integer, or None
            The group of each latent, 0 for nuisance. None, the default, means no partition; each vector of vector-valued codes
            (G, F) is then a group, 1 to G.
        """
        return None

    def networks(self) -> dict[str, nn.Module]:
        """List the networks that are compiled and timed separately, by name. Each is one graph without random numbers."""
        return {}

    def partition(self) -> PartitionReport | None:
        """Report the numbers behind `groups`, in a method that has them; else None."""
        return None

    def selection_scores(self, batches: Iterable[Tensor]) -> dict[str, float]:
        """Compute scores of the trained method that need no factors, to choose among trials without labels.

        Called once after training, in evaluation mode and without gradients. The record of the trial has the result.

        Parameters
        ----------
        batches : iterable of Tensor of shape (B, C, H, W)
            Images in [0, 1], at least one batch: the same images for each trial on the same rows.

        Returns
        -------
        dict of str to float
            Scores by name, such as "straight_through_gap". None by default.
        """
        return {}

    @property
    def global_step(self) -> int:
        """Number of steps of training that are done; in your own Trainer, Lightning's count of optimizer steps."""
        if self.fabric is not None:
            return int(self.trainer.global_step)
        return int(super().global_step)

    def loss_scale(self) -> float:
        """Get the factor by which gradients are too large before an optimizer's step: 1 except in 16-bit mixed precision."""
        precision = self.trainer.precision_plugin if self.fabric is None else self.fabric.strategy.precision
        scaler = getattr(precision, "scaler", None)
        return 1.0 if scaler is None else float(scaler.get_scale())

    def clip_gradients(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients of an optimizer's parameters, for `configure_gradient_clipping`.

        Parameters
        ----------
        optimizer : Optimizer
            One of the method's.
        gradient_clip_val : float, optional
            The largest norm of the gradient, or of its values. None clips nothing.
        gradient_clip_algorithm : str, optional
            "norm", the default, or "value".
        """
        if self.fabric is None:
            super().clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val is not None:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            clip = clip_grad_value_ if gradient_clip_algorithm == "value" else clip_grad_norm_
            clip(parameters, gradient_clip_val * self.loss_scale())


def codes_of(method: Method, x: Tensor) -> Codes:
    """Encode images by `method` and check the result.

    Parameters
    ----------
    method : Method
        Any method. If `encode` returns a tensor, it becomes the values, without deviations.
    x : Tensor of shape (B, C, H, W)
        Images in [0, 1].

    Returns
    -------
    Codes
        In float32.

    Raises
    ------
    TypeError, ValueError
        If the result is not one row of real numbers per image; the message names the method's class.
    """
    found, name = method.encode(x), type(method).__name__
    if isinstance(found, Tensor):
        found = Codes(found)
    if not isinstance(found, Codes):
        raise TypeError(
            f"{name}.encode needs to return Codes(values, std) of disbench.baselines.method or a tensor of values (B, D) "
            "or (B, G, F), "
            f"got {type(found).__name__}."
        )
    for field, tensor in found._asdict().items():
        if tensor is None and field == "std":
            continue
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
            raise TypeError(f"{name}.encode needs {field} as a tensor of floats, got {kind}. Convert it with .float().")
        if tensor.dim() not in (2, 3) or len(tensor) != len(x) or tensor.shape != found.values.shape:
            raise ValueError(
                f"{name}.encode needs {field} of shape (B, D) or (B, G, F), one row for each of B={len(x)} images"
                f"{'' if field == 'values' else f' and as values, {tuple(found.values.shape)}'}, got {tuple(tensor.shape)}."
            )
    if 0 in found.values.shape[1:]:
        raise ValueError(
            f"{name}.encode needs at least one code per image, got values of shape {tuple(found.values.shape)}."
        )
    # Half and double precision would not fit the decoder's weights.
    return Codes(found.values.float(), None if found.std is None else found.std.float())


def accepts(function: Callable[..., Any], count: int) -> bool:
    """Tell whether a function takes `count` positional arguments, `self` included."""
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    return True


def _warn(message: str) -> None:
    warnings.warn(f"{message} The old form is removed in the next release.", DeprecationWarning, stacklevel=3)
