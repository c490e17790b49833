"""Cartoon faces with CelebA's forty attributes, drawn here, so that no download is needed.

Which attributes a face has is in `face_attributes`, with the source of their names and frequencies. The faces are made up:
nothing is taken from a photograph. Results on them are `procedural` and are never averaged with results on CelebA.

A face is painted from back to front. A shape is a signed distance in face units, negative inside, and a pixel is painted
as far as an edge at that distance would cover it. Each shape is painted into a window of all pictures at once, the
smallest that holds it wherever a face may be: that is a view, and windows are what makes a thousand faces a second.

Drawing is +, -, *, / and square roots of single numbers, which round equally whatever the batch and the machine, so that
a row is always the same picture. That is why there is no sine, no sum along an axis and no matrix product in here.

Face units: the picture spans -1..1 for a face of size 1 in its middle, x to the right and y down. The eyes are at y = -.06.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from disbench.datasets.factors import FactorDataset, FactorSpace, check_indices
from disbench.datasets.factors.dataset import chosen_attributes
from disbench.datasets.procedural import face_attributes
from disbench.datasets.procedural.face_attributes import ATTRIBUTES

RENDERER_VERSION = "1"

SIDE = 64
PIXELS_A_UNIT = SIDE / 2

SIZES = (0.92, 1.06)
ACROSS, DOWN = 0.06, 0.05  # how far from the middle the face may be, in half pictures
YAW = 0.09  # how far what is as deep as the eyes may move to the side, in face units

Colour = tuple[float, float, float]
PALETTE: dict[str, Colour] = {
    "white": (1, 1, 1),
    "black": (0, 0, 0),
    "fair": (0.98, 0.83, 0.70),
    "deep": (0.46, 0.29, 0.19),
    "pale": (1.0, 0.96, 0.93),
    "black hair": (0.07, 0.06, 0.08),
    "brown hair": (0.38, 0.22, 0.11),
    "blond hair": (0.93, 0.78, 0.36),
    "gray hair": (0.70, 0.71, 0.73),
    "red hair": (0.66, 0.25, 0.10),
    "auburn hair": (0.50, 0.13, 0.16),
    "stubble": (0.24, 0.25, 0.30),
    "rose": (0.97, 0.42, 0.45),
    "eyeshadow": (0.38, 0.16, 0.56),
    "lip tint": (0.80, 0.50, 0.50),
    "lipstick": (0.82, 0.02, 0.16),
    "mouth": (0.30, 0.05, 0.07),
    "brown iris": (0.36, 0.20, 0.08),
    "blue iris": (0.22, 0.50, 0.75),
    "gold": (0.98, 0.80, 0.18),
}

# Where things are, in face units.
HEAD_MIDDLE, HEAD_WIDTH, HEAD_HEIGHT = -0.02, 0.46, 0.57
EYES, EYE_DISTANCE = -0.06, 0.205
BROWS = -0.225
NOSE_TOP, NOSE_TIP = -0.03, 0.15
MOUTH = 0.34
HAIRLINE = -0.38
CURLS = 3.5  # in a face unit
HAT_BRIM = -0.40
SHOULDERS = 0.72
FRECKLES = ((0.20, 0.10), (0.27, 0.20), (0.34, 0.13))


class Window(NamedTuple):
    """The same part of all pictures: `image` (B, 3, h, w), and where its pixels are on the face, `x` (B, 1, w), `y` (B, h, 1).

    `hair` (B, 3, h, w) is the color that hair has there, and `pixels` (B, 1, 1) the number of pixels in a face unit.
    """

    image: torch.Tensor
    hair: torch.Tensor
    x: torch.Tensor
    y: torch.Tensor
    pixels: torch.Tensor

    def paint(self, distance: torch.Tensor, colour: torch.Tensor, opacity: torch.Tensor | float = 1.0) -> None:
        """Paint where `distance` (B, h, w) is negative, with a color (B, 3, 1, 1) or (B, 3, h, w).

        `opacity` is a number or broadcasts to `distance`.
        """
        cover = (0.5 - distance * self.pixels).clamp_(0, 1).mul_(opacity)
        self.image.add_((colour - self.image).mul_(cover[:, None]))


class Face:
    """A batch of faces while they are painted.

    `has[name]` is an attribute, 0 or 1, and `level[name]` a nuisance, 0..1, both (B, 1, 1); `colour[name]` (B or 1, 3, 1, 1).
    """

    def __init__(self, attributes: torch.Tensor, nuisances: torch.Tensor, palette: torch.Tensor) -> None:
        device = attributes.device
        self.has = _columns(ATTRIBUTES, attributes.float())
        self.level = _columns(face_attributes.NUISANCES, nuisances.float() * (1 / 255))
        self.colour = {name: palette[place].view(1, 3, 1, 1) for place, name in enumerate(PALETTE)}
        self.colour |= self._own_colours()

        size = self.between("size", *SIZES)
        line = (torch.arange(SIDE, device=device) + 0.5) / PIXELS_A_UNIT - 1
        self.pixels = size * PIXELS_A_UNIT
        self.x = (line.view(1, 1, SIDE) - self.between("across", -ACROSS, ACROSS)) / size
        self.y = (line.view(1, SIDE, 1) - self.between("down", -DOWN, DOWN)) / size
        self.yaw = self.between("yaw", -YAW, YAW)
        self.image = torch.empty((len(attributes), 3, SIDE, SIDE), device=device)
        self.hair = self._hair()

        male, chubby, oval = self.has["Male"], self.has["Chubby"], self.has["Oval_Face"]
        self.hairy = 1 - self.has["Bald"]
        self.width = HEAD_WIDTH + 0.02 * male + 0.065 * chubby - 0.06 * oval
        self.height = HEAD_HEIGHT + 0.065 * oval
        self.jaw = 0.10 * male + 0.34 * chubby - 0.16  # how much wider than above the face is a unit below its middle

    def between(self, name: str, low: float, high: float) -> torch.Tensor:
        """A nuisance (B, 1, 1) as a number in low..high."""
        return low + (high - low) * self.level[name]

    def window(self, reach: float, top: float, bottom: float, depth: float = 0.0) -> Window:
        """What may be within `reach` of the middle and from top to bottom on some face, with x from that middle.

        `depth` is how much of the yaw it takes part in: 0 for the head, 1 for the eyes, more for what sticks out.
        """
        side = reach + abs(depth) * YAW
        columns = slice(_pixel(-side, ACROSS), SIDE - _pixel(-side, ACROSS))
        rows = slice(_pixel(top, DOWN), SIDE - _pixel(-bottom, DOWN))
        x = self.x[:, :, columns] - depth * self.yaw if depth else self.x[:, :, columns]
        return Window(self.image[:, :, rows, columns], self.hair[:, :, rows, columns], x, self.y[:, rows], self.pixels)

    def _own_colours(self) -> dict[str, torch.Tensor]:
        has, level, colour = self.has, self.level, self.colour
        skin = _mix(colour["fair"], colour["deep"], level["skin"])
        skin = _mix(skin, colour["pale"], 0.75 * has["Pale_Skin"])
        hair = _mix(colour["red hair"], colour["auburn hair"], level["hair_hue"])
        for name in ("Black_Hair", "Brown_Hair", "Blond_Hair", "Gray_Hair"):
            hair = _mix(hair, colour[name.replace("_", " ").lower()], has[name])
        hair = hair * self.between("hair_shade", 0.86, 1.14)[:, None]
        return {
            "skin": skin,
            "shade": skin * 0.80,
            "line": skin * 0.62,
            "gleam": _mix(skin, colour["white"], 0.40),
            "hair": hair,
            "strands": _mix(hair * 0.6, hair * 1.25 + 0.12, has["Black_Hair"]),
            "whiskers": _mix(hair, colour["brown hair"], has["Bald"]) * 0.75,
            "iris": _mix(colour["brown iris"], colour["blue iris"], level["iris"]),
            "lips": _mix(skin * colour["lip tint"], colour["lipstick"], has["Wearing_Lipstick"]),
            "backdrop": self._own_colour("backdrop", 0.15, 0.90),
            "clothes": self._own_colour("clothes", 0.10, 0.85),
            "accessory": self._own_colour("accessory", 0.05, 0.75),
        }

    def _hair(self) -> torch.Tensor:
        """The color of hair at every pixel: straight and wavy hair have strands."""
        straight, wavy = self.has["Straight_Hair"], self.has["Wavy_Hair"]
        waves = self.x * 11 + 0.9 * wavy * scallops(self.y * CURLS)
        share = (scallops(waves) - 0.55).mul_(2.5).clamp_(0, 1).mul_(0.75 * (straight + wavy))
        return _mix(self.colour["hair"], self.colour["strands"], share)

    def _own_colour(self, name: str, low: float, high: float) -> torch.Tensor:
        """A color within these extremes, red and blue drawn towards green because glaring colors are tiring."""
        red, green, blue = (self.between(f"{name}_{channel}", low, high) for channel in ("red", "green", "blue"))
        return torch.stack((0.6 * red + 0.4 * green, green, 0.6 * blue + 0.4 * green), dim=1)


def _columns(names: Sequence[str], values: torch.Tensor) -> dict[str, torch.Tensor]:
    """The columns of values (B, K) by name, (B, 1, 1) each."""
    return {name: column.view(-1, 1, 1) for name, column in zip(names, values.unbind(dim=1), strict=True)}


def _mix(one: torch.Tensor, other: torch.Tensor, share: torch.Tensor | float) -> torch.Tensor:
    """Colors (B, 3, 1, 1): `share`, (B, 1, 1) or a number, of the other."""
    return one + (other - one) * (share[:, None] if isinstance(share, torch.Tensor) else share)


def _pixel(position: float, shift: float) -> int:
    """The first pixel that a place on some face may touch, from the picture's left or upper edge."""
    nearest = min(position * size for size in SIZES) - shift
    return max(0, min(SIDE, int((nearest + 1) * PIXELS_A_UNIT - 1)))


