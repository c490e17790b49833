"""Information of groups of latents about factors: H(v) minus the cross-entropy of a probe on rows that it was not fitted on.

    I(z_G; v) >= H(v) + mean log p(v | z_G)                                                     nats

The estimate is a lower bound up to chance, whatever the probe (`probe`). One below its standard error is set to
0: a ratio of two such numbers must not look like knowledge. The page of the group metrics has a table of measured biases.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from disbench.metrics.information import binned_factors
from disbench.metrics.memoize import recent
from disbench.metrics.probe import Likelihood, likelihoods
from disbench.metrics.repeated_rows import rows_of_images
from disbench.metrics.table import NotApplicable, Table, require_classes
from disbench.metrics.threads import one_thread
from disbench.metrics.views import NUISANCE

ERRORS = 1.0  # standard errors, below which an estimate is 0
DEAD = 1e-100  # of the largest range of a code


class GroupInformation(NamedTuple):
    """What a probe reads of K factors from each of G groups, nuisance among them. Groups of dead latents are left out."""

    numbers: tuple[int, ...]  # (G,): ascending, nuisance is 0
    information: NDArray[np.float64]  # (K, G), nats
    error: NDArray[np.float64]  # (K, G): standard error over rows, nats
    entropy: NDArray[np.float64]  # (K,), nats
    likelihood: Likelihood  # (G, N, K): of each row's label

    @property
    def relative(self) -> NDArray[np.float64]:
        """Information in units of the factor's entropy, (K, G), from 0 to 1."""
        return _in_units_of(self.entropy[:, None], self.information)

    @property
    def wanted(self) -> list[int]:
        """Positions of the groups that are not nuisance."""
        return [place for place, number in enumerate(self.numbers) if number != NUISANCE]


class Probing(NamedTuple):
    """How groups are probed. Equal ones share results.

    groups: of each code. factor_bins, rows, seed: as options of the metrics.
    """

    groups: tuple[int, ...]
    factor_bins: int
    rows: int
    seed: int


def probing(table: Table, metric: str, factor_bins: int, rows: int, seed: int) -> Probing:
    """Check what a metric of groups is computed from.

    Raises ValueError for an option out of range, and NotApplicable where all latents are nuisance or a factor has no classes.
    """
    if rows < 3:
        raise ValueError(f"{metric} needs rows >= 3, got rows={rows}.")
    if not factor_bins:
        require_classes(table, metric, "Set factor_bins to bin it.")
    if not table.group_columns:
        raise NotApplicable(f"{metric} needs a group of latents other than {NUISANCE}, and all are nuisance.")
    groups = () if table.groups is None else tuple(table.groups.tolist())
    return Probing(groups, factor_bins, rows, seed)


def rows_read(table: Table, how: Probing) -> NDArray[np.intp]:
    """Draw the rows that the probe reads, in random order. No image is in them twice."""
    images = rows_of_images(table)
    return images[np.random.default_rng(how.seed).permutation(len(images))[: how.rows]]


@recent
def group_information(table: Table, how: Probing) -> GroupInformation:
    """Estimate what each group tells about each factor."""
    rows, of_column = _Rows.of(table, how), np.array(how.groups, dtype=np.intp)
    numbers = np.unique(of_column[rows.live])
    likelihood = np.empty((len(numbers), *rows.labels.shape))
    for place, number in enumerate(numbers):
        likelihood[place] = rows.likelihood(of_column == number)
    information, error = np.zeros((2, rows.labels.shape[1], len(numbers)))
    for place, each in enumerate(likelihood):
        information[:, place], error[:, place] = rows.information(each)
    for array in (information, error, likelihood):
        array.flags.writeable = False
    return GroupInformation(tuple(numbers.tolist()), information, error, rows.entropy(), likelihood)


@recent
def information_of_all(table: Table, how: Probing) -> NDArray[np.float64]:
    """Estimate what all latents together tell about each factor, (K,), as shares of its entropy."""
    rows, found = _Rows.of(table, how), group_information(table, how)
    likelihood = rows.likelihood(np.ones(len(how.groups), np.bool_), found.likelihood)
    return _in_units_of(found.entropy, rows.information(likelihood)[0])


@recent
def information_outside(table: Table, how: Probing) -> NDArray[np.float64]:
    """Estimate what the latents outside a factor's best group tell about it, (K,), as shares of its entropy."""
    rows, found, outside = _Rows.of(table, how), group_information(table, how), np.zeros(len(table.columns))
    best = best_groups(found)
    for place in np.unique(best):
        parts = np.delete(found.likelihood, place, axis=0) if place >= 0 else found.likelihood
        elsewhere = np.array(how.groups) != found.numbers[place] if place >= 0 else np.ones(len(how.groups), np.bool_)
        information = rows.information(rows.likelihood(elsewhere, parts))[0]
        outside[best == place] = _in_units_of(found.entropy, information)[best == place]
    return outside


def best_groups(found: GroupInformation) -> NDArray[np.intp]:
    """Find for each factor the position of the group, other than nuisance, that tells most about it, (K,); -1 for none."""
    if not found.wanted:
        return np.full(len(found.entropy), -1)
    return np.asarray(np.array(found.wanted)[found.information[:, found.wanted].argmax(axis=1)])


def _in_units_of(entropy: NDArray[np.float64], information: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(information, entropy, out=np.zeros_like(information), where=entropy > 0)


class _Rows(NamedTuple):
    """The rows that are read, in random order."""

    latents: NDArray[np.float64]  # (N, D): mean 0, in a common unit
    labels: NDArray[np.intp]  # (N, K)
    sizes: NDArray[np.intp]  # (K,)
    live: NDArray[np.bool_]  # (D,)

    @classmethod
    def of(cls, table: Table, how: Probing) -> "_Rows":
        binned = binned_factors(table, how.factor_bins)
        chosen = rows_read(table, how)
        codes = table.codes[chosen]
        codes = codes - codes[0]  # a large offset would cost the deviations their last digits
        span = np.ptp(codes, axis=0).max()
        codes /= span if span > 0 else 1.0
        latents = codes - codes.mean(axis=0)
        return cls(latents, binned.labels[chosen], binned.sizes, latents.std(axis=0) > DEAD)

    def likelihood(self, columns: NDArray[np.bool_], parts: Sequence[Likelihood] | Likelihood = ()) -> Likelihood:
        """Of each row's label, from the live latents among some columns; from none the labels' frequencies."""
        if not (columns & self.live).any():
            return self._frequencies()
        with one_thread():
            return likelihoods(self.latents[:, columns & self.live], self.labels, self.sizes, tuple(parts))

    def information(self, likelihood: Likelihood) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """`(N, K)` -> the information and its standard error, `(K,)` each, in nats."""
        known = np.log(likelihood) - np.log(self._frequencies())
        error = known.std(axis=0) / np.sqrt(len(known))
        mean = np.clip(known.mean(axis=0), 0.0, self.entropy())
        return np.where(mean > ERRORS * error, mean, 0.0), error

    def entropy(self) -> NDArray[np.float64]:
        """Of each factor, (K,), in nats."""
        return np.asarray(-np.log(self._frequencies()).mean(axis=0))

    def _frequencies(self) -> Likelihood:
        return np.stack([np.bincount(label)[label] for label in self.labels.T], axis=1) / len(self.labels)
