"""Minibatches, partners that differ in a number of factors, and labels of some rows."""

from itertools import islice

import pytest
import torch

from disbench.baselines.method import Batch, Independent, Labelled, Pairs, Sampling
from disbench.benchmarks.training.batches import Images
from disbench.datasets import FactorDataset, FactorSpace
from disbench.datasets.factors import PairSampler
from disbench.reports.records import Trial


class Grid(FactorDataset):
    """Images whose first pixels are the factors themselves."""

    name, version, provenance, image_shape = "grid", "1", "own", (1, 2, 2)
    space = FactorSpace(("a", "b", "one", "c"), (3, 2, 1, 4))

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        return self.factors(indices).to(torch.uint8).view(-1, 1, 2, 2)


def images(sampling: Sampling, dataset: FactorDataset | None = None, seed: int = 0) -> Images:
    trial = Trial(method="mine", dataset="grid", dataset_version="1", seed=seed, steps=9, batch_size=8)
    return Images(dataset or Grid(), trial, sampling)


def stream(sampling: Sampling, steps: int = 9, seed: int = 0, **where: int) -> list[Batch]:
    return list(islice(images(sampling, seed=seed).stream(torch.device("cpu"), **where), steps))


@pytest.mark.parametrize("changed", [1, 2, 3])
def test_a_partner_differs_in_exactly_so_many_factors(changed: int) -> None:
    for batch in stream(Pairs(changed)):
        different = (batch.images != batch.partner).flatten(1)
        assert (different.sum(1) == changed).all()


def test_every_other_value_and_every_choice_of_factors_is_equally_likely() -> None:
    dataset = Grid()
    partners = PairSampler(dataset, 1)(torch.zeros(12_000, dtype=torch.int64), torch.Generator().manual_seed(0))
    counts = partners.bincount(minlength=len(dataset)).reshape(dataset.factor_sizes)
    assert counts[0, 0, 0, 0] == 0
    # A third of the rows changes each of the three factors that vary, to each other value alike.
    assert (counts[1:, 0, 0, 0] / 12_000 - 1 / 6).abs().max() < 0.015
    assert abs(counts[0, 1, 0, 0] / 12_000 - 1 / 3) < 0.015
    assert (counts[0, 0, 0, 1:] / 12_000 - 1 / 9).abs().max() < 0.015


def test_a_random_number_of_changed_factors_is_from_one_to_all_but_one() -> None:
    dataset = Grid()
    rows = torch.zeros(4_000, dtype=torch.int64)
    different = dataset.factors(PairSampler(dataset, None)(rows, torch.Generator().manual_seed(0))) != 0
    share = different.sum(1).bincount(minlength=5) / 4_000
    assert share[[0, 3, 4]].sum() == 0
    assert (share[1:3] - 0.5).abs().max() < 0.03


@pytest.mark.parametrize(
    "sampling",
    [Pairs(None), Labelled(5, 0.5), Independent(2), Labelled(9, own_minibatch=True, noise="noisy"), Labelled(None)],
)
def test_a_resumed_training_gets_the_batches_that_it_would_have_got(sampling: Sampling) -> None:
    for own, again in zip(stream(sampling)[4:], stream(sampling, 5, skip=4), strict=True):
        for one, other in zip(own, again, strict=True):
            assert one is other is None or torch.equal(one, other)


def test_two_ranks_share_a_batch_of_pairs() -> None:
    whole, (half, other) = stream(Pairs(2), 1)[0], (stream(Pairs(2), 1, rank=rank, ranks=2)[0] for rank in (0, 1))
    assert torch.equal(torch.stack([half.partner, other.partner], dim=1).flatten(0, 1), whole.partner)


def test_labels_are_those_of_so_many_rows_and_minus_one_elsewhere() -> None:
    known = {}
    for batch in stream(Labelled(5), 30):
        factors = batch.images.flatten(1).long()
        labelled = (batch.labels != -1).all(1)
        assert torch.equal(batch.labels[labelled], factors[labelled])
        assert (batch.labels[~labelled] == -1).all()
        known |= {tuple(row): True for row in factors[labelled].tolist()}
    assert len(known) == 5


def test_a_second_minibatch_has_labels_and_the_first_is_what_it_is_without() -> None:
    plain = stream(Independent(), 20)
    for batch, alone in zip(stream(Labelled(5, own_minibatch=True), 20), plain, strict=True):
        assert torch.equal(batch.images[8:], alone.images)
        assert torch.equal(batch.labels[:8], batch.images[:8].flatten(1).long())
    seen = {tuple(row) for batch in stream(Labelled(5, own_minibatch=True), 20) for row in batch.labels[:8].tolist()}
    assert len(seen) == 5
    assert images(Labelled(5, own_minibatch=True)).per_step == 16


def test_two_ranks_share_a_second_minibatch() -> None:
    whole = stream(Labelled(5, own_minibatch=True), 1)[0]
    halves = [stream(Labelled(5, own_minibatch=True), 1, rank=rank, ranks=2)[0] for rank in (0, 1)]
    for half in halves:
        assert (half.labels[:4] != -1).all()
    together = torch.stack([half.images for half in halves], dim=1).flatten(0, 1)
    assert torch.equal(together, whole.images)


def test_every_row_has_a_label_where_no_number_is_given() -> None:
    for batch in stream(Labelled(None), 4):
        assert torch.equal(batch.labels, batch.images.flatten(1).long())


def test_labels_have_the_noise_and_the_sizes_that_are_asked_for() -> None:
    wanted = Labelled(12, 1.0, balanced=True, noise="binned", noise_level=2)
    assert images(wanted).label_sizes == (2, 2, 1, 2)
    assert images(Labelled(3)).label_sizes == (3, 2, 1, 4)
    for batch in stream(wanted, 3):
        values = batch.images.flatten(1).long()
        assert torch.equal(batch.labels, values * torch.tensor([2, 2, 1, 2]) // torch.tensor([3, 2, 1, 4]))
    known = {
        tuple(values): tuple(labels)
        for batch in stream(Labelled(6, 1.0, noise="noisy", noise_level=1), 30)
        for values, labels in zip(batch.images.flatten(1).tolist(), batch.labels.tolist(), strict=True)
    }
    assert len(known) == 6  # the labels of an image are wrong once and for all
    for batch in stream(Labelled(6, 1.0, noise="noisy", noise_level=1), 30):
        for values, labels in zip(batch.images.flatten(1).tolist(), batch.labels.tolist(), strict=True):
            assert known[tuple(values)] == tuple(labels)


def test_other_seeds_have_other_labels_and_a_share_of_each_batch_is_labelled() -> None:
    zero, one = (stream(Labelled(4, 0.5), 20, seed) for seed in (0, 1))
    for batch in zero:
        assert (batch.labels[:4] != -1).all()
    rows = [{tuple(row) for batch in found for row in batch.labels.tolist()} - {(-1,) * 4} for found in (zero, one)]
    assert rows[0] != rows[1]


def test_pairs_need_enough_factors_that_vary() -> None:
    with pytest.raises(
        ValueError,
        match=r"mine samples Pairs.*need 4 factors that vary, but grid with these options has 3\.",
    ):
        images(Pairs(4))


def test_a_method_is_told_which_factors_of_a_pair_differ_if_it_asks() -> None:
    assert stream(Pairs(2))[0].changed is None
    for batch in stream(Pairs(2, known=True)):
        assert torch.equal(batch.changed, (batch.images != batch.partner).flatten(1))


def test_more_labels_than_images_are_refused() -> None:
    with pytest.raises(ValueError, match="labels of 25 images, but grid with these options has 24"):
        images(Labelled(25))
