"""Pairs of rows: the law of what differs, on grids and on parts of them."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats

from disbench.datasets import FactorDataset, FactorSpace, load
from disbench.datasets.factors import PairSampler, hold_out, pairs

DRAWS = 1_000_000


class Grid(FactorDataset):
    """Factors of 3, 2, 1 and 4 values."""

    name, version, provenance, image_shape = "grid", "1", "own", (1, 2, 2)
    space = FactorSpace(("a", "b", "one", "c"), (3, 2, 1, 4))

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        return self.factors(indices).to(torch.uint8).view(-1, 1, 2, 2)


def drawn(sampler: PairSampler, start: int, count: int = DRAWS) -> np.ndarray:
    """How often each row is the partner of the row `start`."""
    partners = sampler(torch.full((count,), start), torch.Generator().manual_seed(start))
    return partners.bincount(minlength=len(sampler.dataset)).numpy()


def fits(counts: np.ndarray, law: np.ndarray) -> bool:
    """Whether counts agree with probabilities, by a chi-square test; what has no probability must not occur."""
    assert counts[law == 0].sum() == 0
    there = law > 0
    return bool(stats.chisquare(counts[there], law[there] / law.sum() * counts.sum()).pvalue > 1e-3)


def number_of_changes(dataset: FactorDataset, start: int) -> np.ndarray:
    values = dataset.factors(torch.arange(len(dataset)))
    return (values != values[start]).sum(1).numpy()


@pytest.mark.parametrize(("start", "changed"), [(0, 1), (5, 2), (23, 3)])
def test_partners_follow_the_uniform_law(start: int, changed: int) -> None:
    dataset = Grid()
    # Each set of factors alike, then each combination of other values: 2, 1 and 3 other values of a, b and c.
    values = dataset.factors(torch.arange(len(dataset))).numpy()
    differ = values != values[start]
    law = np.where(differ.sum(1) == changed, 1 / np.where(differ, (2, 1, 1, 3), 1).prod(1), 0.0)
    assert fits(drawn(PairSampler(dataset, changed), start), law)


def test_the_number_of_changes_is_uniform_below_the_number_of_factors_that_vary() -> None:
    dataset = Grid()
    counts = drawn(PairSampler(dataset, None), 7)
    by_number = np.bincount(number_of_changes(dataset, 7), weights=counts, minlength=4)
    assert fits(by_number, np.array([0.0, 0.5, 0.5, 0.0]))


@pytest.mark.parametrize("rate", [1.0, 4.0])
def test_partners_follow_the_laplace_law(rate: float) -> None:
    dataset, start = Grid(), 10
    origin = dataset.factors(torch.tensor([start]))[0].tolist()
    moves = []  # of each factor, the probability of each new value
    for size, old in zip((3, 2, 4), (origin[0], origin[1], origin[3]), strict=True):
        weights = np.array([math.exp(-rate * abs(new - old) / math.log(size)) for new in range(size)])
        moves.append(weights / weights.sum())
    law = np.zeros((3, 2, 4))
    for new in product(range(3), range(2), range(4)):
        law[new] = moves[0][new[0]] * moves[1][new[1]] * moves[2][new[2]]
    here = (origin[0], origin[1], origin[3])
    stuck, law[here] = law[here], 0.0
    for place, move in enumerate(moves):  # one factor moves by its law without the old value
        other = move.copy()
        other[here[place]] = 0.0
        for value, probability in enumerate(other / other.sum()):
            law[*here[:place], value, *here[place + 1 :]] += stuck * probability / 3
    assert fits(drawn(PairSampler(dataset, None, "laplace", rate), start), law.ravel())


def test_on_part_of_a_grid_partners_are_the_rows_that_are_there() -> None:
    part = hold_out(Grid(), {"a": "0-1", "c": "0-2"}).training
    assert not part.is_grid
    for changed in (1, 2, 3):
        for start in (0, 3, 11):
            differ = number_of_changes(part, start) == changed
            if differ.any():
                counts = drawn(PairSampler(part, changed), start, 20_000)
                assert counts[~differ].sum() == 0
                # Proposals are uniform over sets of factors and values, so rows are weighted by their set's size.
                values = part.factors(torch.arange(len(part))).numpy()
                law = np.where(differ, 1 / np.where(values != values[start], (2, 1, 1, 3), 1).prod(1), 0.0)
                assert fits(counts, law)


def test_a_partner_that_does_not_exist_is_refused_and_not_replaced() -> None:
    few = Grid()
    few.labels = torch.tensor([[0, 0, 0, 0], [1, 1, 0, 1], [2, 1, 0, 1]])
    sampler, generator = PairSampler(few, 3), torch.Generator().manual_seed(0)
    assert sampler(torch.zeros(50, dtype=torch.int64), generator).unique().tolist() == [1, 2]
    assert sampler(torch.tensor([1, 2]), generator).tolist() == [0, 0]
    with pytest.raises(
        ValueError, match=r"no image that differs in 2 factors from the one with the values \[0, 0, 0, 0\]"
    ):
        PairSampler(few, 2)(torch.tensor([0]), generator)


@pytest.mark.parametrize(
    ("changed", "law", "rate"),
    [(1, "uniform", 1.0), (2, "uniform", 1.0), (None, "laplace", 1.0), (None, "laplace", 4.0)],
)
def test_among_all_rows_partners_have_the_law_of_the_proposals(
    changed: int | None, law: str, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = hold_out(Grid(), {"a": "0-1", "c": "0-2"}).training
    sampler = PairSampler(part, changed, law, rate)
    proposed = drawn(sampler, 3, 20_000)
    monkeypatch.setattr(pairs, "PROPOSALS", 0)
    # A row without a place takes the way through all rows, which no proposal then shortens.
    monkeypatch.setattr(sampler, "_row_of", torch.full_like(sampler._row_of, -1))
    listed = drawn(sampler, 3, 4_000)
    there = proposed + listed > 0
    assert stats.chi2_contingency(np.stack([proposed, listed])[:, there]).pvalue > 1e-3


def test_a_rare_partner_is_found_among_all_rows() -> None:
    dataset = load("shapes3d_like", select={"floor_hue": "0-9", "wall_hue": "0-9"})
    rare = Grid()
    rare.space = dataset.space
    rare.labels = dataset.factors(torch.tensor([0, len(dataset) - 1, len(dataset) - 2]))
    number = int((rare.labels[0] != rare.labels[1]).sum())
    assert PairSampler(rare, number)(torch.tensor([0]), torch.Generator().manual_seed(0)).item() in (1, 2)


def test_wrong_options_are_refused() -> None:
    for options, words in (
        ({"law": "normal"}, "uniform, laplace, got 'normal'"),
        ({"rate": 0.0}, "above 0, got 0"),
        ({"changed": 4}, "has 3"),
    ):
        with pytest.raises(ValueError, match=words):
            PairSampler(Grid(), **options)