Number = torch.Tensor | float


def ellipse(x: torch.Tensor, y: torch.Tensor, width: Number, height: Number) -> torch.Tensor:
    """About the distance from an ellipse around 0 with these half axes; exact on it, and everywhere for a circle."""
    radius = (_over(x, width).square() + _over(y, height).square()).sqrt_()
    return (radius - 1) * _smaller(width, height)


def stroke(x: torch.Tensor, y: torch.Tensor, reach: Number, thickness: Number) -> torch.Tensor:
    """A line along y = 0 from -reach to reach, of this half thickness; from `y` a curve of x may be subtracted."""
    return torch.maximum(y.abs() - thickness, x.abs() - reach)


def scallops(position: torch.Tensor) -> torch.Tensor:
    """0 at whole numbers and 1 half way between, in round arches."""
    rest = position - position.floor()
    return 4 * rest * (1 - rest)


def _over(one: torch.Tensor, other: Number) -> torch.Tensor:
    """one / other. By a plain number, some devices divide and some multiply by its inverse, which rounds differently."""
    return one / other if isinstance(other, torch.Tensor) else one * (1 / other)


def _smaller(one: Number, other: Number) -> Number:
    if isinstance(one, torch.Tensor):
        return one.clamp(max=other)
    return other.clamp(max=one) if isinstance(other, torch.Tensor) else min(one, other)


