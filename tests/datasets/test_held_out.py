"""Rows that are not trained on: which they are, and that the training part is all the others."""

import pickle

import pytest
import torch

from disbench.datasets import load
from disbench.datasets.registry import check_options, normal_options

SMALL = {"shape": 1, "orientation": 0, "position_x": "0-7", "position_y": "0-7"}


def split(held_out: object, **options: object):
    return load("dsprites_like", select=SMALL, held_out=held_out, **options)


def test_the_rows_in_all_ranges_are_held_out_and_only_they() -> None:
    dataset = split({"scale": "4-5", "position_x": 7})
    rows = dataset.evaluations
    scale, x, _ = dataset.factors(torch.arange(len(dataset))).unbind(1)
    expected = {(s, p) for s in (4, 5) for p in (7,)}
    held = rows["held_out"]
    assert {(int(s), int(p)) for s, p in zip(scale[held], x[held], strict=True)} == expected
    assert len(held) == 2 * 8
    assert torch.equal(torch.cat(list(rows.values())).sort().values, torch.arange(len(dataset)))


def test_the_training_part_has_the_pictures_and_factors_of_its_rows() -> None:
    dataset = split({"scale": "4-5"})
    part, rows = dataset.training, dataset.evaluations["trained"]
    assert len(part) == len(rows) == 4 * 64
    some = torch.tensor([0, 17, len(part) - 1])
    assert torch.equal(part.batch(some), dataset.batch(rows[some]))
    assert torch.equal(part.factors(some), dataset.factors(rows[some]))
    assert part.factors(torch.arange(len(part)))[:, 0].max() == 3
    again = pickle.loads(pickle.dumps(part))
    assert torch.equal(again.batch(some), part.batch(some))


def test_a_share_is_drawn_once_whatever_the_process() -> None:
    one, other = split(0.25).evaluations, split(0.25).evaluations
    assert torch.equal(one["held_out"], other["held_out"])
    assert len(one["held_out"]) == 96
    assert len(one["held_out"]) + len(one["trained"]) == 384
    assert one["held_out"].diff().unique().numel() > 1  # not a block of rows


def test_a_dataset_without_held_out_rows_is_its_own_training_part() -> None:
    dataset = load("dsprites_like", select=SMALL)
    assert dataset.training is dataset
    assert dataset.evaluations == {"all": None}


@pytest.mark.parametrize(
    ("held_out", "reason"),
    [
        (1.5, "a share between 0 and 1"),
        (True, "a share between 0 and 1"),
        ("scale", "no combinations named .scale. to hold out"),
        ({}, "by ranges of factors"),
        ({"scael": 1}, "Did you mean scale"),
        ({"scale": 6}, "value indices in 0..5"),
        ({"scale": "5-4"}, "lower end first"),
        ({"scale": "0-5"}, "0 rows of dsprites_like to train on"),
        (0.0001, "0 to hold out"),
    ],
)
def test_what_holds_out_nothing_or_everything_is_refused(held_out: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        split(held_out)


def test_one_spelling_decides_a_trial() -> None:
    assert normal_options({"held_out": {"scale": "4 - 4"}}) == normal_options({"held_out": {"scale": 4}})


def test_every_dataset_takes_the_option_and_says_so() -> None:
    with pytest.raises(ValueError, match="Did you mean held_out"):
        check_options("dsprites_like", {"heldout": 0.1})
