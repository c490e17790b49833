"""Combinations that are held out by name or by a list of ranges: which rows, and what is refused."""

import pytest
import torch

from disbench.datasets import FactorDataset, load
from disbench.datasets.factors.named_splits import FAMILIES, kinds
from disbench.datasets.registry import normal_options


def held_out(dataset: FactorDataset) -> torch.Tensor:
    return dataset.factors(dataset.evaluations["held_out"])


# Shares of the grid by hand, from the filters of Montero et al.: floor_hue >= 0.5 is half of 10 hues, and so on.
SHARES = {
    ("shapes3d_like", "extrapolation_floor_hue"): 1 / 2,
    ("shapes3d_like", "recombination_range_hues"): 2 / 10 * 3 / 10,
    ("shapes3d_like", "recombination_range_floor_hue"): 1 / 4 / 2,
    ("shapes3d_like", "recombination_range_object_hue"): 1 / 4 / 2,
    ("shapes3d_like", "recombination_element"): (2 / 10) ** 3 * 3 / 8 / 4 * 3 / 15,
    ("dsprites_like", "extrapolation_position"): 1 / 2,
    ("dsprites_like", "recombination_range_shape"): 1 / 3 / 2,
    ("dsprites_like", "recombination_element"): 1 / 3 * 4 / 6 * 12 / 40 * (11 / 32) ** 2,
    ("mpi3d_like", "extrapolation_horizontal"): 1 / 2,
    ("mpi3d_like", "extrapolation_color"): 1 / 3,
    ("mpi3d_like", "recombination_range_shape"): 1 / 6 / 2,
    ("mpi3d_like", "recombination_range_color"): 1 / 6 / 2,
    ("mpi3d_like", "recombination_element"): 1 / 36 / 2 / 9 * (4 / 40) ** 2,
    ("shapes3d_like", "composition"): 1 / 2**5 * 7 / 15,
    ("shapes3d_like", "extrapolation"): 1 - (9 / 10) ** 3 * 7 / 8 * 14 / 15,
}


@pytest.mark.parametrize(("name", "split"), SHARES)
def test_a_published_split_holds_out_its_share_and_trains_on_the_rest(name: str, split: str) -> None:
    dataset = load(name, held_out=split)
    rows = dataset.evaluations
    assert len(rows["held_out"]) == round(SHARES[name, split] * len(dataset))
    assert len(rows["held_out"]) + len(rows["trained"]) == len(dataset) == len(rows["trained"]) + len(rows["held_out"])
    assert not set(rows["held_out"][:1000].tolist()) & set(rows["trained"].tolist())


def test_every_published_split_is_tested() -> None:
    assert {split for name, split in SHARES} >= {split for published, _ in FAMILIES.values() for split in published}


def test_recombination_keeps_every_value_in_training_and_extrapolation_does_not() -> None:
    small = {"floor_hue": 0, "wall_hue": 0}
    for split, complete in (("composition", True), ("interpolation", False), ("extrapolation", False)):
        dataset = load("shapes3d_like", select=small, held_out=split)
        training = dataset.factors(dataset.evaluations["trained"])
        seen = [len(column.unique()) for column in training.T]
        assert (tuple(seen) == dataset.factor_sizes) == complete, split


def test_interpolation_holds_out_values_between_others() -> None:
    dataset = load(
        "dsprites_like", select={"orientation": 0, "shape": 0, "position_y": "0-6"}, held_out="interpolation"
    )
    assert dataset.factor_sizes == (6, 32, 7)
    out = held_out(dataset)
    assert ((out == torch.tensor([3, 16, 3])).any(dim=1)).all()
    assert len(out) == 6 * 32 * 7 - 5 * 31 * 6


def test_a_list_of_ranges_holds_out_the_rows_of_any() -> None:
    select = {"orientation": 0, "shape": 0, "position_y": 0}
    rule = [{"scale": 0}, {"scale": "4-5", "position_x": "30-31"}]
    out = held_out(load("dsprites_like", select=select, held_out=rule))
    assert {tuple(row) for row in out.tolist()} == {(0, x) for x in range(32)} | {
        (s, x) for s in (4, 5) for x in (30, 31)
    }
    assert normal_options({"held_out": [{"scale": " 4 - 5 "}]}) == {"held_out": [{"scale": "4-5"}]}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"held_out": "recombination_elements"}, "Did you mean recombination_element"),
        ({"held_out": "recombination_element", "select": {"shape": 0}}, "all values of shape"),
        ({"held_out": "extrapolation_floor_hue", "select": {"floor_hue": "2-9"}}, "all values of floor_hue"),
        ({"held_out": []}, "or the name"),
        ({"held_out": [{"scale": 99}]}, "value indices in 0..7"),
    ],
)
def test_what_is_no_split_is_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        load("shapes3d_like", **options)


def test_a_dataset_without_published_splits_has_the_kinds() -> None:
    dataset = load("graded_like")
    assert set(kinds(dataset)) == {"composition", "interpolation", "extrapolation"}
