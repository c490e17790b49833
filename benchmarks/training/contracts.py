"""Check a method before training: codes, images, loss, terms and optimizers.

The check runs on a copy, at first on torch's meta device, where tensors have shapes but no values: it takes milliseconds, and
a method that cannot run there is tried on its own device. No random state changes, so a checked training is the same training.
An error inside a step is left to the training itself, which shows it in full.
"""

import copy
import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from disbench.baselines.alternating import Alternating, check_stage
from disbench.baselines.autoencoder import Autoencoder
from disbench.baselines.method import Batch, Independent, Labelled, Method, Pairs, Step, codes_of
from disbench.benchmarks.runtime.seeds import random_state, set_random_state

TERMS = 'return {"loss": loss, "kl": kl}, where loss is what the optimizer minimizes, such as a mean over images'
OPTIMIZERS = (
    "return an optimizer, a list of optimizers, ([optimizers], [schedulers]), "
    'or {"optimizer": optimizer, "lr_scheduler": scheduler}'
)
WRITE = {
    "encode": "return Codes(values) of disbench.baselines.method, values of shape (B, D)",
    "training_step": TERMS,
    "configure_optimizers": OPTIMIZERS,
    "stages": "yield a Stage for each part of the step",
}
NEEDED = (
    (Method, "encode"),
    (LightningModule, "training_step"),
    (LightningModule, "configure_optimizers"),
    (Alternating, "stages"),
)
SCHEDULER_KEYS = ("scheduler", "interval", "frequency", "monitor", "strict", "name", "reduce_on_plateau")


log = logging.getLogger(__name__)


class ContractError(TypeError):
    """A method does not do what training needs of it; the message names its class and what to write."""


def checked_terms(method: Method, found: Any) -> dict[str, Tensor]:
    """What `training_step` returned, as a dictionary of scalars that holds 'loss'. Raises ContractError for anything else."""
    where = f"{type(method).__name__}.training_step"
    terms = {"loss": found} if isinstance(found, Tensor) else found
    if not isinstance(terms, Mapping):
        raise ContractError(f"{where} needs a dictionary with 'loss', got {type(found).__name__}: {TERMS}.")
    if "loss" not in terms:
        keys = ", ".join(map(repr, terms)) or "nothing"
        raise ContractError(f"{where} needs a term 'loss', got {keys}: {TERMS}.")
    for name, value in terms.items():
        if not isinstance(name, str):
            raise ContractError(f"{where} needs names of terms that are strings, got {name!r}.")
        if not isinstance(value, Tensor):
            raise ContractError(f"{where} needs the term {name!r} as a tensor, got {type(value).__name__}: {value!r}.")
        if value.shape != ():
            raise ContractError(
                f"{where} needs the term {name!r} as one number, got shape {tuple(value.shape)}. Take its mean over images."
            )
        if value.is_complex() or value.dtype == torch.bool or (name == "loss" and not value.is_floating_point()):
            raise ContractError(f"{where} needs the term {name!r} as a real number, got {value.dtype}.")
    return dict(terms)


def checked_optimizers(method: Method, found: Any) -> tuple[list[Optimizer], list[dict[str, Any]]]:
    """The optimizers and the schedulers' settings in what `configure_optimizers` returned.

    A scheduler is stepped once per training step unless its settings say otherwise. Raises ContractError for what is none of
    Lightning's forms, for no optimizer, and for several with automatic optimization.
    """
    where = f"{type(method).__name__}.configure_optimizers"
    optimizers: list[Any] = []
    schedulers: list[Any] = []
    if _is_pair(found):
        optimizers, schedulers = list(found[0]), list(found[1])
    else:
        for entry in found if isinstance(found, Sequence) else [] if found is None else [found]:
            if isinstance(entry, Mapping):
                optimizers.append(entry.get("optimizer"))
                if (scheduler := entry.get("lr_scheduler")) is not None:
                    schedulers.append(scheduler)
            else:
                optimizers.append(entry)
    if not optimizers:
        raise ContractError(f"{where} needs at least one optimizer, got {found!r}: {OPTIMIZERS}.")
    for optimizer in optimizers:
        if not isinstance(optimizer, Optimizer):
            raise ContractError(
                f"{where} needs optimizers of torch.optim, got {type(optimizer).__name__}: {OPTIMIZERS}."
            )
    if method.automatic_optimization and len(optimizers) > 1:
        raise ContractError(
            f"{where} returned {len(optimizers)} optimizers, but training_step has one loss. Return one optimizer, or derive "
            "from Alternating, whose stages say which optimizer minimizes which loss."
        )
    return optimizers, [_checked_scheduler(method, where, scheduler) for scheduler in schedulers]