def paint_backdrop(face: Face) -> None:
    fade = face.between("backdrop_fade", -0.15, 0.15) * face.y
    face.image.copy_(face.colour["backdrop"] + fade[:, None])


def paint_hair_behind(face: Face) -> None:
    has = face.has
    window = face.window(0.76, -0.86, 0.82)
    curls = 0.07 * has["Wavy_Hair"] * scallops(window.y * CURLS)
    long, short = face.between("hair_length", 0.35, 0.80), face.between("hair_length", -0.05, 0.08)
    length = long + (short - long) * has["Male"]
    breadth = face.width + 0.15 - 0.07 * has["Male"] + curls
    outline = ellipse(window.x, (window.y + 0.12).clamp(max=0), breadth, 0.62)
    window.paint(torch.maximum(outline, window.y - length), window.hair, face.hairy)


def paint_body(face: Face) -> None:
    has, colour = face.has, face.colour
    window = face.window(1.1, 0.30, 1.2)
    neck = 0.17 + 0.05 * has["Male"] + 0.03 * has["Chubby"]
    shoulders = 0.72 + 0.16 * has["Male"]
    window.paint(ellipse(window.x, window.y - SHOULDERS - 0.45, shoulders, 0.45), colour["clothes"])
    window.paint(ellipse(window.x, window.y - 0.66, neck + 0.08, 0.16), colour["shade"])
    window.paint(stroke(window.y - 0.50, window.x, 0.20, neck), colour["shade"])


