"""What a metric's column header says: name, direction, range, definition and source."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from disbench.metrics import METRICS


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

    @property
    def arrow(self) -> str:
        """↑ where higher is better, ↓ where lower is, ? where nobody said."""
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


def columns(keys: Iterable[str]) -> tuple[Column, ...]:
    """Columns for metric keys: in the registry's order, then unknown keys by name."""
    wanted = set(keys)
    known = [key for key in METRICS if key in wanted]
    return tuple(column(key) for key in known + sorted(wanted - set(known)))


def column(key: str) -> Column:
    """The column of one metric; a record may name a metric of other code, which is shown but never marked."""
    metric = METRICS.get(key)
    if metric is None:
        definition = "This installation has no metric of this name, so its direction and range are unknown."
        return Column(key, key, None, -math.inf, math.inf, definition, "unknown")
    low, high = metric.bounds
    return Column(key, metric.label, metric.higher_is_better, low, high, metric.definition, metric.source)
