"""Published combinations to hold out, by name: Montero et al. 2021, ICLR, "The role of disentanglement in generalization".

The combinations are those of the authors' filters (github.com/mmrl/disent-and-gen at 9b34e90, scripts/configs/datasplits.py), as
value indices. Where a filter there excludes a boundary value from training and from test, it is held out here:

- mpi3d `extrapolation_horizontal`: position 20 is in neither part there. It is held out here.
- dsprites `recombination_element`: the authors' filter compares angles with 120 and 240 degrees, whose names are exchanged, and
  orientation 13 is 120 degrees up to rounding. Orientations 14 to 25 are held out here.

The kinds of Schott et al. 2022 (ICLR, arXiv:2107.08221v4) are defined for every grid: see `kinds`. They are not the rows of the
authors' files, which are random.
"""

from disbench.datasets.factors.dataset import FactorDataset
from disbench.datasets.wording import did_you_mean, listed, shown

Box = dict[str, str | int]

SHAPES3D: dict[str, Box] = {
    "extrapolation_floor_hue": {"floor_hue": "5-9"},
    "recombination_range_hues": {"object_hue": "8-9", "wall_hue": "0-2"},
    "recombination_range_floor_hue": {"shape": 3, "floor_hue": "5-9"},
    "recombination_range_object_hue": {"shape": 3, "object_hue": "5-9"},
    "recombination_element": {
        "floor_hue": "8-9", "wall_hue": "8-9", "object_hue": "8-9", "scale": "5-7", "shape": 1, "orientation": "12-14",
    },
}  # fmt: skip
DSPRITES: dict[str, Box] = {
    "extrapolation_position": {"position_x": "16-31"},
    "recombination_range_shape": {"shape": 0, "position_x": "16-31"},
    "recombination_element": {
        "shape": 1, "scale": "2-5", "orientation": "14-25", "position_x": "21-31", "position_y": "21-31",
    },
}  # fmt: skip
MPI3D: dict[str, Box] = {
    "extrapolation_horizontal": {"horizontal_axis": "20-39"},
    "extrapolation_color": {"object_color": "4-5"},
    "recombination_range_shape": {"object_shape": 2, "horizontal_axis": "0-19"},
    "recombination_range_color": {"object_color": 2, "horizontal_axis": "0-19"},
    "recombination_element": {
        "object_color": 5, "object_shape": 2, "object_size": 1, "camera_height": 1, "background_color": 1,
        "horizontal_axis": "36-39", "vertical_axis": "36-39",
    },
}  # fmt: skip
FAMILIES: dict[str, tuple[dict[str, Box], dict[str, int]]] = {
    "shapes3d": (
        SHAPES3D,
        {"floor_hue": 10, "wall_hue": 10, "object_hue": 10, "scale": 8, "shape": 4, "orientation": 15},
    ),
    "dsprites": (DSPRITES, {"shape": 3, "scale": 6, "orientation": 40, "position_x": 32, "position_y": 32}),
    "mpi3d": (
        MPI3D,
        {
            "object_color": 6, "object_shape": 6, "object_size": 2, "camera_height": 3, "background_color": 3,
            "horizontal_axis": 40, "vertical_axis": 40,
        },
    ),
}  # fmt: skip
ORDERED = 5  # values from which on a factor counts as ordered in `kinds`


def kinds(dataset: FactorDataset) -> dict[str, list[Box]]:
    """List what each kind of Schott et al. holds out of a dataset, as boxes.

    composition: every factor of two values or more in its upper half, so that each value is trained on. interpolation: the
    middle value of any factor of five values or more. extrapolation: the highest value of any such factor.
    """
    sizes = dict(zip(dataset.factor_names, dataset.factor_sizes, strict=True))
    ordered = {name: size for name, size in sizes.items() if size >= ORDERED}
    found: dict[str, list[Box]] = {
        "composition": [{name: f"{(size + 1) // 2}-{size - 1}" for name, size in sizes.items() if size > 1}]
    }
    if ordered:
        found["interpolation"] = [{name: size // 2} for name, size in ordered.items()]
        found["extrapolation"] = [{name: size - 1} for name, size in ordered.items()]
    return found


def named_split(dataset: FactorDataset, name: str) -> list[Box]:
    """Find the boxes that a name holds out of a dataset.

    Raises ValueError if there is no such name, or its value indices mean others in this dataset, as after `select`.
    """
    family = next((family for family in FAMILIES if dataset.name.startswith(family)), None)
    published, sizes = ({}, {}) if family is None else FAMILIES[family]
    known = [*published, *kinds(dataset)]
    if name not in known:
        raise ValueError(
            f"{dataset.name} has no combinations named {shown(name)} to hold out; it has {listed(known)}."
            f"{did_you_mean(name, known)}"
        )
    if name not in published:
        return kinds(dataset)[name]
    box = published[name]
    here = dict(zip(dataset.factor_names, dataset.factor_sizes, strict=True))
    if changed := [factor for factor in box if here.get(factor) != sizes[factor]]:
        raise ValueError(
            f"held_out={name} needs all values of {listed(changed)}, which this {dataset.name} lacks. Give ranges of your own."
        )
    return [box]
