"""The results of trials in a folder, as data frames, a comparison, a picture and a page."""

from collections.abc import Hashable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from disbench.datasets.wording import needs_extra
from disbench.reports.comparison import compare, leaderboard, score_frame
from disbench.reports.page.render import tabulated, write_page
from disbench.reports.records.collect import collect
from disbench.reports.tables.columns import column
from disbench.reports.tables.table import DATA
from disbench.reports.tables.text import text_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Results:
    """Results of all trials below a folder. Records are read when this object is made.

    Parameters
    ----------
    path : str or Path
        Any folder with trial folders below it.

    Attributes
    ----------
    frame : DataFrame
        Every score: a row for each dataset, view, method, seed and metric.
    failed : list of str
        Trials that failed, each with the last line of its error.
    unreadable : list of str
        Files that could not be read, each with the reason.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._tables, self._collection = tabulated(collect(self.path))

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Every score: a row for each dataset, view, method, seed and metric."""
        return score_frame(self._tables)

    @property
    def failed(self) -> list[str]:
        """Trials that failed, each with the last line of its error."""
        records = (record for _, record in self._collection.found)
        return [f"{record.trial.id}: {record.error_line}" for record in records if record.status != "ok"]

    @property
    def unreadable(self) -> list[str]:
        """Files that could not be read, each with the reason."""
        return [f"{path}: {reason}" for path, reason in self._collection.unreadable]

    def table(self, statistic: str = "mean") -> pd.DataFrame:
        """Return the leaderboard: a row for each dataset, view and method, a column for each metric.

        Parameters
        ----------
        statistic : str, default "mean"
            "mean", "sd", "iqm" (interquartile mean), "rank" or "n" (the number of seeds with a score).

        Returns
        -------
        DataFrame
        """
        known = ("mean", "sd", "iqm", "rank", "n")
        if statistic not in known:
            raise ValueError(f"statistic needs one of {', '.join(known)}, got {statistic!r}.")
        board = leaderboard(self.frame)
        wide = board.pivot_table(
            index=[*DATA, "view", "method"], columns="metric", values=statistic, sort=False, dropna=False, observed=True
        )
        wide = wide.dropna(how="all")
        wide.columns.name = None
        same: list[Hashable] = [
            name for name in ("options", "version", "provenance") if wide.index.get_level_values(name).nunique() == 1
        ]
        return wide.droplevel(same)

    def compare(self, a: str, b: str) -> pd.DataFrame:
        """Compare two methods on every dataset, view and metric that both have.

        Parameters
        ----------
        a, b : str
            Labels as in the table, such as "beta_vae (beta=4)".

        Returns
        -------
        DataFrame
            The difference of means with its 95 % interval and a verdict on `a`; see `disbench.reports.comparison.compare`.
        """
        return compare(self.frame, a, b)

    def front(self, x: str, y: str, dataset: str | None = None) -> pd.DataFrame:
        """Return the mean of two metrics for each method, and whether another method is better in both.

        Parameters
        ----------
        x, y : str
            Two metrics.
        dataset : str, optional
            Name of a dataset; needed if there are several.

        Returns
        -------
        DataFrame
            Columns `method`, `x`, `y` and `on_front`.
        """
        scores = self.frame[self.frame["trained"] & (self.frame["view"] == "mean")]
        known = list(dict.fromkeys(scores["metric"]))
        if strange := [name for name in (x, y) if name not in known]:
            raise ValueError(f"There is no metric {strange[0]!r} in these results; there are {', '.join(known)}.")
        scores = scores if dataset is None else scores[scores["dataset"] == dataset]
        if len(groups := scores[DATA].drop_duplicates()) != 1:
            names = ", ".join(dict.fromkeys(self.frame["dataset"]))
            raise ValueError(f"A front needs one dataset with one choice of options, got {len(groups)} of: {names}.")
        means = scores.groupby(["method", "metric"], sort=False)["score"].mean().unstack()
        points = pd.DataFrame({"method": means.index, "x": means[x].to_numpy(), "y": means[y].to_numpy()}).dropna()
        signs = [1.0 if column(name).higher_is_better is not False else -1.0 for name in (x, y)]
        values = points[["x", "y"]].to_numpy() * signs  # (M, 2), higher is better
        points["on_front"] = [not ((values >= own).all(1) & (values > own).any(1)).any() for own in values]
        return points.reset_index(drop=True)

    def plot_front(self, x: str, y: str, dataset: str | None = None, ax: "Axes | None" = None) -> "Axes":
        """Draw each method's means of two metrics, and connect those that no other method beats in both.

        Parameters
        ----------
        x, y : str
            Two metrics.
        dataset : str, optional
            Name of a dataset; needed if there are several.
        ax : Axes, optional
            Axes to draw into.

        Returns
        -------
        Axes
        """
        with needs_extra():
            from matplotlib.figure import Figure
        points = self.front(x, y, dataset)
        axes: Any = Figure(layout="constrained").subplots() if ax is None else ax
        best = points[points["on_front"]].sort_values("x")
        axes.plot(best["x"], best["y"], color="0.6", zorder=1)
        axes.scatter(points["x"], points["y"], c=["C0" if on else "0.6" for on in points["on_front"]], zorder=2)
        for line in points.itertuples():
            axes.annotate(line.method, (line.x, line.y), xytext=(4, 4), textcoords="offset points")
        axes.set(xlabel=f"{column(x).label} {column(x).arrow}", ylabel=f"{column(y).label} {column(y).arrow}")
        return axes  # type: ignore[no-any-return]

    def report(self, output: str | Path | None = None) -> Path:
        """Write the leaderboard as an HTML page.

        Parameters
        ----------
        output : str or Path, optional
            File to write; by default `leaderboard.html` in the folder.

        Returns
        -------
        Path
            The file.
        """
        return write_page(self._collection, self._tables, None if output is None else Path(output))

    def __repr__(self) -> str:
        trials = len(self._collection.found)
        return f"Results({str(self.path)!r}, {trials} trial{'s' * (trials != 1)})\n{text_of(self._collection, self._tables)}"

    def _repr_html_(self) -> str:
        return str(self.table().to_html(float_format="{:.3f}".format, na_rep="–", border=0))


def results(path: str | Path) -> Results:
    """Read the results of all trials below a folder.

    Parameters
    ----------
    path : str or Path
        Any folder with trial folders below it, such as the `--out` of `disbench run`.

    Returns
    -------
    Results
        With `frame`, `table()`, `compare(a, b)`, `front(x, y)`, `plot_front(x, y)` and `report()`.

    Raises
    ------
    FileNotFoundError
        If there is no record.

    Examples
    --------
    >>> from pathlib import Path
    >>> import disbench
    >>> from disbench.reports.records import Record, Trial, write_record
    >>> for method, value in {"vae": 0.25, "beta_vae": 0.5}.items():
    ...     trial = Trial(method=method, dataset="dsprites_like", dataset_version="1", seed=0, steps=100, batch_size=64)
    ...     record = Record(trial=trial, status="ok", views={"mean": {"mig": value, "sap": value / 2}})
    ...     path = write_record(record, Path("runs") / trial.id)
    >>> found = disbench.results("runs")
    >>> found.table()["mig"].tolist()
    [0.5, 0.25]
    >>> found.front("mig", "sap")[["method", "on_front"]].values.tolist()
    [['beta_vae', True], ['vae', False]]
    """
    return Results(path)
