import math
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st

from disbench.datasets import FactorDataset, FactorSpace, load, restrict
from disbench.datasets.factors import selection

SIZES = st.lists(st.integers(1, 7), min_size=1, max_size=6)
DSPRITES = load("dsprites_like")


def space_of(sizes: list[int]) -> FactorSpace:
    return FactorSpace(tuple(f"factor_{position}" for position in range(len(sizes))), tuple(sizes))


@given(SIZES)
def test_index_and_factors_are_inverse_on_the_whole_grid(sizes: list[int]) -> None:
    space = space_of(sizes)
    indices = torch.arange(len(space))
    factors = space.factors(indices)
    assert len(space) == math.prod(sizes)
    assert factors.dtype == torch.int64
    assert factors.shape == (len(space), len(sizes))
    assert torch.equal(space.indices(factors), indices)


@given(SIZES)
def test_rows_are_the_cartesian_product_with_the_last_factor_fastest(sizes: list[int]) -> None:
    product = torch.cartesian_prod(*(torch.arange(size) for size in sizes)).view(-1, len(sizes))
    assert torch.equal(space_of(sizes).factors(torch.arange(math.prod(sizes))), product)


def test_index_arithmetic_is_exact_beyond_what_floats_hold() -> None:
    space = FactorSpace(("a", "b", "c"), (2**20, 2**21, 2**21 + 1))
    indices = torch.tensor([len(space) - 1, len(space) - 2, 2**53 + 1])
    assert torch.equal(space.indices(space.factors(indices)), indices)
    assert space.factors(indices)[0].tolist() == [2**20 - 1, 2**21 - 1, 2**21]


@pytest.mark.parametrize("index", [-1, 6])
def test_an_index_outside_the_grid_is_an_index_error(index: int) -> None:
    with pytest.raises(IndexError, match=r"0\.\.5"):
        space_of([2, 3]).factors(torch.tensor([0, index]))


def test_factors_outside_the_grid_are_an_index_error_that_names_the_factor() -> None:
    with pytest.raises(IndexError, match=r"factor_1 needs values in 0\.\.2, got 3 in row 1"):
        space_of([2, 3]).indices(torch.tensor([[1, 2], [1, 3]]))


@pytest.mark.parametrize("indices", [torch.tensor([0.0]), torch.tensor([True]), torch.zeros(1, 1).long()])
def test_indices_of_another_type_or_shape_are_a_type_error(indices: torch.Tensor) -> None:
    with pytest.raises(TypeError, match="1-d int64"):
        space_of([2, 3]).factors(indices)


@pytest.mark.parametrize(("names", "sizes"), [(("a",), (2, 3)), (("a", "a"), (2, 3)), (("a",), (0,)), ((), ())])
def test_a_space_without_a_name_and_a_value_each_is_refused(names: tuple[str, ...], sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="factor space needs"):
        FactorSpace(names, sizes)


def test_a_restriction_shows_the_parents_images_and_factors() -> None:
    part = restrict(
        DSPRITES,
        {"shape": 1, "scale": "0-5", "orientation": "0-9", "position_x": "6-25", "position_y": "11-20"},
    )
    assert part.factor_names == ("scale", "orientation", "position_x", "position_y")
    assert part.factor_sizes == (6, 10, 20, 10)
    assert len(part) == 12_000
    indices = torch.randint(len(part), (200,), generator=torch.Generator().manual_seed(0))
    own = part.factors(indices)
    whole = torch.cat((torch.ones(200, 1, dtype=torch.int64), own + torch.tensor([0, 0, 6, 11])), dim=1)
    assert torch.equal(part.batch(indices), DSPRITES.batch(DSPRITES.space.indices(whole)))
    assert (part.name, part.version, part.provenance) == (DSPRITES.name, DSPRITES.version, DSPRITES.provenance)


