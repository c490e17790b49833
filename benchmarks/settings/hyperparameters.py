"""Hyperparameters of a method, from its constructor: their names, valid values, grids and ranges."""

import functools
import inspect
import json
import math
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import product
from typing import Annotated, Any, ParamSpec, TypeVar, cast, get_args, get_origin, get_type_hints
from unittest.mock import patch

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator
from pydantic_core import to_jsonable_python

from disbench.baselines.method import Method
from disbench.benchmarks import METHODS
from disbench.benchmarks.plugins.packages import provide, require
from disbench.benchmarks.settings.validation import no_such, reason
from disbench.datasets.wording import did_you_mean, listed, shown
from disbench.reports.records.migration import RENAMED, plain, with_names_of_today

P = ParamSpec("P")
R = TypeVar("R")
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
POINTS = 1_000  # of one method's grids and ranges, so that a mistake does not make millions of trials
PARAMETERS = 2 * 10**9  # of one method's networks
SIGNIFICANT_DIGITS = 6  # of the values of a range, so that they read well and hash alike on every machine


def cached(function: Callable[P, R]) -> Callable[P, R]:
    """`functools.cache` that keeps the types of parameters; mypy does not accept the class of a module as hashable."""
    return cast("Callable[P, R]", functools.cache(function))


