"""What every dataset promises, for every dataset."""

from pathlib import Path

import layouts
import pytest
import torch

from disbench.datasets import DATASETS, SOURCES, FactorDataset, load


@pytest.fixture(params=DATASETS)
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> FactorDataset:
    if request.param in SOURCES:
        layouts.write(request.param, tmp_path)
    return load(request.param, tmp_path)


def some_rows(dataset: FactorDataset, count: int) -> torch.Tensor:
    return torch.randint(len(dataset), (count,), generator=torch.Generator().manual_seed(3))


def test_images_are_bytes_that_span_0_to_255(dataset: FactorDataset) -> None:
    images = dataset.batch(some_rows(dataset, 40))
    assert images.dtype == torch.uint8
    assert images.shape == (40, *dataset.image_shape)
    assert images.min() == 0
    assert images.max() == 255


def test_factors_are_int64_and_within_their_sizes(dataset: FactorDataset) -> None:
    factors = dataset.factors(some_rows(dataset, 40))
    assert factors.dtype == torch.int64
    assert factors.shape == (40, len(dataset.factor_names))
    assert len(dataset.factor_names) == len(dataset.factor_sizes)
    assert (factors >= 0).all()
    assert (factors < torch.tensor(dataset.factor_sizes)).all()


def test_a_row_is_the_same_picture_alone_in_a_batch_and_again(dataset: FactorDataset) -> None:
    rows = some_rows(dataset, 40)
    images = dataset.batch(rows)
    assert torch.equal(images, dataset.batch(rows))
    assert torch.equal(images, torch.cat([dataset.batch(row[None]) for row in rows]))


def test_an_empty_batch_is_empty(dataset: FactorDataset) -> None:
    nothing = torch.empty(0, dtype=torch.int64)
    assert dataset.batch(nothing).shape == (0, *dataset.image_shape)
    assert dataset.factors(nothing).shape == (0, len(dataset.factor_names))


@pytest.mark.parametrize("offset", [0, 5])
def test_rows_outside_are_an_index_error(dataset: FactorDataset, offset: int) -> None:
    for row in (-1 - offset, len(dataset) + offset):
        with pytest.raises(IndexError):
            dataset.batch(torch.tensor([0, row]))
        with pytest.raises(IndexError):
            dataset.factors(torch.tensor([0, row]))


def test_a_dataset_says_what_it_is(dataset: FactorDataset, request: pytest.FixtureRequest) -> None:
    assert DATASETS[dataset.name] is type(dataset)
    assert dataset.version
    assert dataset.provenance == ("procedural" if dataset.name.endswith("_like") else "official")


def test_any_grid_can_be_restricted(dataset: FactorDataset, tmp_path: Path) -> None:
    first, *others = dataset.factor_names
    part = load(dataset.name, tmp_path, select={first: 1})
    rows = torch.arange(0, len(part), len(part) // 10)
    assert part.factor_names == tuple(others)
    assert torch.equal(part.batch(rows), dataset.batch(rows + len(part)))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="dsprites_like, shapes3d_like, dsprites"):
        load("dsprite")
