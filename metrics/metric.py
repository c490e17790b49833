"""The class `Metric`: a function of a table, with the information that is needed to read its score."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.docstring import metric_docstring
from disbench.metrics.old_names import accepts_old_names
from disbench.metrics.options import check_type, require_whole
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
ADVICE: dict[str, str] = {"groups": " Pass groups, or find them with find_groups."}


@accepts_old_names
@dataclass(frozen=True)
class Metric:
    """Compute one column of the leaderboard from a table, and describe it.

    `mig(codes, factors, bins=20)` is a number; `mig.detail(codes, factors)` returns the numbers behind it. The docstring of a
    metric is that of its function, completed from its signature and the parameters below.

    Parameters
    ----------
    compute : callable
        `compute(table, *, option=default, ...)` takes a `Table` and returns the number, or a dictionary of JSON types with the
        number under "score". It takes a keyword `seed` if it draws random numbers. It raises NotApplicable where it is
        undefined, and never returns NaN. Its name is the key of the metric. Its docstring explains the metric, its options
        under "Parameters", and an example under "Examples".
    label : str
        Heading of the column.
    higher_is_better : bool
        Direction of the column.
    bounds : tuple of float
        Lowest and highest score. Options in `unbounded_with` remove the upper one.
    definition, source : str
        What the number is, in one sentence; and its publication.
    insensitive_to : str
        What the number does not show, in one sentence.
    uses : tuple of str, default ("codes", "labels")
        What the metric reads: "codes"; factors as "values" or as "labels" (which rows share a value, in which order); "std";
        "groups". It is not applicable to a table without them.
    optional : tuple of str
        What it reads if the table has it: "std", "groups".
    stochastic : bool, default False
        Whether the score depends on the seed. The confidence interval is then over seeds, otherwise over resampled rows.
    no_bootstrap_reason : str
        Why rows are not resampled, if they are not. Resampling repeats rows and calls the metric hundreds of times.
    version : int, default 1
        Raise it whenever the score or the ceiling of any table changes.
    values_with, unbounded_with : tuple of (str, Any)
        Options under which a metric of labels reads values, and under which the score has no upper bound.

    Examples
    --------
    >>> from disbench.metrics import Metric
    >>> def scale(table, *, factor=1.0):
    ...     return factor * float(table.codes.max())
    >>> card = {"label": "Scale", "higher_is_better": False, "bounds": (0, 9), "uses": ("codes",)}
    >>> metric = Metric(scale, **card, definition="The largest code.", source="none")
    >>> metric([[0], [1], [2]]), metric([[0], [1], [2]], factor=2.0), metric.name
    (2.0, 4.0, 'scale')
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
        for name in ("__name__", "__qualname__", "__module__"):
            object.__setattr__(self, name, getattr(self.compute, name, None))
        of_call = [parameter for parameter in _CALL.values() if parameter.name not in ("self", "options")]
        signature = inspect.Signature([*of_call, *self.options.values()], return_annotation=float)
        object.__setattr__(self, "__signature__", signature)
        object.__setattr__(self, "takes_seed", "seed" in inspect.signature(self.compute).parameters)
        object.__setattr__(self, "__doc__", metric_docstring(self))

    @property
    def name(self) -> str:
        """Key of the metric in the registry."""
        return str(self.__name__)  # type: ignore[attr-defined]

    @property
    def options(self) -> dict[str, inspect.Parameter]:
        """The keywords of `compute` without the seed."""
        parameters = inspect.signature(self.compute).parameters.values()
        return {p.name: p for p in parameters if p.default is not p.empty and p.name != "seed"}

    def __call__(self, *table: Any, **options: Any) -> float:
        """Compute the score of codes (N, D) against factors (N, K), or of a `Table`: `detail(...)["score"]`."""
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
        """Compute the score and the numbers behind it.

        Parameters
        ----------
        codes, factors, std, groups
            As `as_table` takes them.
        seed : int, default 0
            Seed of a metric that draws random numbers. The others ignore it.
        **options
            The keywords of the metric.

        Returns
        -------
        dict
            The score under "score", beside it what the metric describes as its detail. Codes and factors are numbered by
            their columns; columns of a DataFrame have their names beside, as "code_name" and "factor_name".

        Raises
        ------
        ValueError
            If the table is malformed or an option is out of range.
        NotApplicable
            If the metric is undefined on the table; the message gives the reason.
        """
        table = as_table(codes, factors, std=std, groups=groups)
        for what in self.uses:
            if (
                (not table.columns)
                if what in ("values", "labels")
                else what != "codes" and getattr(table, what) is None
            ):
                raise NotApplicable(f"{self.name} uses {LACKING[what]}, and this table has none.{ADVICE.get(what, '')}")
        for name, value in options.items():
            if name in self.options:
                options[name] = check_type(self.name, name, value, type(self.options[name].default))
        require_whole(self.name, 0, seed=seed)
        if self.takes_seed:
            options["seed"] = seed
        found = self.compute(table, **options)
        return table.with_names(found) if isinstance(found, dict) else {"score": found}

    def bounds_with(self, options: Mapping[str, Any]) -> tuple[float, float]:
        """Get the lowest and the highest score under these options."""
        unbounded = any(options.get(name) == value for name, value in self.unbounded_with)
        return (self.bounds[0], float("inf")) if unbounded else self.bounds

    @property
    def reads(self) -> Reads:
        """What the metric reads of the factors."""
        return next((what for what in ("values", "labels") if what in self.uses), "codes")

    def reads_with(self, options: Mapping[str, Any]) -> Reads:
        """Tell what the metric reads of the factors under these options."""
        return "values" if any(options.get(name) == value for name, value in self.values_with) else self.reads

    def __reduce__(self) -> str:
        return self.name  # pickled as a function is, by its module and name


def entries(**columns: Sequence[Any] | NDArray[Any]) -> list[dict[str, Any]]:
    """One dictionary for each factor or code of a detail, from a column of numbers for each of its keys."""
    plain = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()]
    return [dict(zip(columns, entry, strict=True)) for entry in zip(*plain, strict=True)]


_CALL = inspect.signature(Metric.detail).parameters
