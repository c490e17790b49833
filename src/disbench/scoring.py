"""Scores of a table of codes and factors, as an object that a notebook shows."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from disbench.benchmarks.plugins.packages import require
from disbench.benchmarks.settings.choices import DEFAULT_METRICS
from disbench.benchmarks.trials import score as scoring
from disbench.benchmarks.trials.tables.tables import read_named_table
from disbench.metrics import METRICS

Metrics = str | Sequence[str] | Mapping[str, Mapping[str, Any]]


def metric_options(metrics: Metrics | None) -> dict[str, dict[str, Any]]:
    """Return the options of each metric by its name; by default those of the leaderboards. Raises ValueError."""
    if isinstance(metrics, Mapping):
        wanted = {name: dict(options) for name, options in metrics.items()}
    else:
        names = metrics.split(",") if isinstance(metrics, str) else DEFAULT_METRICS if metrics is None else metrics
        wanted = {name.strip(): {} for name in names}
    for name in wanted:
        require("metric", name)
    return wanted


class ScoreTable(Mapping[str, float]):
    """Scores by metric, with the floor and the ceiling of each. A notebook shows it as a table.

    Attributes
    ----------
    found : Scores
        Everything that was computed, such as `floor`, `ceiling` and `detail`.
    skipped : dict of str
        The reason for each metric without a score.
    frame : DataFrame
        A row for each metric: label, direction, score, floor and ceiling.
    """

    def __init__(self, found: scoring.Scores) -> None:
        self.found = found
        self.skipped = found.skipped

    def __getitem__(self, metric: str) -> float:
        """Return the score of a metric."""
        if metric in self.skipped:
            raise KeyError(f"{metric} has no score: {self.skipped[metric]}")
        return self.found.scores[metric]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the metrics with a score."""
        return iter(self.found.scores)

    def __len__(self) -> int:
        """Return the number of metrics with a score."""
        return len(self.found.scores)

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each metric: label, direction, score, floor and ceiling."""
        lines = [
            {
                "metric": name,
                "label": METRICS[name].label,
                "better": "higher" if METRICS[name].higher_is_better else "lower",
                "score": value,
                "floor": self.found.floor.get(name),
                "ceiling": self.found.ceiling.get(name),
            }
            for name, value in self.found.scores.items()
        ]
        return pd.DataFrame(lines, columns=["metric", "label", "better", "score", "floor", "ceiling"])

    def __repr__(self) -> str:
        numbers = self.frame.drop(columns="label").to_string(index=False, float_format="{:.3f}".format)
        return "\n".join([numbers, *(f"{name}: no score. {reason}" for name, reason in self.skipped.items())])

    def _repr_html_(self) -> str:
        return str(self.frame.to_html(index=False, float_format="{:.3f}".format, border=0))


def score(
    codes: ArrayLike | str | Path,
    factors: ArrayLike | str | Path | None = None,
    *,
    codes_column: str | None = None,
    factors_column: str | None = None,
    metrics: Metrics | None = None,
    seed: int = 0,
    codes_std: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    quantized: bool = False,
) -> ScoreTable:
    """Score codes against the factors of the same rows.

    Parameters
    ----------
    codes : array-like of shape (N, D) or (N, G, F), str or Path
        One row per image; or a file with codes and factors, as `disbench score` takes it.
    factors : array-like of shape (N, K), str or Path, optional
        Factor values of the same rows, whole numbers or continuous; for codes in an .npy file, the .npy file of the factors.
    codes_column, factors_column : str, optional
        For a file, its arrays or columns by name or pattern, such as ``"z*"`` or ``"shape,size"``.
    metrics : str, sequence of str or mapping, optional
        Names, or a mapping from names to options such as ``{"mig": {"bins": 10}}``. The default is those of the leaderboards.
    seed : int, default 0
        Seed of the metrics' random draws.
    codes_std : array-like, optional
        Standard deviations of the posteriors, of the shape of `codes`.
    groups : array-like of shape (D,) or (G,), optional
        The group of each code or vector.
    quantized : bool, default False
        Whether each code takes one of few values.

    Returns
    -------
    ScoreTable
        A mapping from metrics to scores.

    Raises
    ------
    ValueError
        If the table is malformed, or a metric is unknown.

    Examples
    --------
    >>> import disbench
    >>> factors = [[0, 0], [0, 1], [1, 0], [1, 1]] * 25
    >>> found = disbench.score(factors, factors, metrics="mig,sap")
    >>> found["mig"], dict(found)
    (1.0, {'mig': 1.0, 'sap': 1.0})
    """
    wanted = metric_options(metrics)
    if isinstance(codes, str | Path):
        if factors is not None and not isinstance(factors, str | Path):
            raise ValueError("score needs two arrays or two files, got a file of codes and an array of factors.")
        named = factors_column if factors is None else str(factors)
        table = read_named_table(Path(codes), codes=codes_column, factors=named)
        codes, factors, quantized = table.codes, table.factors, quantized or table.quantized
        codes_std = table.codes_std if codes_std is None else codes_std
        groups = table.group if groups is None else groups
    if factors is None or isinstance(factors, str | Path):
        raise ValueError("score needs codes (N, D) and factors (N, K), or a file that holds both.")
    columns = {"codes_std": codes_std, "groups": groups, "quantized": quantized}
    return ScoreTable(scoring.score(codes, factors, wanted, seed=seed, **columns))  # type: ignore[arg-type]
