"""What changes from one selection of rows to another: reconstructions, and what a regression of the factors is still worth.

Montero et al. 2021 (ICLR) compare the likelihood of reconstructions of held-out and trained combinations, Schott et al. 2022
(ICLR, arXiv:2107.08221v4) the R2 of each factor. Here a regression from the codes is fitted on one half of the rows of the first
evaluation, and judged on its other half and on the rows of another evaluation. Trees predict no value that they were not
fitted on, so least squares stands beside them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from disbench.baselines.method import Method
from disbench.benchmarks.runtime.seeds import generator_for
from disbench.benchmarks.training.contracts import no_pictures
from disbench.benchmarks.trials.encode import Codes
from disbench.benchmarks.trials.reconstruction import decoded, fixed_rows
from disbench.datasets import FactorDataset
from disbench.metrics.threads import one_thread
from disbench.reports.records import Record

IMAGES = 500  # of each evaluation, at most
FITTED = 5_000  # rows, at most
CHUNK = 50  # images a call


def measure_shifts(
    record: Record, method: Method, dataset: FactorDataset, tables: Mapping[str, Codes], device: torch.device
) -> None:
    """Fill `shift` of each further evaluation of a record. tables: codes of each evaluation, the first one first."""
    (_, first), *further = tables.items()
    if not further:
        return
    pictures = no_pictures(method) is None
    likelihood = negative_log_likelihood(method, dataset, torch.from_numpy(first.rows), device) if pictures else None
    predictors = Predictors(first)
    for name, codes in further:
        shift: dict[str, Any] = {"r2": predictors.r2(codes), "r2_first": predictors.r2_first()}
        if likelihood is not None:
            rows = torch.from_numpy(codes.rows)
            shift |= {"nll": negative_log_likelihood(method, dataset, rows, device), "nll_first": likelihood}
        record.evaluations[name].shift = shift


@torch.no_grad()
def negative_log_likelihood(method: Method, dataset: FactorDataset, rows: Tensor, device: torch.device) -> float:
    """Bernoulli negative log likelihood of images given their posterior means, nats per image, on IMAGES of rows (N,)."""
    method = method.to(device).eval()
    chosen = fixed_rows(rows, decoded(method, IMAGES)).to(dataset.preferred_device(device))
    total = 0.0
    for chunk in chosen.split(CHUNK):
        images = dataset.batch(chunk).to(device).float().div_(255)
        total += float(binary_cross_entropy(method(images).clamp(0, 1), images, reduction="sum"))
    return total / len(chosen)


class Predictors:
    """Regressions of each factor on all codes, fitted on one half of the rows of a table and judged on the other."""

    def __init__(self, codes: Codes) -> None:
        """Fit to a table."""
        order = torch.randperm(len(codes.codes), generator=generator_for("rows of regressions", len(codes.codes)))
        half = min(len(order) // 2, FITTED)
        fitted, judged = order[:half].numpy(), order[half : 2 * half].numpy()
        self.names = codes.factor_names or tuple(f"v{k}" for k in range(codes.factors.shape[1]))
        table = codes.flat().codes.astype(np.float64)
        self.centre, self.spread = table[fitted].mean(0), table[fitted].std(0)
        self.spread[self.spread == 0] = 1.0
        self.trees, self.lines = [], []
        inputs = self.scaled(table[fitted])
        with one_thread():
            for values in codes.factors[fitted].T.astype(np.float64):
                self.trees.append(fitted_trees(inputs, values))
                self.lines.append(np.linalg.lstsq(np.column_stack((inputs, np.ones(half))), values, rcond=None)[0])
        self.judged = self.scaled(table[judged]), codes.factors[judged]

    def scaled(self, codes: NDArray[Any]) -> NDArray[np.float64]:
        """Standardize codes (N, D) as the fitted rows are."""
        return np.asarray((codes - self.centre) / self.spread, dtype=np.float64)

    def r2(self, codes: Codes) -> dict[str, dict[str, float]]:
        """R2 of each factor that varies in the rows of another table, by `trees` and `linear`."""
        return self._r2(self.scaled(codes.flat().codes), codes.factors)

    def r2_first(self) -> dict[str, dict[str, float]]:
        """Compute the same on rows of the first table that nothing was fitted on."""
        return self._r2(*self.judged)

    def _r2(self, inputs: NDArray[np.float64], factors: NDArray[np.int64]) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for k, values in enumerate(factors.T.astype(np.float64)):
            if np.ptp(values) == 0:
                continue
            with one_thread():
                trees = self.trees[k].predict(inputs)
            linear = np.column_stack((inputs, np.ones(len(inputs)))) @ self.lines[k]
            found[self.names[k]] = {"trees": r_squared(values, trees), "linear": r_squared(values, linear)}
        return found


def r_squared(values: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """1 minus the squared error divided by the variance of the values; below 0 where their mean predicts better."""
    return float(1 - np.square(values - predicted).mean() / values.var())


def fitted_trees(codes: NDArray[np.float64], values: NDArray[np.float64]) -> Any:
    """Fit boosted trees to the values (N,) of a factor."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(random_state=0, early_stopping=False).fit(codes, values)