def paint_neckwear(face: Face) -> None:
    has, colour = face.has, face.colour
    window = face.window(0.40, 0.60, 1.2)
    across, below = window.x.abs(), window.y - 0.68
    collar = torch.maximum(across - 0.30 + 0.5 * below, 0.3 * across - below)
    window.paint(collar, colour["white"], has["Wearing_Necktie"])
    knot = torch.maximum(across - 0.10 + 0.6 * below, (below - 0.06).abs() - 0.05)
    blade = torch.maximum(across - 0.03 - 0.25 * below, 0.10 - below)
    window.paint(torch.minimum(knot, blade), colour["accessory"], has["Wearing_Necktie"])
    chain = window.y - 0.79 + 1.2 * window.x.square()
    window.paint(stroke(window.x, chain, 0.27, 0.024), colour["gold"], has["Wearing_Necklace"])
    window.paint(ellipse(window.x, window.y - 0.82, 0.045, 0.045), colour["gold"], has["Wearing_Necklace"])


def paint_head(face: Face) -> None:
    has, colour = face.has, face.colour
    chin = face.window(0.40, 0.35, 0.80)
    below = chin.y - HEAD_MIDDLE - face.height
    fold = ellipse(chin.x, below + 0.03, 0.34, 0.13)
    chin.paint(fold - 0.018, colour["line"], has["Double_Chin"])
    chin.paint(fold, colour["skin"], has["Double_Chin"])

    ears = face.window(0.68, -0.20, 0.25, depth=-0.4)
    aside = ears.x.abs() - face.width
    ears.paint(ellipse(aside, ears.y - 0.02, 0.07, 0.12), colour["shade"])

    window, distance = head(face)
    window.paint(torch.maximum(distance - 0.025, 0.42 - window.y), colour["line"], has["Double_Chin"])
    window.paint(distance, colour["skin"])
    dark_side = (window.x * face.between("light", -0.55, 0.55)).clamp(min=0)
    window.paint(distance, colour["line"], dark_side)


def head(face: Face, top: float = -0.70) -> tuple[Window, torch.Tensor]:
    """The head's window from `top` down, and the distance from its outline there (B, h, w)."""
    window = face.window(0.66, top, 0.70)
    taper = 1 + face.jaw * (window.y - HEAD_MIDDLE).clamp(min=0)
    return window, ellipse(window.x / taper, window.y - HEAD_MIDDLE, face.width, face.height)


def paint_beard(face: Face) -> None:
    has, colour = face.has, face.colour
    window, outline = head(face, top=0.05)
    across, y = window.x - face.yaw, window.y
    jaw = torch.maximum(outline, 0.20 - y + 0.4 * (0.2 - across.abs()).clamp(min=0))
    window.paint(jaw, colour["stubble"], 0.36 * has["5_o_Clock_Shadow"])
    cheeks = ellipse(across, y - 0.08, face.width * 0.78, face.height * 0.68)
    band = torch.maximum(torch.maximum(outline - 0.02, -cheeks), 0.12 - y)
    window.paint(band, colour["whiskers"], 0.9 * (1 - has["No_Beard"]))

    tuft = face.window(0.20, 0.38, 0.75, depth=0.8)
    goatee = ellipse(tuft.x, tuft.y - 0.53, 0.135, 0.14)
    tuft.paint(torch.maximum(goatee, 0.42 - tuft.y), colour["whiskers"] * 0.75, has["Goatee"])

    sides = face.window(0.60, -0.25, 0.30)
    strip = (sides.x.abs() - face.width + 0.035).abs() - 0.045
    strip = torch.maximum(strip, (sides.y - 0.02).abs() - 0.20)
    sides.paint(strip, colour["whiskers"], has["Sideburns"])


def paint_mustache(face: Face) -> None:
    window = face.window(0.26, 0.15, 0.36, depth=1.1)
    across = window.x.abs()
    droop = window.y - 0.235 - 0.8 * across.square()
    distance = stroke(across, droop, 0.20, 0.045 - 0.12 * across)
    window.paint(distance, face.colour["whiskers"] * 0.9, face.has["Mustache"])