class Strict(BaseModel):
    """A mapping whose every key is known; an unknown one is refused together with those that are allowed."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def known_keys(cls, content: Any) -> Any:
        if isinstance(content, cls):
            return content
        if not isinstance(content, dict):
            raise ValueError(f"needs a mapping with {listed(cls.model_fields)}; got {shown(content)}.")
        if names := [str(key) for key in content if key not in cls.model_fields]:
            meant = did_you_mean(names[0], cls.model_fields)
            raise ValueError(f"unknown key {listed(names)}; allowed are {listed(cls.model_fields)}.{meant}")
        return content


class Range(Strict):
    """Numbers from `low` to `high`, both included; `n` of them, evenly spaced or, with `log`, by a constant factor."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    n: int | None = Field(default=None, ge=2, le=POINTS)
    log: bool = False

    @field_validator("low", "high", "n", mode="before")
    @classmethod
    def number(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError(f"a number is needed, got {value}")
        return value

    @model_validator(mode="after")
    def ordered(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"a range needs low < high, got low {self.low:g} and high {self.high:g}.")
        if self.log and self.low <= 0:
            raise ValueError(f"a range with log: true needs low > 0, got {self.low:g}.")
        return self

    def values(self, whole: bool) -> list[float]:
        """The n values; `whole` numbers are rounded, those that then agree are one."""
        if self.n is None:
            raise ValueError("a range in a suite needs n, how many values it has, such as n: 5.")
        spaced = (np.geomspace if self.log else np.linspace)(self.low, self.high, self.n)
        found = [round(float(value)) if whole else plain_number(float(value)) for value in spaced]
        return list(dict.fromkeys(found))


def plain_number(value: float) -> float:
    """Rounded to SIGNIFICANT_DIGITS; a whole number becomes an int, so that 4 is the same trial however it was written."""
    rounded = float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded


def hyperparameters(method: str) -> dict[str, inspect.Parameter]:
    """The keywords that a method's constructor takes, its own first, then those of the classes that it passes others on to.

    A class passes keywords on by a parameter such as `**shell`. The first two arguments, image shape and number of images, are
    no hyperparameters. A default is the value that counts: where a class gives another to its base, by repeating the keyword or
    in the call, it is that one. A keyword that it sets in the call for good is left out.
    """
    found = METHODS[method]
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise ValueError(
            f"METHODS[{method!r}] needs a class derived from disbench.baselines.method.Method, got {found!r}."
        )
    return dict(_hyperparameters(found))


@cached
def _hyperparameters(method: type[Method]) -> dict[str, inspect.Parameter]:
    found: dict[str, inspect.Parameter] = {}
    declared: dict[str, type] = {}
    for owner in _constructors(method):
        parameters = list(inspect.signature(vars(owner)["__init__"]).parameters.values())[1:]  # without self
        positional = [each for each in parameters if each.kind in POSITIONAL]
        for parameter in parameters:
            if parameter.kind in NAMED and parameter not in positional[:2]:
                kind, annotation = inspect.Parameter.KEYWORD_ONLY, annotation_of(owner, parameter)
                found.setdefault(parameter.name, parameter.replace(kind=kind, annotation=annotation))
                declared.setdefault(parameter.name, owner)
        if all(each.kind is not inspect.Parameter.VAR_KEYWORD for each in parameters):
            break  # it takes no others
    for (owner, name), value in _given_to_bases(method).items():
        if declared.get(name) is not owner:
            continue
        found[name] = found[name].replace(default=value)
        try:
            _made(method, **{name: value})
        except TypeError:  # "got multiple values for keyword argument"
            del found[name]
        except Exception:  # noqa: BLE001 -- the trial itself will show it
            pass
    return found


def annotation_of(owner: type, parameter: inspect.Parameter) -> Any:
    """The type that a parameter is annotated with, also where `from __future__ import annotations` made it a text.

    Without an annotation, or with one that cannot be evaluated, the default's type decides.
    """
    kind = parameter.annotation
    if isinstance(kind, str):
        holder = type("holder", (), {"__annotations__": {"value": kind}})
        try:
            return get_type_hints(holder, vars(sys.modules[owner.__module__]), dict(vars(owner)), True)["value"]
        except (NameError, AttributeError, SyntaxError, TypeError, KeyError):
            kind = parameter.empty
    if kind is parameter.empty and type(parameter.default) in (bool, int, float, str):
        return type(parameter.default)
    return kind


def _constructors(kind: type[Method]) -> list[type]:
    """The classes from a method's to `Method`, which is left out, that have a constructor."""
    classes = kind.__mro__
    end = classes.index(Method) if Method in classes else len(classes)
    return [owner for owner in classes[:end] if "__init__" in vars(owner)]


def _made(kind: type[Method], **hparams: Any) -> Method:
    """A method without values, which allocates nothing."""
    construct: Callable[..., Method] = kind
    with torch.device("meta"):
        return construct((3, 64, 64), 10**6, **hparams)


def _given_to_bases(kind: type[Method]) -> dict[tuple[type, str], Any]:
    """The keywords, and whose constructor gets them, that a class gives to its bases where nothing is asked of it."""
    found: dict[tuple[type, str], Any] = {}

    def noting(owner: type, constructor: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(constructor)
        def note(self: Method, *arguments: Any, **keywords: Any) -> None:
            found.update({(owner, name): value for name, value in keywords.items()})
            constructor(self, *arguments, **keywords)

        return note

    with ExitStack() as stack:
        for owner in _constructors(kind)[1:]:
            stack.enter_context(patch.object(owner, "__init__", noting(owner, vars(owner)["__init__"])))
        try:
            _made(kind)
        except Exception:  # noqa: BLE001 -- it needs more than the meta device: the signatures alone then
            return {}
    return found


def allowed(name: str, parameter: inspect.Parameter) -> Any:
    """The type that a value is validated against.

    Limits in a constructor's annotation (Annotated) take precedence. Otherwise an int counts something and is
    at least 1; a float is a weight or a rate: not negative, a learning rate not 0. A negative default lifts the limit.
    """
    kind, default = parameter.annotation, parameter.default
    if get_origin(kind) is Annotated or kind not in (int, float):
        return kind
    if isinstance(default, int | float) and default < 0:
        return Annotated[kind, Field(allow_inf_nan=False)] if kind is float else kind
    if kind is int:
        return Annotated[int, Field(ge=min(1, default) if isinstance(default, int) else 1)]
    if name.endswith("lr"):
        return Annotated[float, Field(gt=0, allow_inf_nan=False)]
    return Annotated[float, Field(ge=0, allow_inf_nan=False)]


def takes_bool(kind: Any) -> bool:
    return kind in (bool, Any) or any(takes_bool(part) for part in get_args(kind))


def check_value(method: str, name: str, parameter: inspect.Parameter, value: Any) -> Any:
    """The value as the constructor gets it. Raises ValueError that says what the hyperparameter takes."""
    kind = parameter.annotation
    if kind is inspect.Parameter.empty:
        return value
    try:
        if isinstance(value, bool) and not takes_bool(kind):
            raise ValueError("a value other than true or false is needed")
        found = validator(method, name, METHODS[method]).validate_python(value)
        if isinstance(found, float) and not math.isfinite(found):
            raise ValueError("a finite number is needed")
    except ValueError as error:
        raise ValueError(
            f"{method}: {name} needs a value of type {inspect.formatannotation(kind)}, such as its default "
            f"{shown(parameter.default)}; got {shown(value)} ({reason(error)})."
        ) from error
    # 4 and 4.0 are different in a trial's id: a number that was given as one stays as it was written.
    return value if kind is float and not isinstance(value, str) else found


@cached
def check_constructor(method: type[Method], hparams: str) -> None:
    """Raise what the constructor raises for these hyperparameters (JSON), such as an unknown network. It allocates nothing.

    Raises ValueError for networks that are too large for any machine.
    """
    try:
        built = _made(method, **json.loads(hparams))
        count = sum(parameter.numel() for parameter in built.parameters())
    except NotImplementedError:  # an operation that needs data: the trial itself will show
        return
    except (RuntimeError, OverflowError, MemoryError) as error:  # of sizes that torch cannot multiply
        raise ValueError(f"these hyperparameters make no network: {str(error).splitlines()[0][:200]}") from error
    if count > PARAMETERS:
        raise ValueError(f"these hyperparameters make networks of {count:,} weights; {PARAMETERS:,} are allowed.")


def renamed(method: str, hparams: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters under the names that they have today, with a warning for an earlier name.

    Raises ValueError where one is given under both names.
    """
    for earlier, today in RENAMED.get(method, {}).items():
        if earlier in hparams and today in hparams:
            raise ValueError(f"{method}: {earlier} is the earlier name of {today}; give {today} alone.")
        if earlier in hparams:
            told = f"{method}: {earlier} is now {today}. The earlier name is removed in the next release."
            warnings.warn(told, DeprecationWarning, stacklevel=3)
    return with_names_of_today(method, hparams)


def check_method(method: str, hparams: dict[str, Any]) -> dict[str, Any]:
    """The hyperparameters as they are given to the method.

    Raises ValueError where the method or one of its hyperparameters does not exist, or a value is none that it takes.
    """
    require("method", method)
    known = hyperparameters(method)
    hparams = renamed(method, hparams)
    if names := sorted(str(name) for name in hparams if name not in known):
        raise ValueError(no_such(f"{method} has no hyperparameter", names, known))
    checked = {name: check_value(method, name, known[name], value) for name, value in hparams.items()}
    try:
        check_constructor(METHODS[method], json.dumps(checked, sort_keys=True))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{method}: {str(error)[:300]}") from error
    return checked


def resolved(method: str, hparams: dict[str, Any]) -> dict[str, Any]:
    """Every hyperparameter of the method with its value, defaults included, as plain JSON data.

    4 and 4.0 become one value, and a default that was set equals one that was not. Names that the method does not take stay,
    for `check_method` to refuse.
    """
    found: dict[str, Any] = {}
    for name, parameter in hyperparameters(method).items():
        if name in hparams:
            value = check_value(method, name, parameter, hparams[name])
            if parameter.annotation is not inspect.Parameter.empty:
                value = validator(method, name, METHODS[method]).validate_python(value)
        elif parameter.default is inspect.Parameter.empty:
            continue
        else:
            value = parameter.default
        try:
            found[name] = plain(to_jsonable_python(value))
        except ValueError as error:
            raise ValueError(
                f"{method}.{name} needs what a record can hold: numbers, text, lists or mappings of these. Got {shown(value)}."
            ) from error
    return {**found, **{name: value for name, value in hparams.items() if name not in found}}


@cached
def validator(method: str, name: str, _: type[Method]) -> TypeAdapter[Any]:
    """What a hyperparameter's value is validated with; making one takes a hundred times as long as using it."""
    return TypeAdapter(allowed(name, hyperparameters(method)[name]))


def changed(method: str, hparams: dict[str, Any]) -> list[str]:
    """The hyperparameters whose values are not the method's defaults."""
    defaults = resolved(method, {})
    return [name for name, value in hparams.items() if name not in defaults or value != defaults[name]]


def combinations(method: str, grid: dict[str, list[Any]], ranges: dict[str, Range]) -> list[dict[str, Any]]:
    """Every combination of the grids' and ranges' values, the first name slowest; one empty combination where there are none."""
    known = hyperparameters(method) if provide("method", method) else {}
    axes = dict(grid)
    for name, values in ranges.items():
        if name in known and known[name].annotation not in (int, float):
            raise ValueError(f"{method}: {name} is no number, so it has no range; use grid: {{{name}: [...]}}.")
        axes[name] = values.values(whole=name in known and known[name].annotation is int)
    if empty := [name for name, values in axes.items() if not values]:
        raise ValueError(f"{method}: the grid of {', '.join(empty)} has no value.")
    check_count(method, axes)
    return [dict(zip(axes, point, strict=True)) for point in product(*axes.values())]


def check_count(method: str, axes: Mapping[str, Sequence[Any]]) -> None:
    """Raise ValueError where grids and ranges have more than POINTS combinations."""
    if (count := math.prod(len(values) for values in axes.values())) > POINTS:
        sizes = " x ".join(str(len(values)) for values in axes.values())
        raise ValueError(
            f"{method}: its grids and ranges have {sizes} = {count:,} combinations; {POINTS:,} are allowed."
        )
