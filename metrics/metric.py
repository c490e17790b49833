"""What a metric is: a function of a table, and beside it what a reader must know about its number."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.old_names import accepts_old_names
from disbench.metrics.table import NotApplicable, Table, as_table

__all__ = ["Metric", "NotApplicable", "Reads", "Use", "entries"]

Reads: TypeAlias = Literal["values", "labels", "codes"]
Use: TypeAlias = Literal["codes", "values", "labels", "std", "groups"]
LACKING: dict[Use, str] = {
    "values": "factors (N, K)",
    "labels": "factors (N, K)",
    "std": "the standard deviations of posteriors, std (N, D)",
    "groups": "the group of each code, groups (D,)",
}


@accepts_old_names
@dataclass(frozen=True)
class Metric:
    """One column of the leaderboard: `mig(codes, factors, bins=20)` is a number, `mig.detail(...)` the numbers behind it.

    Parameters
    ----------
    compute
        `compute(table, *, option=default, ...)` takes a `Table` and returns a dictionary of JSON's types with the number
        under "score", or the number alone. It takes a keyword `seed` if it draws random numbers. It raises NotApplicable
        where it is undefined, and never returns NaN. The metric has its name and its docstring.
    label, higher_is_better, bounds
        Of the column. `bounds` hold but for the options in `unbounded_with`, under which there is no upper one.
    definition, insensitive_to, source
        One plain sentence, another on what the number cannot see, and the publication.
    uses
        What the metric reads of a table besides its codes: the factors' "values" as numbers or their "labels" (which rows
        share a value, in which order), "std", "groups". It is not applicable to a table without them. `values_with` lists
        the options under which a metric of labels reads values.
    optional
        What it reads where a table has it: "std", "groups".
    stochastic
        Whether it draws by its seed, so that its score has a spread over seeds. For the others rows are resampled.
    no_bootstrap_reason
        Why rows are not resampled: this calls the metric hundreds of times and repeats rows.
    version
        Is raised whenever the same table has another score or another ceiling than before.
    """

    compute: Callable[..., Any]
    _: KW_ONLY
    label: str
    higher_is_better: bool
    bounds: tuple[float, float]
    definition: str
    source: str
    insensitive_to: str = ""
    uses: tuple[Use, ...] = ("codes", "labels")
    optional: tuple[Use, ...] = ()
    stochastic: bool = False
    no_bootstrap_reason: str = ""
    version: int = 1
    values_with: tuple[tuple[str, Any], ...] = ()
    unbounded_with: tuple[tuple[str, Any], ...] = ()
    takes_seed: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            object.__setattr__(self, name, getattr(self.compute, name, None))
        of_call = [parameter for parameter in _CALL.values() if parameter.name not in ("self", "options")]
        signature = inspect.Signature([*of_call, *self.options.values()], return_annotation=float)
        object.__setattr__(self, "__signature__", signature)
        object.__setattr__(self, "takes_seed", "seed" in inspect.signature(self.compute).parameters)

    @property
    def name(self) -> str:
        """Its key in the registry."""
        return str(self.__name__)  # type: ignore[attr-defined]

    @property
    def options(self) -> dict[str, inspect.Parameter]:
        """The keywords of `compute` without the seed."""
        parameters = inspect.signature(self.compute).parameters.values()
        return {p.name: p for p in parameters if p.default is not p.empty and p.name != "seed"}

    def __call__(self, *table: Any, **options: Any) -> float:
        """The score of codes (N, D) against factors (N, K), or of a `Table`: `detail(...)["score"]`."""
        return float(self.detail(*table, **options)["score"])

    def detail(
        self,
        codes: ArrayLike | Table,
        factors: ArrayLike | None = None,
        *,
        std: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        seed: int = 0,
        **options: Any,
    ) -> dict[str, Any]:
        """All that the metric computes: the score under "score", beside it what the number hides.

        Parameters
        ----------
        codes, factors, std, groups
            As `as_table` takes them.
        seed
            Of the draws of a stochastic metric. The others have the same score for each.
        options
            The keywords of the metric.

        Raises
        ------
        ValueError
            For a malformed table or a wrong option.
        NotApplicable
            Where the metric is undefined on the table, with the reason.
        """
        table = as_table(codes, factors, std=std, groups=groups)
        for what in self.uses:
            if (
                (not table.columns)
                if what in ("values", "labels")
                else what != "codes" and getattr(table, what) is None
            ):
                raise NotApplicable(f"{self.name} uses {LACKING[what]}, and this table has none.")
        if self.takes_seed:
            options["seed"] = seed
        found = self.compute(table, **options)
        return found if isinstance(found, dict) else {"score": found}

    def bounds_with(self, options: Mapping[str, Any]) -> tuple[float, float]:
        """The bounds under these options."""
        unbounded = any(options.get(name) == value for name, value in self.unbounded_with)
        return (self.bounds[0], float("inf")) if unbounded else self.bounds

    @property
    def reads(self) -> Reads:
        """What it reads of the factors."""
        return next((what for what in ("values", "labels") if what in self.uses), "codes")

    def reads_with(self, options: Mapping[str, Any]) -> Reads:
        """What it reads of the factors under these options."""
        return "values" if any(options.get(name) == value for name, value in self.values_with) else self.reads

    def __reduce__(self) -> str:
        return self.name  # pickled as a function is, by its module and name


def entries(**columns: Sequence[Any] | NDArray[Any]) -> list[dict[str, Any]]:
    """One dictionary for each factor or code of a detail, from a column of numbers for each of its keys."""
    plain = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()]
    return [dict(zip(columns, entry, strict=True)) for entry in zip(*plain, strict=True)]


_CALL = inspect.signature(Metric.detail).parameters
