"""Shapes, text and scales of inline SVG, shared by all charts.

Charts are written as SVG directly, not through matplotlib: the page's style sheet can color them for dark and light mode, text
stays text, and a dot can show its value on hover. The colors are Okabe and Ito's colorblind-safe set (2008), darkened where a
light page needs it; a page may override `--series-0` ... `--series-7`.
"""

import html
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from disbench.datasets.untrusted import printable

PALETTE = ("#0072b2", "#c04f00", "#007f5f", "#a8488b", "#8a6d00", "#2b8cbe", "#5b5b5b", "#7a3b1d")
WIDTH = 960
CHARACTER = 6.6  # width of a character of a label
PLAIN = ' font-size="12"'
BOLD = ' font-size="12" font-weight="600"'
SMALL = ' font-size="10.5" opacity=".75"'
Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, width and height


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic map from data values to drawing units."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, span = self._data
        return self.start + ((math.log10(value) if self.log else value) - low) / span * (self.end - self.start)

    @cached_property
    def _data(self) -> tuple[float, float]:
        """Start and length of the data range, in decades if the scale is logarithmic."""
        low, high = (math.log10(v) if self.log else v for v in (self.low, self.high))
        return low, (high - low) or 1.0

    @property
    def ticks(self) -> tuple[float, float, float]:
        """Both ends and the value in the middle of the drawn line."""
        return self.low, math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2, self.high


def color(series: int) -> str:
    """CSS color of a row by its position in the table."""
    index = series % len(PALETTE)
    return f"var(--series-{index}, {PALETTE[index]})"


def stroke(series: int) -> str:
    """CSS style of a row's line. Rows beyond the palette reuse its colors with dashed lines."""
    dash = ";stroke-dasharray:5 3" if series >= len(PALETTE) else ""
    return f"stroke:{color(series)};stroke-width:1.4{dash}"


def escape(words: str) -> str:
    """Words as the text or attribute of a drawing."""
    return html.escape(printable(words))


def short(label: str, most: int) -> str:
    """A label of at most `most` characters. Labels come from records and may have any length."""
    return label if len(label) <= most else f"{label[: most - 1]}…"


def number(value: float) -> str:
    """An axis label of about three digits, without an exponent in the usual range of losses."""
    if 0 < abs(value) < 1e-3:
        return f"{value:.1e}".replace("e-0", "e-")
    return f"{value:,.0f}" if 100 <= abs(value) < 1e7 else f"{value:.3g}"


def drawing(parts: Iterable[str], height: float, label: str, width: float = WIDTH) -> str:
    """The whole drawing; `label` is its accessible name."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{escape(label)}" fill="currentColor">{"".join(parts)}</svg>'
    )


def text(x: float, y: float, words: str, anchor: str = "start", extra: str = PLAIN) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(words)}</text>'


def shape(name: str, attributes: str, title: str = "") -> str:
    """An element; browsers show its title on hover."""
    return f"<{name} {attributes}><title>{escape(title)}</title></{name}>" if title else f"<{name} {attributes}/>"


def path(steps: str, attributes: str, title: str = "") -> str:
    return shape("path", f'd="{steps}" {attributes}', title)


def circle(x: float, y: float, radius: float, attributes: str, title: str) -> str:
    return shape("circle", f'cx="{x:.1f}" cy="{y:.1f}" r="{radius}" {attributes}', title)


def through(points: Iterable[Point]) -> str:
    """The steps of a path through points."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def line(points: Iterable[Point], style: str, title: str) -> str:
    return path(through(points), f'fill="none" style="{style}"', title)


def rule(left: float, right: float, y: float) -> str:
    """A faint horizontal line."""
    return path(f"M{left:.1f} {y:.1f}H{right:.1f}", 'stroke="currentColor" opacity=".18"')


def levels(
    y: Scale, left: float, right: float, label: Callable[[float], str], ticks: Iterable[float] = ()
) -> list[str]:
    """A rule with its value at each tick of a vertical axis; both ends and the middle by default."""
    return [
        part
        for tick in ticks or y.ticks
        for part in (rule(left, right, y(tick)), text(left - 6, y(tick) + 4, label(tick), "end", SMALL))
    ]


def dots(points: Iterable[Point], size: float, hue: str, title: str) -> str:
    """Many dots as one path: lines of length zero with round ends, a tenth of the text that circles take."""
    steps = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)
    style = f"stroke:{hue};stroke-width:{size};stroke-linecap:round;stroke-opacity:.45"
    return path(steps, f'fill="none" style="{style}"', title) if steps else ""


def legend(
    labels: Sequence[str], style: Callable[[int], str] = stroke, gap: float = 14, y: float = 14
) -> tuple[list[str], float]:
    """Swatches with labels on as many lines as they need, and the position `gap` below the last line."""
    parts, x = [], 0.0
    for series, label in enumerate(short(label, 60) for label in labels):
        needed = 44 + CHARACTER * len(label)
        if x and x + needed > WIDTH:
            x, y = 0.0, y + 20
        parts.append(path(f"M{x:.1f} {y - 4:.1f}h22", f'style="{style(series)};stroke-width:3"'))
        parts.append(text(x + 28, y, label))
        x += needed
    return parts, y + gap