def paint_cheeks(face: Face) -> None:
    has, colour = face.has, face.colour
    window = face.window(0.50, -0.12, 0.45, depth=0.8)
    across, y = window.x.abs(), window.y
    window.paint(ellipse(across - 0.28, y - 0.16, 0.105, 0.08), colour["rose"], 0.75 * has["Rosy_Cheeks"])

    slant = y - 0.175 + 0.45 * (across - 0.32)
    window.paint(stroke(across - 0.31, slant, 0.09, 0.018), colour["line"], 0.8 * has["High_Cheekbones"])
    window.paint(ellipse(across - 0.33, y - 0.09, 0.07, 0.03), colour["gleam"], 0.6 * has["High_Cheekbones"])

    plain = 1 - has["Attractive"]
    for dot_x, dot_y in FRECKLES:
        window.paint(ellipse(across - dot_x, y - dot_y, 0.022, 0.022), colour["line"], 0.75 * plain)

    old = 1 - has["Young"]
    fold = across - 0.13 - 0.45 * (y - 0.17)
    window.paint(torch.maximum(fold.abs() - 0.015, (y - 0.25).abs() - 0.08), colour["line"], old)
    for tilt in (-0.25, 0.35):
        wrinkle = y - EYES - 0.02 - tilt * (across - 0.33)
        window.paint(stroke(across - 0.39, wrinkle, 0.05, 0.013), colour["line"], old)


def paint_forehead(face: Face) -> None:
    window = face.window(0.30, -0.42, -0.22, depth=0.5)
    for height in (-0.34, -0.275):
        furrow = window.y - height - 0.15 * window.x.square()
        window.paint(stroke(window.x, furrow, 0.20, 0.013), face.colour["line"], 0.9 * (1 - face.has["Young"]))


def paint_eyes(face: Face) -> None:
    has, colour = face.has, face.colour
    window = face.window(0.42, -0.22, 0.14, depth=1.0)
    across = window.x.abs() - EYE_DISTANCE - face.between("eye_distance", -0.02, 0.02)
    y = window.y - EYES
    height = 0.078 - 0.040 * has["Narrow_Eyes"]
    window.paint(
        ellipse(across - 0.015, y + 0.045, 0.135, height + 0.03), colour["eyeshadow"], 0.8 * has["Heavy_Makeup"]
    )

    bag = ellipse(across, y - 0.035, 0.105, 0.115)
    window.paint(bag, colour["shade"], 0.8 * has["Bags_Under_Eyes"])
    window.paint(torch.maximum(bag.abs() - 0.016, 0.11 - y), colour["line"], has["Bags_Under_Eyes"])

    lashes = 0.010 + 0.012 * (1 - has["Male"]) + 0.014 * has["Heavy_Makeup"]
    white = ellipse(across, y, 0.105, height)
    window.paint(torch.maximum(white - lashes, y - 0.2 * height), colour["black"])
    window.paint(white, colour["white"])
    iris = ellipse(across, y, 0.058, 0.058)
    window.paint(torch.maximum(white, iris), colour["iris"])
    window.paint(torch.maximum(white, iris + 0.018), colour["black"])
    window.paint(ellipse(across + 0.03, y + 0.025, 0.026, 0.026), colour["white"], has["Attractive"])


def paint_brows(face: Face) -> None:
    has, colour = face.has, face.colour
    window = face.window(0.40, -0.36, -0.10, depth=1.0)
    across = window.x.abs() - EYE_DISTANCE - 0.01
    height = BROWS + face.between("brow_height", -0.015, 0.015)
    arch = has["Arched_Eyebrows"] * (0.085 - 6.5 * (across - 0.03).square())
    thickness = 0.020 + 0.022 * has["Bushy_Eyebrows"]
    window.paint(
        stroke(across, window.y - height + arch, 0.125, thickness), _mix(colour["hair"], colour["black"], 0.65)
    )


def paint_nose(face: Face) -> None:
    has, colour = face.has, face.colour
    window = face.window(0.20, NOSE_TOP - 0.04, NOSE_TIP + 0.12, depth=1.25)
    across, y, big = window.x.abs(), window.y, has["Big_Nose"]
    tip = NOSE_TIP + 0.02 * big
    wings = 0.064 + 0.060 * big
    ridge = torch.maximum(across - 0.55 * wings * (y - NOSE_TOP + 0.03) / (tip - NOSE_TOP), (y - 0.06).abs() - 0.09)
    window.paint(ridge, colour["shade"], 0.8)
    round_end = ellipse(across, y - tip + 0.01, wings, 0.045 + 0.025 * big)
    window.paint(round_end, colour["line"], 1 - has["Pointy_Nose"])
    window.paint(round_end + 0.012 + 0.6 * (y - tip + 0.01), colour["shade"], 1 - has["Pointy_Nose"])
    # A kite that hangs below the wings of a round nose.
    kite = torch.maximum(across + 1.1 * (y - tip - 0.06), across - 0.45 * (y - NOSE_TOP) - 0.35 * wings + 0.02)
    window.paint(kite, colour["line"], has["Pointy_Nose"])
    window.paint(torch.maximum(kite + 0.025, y - tip), colour["gleam"], has["Pointy_Nose"])


