"""Check the types and minimum values of options. Messages name the function and the option."""

from numbers import Integral, Real
from typing import Any

import numpy as np

KINDS = {int: "a whole number", float: "a finite number", bool: "True or False", str: "text"}


def check_type(owner: str, name: str, value: Any, kind: type) -> Any:
    """Get `value` as a number of Python. Raise ValueError unless it is of the type: int, float (or a whole number), bool or str.

    Other types pass. A truth value is no number, and infinity and NaN are not finite.
    """
    if kind is int:
        fits = isinstance(value, Integral) and not isinstance(value, bool)
    elif kind is float:
        fits = isinstance(value, Real) and not isinstance(value, bool) and bool(np.isfinite(float(value)))
    elif kind is bool:
        fits = isinstance(value, bool | np.bool_)
    else:
        fits = kind is not str or isinstance(value, str)
    if not fits:
        raise ValueError(f"{owner} needs {name} as {KINDS[kind]}, got {value!r}.")
    return value.item() if isinstance(value, np.generic) else value


def require_whole(owner: str, least: int, **values: Any) -> None:
    """Raise ValueError unless each named value is a whole number of at least `least`."""
    for name, value in values.items():
        check_type(owner, name, value, int)
        _require_least(owner, least, name, value)


def require_number(owner: str, least: float, **values: Any) -> None:
    """Raise ValueError unless each named value is a finite number of at least `least`."""
    for name, value in values.items():
        check_type(owner, name, value, float)
        _require_least(owner, least, name, value)


def _require_least(owner: str, least: float, name: str, value: Any) -> None:
    if value < least:
        raise ValueError(f"{owner} needs {name} >= {least:g}, got {name}={value}.")
