"""Parts of error messages: a shortened value, the probable name, and the extra to install.

Every folder may import this module: it imports nothing but the standard library.
"""

import difflib
import reprlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

SHOWN = 80  # characters of a value in a message
LISTED = 200  # characters of a list of names in a message

# The extra of pyproject.toml that has each module.
EXTRAS = {
    "lightning_fabric": "train",  # part of pytorch-lightning
    "pooch": "train",
    "pytorch_lightning": "train",
    "requests": "train",
    "torch": "train",
    "torchmetrics": "train",
    "torchvision": "train",
    "urllib3": "train",
    "matplotlib": "pictures",  # which train includes
}

_short = reprlib.Repr()
_short.maxlevel, _short.maxlist, _short.maxdict, _short.maxtuple = 3, 4, 4, 4
_short.maxstring, _short.maxlong, _short.maxother = SHOWN - 10, 40, SHOWN - 10


def shown(value: Any) -> str:
    """`repr(value)` in at most `SHOWN` characters, however large or deep the value is."""
    try:
        text = _short.repr(value)
    except (ValueError, RecursionError):  # such as an int of more digits than Python prints
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def listed(names: Iterable[str]) -> str:
    """The names with commas between them; those that do not fit into `LISTED` characters are counted."""
    words = [str(name) for name in names]
    kept: list[str] = []
    for word in words:
        if kept and len(", ".join([*kept, word])) > LISTED:
            return f"{', '.join(kept)} and {len(words) - len(kept)} more"
        kept.append(word if len(word) <= LISTED else f"{word[:LISTED]}...")
    return ", ".join(kept) or "none"


def did_you_mean(got: Any, known: Iterable[str]) -> str:
    """' Did you mean X?' for the known name nearest to `got`; nothing where none is near. It ignores case, `-` and `_`."""
    plain = {_plain(name): name for name in map(str, known)}
    near = difflib.get_close_matches(_plain(str(got)[:SHOWN]), plain, n=1, cutoff=0.6)
    return f" Did you mean {plain[near[0]]}?" if near else ""


def unknown(kind: str, got: Any, known: Iterable[str], where: str = "") -> str:
    """The message for a name that does not exist: what was given, the names that do, and the nearest of them."""
    names = [str(name) for name in known]
    return f"Unknown {kind} {shown(got)}{where}. Known: {listed(names)}.{did_you_mean(got, names)}"


def missing_extra(error: BaseException) -> str | None:
    """Say what to install.

    Parameters
    ----------
    error : BaseException

    Returns
    -------
    str or None
        A sentence with the command, or None if the error is not about a missing package of an extra.
    """
    if not isinstance(error, ModuleNotFoundError) or error.name not in EXTRAS:
        return None
    extra = EXTRAS[error.name]
    return (
        f"This needs {error.name}, which is not installed. Install the extra [{extra}]: pip install 'disbench[{extra}]'"
    )


@contextmanager
def needs_extra() -> Iterator[None]:
    """Import within: a missing package of an extra becomes a ModuleNotFoundError with the command that installs it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (advice := missing_extra(error)) is None:
            raise
        raise ModuleNotFoundError(advice, name=error.name) from error


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").strip()


def amount(count: int) -> str:
    """A number of bytes for people."""
    for size, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} bytes"
