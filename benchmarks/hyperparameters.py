"""The keywords of a method's constructor: which there are, which values they take, and grids and ranges of them."""

import functools
import inspect
import json
from itertools import product
from typing import Annotated, Any, get_origin

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import to_jsonable_python

from disbench.baselines.method import Method
from disbench.benchmarks import METHODS
from disbench.reports.migration import plain

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
SIGNIFICANT_DIGITS = 6  # of the values of a range, so that they read well and hash alike on every machine


class Strict(BaseModel):
    """A mapping whose every key is known; an unknown one is told together with those that are."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def known_keys(cls, content: Any) -> Any:
        if isinstance(content, dict) and (unknown := [str(key) for key in content if key not in cls.model_fields]):
            raise ValueError(f"unknown key {', '.join(unknown)}; allowed are {', '.join(cls.model_fields)}.")
        return content


class Range(Strict):
    """Numbers from `low` to `high`, both included; `n` of them, evenly spaced or, with `log`, by a constant factor."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    n: int | None = Field(default=None, ge=2)
    log: bool = False

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
    no hyperparameters. Where a class repeats a keyword with another default, its own counts.
    """
    found: dict[str, inspect.Parameter] = {}
    for owner in METHODS[method].__mro__:
        if owner is Method:
            break
        if "__init__" not in vars(owner):
            continue
        parameters = list(inspect.signature(owner.__init__).parameters.values())[1:]  # without self
        positional = [each for each in parameters if each.kind in POSITIONAL]
        for parameter in parameters:
            if parameter.kind in NAMED and parameter not in positional[:2]:
                found.setdefault(parameter.name, parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        if all(each.kind is not inspect.Parameter.VAR_KEYWORD for each in parameters):
            break  # it takes no others
    return found


def allowed(name: str, parameter: inspect.Parameter) -> Any:
    """The type that a value is validated against.

    What a constructor annotates with limits of its own (Annotated) is taken as it is. Otherwise an int counts something and is
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


def check_value(method: str, name: str, parameter: inspect.Parameter, value: Any) -> Any:
    """The value as the constructor gets it. Raises ValueError that says what the hyperparameter takes.

    YAML reads 1e-4 as a word, so a word that is a number is one where a number is needed.
    """
    kind = parameter.annotation
    if kind is inspect.Parameter.empty:
        return value
    try:
        if isinstance(value, bool) and kind in (int, float):
            raise ValueError("a number is needed, not true or false")
        found = validator(method, name, METHODS[method]).validate_python(value)
    except ValueError as error:
        told = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        word = inspect.formatannotation(kind)
        raise ValueError(
            f"{method}: {name} needs a value of type {word}, such as its default {parameter.default!r}; "
            f"got {value!r} ({told[0].lower()}{told[1:]})."
        ) from error
    # 4 and 4.0 are different in a trial's id: a number that was given as one stays as it was written.
    return value if kind is float and not isinstance(value, str) else found


@functools.cache
def check_constructor(method: type[Method], hparams: str) -> None:
    """Raise what the constructor raises for these hyperparameters (JSON), such as an unknown network. It allocates nothing."""
    try:
        with torch.device("meta"):
            method((3, 64, 64), 10**6, **json.loads(hparams))
    except NotImplementedError:  # an operation that needs data: the trial itself will show
        return


def check_method(method: str, hparams: dict[str, Any]) -> dict[str, Any]:
    """The hyperparameters as they are given to the method.

    Raises ValueError where the method or one of its hyperparameters does not exist, or a value is none that it takes.
    """
    if method not in METHODS:
        raise ValueError(f"Unknown method {method!r}. Known: {', '.join(METHODS)}.")
    unknown = set(hparams) - set(known := hyperparameters(method))
    if unknown:
        raise ValueError(f"{method} has no hyperparameter {', '.join(sorted(unknown))}. It takes: {', '.join(known)}.")
    checked = {name: check_value(method, name, known[name], value) for name, value in hparams.items()}
    try:
        check_constructor(METHODS[method], json.dumps(checked, sort_keys=True))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{method}: {error}") from error
    return checked


def resolved(method: str, hparams: dict[str, Any]) -> dict[str, Any]:
    """Every hyperparameter of the method with its value, defaults included, as plain JSON data.

    4 and 4.0 become one value, and a default that was set equals one that was not. Names that the method does not take stay,
    for `check_method` to refuse.
    """
    found = dict(hparams)
    for name, parameter in hyperparameters(method).items():
        if name in hparams:
            value = check_value(method, name, parameter, hparams[name])
            if parameter.annotation is not inspect.Parameter.empty:
                value = validator(method, name, METHODS[method]).validate_python(value)
        elif parameter.default is inspect.Parameter.empty:
            continue
        else:
            value = parameter.default
        found[name] = plain(to_jsonable_python(value))
    return found


@functools.cache
def validator(method: str, name: str, _: type[Method]) -> TypeAdapter[Any]:
    """What a hyperparameter's value is validated with; making one takes a hundred times as long as using it."""
    return TypeAdapter(allowed(name, hyperparameters(method)[name]))


def changed(method: str, hparams: dict[str, Any]) -> list[str]:
    """The hyperparameters whose values are not the method's defaults."""
    defaults = resolved(method, {})
    return [name for name, value in hparams.items() if name not in defaults or value != defaults[name]]


def combinations(method: str, grid: dict[str, list[Any]], ranges: dict[str, Range]) -> list[dict[str, Any]]:
    """Every combination of the grids' and ranges' values, the first name slowest; one empty combination where there are none."""
    known = hyperparameters(method) if method in METHODS else {}
    axes = dict(grid)
    for name, values in ranges.items():
        if name in known and known[name].annotation not in (int, float):
            raise ValueError(f"{method}: {name} is no number, so it has no range; use grid: {{{name}: [...]}}.")
        axes[name] = values.values(whole=name in known and known[name].annotation is int)
    if empty := [name for name, values in axes.items() if not values]:
        raise ValueError(f"{method}: the grid of {', '.join(empty)} has no value.")
    return [dict(zip(axes, point, strict=True)) for point in product(*axes.values())]