def paint_mouth(face: Face) -> None:
    has, colour = face.has, face.colour
    window = face.window(0.26, 0.18, 0.56, depth=0.9)
    smile, gap = has["Smiling"], has["Mouth_Slightly_Open"]
    reach = 0.145 + 0.055 * smile
    part = (window.x / reach).square()  # (B, 1, w): 0 in the middle, 1 in the corners
    middle = MOUTH + face.between("mouth_height", -0.015, 0.015) + 0.035 * smile
    y = window.y - middle + (0.110 * smile - 0.015) * part
    taper = (1 - part).clamp(min=0)
    opening = 0.050 * gap * taper
    lips = 0.030 + 0.026 * has["Big_Lips"]
    window.paint(stroke(window.x, y, reach, opening + lips * (0.35 + 0.65 * taper)), colour["lips"])
    window.paint(stroke(window.x, y, reach * 0.9, opening + 0.009), colour["mouth"])
    teeth = torch.maximum(stroke(window.x, y, reach * 0.75, opening - 0.008), y - 0.012)
    window.paint(teeth, colour["white"], gap)


def paint_hair_front(face: Face) -> None:
    has = face.has
    window = face.window(0.72, -0.90, 0.02)
    x, y = window.x - 0.25 * face.yaw, window.y
    curls = 0.05 * has["Wavy_Hair"] * (scallops(y * CURLS) + scallops(x * CURLS))
    outline = ellipse(x, y - HEAD_MIDDLE + 0.05, face.width + 0.07, face.height + 0.07) - curls
    out = x.abs() / face.width  # 1 at the temples
    temples = 0.10 * out.square() + 0.30 * (out - 0.75).clamp(min=0)
    bays = 0.06 + 0.17 * scallops((out * 0.95).clamp(max=1))
    line = HAIRLINE + temples + face.between("parting", -0.07, 0.07) * x - has["Receding_Hairline"] * bays
    window.paint(torch.maximum(outline, y - line), window.hair, face.hairy)

    tips = 0.035 * scallops(x * 6)
    fringe = torch.maximum(ellipse(x, y + 0.12, face.width + 0.01, 0.50), y + 0.285 + tips)
    window.paint(fringe, window.hair * 0.85, has["Bangs"])

    crown = face.window(0.30, -0.62, -0.30, depth=0.5)
    crown.paint(ellipse(crown.x + 0.10, crown.y + 0.46, 0.11, 0.05), face.colour["gleam"], has["Bald"])


def paint_hat(face: Face) -> None:
    has, colour = face.has, face.colour
    window = face.window(0.80, -1.0, -0.25)
    y = window.y - HAT_BRIM
    dome = torch.maximum(ellipse(window.x, y, face.width + 0.10, 0.46), y)
    window.paint(dome, colour["accessory"], has["Wearing_Hat"])
    window.paint(torch.maximum(dome, -0.13 - y), _mix(colour["accessory"], colour["white"], 0.6), has["Wearing_Hat"])
    out = window.x / (face.width + 0.26)
    brim = torch.maximum(y.abs() - 0.055 + 0.04 * out.square(), out.abs() - 1)
    window.paint(brim, colour["accessory"] * 0.8, has["Wearing_Hat"])


def paint_glasses(face: Face) -> None:
    window = face.window(0.56, -0.24, 0.16, depth=1.0)
    across, y = window.x.abs(), window.y - EYES - 0.01
    rim = ellipse(across - EYE_DISTANCE, y, 0.155, 0.125).abs() - 0.020
    bridge = stroke(across, y + 0.03, 0.06, 0.016)
    temple = stroke(across - 0.44, y + 0.03, 0.09, 0.016)
    frame = torch.minimum(torch.minimum(rim, bridge), temple)
    window.paint(frame, face.colour["black"], face.has["Eyeglasses"])


def paint_earrings(face: Face) -> None:
    window = face.window(0.66, 0.08, 0.32, depth=-0.4)
    aside = window.x.abs() - face.width - 0.025
    window.paint(ellipse(aside, window.y - 0.19, 0.05, 0.06), face.colour["gold"], face.has["Wearing_Earrings"])


