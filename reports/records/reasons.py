"""One-line reasons for what was left out."""

from pydantic import ValidationError

from disbench.datasets.untrusted import printable

LONGEST = 300  # characters
# What a record's values can raise. An OSError is about the disk, and an ImportError about the installation.
FROM_VALUES = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError, MemoryError)


def reason_of(error: BaseException) -> str:
    """Describe what is wrong, without line breaks and control characters."""
    if isinstance(error, ValidationError):
        first, *more = error.errors(include_url=False, include_input=False, include_context=False)
        place = ".".join(str(part)[:60] for part in first["loc"])
        told = first["msg"].removeprefix("Value error, ")
        words = f"{place}: {told}" if place else told
        words += f" (and {len(more)} more)" if more else ""
    elif isinstance(error, OSError):
        words = f"{error.strerror or type(error).__name__}" + (f": {error.filename}" if error.filename else "")
    else:
        words = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    words = printable(" ".join(words.split())) or type(error).__name__
    return words if len(words) <= LONGEST else f"{words[: LONGEST - 3]}..."
