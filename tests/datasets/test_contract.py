"""What every dataset promises, for every dataset."""

from pathlib import Path

import layouts
import numpy as np
import pytest
import torch
from accelerator import NoWaiting, on_an_accelerator

from disbench.datasets import DATASETS, SOURCES, FactorDataset, load
from disbench.datasets.factors import restrict
from disbench.datasets.storage import store


@pytest.fixture(params=DATASETS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def dataset(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FactorDataset:
    if name in SOURCES:
        layouts.write(name, tmp_path, monkeypatch)
    return load(name, tmp_path)


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


def test_rows_come_as_a_tensor_an_array_a_list_a_slice_or_a_number(dataset: FactorDataset) -> None:
    rows = torch.tensor([0, 1, 2])
    images, factors = dataset.batch(rows), dataset.factors(rows)
    for form in ([0, 1, 2], (0, 1, 2), range(3), slice(3), rows.int(), rows.numpy(), rows.numpy().astype("uint8")):
        assert torch.equal(dataset.batch(form), images)
        assert torch.equal(dataset.factors(form), factors)
    for form in (1, np.int64(1), torch.tensor(1), [1], slice(1, 2)):
        assert torch.equal(dataset.batch(form), images[1:2])
        assert torch.equal(dataset.factors(form), factors[1:2])
    assert torch.equal(dataset.factors(slice(2, None, -1)), factors.flip(0))
    assert len(dataset.batch([])) == 0


@pytest.mark.parametrize(
    "rows",
    [
        0.5,
        [0.5],
        True,
        [True, False],
        "1",
        None,
        [None],
        [[0, 1], [2]],
        [[0, 1]],
        torch.tensor([0.0]),
        np.array([True]),
    ],
)
def test_rows_that_are_no_whole_numbers_are_a_type_error_in_one_line(rows: object) -> None:
    dataset = load("dsprites_like")
    for method in (dataset.batch, dataset.factors):
        with pytest.raises(TypeError) as caught:
            method(rows)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("offset", [0, 5])
def test_rows_outside_are_an_index_error(dataset: FactorDataset, offset: int) -> None:
    for row in (-1 - offset, len(dataset) + offset):
        with pytest.raises(IndexError):
            dataset.batch(torch.tensor([0, row]))
        with pytest.raises(IndexError):
            dataset.batch([0, row])
        with pytest.raises(IndexError):
            dataset.factors(torch.tensor([0, row]))


def test_a_dataset_says_what_it_is(name: str, dataset: FactorDataset) -> None:
    assert dataset.name == name
    assert dataset.version
    assert dataset.provenance == ("official" if name in SOURCES else "procedural")


def test_a_source_says_where_every_file_comes_from() -> None:
    for name, source in SOURCES.items():
        assert source.name == name
        assert source.homepage.startswith("http")
        assert source.licence
        for file in source.files:
            assert file.urls or source.manual
            assert file.checksum.partition(":")[0] in ("md5", "sha256", "")
            assert len(file.checksum.partition(":")[2]) in (32, 64, 0)
        assert not source.stand_in or DATASETS[source.stand_in]


def test_a_missing_file_names_the_command_and_the_stand_in(name: str, tmp_path: Path) -> None:
    if name not in SOURCES:
        pytest.skip("drawn here: there is no file to miss")
    with pytest.raises(FileNotFoundError, match=f"disbench data download {name}") as caught:
        load(name, tmp_path / "nothing")
    assert SOURCES[name].stand_in in str(caught.value)


def test_a_device_is_named_where_the_images_can_be(dataset: FactorDataset) -> None:
    cpu = torch.device("cpu")
    assert dataset.preferred_device(cpu) == cpu
    meta = torch.device("meta")
    assert dataset.preferred_device(meta) in (
        cpu,
        meta,
    )  # no memory is known of it, so files stay; what is drawn is drawn there


def test_a_grid_can_be_restricted_and_anything_else_says_why_not(dataset: FactorDataset, tmp_path: Path) -> None:
    if not dataset.is_grid:
        with pytest.raises(ValueError, match="full grid"):
            load(dataset.name, tmp_path, select={dataset.factor_names[0]: 1})
        return
    first, *others = dataset.factor_names
    part = load(dataset.name, tmp_path, select={first: 1})
    rows = torch.arange(0, len(part), max(1, len(part) // 10))
    assert part.factor_names == tuple(others)
    assert torch.equal(part.batch(rows), dataset.batch(rows + len(part)))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="there are dsprites_like, shapes3d_like"):
        load("dsprite")


@pytest.mark.parametrize("part", [False, True])
def test_a_batch_that_is_made_on_an_accelerator_waits_for_nothing(
    dataset: FactorDataset, part: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "free_memory", lambda device: 2**40)
    if part and dataset.is_grid:
        dataset = restrict(dataset, {dataset.factor_names[0]: 1})
    dataset.batch(torch.arange(2))  # tables that are made once are made
    with on_an_accelerator() as device:
        where = dataset.preferred_device(device)
        assert where == device
        rows = torch.zeros(8, dtype=torch.int64, device=where)
        dataset.batch(rows)  # and moved
        with NoWaiting(device):
            images = dataset.batch(rows)
    assert images.device == device
    assert images.shape == (8, *dataset.image_shape)
