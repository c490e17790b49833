"""Correlated training sets: the law that rows are drawn by, the published sets, and what is refused."""

import math
import pickle

import pytest
import torch
from scipy.stats import chisquare

from disbench.benchmarks.training.batches import weighted_batches
from disbench.datasets import load
from disbench.datasets.factors import correlate
from disbench.datasets.factors.correlated import FAMILIES
from disbench.datasets.factors.weighted_rows import AliasTable
from disbench.datasets.registry import normal_options

HUES = {"scale": 0, "shape": 0, "orientation": 0}
PLACES = {"shape": 0, "scale": 0, "orientation": 0}
CPU = torch.device("cpu")


def draws(weights: torch.Tensor, count: int) -> torch.Tensor:
    batches = weighted_batches(weights, 1000, torch.Generator().manual_seed(1), CPU)
    return torch.cat([next(batches) for _ in range(count // 1000)])


def test_a_million_rows_follow_the_law() -> None:
    dataset = load("shapes3d_like", select=HUES, correlated={"pairs": ["floor_hue", "wall_hue"], "width": 0.5}).training
    counts = draws(dataset.weights, 1_000_000).bincount(minlength=len(dataset)).double()
    table = counts.view(10, 10, 10)  # floor, wall, object
    # The object's hue is uniform and independent; of floor and wall, only the distance of the values counts.
    assert chisquare(table.sum((0, 1))).pvalue > 0.001
    distance = (torch.arange(10)[:, None] - torch.arange(10)).abs()
    odds = {0: 1.0, 3: math.exp(-2 / 9), 9: math.exp(-2.0)}  # by hand: (3/9)^2 / (2 * 0.25) = 2/9
    mean = {step: float(table.sum(2)[distance == step].mean()) for step in odds}
    for step, expected in odds.items():
        assert mean[step] / mean[0] == pytest.approx(expected, rel=0.02)
    likely = counts.sum() * dataset.weights
    assert chisquare(counts.numpy(), likely.numpy()).pvalue > 0.001
    assert chisquare(counts.numpy()).pvalue < 1e-9  # of uniform draws


@pytest.mark.parametrize(("width", "rms"), [(0.1, 0.0956), (0.04, 0.0394), (1e6, math.sqrt(1 / 6 * 33 / 31))])
def test_the_width_is_the_spread_of_the_difference(width: float, rms: float) -> None:
    # On the unit square the density of a difference d is (1 - |d|) times the Gaussian, so
    # E d^2 = width^2 (1 - 2 e) / (1 - e) with e = width sqrt(2 / pi). Without a correlation it is 1/6, or 33/31 of that on
    # 32 values.
    dataset = load("dsprites_like", select=PLACES, correlated={"pairs": ["position_x", "position_y"], "width": width})
    weights = dataset.training.weights
    x, y = dataset.factors(torch.arange(len(dataset))).double().div(31).unbind(1)
    assert float((weights * (x - y) ** 2).sum().sqrt()) == pytest.approx(rms, rel=0.01)
    drawn = draws(weights, 200_000)
    assert float(((x - y)[drawn] ** 2).mean().sqrt()) == pytest.approx(rms, rel=0.02)


def test_several_pairs_multiply_and_all_means_every_other_factor() -> None:
    select = {"orientation": 0, "scale": "0-1", "shape": "0-1"}
    options = {"floor_hue": 0, "object_hue": "0-1", "wall_hue": "0-1"}
    dataset = load("shapes3d_like", select=select | options)
    one = correlate(dataset, {"pairs": [["shape", "scale"], ["object_hue", "wall_hue"]], "width": 1}).training.weights
    every = correlate(dataset, {"pairs": ["shape", "all"], "width": 1}).training.weights
    factors = dataset.factors(torch.arange(16))  # wall, object, scale, shape
    row = {tuple(values): position for position, values in enumerate(factors.tolist())}
    half = math.exp(-0.5)  # of one pair that differs, with width 1
    assert float(one[row[0, 0, 0, 1]] / one[row[0, 0, 0, 0]]) == pytest.approx(half)
    assert float(one[row[0, 1, 0, 1]] / one[row[0, 0, 0, 0]]) == pytest.approx(half**2)
    assert float(one[row[1, 1, 0, 0]] / one[row[0, 0, 0, 0]]) == pytest.approx(1)
    assert float(every[row[0, 0, 0, 1]] / every[row[0, 0, 0, 0]]) == pytest.approx(half**3)
    assert float(every[row[1, 0, 1, 1]] / every[row[0, 0, 0, 0]]) == pytest.approx(half)
    assert float(one.sum()) == pytest.approx(1)


@pytest.mark.parametrize("power", [0, 1, 30])
def test_the_alias_table_has_the_probabilities_that_it_was_made_of(power: int) -> None:
    weights = torch.rand(999, generator=torch.Generator().manual_seed(power), dtype=torch.float64) ** power
    weights[::7] = 0
    table = AliasTable(weights)
    assert torch.allclose(table.probabilities(), weights / weights.sum(), rtol=0, atol=1e-12)
    assert (weights[table.rows(table.random(50_000, torch.Generator().manual_seed(0)))] > 0).all()


def test_skipped_minibatches_are_those_that_come_first() -> None:
    weights = torch.rand(50, dtype=torch.float64)
    whole = weighted_batches(weights, 9_000, torch.Generator().manual_seed(4), CPU)
    rows = [next(whole) for _ in range(20)]
    for skip in (1, 7, 15):  # 7 minibatches are drawn together
        later = weighted_batches(weights, 9_000, torch.Generator().manual_seed(4), CPU, skip)
        assert torch.equal(next(later), rows[skip])
        assert torch.equal(next(later), rows[skip + 1])


def test_scores_are_of_all_rows_and_of_rows_as_training_draws_them() -> None:
    dataset = load("shapes3d_like", select=HUES, correlated="single_1")
    assert list(dataset.evaluations) == ["all", "correlated"]
    rows = dataset.evaluations["correlated"]
    assert len(rows) == len(dataset)
    floor, wall, _ = dataset.factors(rows).double().unbind(1)
    assert torch.corrcoef(torch.stack([floor, wall]))[0, 1] > 0.9
    again = pickle.loads(pickle.dumps(load("shapes3d_like", select=HUES, correlated="single_1")))
    assert torch.equal(again.evaluations["correlated"], rows)
    some = torch.tensor([5, 0])
    assert torch.equal(again.training.batch(some), load("shapes3d_like", select=HUES).batch(some))


def test_held_out_rows_have_no_weight() -> None:
    dataset = load("shapes3d_like", select=HUES, held_out={"wall_hue": "0-4"}, correlated="single_1")
    assert list(dataset.evaluations) == ["trained", "held_out", "correlated"]
    training = dataset.training
    assert len(training.weights) == len(training) == 500
    assert training.factors(torch.arange(500))[:, 1].min() == 5
    assert dataset.factors(dataset.evaluations["correlated"])[:, 1].min() == 5


@pytest.mark.parametrize(
    ("name", "family"), [("shapes3d_like", "shapes3d"), ("mpi3d_like", "mpi3d"), ("dsprites_like", "dsprites")]
)
def test_stand_ins_take_every_published_set(name: str, family: str) -> None:
    dataset = load(name)
    for published in FAMILIES[family]:
        pairs = correlate(dataset, published)
        assert len(pairs.training.weights) == len(dataset)
    wide, narrow = (correlate(dataset, {"published": "single_1", "width": width}) for width in (10, 0.1))
    assert wide.training.weights.max() < narrow.training.weights.max()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("single_9", "Did you mean single_"),
        ({"pairs": ["floor_hue", "wall_hue"]}, "width greater than 0"),
        ({"pairs": ["floor_hue", "wall_hue"], "width": 0}, "width greater than 0"),
        ({"pairs": ["floor_hue", "wall_hue"], "width": True}, "width greater than 0"),
        ({"pairs": ["floor_hue", "wal_hue"], "width": 1}, "Did you mean wall_hue"),
        ({"pairs": ["floor_hue", "floor_hue"], "width": 1}, "two different factors"),
        ({"pairs": ["floor_hue", "scale"], "width": 1}, "that varies"),
        ({"pairs": ["floor_hue"], "width": 1}, "two factors in each pair"),
        ({"pairs": [], "width": 1}, "two factors"),
        ({"pairs": ["floor_hue", "wall_hue"], "published": "single_1"}, "name of a published set"),
        ({"factors": ["floor_hue", "wall_hue"], "width": 1}, "name of a published set"),
        (0.5, "name of a published set"),
    ],
)
def test_what_is_no_correlation_is_refused(given: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        load("shapes3d_like", select=HUES, correlated=given)


def test_a_dataset_without_published_sets_says_so() -> None:
    with pytest.raises(ValueError, match="it has none"):
        load("graded_like", correlated="single_1")


def test_one_spelling_decides_a_trial() -> None:
    assert normal_options({"correlated": {"pairs": ["a", "b"], "width": 1}}) == normal_options(
        {"correlated": {"width": 1.0, "pairs": [("a", "b")]}}
    )
    assert normal_options({"correlated": {"published": "single_1"}}) == {"correlated": "single_1"}
