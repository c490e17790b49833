"""The choices of command options, in a separate module so that help and completion import neither torch nor pandas.

DEFAULT_METRICS, EVALUATE_ROWS, EVALUATE_METRICS and WARM_UP are decided here. The rest repeats the names of what takes long
to import; tests hold the two equal.
"""

from typing import Literal

# The literature's choice of metrics, in a table's order; any other metric is asked for by name.
DEFAULT_METRICS = ("z_diff", "z_min_var", "factor_vae_score", "irs", "mig", "jemmig")
EVALUATE_METRICS = ("mig",)  # of the learning curves; it takes milliseconds on so many rows
EVALUATE_ROWS = 1_000
WARM_UP = 5  # steps of `disbench profile` that are not counted

PROTOCOL_NAMES = ("higgins2017", "locatello2019", "zaidi2020", "do2020")  # of disbench.metrics
PROFILE_NAMES = ("quick", "groups", "full")  # of disbench.benchmarks.estimators.profiles
VIEWS = ("mean", "group")  # of disbench.metrics.views
Format = Literal["csv", "json", "latex", "markdown", "parquet"]  # of disbench.reports.export
Statistic = Literal["mean", "iqm", "rank"]
