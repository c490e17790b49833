"""Which attributes the drawn faces have: CelebA's forty, about as frequent and as correlated as there.

Names, their order and their frequencies are those of CelebA (Z. Liu, P. Luo, X. Wang, X. Tang, "Deep Learning Face
Attributes in the Wild", ICCV 2015, arXiv:1411.7766v3, `list_attr_celeba.txt`). No row of it is copied. The joint
distribution is made up: a few hidden causes, such as age, push several attributes up or down, and an attribute is
present where its score is high enough (a probit model). Some exclude each other: a head has one color of hair or none.

A row's attributes and everything else about its picture are a function of its number alone. The random numbers are
SplitMix64 at a counter (G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014), and
all that is computed with them are sums and comparisons of whole numbers, which come out the same on every machine.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ROWS = 202_599  # as many as CelebA has

CAUSES = ("masculine", "old", "smile", "makeup", "weight", "beard")


class Attribute(NamedTuple):
    """How often an attribute is present in CelebA, and how much of its score, in percent, each cause makes.

    The squares of the percents add up to 1 at most; what is missing is the attribute's own noise.
    """

    rate: float
    loadings: Mapping[str, int] = {}


TABLE = {
    "5_o_Clock_Shadow": Attribute(0.111, {"beard": 75}),
    "Arched_Eyebrows": Attribute(0.267, {"masculine": -60, "makeup": 50}),
    "Attractive": Attribute(0.513, {"masculine": -55, "old": -50, "makeup": 50, "weight": -20}),
    "Bags_Under_Eyes": Attribute(0.205, {"masculine": 25, "old": 35, "smile": 10, "weight": 15}),
    "Bald": Attribute(0.022, {"masculine": 30, "old": 45, "weight": 15}),
    "Bangs": Attribute(0.152, {"masculine": -25, "old": -15}),
    "Big_Lips": Attribute(0.241, {"masculine": -20, "makeup": 15}),
    "Big_Nose": Attribute(0.235, {"masculine": 60, "old": 25, "weight": 25}),
    "Black_Hair": Attribute(0.239, {"masculine": 15, "old": -20}),
    "Blond_Hair": Attribute(0.148, {"masculine": -65, "makeup": 15}),
    "Blurry": Attribute(0.051),
    "Brown_Hair": Attribute(0.205, {"masculine": -20, "old": -15}),
    "Bushy_Eyebrows": Attribute(0.142, {"masculine": 45, "old": -20, "beard": 15}),
    "Chubby": Attribute(0.058, {"masculine": 25, "old": 30, "weight": 85}),
    "Double_Chin": Attribute(0.047, {"masculine": 20, "old": 40, "weight": 80}),
    "Eyeglasses": Attribute(0.065, {"masculine": 45, "old": 45}),
    "Goatee": Attribute(0.063, {"beard": 75}),
    "Gray_Hair": Attribute(0.042, {"masculine": 30, "old": 80}),
    "Heavy_Makeup": Attribute(0.387, {"masculine": -20, "makeup": 95}),
    "High_Cheekbones": Attribute(0.455, {"masculine": -30, "smile": 85}),
    "Male": Attribute(0.417, {"masculine": 100}),
    "Mouth_Slightly_Open": Attribute(0.483, {"masculine": -10, "smile": 75}),
    "Mustache": Attribute(0.042, {"old": 15, "beard": 70}),
    "Narrow_Eyes": Attribute(0.115, {"smile": 15}),
    "No_Beard": Attribute(0.835, {"beard": -90}),
    "Oval_Face": Attribute(0.284, {"masculine": -10, "smile": 20, "makeup": 15, "weight": -35}),
    "Pale_Skin": Attribute(0.043, {"masculine": -15, "smile": -15}),
    "Pointy_Nose": Attribute(0.277, {"masculine": -30, "makeup": 20}),
    "Receding_Hairline": Attribute(0.080, {"masculine": 30, "old": 50, "weight": 15}),
    "Rosy_Cheeks": Attribute(0.066, {"masculine": -45, "smile": 25, "makeup": 40}),
    "Sideburns": Attribute(0.057, {"beard": 75}),
    "Smiling": Attribute(0.482, {"masculine": -15, "smile": 95}),
    "Straight_Hair": Attribute(0.208, {"old": -15}),
    "Wavy_Hair": Attribute(0.320, {"masculine": -50, "makeup": 25}),
    "Wearing_Earrings": Attribute(0.189, {"masculine": -70, "smile": 15, "makeup": 20}),
    "Wearing_Hat": Attribute(0.048, {"masculine": 30, "old": -15}),
    "Wearing_Lipstick": Attribute(0.472, {"masculine": -20, "makeup": 95}),
    "Wearing_Necklace": Attribute(0.123, {"masculine": -65, "makeup": 15}),
    "Wearing_Necktie": Attribute(0.073, {"masculine": 75, "old": 35}),
    "Young": Attribute(0.774, {"masculine": -48, "old": -82, "weight": -20}),
}
ATTRIBUTES = tuple(TABLE)
USUAL_ATTRIBUTES = tuple(name for name, (rate, _) in TABLE.items() if 0.05 <= rate <= 0.95)  # 34 of the 40

# An attribute can be present only where these others are (True) or are not (False). For No_Beard, whose opposite is what
# one sees, it is the beard that needs them. They are decided from top to bottom, after those that are not listed.
CONDITIONS: dict[str, dict[str, bool]] = {
    "No_Beard": {"Male": True},
    "5_o_Clock_Shadow": {"Male": True},
    "Goatee": {"No_Beard": False},
    "Mustache": {"No_Beard": False},
    "Sideburns": {"No_Beard": False},
    "Heavy_Makeup": {"Male": False},
    "Wearing_Lipstick": {"Male": False},
    "Bald": {"Male": True},
    "Gray_Hair": {"Bald": False},
    "Blond_Hair": {"Bald": False, "Gray_Hair": False},
    "Black_Hair": {"Bald": False, "Gray_Hair": False, "Blond_Hair": False},
    "Brown_Hair": {"Bald": False, "Gray_Hair": False, "Blond_Hair": False, "Black_Hair": False},
    "Wavy_Hair": {"Bald": False},
    "Straight_Hair": {"Bald": False, "Wavy_Hair": False},
    "Bangs": {"Bald": False},
    "Receding_Hairline": {"Bald": False, "Bangs": False, "Wearing_Hat": False},
}
_ORDER = (*(name for name in ATTRIBUTES if name not in CONDITIONS), *CONDITIONS)

# What differs between faces and no attribute says: a byte each.
NUISANCES = (
    "across",
    "down",
    "size",
    "yaw",
    "skin",
    "light",
    "backdrop_red",
    "backdrop_green",
    "backdrop_blue",
    "backdrop_fade",
    "clothes_red",
    "clothes_green",
    "clothes_blue",
    "hair_shade",
    "hair_length",
    "hair_hue",
    "iris",
    "eye_distance",
    "brow_height",
    "mouth_height",
    "accessory_red",
    "accessory_green",
    "accessory_blue",
    "parting",
)

_SCORE_WORDS = len(CAUSES) + len(ATTRIBUTES)
_WORDS_A_ROW = _SCORE_WORDS + len(NUISANCES) // 8
_CALIBRATION_ROWS = 2**15
_CHUNK = 2**13  # rows whose numbers stay in a processor's cache

Bytes = NDArray[np.uint8]


def _words(rows: NDArray[np.int64], first: int, count: int) -> NDArray[np.uint64]:
    """Of each row's random words, `count` from `first` on: (N, count)."""
    numbers = rows[:, None] * _WORDS_A_ROW + np.arange(first + 1, first + count + 1)
    word = numbers.astype(np.uint64)
    word *= np.uint64(0x9E3779B97F4A7C15)
    word ^= word >> np.uint64(30)
    word *= np.uint64(0xBF58476D1CE4E5B9)
    word ^= word >> np.uint64(27)
    word *= np.uint64(0x94D049BB133111EB)
    word ^= word >> np.uint64(31)
    return word