def blurred(images: torch.Tensor) -> torch.Tensor:
    """Images (B, 3, H, W), uint8, through the filter 1, 2, 2, 2, 1 along both axes; beyond a border is what is on it."""
    sums = images.to(torch.int16)
    for axis in (2, 3):
        first, last = sums.narrow(axis, 0, 1), sums.narrow(axis, -1, 1)
        sums = torch.cat((first, first, sums, last, last), dim=axis)
        for step in (1, 1, 2):  # 1, 1 then 1, 2, 1 then 1, 2, 2, 2, 1
            length = sums.shape[axis] - step
            sums = sums.narrow(axis, 0, length) + sums.narrow(axis, step, length)
    return (sums + 32 >> 6).to(torch.uint8)


PAINTERS = (
    paint_backdrop,
    paint_hair_behind,
    paint_body,
    paint_neckwear,
    paint_head,
    paint_beard,
    paint_cheeks,
    paint_forehead,
    paint_eyes,
    paint_brows,
    paint_mustache,
    paint_nose,
    paint_mouth,
    paint_hair_front,
    paint_hat,
    paint_glasses,
    paint_earrings,
)


def render(attributes: torch.Tensor, nuisances: torch.Tensor, palette: torch.Tensor | None = None) -> torch.Tensor:
    """Attributes (B, 40) in {0, 1} and nuisances (B, 24) in 0..255, in the order of their names and of any integer type, to
    images (B, 3, 64, 64), uint8, on the device of `attributes`.

    palette: the colors of `PALETTE` on that device, for callers who keep them there; a copy to an accelerator waits for it.
    """
    if palette is None:
        palette = torch.tensor(list(PALETTE.values()), device=attributes.device)
    face = Face(attributes, nuisances, palette)
    for paint in PAINTERS:
        paint(face)
    images = face.image.mul_(255).add_(0.5).clamp_(0, 255).to(torch.uint8)
    return torch.where(face.has["Blurry"][:, None] > 0, blurred(images), images)


class FacesLike(FactorDataset):
    """202,599 drawn faces with binary attributes, 0 absent and 1 present; images (3, 64, 64). No grid.

    The attributes' frequencies and correlations are about CelebA's, so what is said of CelebA holds here: a perfect code
    scores below 1 on the metrics that suppose independent factors. Unlike there, each attribute can be seen in every picture;
    those that are matters of opinion are drawn by rule: Attractive faces have a gleam in their eyes and no freckles, those that
    are not Young have wrinkles. Place, size, yaw, skin, light, backdrop, clothes, hair's length and more vary, and no
    attribute names them.
    """

    name = "faces_like"
    version = RENDERER_VERSION
    provenance = "procedural"
    image_shape = (3, SIDE, SIDE)

    def __init__(self, root: object = None, *, attributes: str | Sequence[str] | None = None) -> None:
        """`root`, where files lie, is accepted as by every dataset and not needed: the images are drawn when asked.

        `attributes` are the names to keep as factors, or "all"; None keeps those that 5 to 95 % of CelebA's pictures have,
        34 of the 40. The pictures are the same whichever are kept.

        Raises ValueError for unknown, repeated or no attributes.
        """
        names = face_attributes.USUAL_ATTRIBUTES if attributes is None else chosen_attributes(attributes, ATTRIBUTES)
        rows = np.arange(face_attributes.ROWS)
        values = torch.from_numpy(face_attributes.attributes_of(rows))
        self.space = FactorSpace(names, (2,) * len(names))
        self.labels = values[:, [ATTRIBUTES.index(name) for name in names]]  # (N, K), uint8
        nuisances = torch.from_numpy(face_attributes.nuisances_of(rows))
        self._traits = torch.cat((values, nuisances), dim=1)  # (N, 40 + 24), uint8
        # The same, and the colors, where they were asked for last.
        self._placed, self._palette = self._traits, torch.tensor(list(PALETTE.values()))

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        check_indices(indices, face_attributes.ROWS)
        if self._placed.device != indices.device:
            self._placed = self._traits.to(indices.device)
            self._palette = torch.tensor(list(PALETTE.values()), device=indices.device)
        traits = self._placed[indices]
        return render(traits[:, : len(ATTRIBUTES)], traits[:, len(ATTRIBUTES) :], self._palette)
