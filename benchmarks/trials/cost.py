"""Predict which metrics take minutes on a table, from measured times on one core."""

from collections.abc import Mapping
from typing import Any

# Seconds on one core, for each fitted row times each code times each value of each factor, up to a factor of about two.
PER_VALUE = {"sap_svc": 2e-7, "explicitness": 2e-7, "infoe": 2e-7}
DCI_PER_VALUE = 2.5e-5  # a hundred boosted trees
# The same for each row times each code times each factor.
PER_FACTOR = {"sap_tree": 4e-6, "infom": 1e-6, "infoc": 1e-6}
FOREST_PER_FACTOR = 3.5e-4  # 2,010 trees
# The same for each row times each pair of codes.
PER_PAIR = {"mutual_info_score": 2e-9}
LONG = 60.0  # seconds


def seconds(name: str, options: Mapping[str, Any], rows: int, codes: int, sizes: list[int]) -> float:
    """What one computation of a metric may take, for factors of `sizes` values; 0 where that is never long."""
    train, test = options.get("train", 10_000), options.get("test", 5_000)
    dci = name.startswith("dci_")
    boosted = dci and options.get("model", "gradient_boosting") == "gradient_boosting"
    fresh = boosted or name in ("sap_svc", "explicitness")
    fitted = (
        min(train, rows * train / (train + test))
        if fresh
        else min(train, rows)
        if (dci or name.startswith("sap"))
        else rows
    )
    per_value = DCI_PER_VALUE if boosted else PER_VALUE.get(name, 0.0)
    forest = dci and options.get("model") == "random_forest"
    per_factor = FOREST_PER_FACTOR if forest else PER_FACTOR.get(name, 0.0)
    of_factors = per_value * sum(sizes) + per_factor * len(sizes)
    return fitted * codes * (of_factors + PER_PAIR.get(name, 0.0) * codes / 2)


def warning(name: str, options: Mapping[str, Any], rows: int, codes: int, sizes: list[int]) -> str | None:
    """One line for a metric whose score, floor and ceiling take more than a minute together."""
    factors = len(sizes)
    total = 2 * seconds(name, options, rows, codes, sizes) + seconds(name, options, rows, factors, sizes)
    if total < LONG:
        return None
    minutes = round(total / 60)
    duration = f"{minutes} minute{'s' * (minutes > 1)}" if minutes < 120 else f"{round(minutes / 60)} hours"
    return f"{name}: {codes:,} codes x {factors:,} factors x {rows:,} rows, this may take about {duration}."