def _bells(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Nearly normal whole numbers of mean 0: a word's four parts of 16 bits, added up."""
    pairs = np.uint64(0x0000FFFF0000FFFF)
    halves = (words & pairs) + (words >> np.uint64(16) & pairs)
    sums = (halves & np.uint64(0xFFFFFFFF)) + (halves >> np.uint64(32))
    return sums.astype(np.float64) - 2 * 0xFFFF


def _weights() -> NDArray[np.float64]:
    """The causes' percents (causes, attributes)."""
    return np.array([[TABLE[name].loadings.get(cause, 0) for name in ATTRIBUTES] for cause in CAUSES], dtype=np.float64)


def _own_weights() -> NDArray[np.float64]:
    """The percents of the attributes' own noise (attributes)."""
    squares = (_weights() ** 2).sum(axis=0)
    return np.array([math.isqrt(100**2 - int(square)) for square in squares], dtype=np.float64)


def _scores(rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N, attributes). Whole numbers far below 2**53, so that no order of adding them up makes a difference."""
    bells = _bells(_words(rows, 0, _SCORE_WORDS))
    causes, own = bells[:, : len(CAUSES)], bells[:, len(CAUSES) :]
    return causes @ _weights() + own * _own_weights()


def _eligible(values: Bytes, name: str) -> NDArray[np.bool_]:
    """The rows (N) whose values allow the attribute; for No_Beard, a beard."""
    allowed = np.ones(len(values), dtype=np.bool_)
    for other, needed in CONDITIONS.get(name, {}).items():
        allowed &= values[:, ATTRIBUTES.index(other)] == needed
    return allowed


def _decide(scores: NDArray[np.float64], values: Bytes, name: str, cut: float) -> None:
    """Write the attribute's column of `values`, of which the columns that it depends on are written."""
    column = ATTRIBUTES.index(name)
    allowed = _eligible(values, name)
    above = scores[:, column] > cut
    values[:, column] = above | ~allowed if name == "No_Beard" else above & allowed


@cache
def _cuts() -> Mapping[str, float]:
    """The score above which each attribute is present.

    It is the one at which, among the first rows, as many have the attribute as in CelebA, exclusions included.
    """
    scores = _scores(np.arange(_CALIBRATION_ROWS))
    values = np.zeros(scores.shape, dtype=np.uint8)
    cuts = {}
    for name in _ORDER:
        allowed = _eligible(values, name)
        candidates = scores[allowed, ATTRIBUTES.index(name)]
        present = round(TABLE[name].rate * len(scores))
        if name == "No_Beard":
            present -= len(scores) - len(candidates)  # those that can have no beard
        if not 0 < present < len(candidates):
            raise ValueError(f"{name} needs {present} of {len(scores)} rows, and {len(candidates)} may have it.")
        place = len(candidates) - present - 1
        cuts[name] = float(np.partition(candidates, place)[place])
        _decide(scores, values, name, cuts[name])
    return cuts


def attributes_of(rows: NDArray[np.int64]) -> Bytes:
    """The forty attributes (N, 40) of the rows (N,), 0 absent and 1 present, in the order of `ATTRIBUTES`."""
    values = np.zeros((len(rows), len(ATTRIBUTES)), dtype=np.uint8)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        scores = _scores(rows[part])
        for name in _ORDER:
            _decide(scores, values[part], name, _cuts()[name])
    return values


def nuisances_of(rows: NDArray[np.int64]) -> Bytes:
    """All else that a picture depends on, (N, 24), uniform in 0..255 and in the order of `NUISANCES`."""
    words = _words(rows, _SCORE_WORDS, _WORDS_A_ROW - _SCORE_WORDS)
    return words.astype("<u8").view(np.uint8)


def possible(attributes: Bytes) -> NDArray[np.bool_]:
    """Which rows (N) of attributes (N, 40) a face can have: those that break none of the `CONDITIONS`."""
    fine = np.ones(len(attributes), dtype=np.bool_)
    for name in CONDITIONS:
        marked = attributes[:, ATTRIBUTES.index(name)] != (name == "No_Beard")
        fine &= ~marked | _eligible(attributes, name)
    return fine
