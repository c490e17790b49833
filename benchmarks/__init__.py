"""Walks the arrows from datasets to reports: train, encode, score, record."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from disbench.benchmarks.methods import METHODS

__all__ = ["METHODS"]


def __getattr__(name: str) -> Any:
    """METHODS once it is asked for: it takes torch, and a command that trains nothing starts without."""
    if name == "METHODS":
        from disbench.benchmarks.methods import METHODS

        return METHODS
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