def _is_pair(found: Any) -> bool:
    """Whether this is Lightning's ([optimizers], [schedulers])."""
    return isinstance(found, Sequence) and len(found) == 2 and all(isinstance(part, list) for part in found)


def _checked_scheduler(method: Method, where: str, found: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"interval": "step", **(found if isinstance(found, Mapping) else {"scheduler": found})}
    scheduler = settings.get("scheduler")
    if not isinstance(scheduler, LRScheduler | ReduceLROnPlateau):
        raise ContractError(
            f"{where} needs schedulers of torch.optim.lr_scheduler, got {type(scheduler).__name__}: {OPTIMIZERS}."
        )
    if unknown := [key for key in settings if key not in SCHEDULER_KEYS]:
        raise ContractError(f"{where}: a scheduler has no setting {unknown[0]!r}; it has {', '.join(SCHEDULER_KEYS)}.")
    if settings["interval"] not in ("step", "epoch"):
        raise ContractError(f"{where}: a scheduler's interval is 'step' or 'epoch', got {settings['interval']!r}.")
    if not method.automatic_optimization and settings["interval"] != "step":
        raise ContractError(f"{where}: with several optimizers a scheduler's interval is 'step', got 'epoch'.")
    if isinstance(scheduler, ReduceLROnPlateau) and not (method.automatic_optimization and "monitor" in settings):
        raise ContractError(
            f"{where}: ReduceLROnPlateau needs a validation score, which training does not compute. Use a scheduler of the "
            "step number, such as CosineAnnealingLR."
        )
    return settings


def no_pictures(method: Method) -> str | None:
    """Why this method decodes no codes; None where it does."""
    kind: Any = type(method)
    if not method.generates:
        return f"{kind.__name__} generates no images (generates = False)."
    by_network = isinstance(method, Autoencoder) and (
        (kind.decode, kind.logits) == (Autoencoder.decode, Autoencoder.logits)
    )
    if kind.decode is Method.decode or (by_network and getattr(method, "decoder", None) is None):
        return f"{kind.__name__} has no decoder."
    return None


def check_contract(
    method: Method, image_shape: Sequence[int], images: int, steps: int, factors: Sequence[int] = (2,)
) -> None:
    """Raise ContractError where a method breaks its promises, as far as that shows before its first step.

    images: how many `training_step` gets at a time, of `image_shape` (C, H, W). steps: of the whole training. factors: the number
    of values of each of the dataset's factors.
    """
    name = type(method).__name__
    if not isinstance(method, Method):
        raise ContractError(f"{name} needs to derive from disbench.baselines.method.Method, or from VAE, which does.")
    for owner, needed in NEEDED:
        if isinstance(method, owner) and getattr(type(method), needed) is getattr(owner, needed):
            raise ContractError(f"{name} needs a method {needed}: {WRITE[needed]}.")
    if not isinstance(method.sampling, Independent | Pairs | Labelled):
        raise ContractError(
            f"{name}.sampling needs Independent(minibatches), Pairs(changed) or Labelled(count) of disbench.baselines.method, "
            f"got {method.sampling!r}."
        )

    def example(device: torch.device | str) -> Batch:
        x = torch.rand(images, *image_shape, device=device)
        partner = torch.rand_like(x) if isinstance(method.sampling, Pairs) else None
        if isinstance(method.sampling, Pairs) and method.sampling.known:
            changed = torch.arange(len(factors), device=device) == torch.arange(images, device=device)[:, None] % len(
                factors
            )
            return Batch(x, partner, changed=changed)
        if not isinstance(method.sampling, Labelled):
            return Batch(x, partner)
        columns = [torch.randint(size, (images,), device=device) for size in factors]
        return Batch(x, labels=torch.stack(columns, dim=1))

    device = next((parameter.device for parameter in method.parameters()), torch.device("cpu"))
    state = random_state(device)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                _rehearse(_meta_copy(method), example("meta"), steps)
            except ContractError:
                raise
            except Exception:  # noqa: BLE001 -- it needs values: on its own device then
                _rehearse(copy.deepcopy(method), example(device), steps)
    except ContractError:
        raise
    except Exception:
        log.debug("%s could not be tried before its training.", name, exc_info=True)
    finally:
        set_random_state(state, device)


