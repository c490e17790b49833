"""The batches of training steps: minibatches in random order, with partners or labels if a method needs them."""

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from disbench.baselines.method import Batch, Independent, Labelled, Pairs, Sampling
from disbench.benchmarks.runtime.seeds import generator_for
from disbench.datasets import FactorDataset
from disbench.datasets.factors import LabelledRows, PairSampler, labelled_rows
from disbench.datasets.factors.labels import UNKNOWN
from disbench.datasets.factors.weighted_rows import DRAWN_AT_ONCE, AliasTable
from disbench.reports.records import Trial


def row_batches(
    length: int, size: int, generator: torch.Generator, where: torch.device, skip: int = 0
) -> Iterator[Tensor]:
    """Endless rows (size,) of a dataset of `length` rows, drawn on the CPU and put on `where`; the first `skip` are left out.

    A new random order each epoch; its last incomplete minibatch is left out.
    """
    epochs, first = divmod(skip, length // size)
    for _ in range(epochs):
        torch.randperm(length, generator=generator)
    while True:
        order = torch.randperm(length, generator=generator).to(where)
        yield from order[: len(order) // size * size].split(size)[first:]
        first = 0


def weighted_batches(
    weights: Tensor, size: int, generator: torch.Generator, where: torch.device, skip: int = 0
) -> Iterator[Tensor]:
    """Endless rows (size,) of a dataset, each drawn by its weight, on `where`; the first `skip` minibatches are left out.

    Rows are drawn with replacement. The CPU makes the random numbers, so every device gets the same rows.
    """
    table = AliasTable(weights)
    count = max(1, DRAWN_AT_ONCE // size)  # minibatches that are drawn together
    blocks, first = divmod(skip, count)
    for _ in range(blocks):
        table.random(count * size, generator)
    while True:
        rows = table.rows(table.random(count * size, generator).to(where))
        yield from rows.split(size)[first:]
        first = 0


def check_sampling(name: str, sampling: Sampling, dataset: FactorDataset) -> None:
    """Raise ValueError where a dataset does not have what the method `name` samples."""
    if isinstance(sampling, Pairs):
        try:
            PairSampler(dataset, sampling.changed, sampling.law, sampling.rate)
        except ValueError as error:
            raise ValueError(f"{name} samples {sampling}. {error}") from error
    elif isinstance(sampling, Labelled) and (sampling.count or 1) > len(dataset):
        raise ValueError(
            f"{name} samples labels of {sampling.count:,} images, but {dataset.name} with these options has {len(dataset):,}. "
            "Use fewer labels."
        )


class Images:
    """Whole minibatches by index, no loader of single items; a method makes floats of their bytes on the training device.

    What a step gets depends on the dataset, the seed and the number of the step alone, so that a resumed training gets the same.
    """

    def __init__(self, dataset: FactorDataset, trial: Trial, sampling: Sampling) -> None:
        self.dataset = dataset
        self.sampling = sampling
        self.size = trial.batch_size * sampling.rows
        self.names = trial.dataset, trial.seed
        self.generator = generator_for(*self.names, "order of images")
        self.comes_back = trial.steps * self.size > len(dataset)  # to images that it has seen
        if len(dataset) < self.size:
            raise ValueError(
                f"A step of {trial.method} needs {self.size} images, {trial.dataset} with these options has {len(dataset)}. "
                "Select wider ranges or take a smaller batch."
            )
        check_sampling(trial.method, sampling, dataset)

    def stream(self, device: torch.device, skip: int = 0, rank: int = 0, ranks: int = 1) -> Iterator[Batch]:
        """The batches of this training from step `skip` on, endless, with images of bytes.

        Drawn images that training comes back to are drawn once where they are few. Of each batch only the share of one rank is
        made, every `ranks`-th row from number `rank` on.
        """
        if self.comes_back and device.type == "cpu":
            self.dataset.preload()  # before the first step, which a generator would wait for
        return self._stream(device, skip, rank, ranks)

    def _stream(self, device: torch.device, skip: int, rank: int, ranks: int) -> Iterator[Batch]:
        where = self.dataset.preferred_device(device)
        plain = isinstance(self.sampling, Independent)
        on = where if plain else torch.device("cpu")  # where partners and labels are drawn
        for step, every in enumerate(self.rows(on, skip), start=skip):
            rows, partners, labels = every, None, None
            if not plain:
                draws = generator_for(*self.names, "partners and labels", step)
                rows, partners, labels = self.supervised(rows, draws)
            share = slice(rank, None, ranks)
            if partners is None:
                images = self.dataset.batch(rows[share].to(where))
                yield Batch(images, labels=None if labels is None else labels[share])
                continue
            rows, partners = rows[share], partners[share]
            images = self.dataset.batch(torch.cat([rows, partners]).to(where))  # one call takes less time than two
            changed = self._changed(rows, partners) if self._tells else None
            yield Batch(images[: len(rows)], images[len(rows) :], changed=changed)

    @cached_property
    def partners(self) -> PairSampler | None:
        """Draws partners, where the method samples pairs."""
        if not isinstance(wanted := self.sampling, Pairs):
            return None
        return PairSampler(self.dataset, wanted.changed, wanted.law, wanted.rate)

    @property
    def per_step(self) -> int:
        """Number of images in `Batch.images` of a step."""
        return self.size * (self.sampling.images if isinstance(self.sampling, Labelled) else 1)

    def rows(self, where: torch.device, skip: int) -> Iterator[Tensor]:
        """The rows of each step, by weight where the dataset has weights, from step `skip` on."""
        if self.dataset.weights is not None:
            return weighted_batches(self.dataset.weights, self.size, self.generator, where, skip)
        return row_batches(len(self.dataset), self.size, self.generator, where, skip)

    @cached_property
    def labelled(self) -> LabelledRows | None:
        """The rows of the dataset that have labels, where the method samples some."""
        if not isinstance(wanted := self.sampling, Labelled):
            return None
        return labelled_rows(
            self.dataset,
            len(self.dataset) if wanted.count is None else wanted.count,
            generator_for(*self.names, "rows with labels"),
            balanced=wanted.balanced,
            noise=wanted.noise,
            noise_level=wanted.noise_level,
        )

    @property
    def label_sizes(self) -> tuple[int, ...]:
        """Number of values that the labels of each factor can have."""
        return self.dataset.factor_sizes if self.labelled is None else self.labelled.sizes

    @property
    def _tells(self) -> bool:
        """Whether the method gets the factors that differ."""
        return isinstance(self.sampling, Pairs) and self.sampling.known

    def _changed(self, rows: Tensor, partners: Tensor) -> Tensor:
        """Whether each factor differs between rows (B,) and their partners, (B, K)."""
        return self.dataset.factors(rows) != self.dataset.factors(partners)

    @cached_property
    def _places(self) -> Tensor:
        """Of each row of the dataset (N,) its place among the rows with labels, or -1."""
        places = torch.full((len(self.dataset),), -1)
        if self.labelled is not None:
            places[self.labelled.rows] = torch.arange(len(self.labelled.rows))
        return places

    def supervised(self, rows: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The rows (B,) of a step, those of their partners (B,) and their labels (B, K), or None."""
        if self.partners is not None:
            return rows, self.partners(rows, draws), None
        if not isinstance(self.sampling, Labelled) or (there := self.labelled) is None:
            return rows, None, None
        own = self.sampling.own_minibatch
        drawn = len(rows) if own else round(self.sampling.share * len(rows))
        again = there.rows[torch.randint(len(there.rows), (drawn,), generator=draws)]
        rows = torch.cat([again, rows if own else rows[drawn:]])
        places = self._places[rows]
        return rows, None, torch.where(places[:, None] < 0, UNKNOWN, there.labels[places])
