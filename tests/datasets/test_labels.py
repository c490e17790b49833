"""Rows with labels: which, how balanced, and what is wrong with them."""

import pytest
import torch

from disbench.datasets import FactorDataset, FactorSpace
from disbench.datasets.factors import LabelledRows, labelled_rows


class Grid(FactorDataset):
    name, version, provenance, image_shape = "grid", "1", "own", (1, 2, 2)
    space = FactorSpace(("a", "b", "c", "one"), (7, 3, 10, 1))

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


def draw(count: int = 50, seed: int = 0, **options: object) -> LabelledRows:
    return labelled_rows(Grid(), count, torch.Generator().manual_seed(seed), **options)


def test_rows_are_distinct_have_their_own_labels_and_fewer_are_the_first_of_more() -> None:
    found = draw()
    assert len(set(found.rows.tolist())) == 50
    assert torch.equal(found.labels, Grid().factors(found.rows))
    assert found.sizes == (7, 3, 10, 1)
    assert torch.equal(draw(20).rows, found.rows[:20])
    assert not torch.equal(draw(seed=1).rows, found.rows)
    assert torch.equal(draw().rows, found.rows)


@pytest.mark.parametrize("count", [1, 6, 21, 50, 105, 106, 150, 209, 210])
def test_balanced_rows_are_distinct_and_each_value_occurs_as_often_or_once_more(count: int) -> None:
    for seed in range(3):
        found = draw(count, seed, balanced=True)
        assert len(set(found.rows.tolist())) == count
        assert torch.equal(found.labels, Grid().factors(found.rows))
        for column, size in zip(found.labels.T, found.sizes, strict=True):
            counts = column.bincount(minlength=size)
            assert set(counts.tolist()) <= {count // size, -(-count // size)}


def test_balanced_rows_are_all_equally_likely() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [labelled_rows(Grid(), 10, generator, balanced=True).rows for _ in range(2000)]
    counts = torch.cat(drawn).bincount(minlength=210)
    assert (counts / 20_000 * 210 - 1).abs().max() < 0.5  # five standard errors
    assert not all(torch.equal(rows.sort().values, rows) for rows in drawn)


def test_permuted_labels_name_the_same_values_otherwise() -> None:
    plain, found = draw(200), draw(200, noise="permuted")
    assert torch.equal(plain.rows, found.rows)
    for one, other, size in zip(plain.labels.T, found.labels.T, found.sizes, strict=True):
        pairs = set(zip(one.tolist(), other.tolist(), strict=True))
        assert len(pairs) == size == len({other for _, other in pairs})  # one to one
    assert not torch.equal(plain.labels, found.labels)


def test_binned_labels_are_few_equally_wide_and_in_order() -> None:
    plain, found = draw(200), draw(200, noise="binned", noise_level=5)
    assert found.sizes == (5, 3, 5, 1)
    assert torch.equal(found.labels[:, 2], plain.labels[:, 2] // 2)
    assert torch.equal(found.labels[:, 1], plain.labels[:, 1])
    of_seven = dict(sorted(set(zip(plain.labels[:, 0].tolist(), found.labels[:, 0].tolist(), strict=True))))
    # The authors' rule, min(v // (n / bins), bins - 1), of n = 7 and 5 bins
    assert of_seven == {0: 0, 1: 0, 2: 1, 3: 2, 4: 2, 5: 3, 6: 4}
    assert draw(noise="binned").sizes == (5, 3, 5, 1)


@pytest.mark.parametrize(("noise", "share"), [("missing", 0.5), ("missing", 0.2), ("noisy", 0.1), ("noisy", 0.6)])
def test_so_many_labels_are_missing_or_random(noise: str, share: float) -> None:
    default = {"missing": 0.5, "noisy": 0.1}[noise]
    plain, found = draw(210), draw(210, noise=noise, noise_level=None if share == default else share)
    changed = (plain.labels != found.labels).float().mean(0)
    if noise == "missing":
        assert set(found.labels[plain.labels != found.labels].tolist()) == {-1}
        assert (changed - share).abs().max() < 0.15
    else:
        right = torch.tensor([1 - 1 / size for size in found.sizes])  # a random value may be the right one
        assert (changed - share * right).abs().max() < 0.15
        assert all(0 <= column.min() <= column.max() < n for column, n in zip(found.labels.T, found.sizes, strict=True))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"count": 211}, "has 210 images, so 1 to 210"),
        ({"count": 0}, "got 0"),
        ({"noise": "rough"}, "permuted, binned, noisy.* got 'rough'"),
        ({"noise": "binned", "noise_level": 1}, "whole number of 2 or more"),
        ({"noise": "binned", "noise_level": 2.5}, "whole number of 2 or more"),
        ({"noise": "missing", "noise_level": 1.5}, "probability from 0 to 1, got 1.5"),
        ({"noise": "permuted", "noise_level": 0.5}, "no noise level"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        draw(**options)


def test_balanced_labels_need_a_grid() -> None:
    loose = Grid()
    loose.labels = loose.space.factors(torch.arange(100))
    with pytest.raises(ValueError, match="grid with these options is not one"):
        labelled_rows(loose, 5, torch.Generator(), balanced=True)