def test_a_restriction_of_a_restriction_counts_from_the_first() -> None:
    outer = restrict(DSPRITES, {"position_x": "4-20", "orientation": 3})
    inner = restrict(outer, {"position_x": "2-5"})
    direct = restrict(DSPRITES, {"position_x": "6-9", "orientation": "3"})
    indices = torch.arange(0, len(direct), 7)
    assert inner.factor_sizes == direct.factor_sizes == (3, 6, 4, 32)
    assert torch.equal(inner.batch(indices), direct.batch(indices))


def test_load_restricts_any_dataset() -> None:
    assert load("shapes3d_like", select={"floor_hue": 0, "wall_hue": "8 - 9"}).factor_sizes == (2, 10, 8, 4, 15)


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ({"colour": 1}, "no factor colour; it has shape, scale, orientation, position_x, position_y"),
        ({"scale": "0-6"}, r"scale of dsprites_like needs value indices in 0\.\.5, got '0-6'"),
        ({"scale": 6}, r"0\.\.5"),
        ({"scale": "3-1"}, "lower end first"),
        ({"scale": "1:3"}, "inclusive range like"),
        ({"scale": -1}, "inclusive range like"),
        ({"scale": True}, "inclusive range like"),
        ({"scale": ""}, "inclusive range like"),
        (dict.fromkeys(DSPRITES.factor_names, 0), "leaves one image"),
    ],
)
def test_a_selection_that_makes_no_sense_is_explained(select: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        restrict(DSPRITES, select)


def test_a_set_that_is_no_grid_cannot_be_restricted(sprites: FactorDataset) -> None:
    class Loose(type(DSPRITES)):  # type: ignore[misc]
        is_grid = False

    with pytest.raises(ValueError, match="full grid"):
        restrict(Loose(), {"scale": 1})


def test_a_restricted_set_checks_its_own_bounds(sprites: FactorDataset) -> None:
    with pytest.raises(IndexError):
        sprites.batch(torch.tensor([len(sprites)]))


class Counted(type(DSPRITES)):  # type: ignore[misc]
    """Knows how many images it has drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = 0

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        self.drawn += len(indices)
        return super().batch(indices)


SMALL_BOX = {"shape": "0-2", "scale": 5, "orientation": "0-9", "position_x": "6-9", "position_y": 11}  # 120 images


def test_a_small_box_that_is_kept_is_drawn_once_and_shows_the_same_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "DRAWN_AT_ONCE", 50)
    parent = Counted()
    part = restrict(parent, SMALL_BOX)
    indices = torch.randint(len(part), (100,), generator=torch.Generator().manual_seed(0))
    first = part.batch(indices)
    assert parent.drawn == 100
    for _ in range(2):
        part.preload()
        again = part.batch(indices)
        assert parent.drawn == 100 + 120
        assert torch.equal(again, first)
        again.zero_()  # the caller's own
    for outside in (len(part), -1):
        with pytest.raises(IndexError, match=r"0\.\.119"):
            part.batch(torch.tensor([outside]))
    for wrong in (torch.tensor([1.0]), torch.tensor([[1]])):
        with pytest.raises(TypeError, match="1-d int64"):
            part.batch(wrong)
    assert len(pickle.dumps(part)) < 10_000
    assert torch.equal(pickle.loads(pickle.dumps(part)).batch(indices), first)


@pytest.mark.parametrize(
    ("provenance", "room", "kept"), [("procedural", 0, True), ("procedural", -1, False), ("official", 0, False)]
)
def test_what_is_large_or_comes_from_a_file_is_not_kept(
    provenance: str, room: int, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "KEPT_BYTES", 120 * 64 * 64 + room)
    parent = Counted()
    parent.provenance = provenance
    part = restrict(parent, SMALL_BOX)
    part.preload()
    part.batch(torch.arange(100))
    assert parent.drawn == (120 if kept else 100)


def test_what_is_kept_is_not_moved_to_an_accelerator() -> None:
    part = restrict(DSPRITES, SMALL_BOX)
    part.preload()
    assert part.preferred_device(torch.device("meta")) == torch.device("meta")
    assert part.batch(torch.zeros(5, dtype=torch.int64, device="meta")).device.type == "meta"