def _meta_copy(method: Method) -> Method:
    """A copy without values, on the meta device; no parameter is copied on the way."""
    tensors: dict[int, Any] = {}
    for parameter in method.parameters():
        empty = torch.empty_like(parameter, device="meta")
        tensors[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
    for buffer in method.buffers():
        tensors[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(method, tensors)


def _rehearse(method: Method, batch: Batch, steps: int) -> None:
    """Ask a copy of a method for codes, an image, optimizers and the terms of its first step."""
    name = type(method).__name__
    method.eval()
    with torch.no_grad():
        _rehearse_codes(method, batch.images[:2])
    method.train()
    optimizers, _ = checked_optimizers(method, method.configure_optimizers())
    if isinstance(method, Alternating) and type(method).training_step is Alternating.training_step:
        _rehearse_stages(method, batch, steps, len(optimizers))
    elif method.automatic_optimization:
        loss = checked_terms(method, method.training_step(batch, 0))["loss"]
        if not loss.requires_grad:
            raise ContractError(
                f"{name}.training_step needs a loss with a gradient, got one that depends on no trained parameter. Leave out "
                "detach() and no_grad() on its way."
            )
    # A step that moves optimizers by itself cannot be tried: what it returns is checked after the first one.


def _rehearse_codes(method: Method, images: Tensor) -> None:
    name = type(method).__name__
    try:
        codes = codes_of(method, images).values
    except Exception as error:
        if images.is_meta and not str(error).startswith(f"{name}.encode needs"):
            raise  # it may work where tensors have values
        told = "" if str(error).startswith(f"{name}.encode") else f"{name}.encode fails: "
        raise ContractError(f"{told}{error}") from error
    if no_pictures(method) is None and (made := method.decode(codes)).shape != images.shape:
        raise ContractError(
            f"{name}.decode needs to return images of shape (B, C, H, W), here {tuple(images.shape)}, got {tuple(made.shape)}. "
            "Set generates = False if the method decodes nothing."
        )


def _rehearse_stages(method: Alternating, batch: Batch, steps: int, optimizers: int) -> None:
    terms: dict[str, Tensor] = {}
    context: Any = ()
    name = type(method).__name__
    for stage in method.stages(Step(0, steps)):
        try:
            check_stage(method, stage, optimizers)
        except ValueError as error:
            raise ContractError(str(error)) from error
        outcome = stage.run(method, batch, context)
        for loss in outcome.losses:
            if not isinstance(loss, Tensor) or loss.shape != () or not loss.requires_grad:
                got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
                raise ContractError(f"{name}: the stage {stage.name!r} needs a scalar loss with a gradient, got {got}.")
        if outcome.losses and not stage.optimizers:
            raise ContractError(
                f"{name}: the stage {stage.name!r} has a loss but no optimizer. Name one by its number."
            )
        terms |= outcome.terms
        context = outcome.context
    checked_terms(method, terms)
