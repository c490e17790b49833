"""The column header of a metric: name, direction, range, definition, protocol, blind spots, and source."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from disbench.metrics import METRICS, PROTOCOLS


@dataclass(frozen=True)
class Column:
    """One metric as a reader meets it. `higher_is_better` is None for a metric that this installation does not know."""

    key: str
    label: str
    higher_is_better: bool | None
    low: float
    high: float
    definition: str
    source: str
    blind: str = ""

    @property
    def arrow(self) -> str:
        """↑ where higher is better, ↓ where lower is, ? where it is unknown."""
        return {True: "↑", False: "↓", None: "?"}[self.higher_is_better]

    @property
    def direction(self) -> str:
        """The arrow in words, for readers who do not see it."""
        return {True: "higher is better", False: "lower is better", None: "direction unknown"}[self.higher_is_better]

    @property
    def range(self) -> str:
        """The score's bounds as `low to high`."""
        if math.isinf(self.low) and math.isinf(self.high):
            return "unbounded"
        if math.isinf(self.high):
            return f"from {self.low:g}"
        if math.isinf(self.low):
            return f"up to {self.high:g}"
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Quality:
    """One measure of reconstructions: its label with the direction and unit."""

    label: str
    digits: int


QUALITIES = {
    "psnr": Quality("PSNR, dB ↑", 2),
    "ssim": Quality("SSIM ↑", 3),
    "lpips": Quality("LPIPS ↓", 3),
    "fid": Quality("FID ↓", 1),
}


def columns(keys: Iterable[str], settings: Iterable[Mapping[str, Any]] = ()) -> tuple[Column, ...]:
    """Columns for metric keys: in the registry's order, then unknown keys by name.

    `settings` are options by metric, of each record in the columns.
    """
    wanted, given = set(keys), tuple(settings)
    known = [key for key in METRICS if key in wanted]
    return tuple(
        column(key, [options.get(key, {}) for options in given]) for key in known + sorted(wanted - set(known))
    )


def column(key: str, options: Iterable[Mapping[str, Any]] = ()) -> Column:
    """Describe the column of one metric, whose range holds under each of `options`.

    A record may name a metric of other code, which is shown but never marked.
    """
    metric = METRICS.get(key)
    if metric is None:
        definition = "This installation has no metric of this name, so its direction and range are unknown."
        return Column(key, key, None, -math.inf, math.inf, definition, "unknown")
    low, high = metric.bounds
    if any(metric.bounds_with(chosen) != metric.bounds for chosen in options):
        high = math.inf
    return Column(
        key, metric.label, metric.higher_is_better, low, high, metric.definition, metric.source, metric.insensitive_to
    )


def protocol(key: str, options: Mapping[str, Any]) -> str:
    """`bins=20, as in locatello2019`: all keywords of a metric under the options that a record names, and whose they are.

    A publication is named where its settings in `PROTOCOLS`, and the defaults for the rest, are the ones in use.
    """
    metric = METRICS.get(key)
    usual = {name: parameter.default for name, parameter in metric.options.items()} if metric else {}
    used = {**usual, **options}
    words = ", ".join(f"{name}={value}" for name, value in used.items() if value is not None)
    alike = [
        publication
        for publication, settings in PROTOCOLS.items()
        if metric and key in settings and {**usual, **settings[key]} == used
    ]
    return f"{words or 'no settings'}{', as in ' if alike else ''}{' and '.join(alike)}"
