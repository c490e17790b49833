"""Old names of `Metric`'s parts: they work, with a DeprecationWarning, for one release."""

import functools
import sys
import warnings
from collections.abc import Mapping
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)
RENAMED = {"blind": "insensitive_to", "sampled": "stochastic", "not_resampled": "no_bootstrap_reason"}
POSITIONS = ("compute", "label", "higher_is_better", "bounds", "definition", "source", "detail", "sampled")


def warn(old: str, new: str) -> None:
    """Warn that an old name is in use."""
    warnings.warn(f"{old} is {new} now. The old name ends with the next release.", DeprecationWarning, stacklevel=3)


def accepts_old_names(cls: Class) -> Class:
    """Give a class its old attributes, and a constructor that takes the old form, two functions of arrays."""
    new_init, new_detail = cls.__init__, vars(cls)["detail"]  # type: ignore[misc]

    def init(self: Any, *arguments: Any, **card: Any) -> None:
        card = dict(zip(POSITIONS, arguments, strict=False)) | card
        for old in RENAMED.keys() & card.keys():
            warn(f"Metric({old}=...)", RENAMED[old])
            card[RENAMED[old]] = card.pop(old)
        if "fn" in card or "detail" in card:
            warn("Metric(fn, detail=...) of arrays", "Metric(compute) of a Table")
            score = card.pop("fn", card.get("compute"))
            of_arrays, uses_std = card.pop("detail", score), card.pop("uses_std", False)
            card["compute"] = _of_table(of_arrays, score, uses_std)
            card["optional"] = ("std",) * uses_std
        if "reads" in card:
            warn("Metric(reads=...)", "uses")
            card["uses"] = tuple(dict.fromkeys(("codes", card.pop("reads"))))
        new_init(self, card.pop("compute"), **card)

    def detail(self: Any, *table: Any, **options: Any) -> Any:
        if "stds" in options:
            warn("stds", "std")
            options["std"] = options.pop("stds")
        return new_detail(self, *table, **options)

    def attribute(self: Any, name: str) -> Any:
        if name == "fn":
            warn("Metric.fn", "the metric itself, called as a function,")
            return self
        if name == "uses_std":
            warn("Metric.uses_std", "uses or optional")
            return "std" in self.uses + self.optional
        if name not in RENAMED:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}.")
        warn(f"Metric.{name}", RENAMED[name])
        return getattr(self, RENAMED[name])

    for name, function, new in (("__init__", init, new_init), ("detail", detail, new_detail)):
        setattr(cls, name, functools.wraps(new)(function))
    setattr(cls, "__getattr__", attribute)  # noqa: B010 - a type checker shall not see it
    return cls


def _of_table(of_arrays: Any, score: Any, uses_std: bool) -> Any:
    """Make a function of a table from one of arrays, which checks them itself."""

    @functools.wraps(of_arrays)
    def compute(table: Any, **options: Any) -> Any:
        std = {} if table.std is None or not uses_std else {"stds": table.std}
        return of_arrays(table.raw_codes, table.raw_factors, **std, **options)

    compute.__name__ = getattr(score, "__name__", compute.__name__)
    return compute


def keep_detail_functions(metrics: Mapping[str, Any]) -> None:
    """`disbench.metrics.mig.mig_detail`, and so on: what `mig.detail` is now."""
    for name, metric in metrics.items():
        old = "factor_vae_detail" if name == "factor_vae_score" else f"{name}_detail"

        def detail(*table: Any, _old: str = old, _metric: Any = metric, **options: Any) -> Any:
            warn(_old, f"{_metric.name}.detail")
            return _metric.detail(*table, **options)

        setattr(sys.modules[metric.__module__], old, detail)
