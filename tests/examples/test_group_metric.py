"""A metric of groups of latents in a user's own script: how much better the best group predicts a factor than the next one."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.trials.score import score
from disbench.metrics import METRICS, Metric, NotApplicable, Table

RNG = np.random.default_rng(0)
FACTORS = RNG.integers(0, 6, (600, 2))
ANGLE = FACTORS * np.pi / 3
CIRCLES = np.stack([np.cos(ANGLE), np.sin(ANGLE)], axis=2) + 0.1 * RNG.normal(size=(600, 2, 2))  # (N, G, F)


@partial(
    Metric,
    label="Group gap",
    higher_is_better=True,
    bounds=(0.0, 1.0),
    definition="Accuracy of the nearest neighbors in the best group of latents less that in the second-best.",
    source="An example",
    uses=("codes", "labels", "groups"),
    stochastic=True,
)
def group_gap(table: Table, *, neighbors: int = 5, seed: int = 0) -> dict[str, Any]:
    if len(table.group_columns) < 2:
        raise NotApplicable("group_gap compares groups and needs two.")
    fitted, tried = np.array_split(np.random.default_rng(seed).permutation(len(table.labels)), 2)
    codes, right = table.codes, np.empty((len(table.group_columns), len(table.columns)))
    for g, columns in enumerate(table.group_columns.values()):
        probe = KNeighborsClassifier(neighbors).fit(codes[np.ix_(fitted, columns)], table.labels[fitted])
        right[g] = (probe.predict(codes[np.ix_(tried, columns)]).reshape(len(tried), -1) == table.labels[tried]).mean(0)
    gaps = np.diff(np.sort(right, axis=0)[-2:], axis=0)[0]
    best = np.array(list(table.group_columns))[right.argmax(axis=0)].tolist()
    named = [{"factor": k, "group": g} for k, g in zip(table.columns, best, strict=True)]
    return {"score": float(gaps.mean()), "factors": named}


def test_a_group_metric_sees_what_no_single_latent_holds(monkeypatch, tmp_path):
    monkeypatch.setitem(METRICS, "group_gap", group_gap)
    found = score(CIRCLES, FACTORS, {"group_gap": {}, "mig": {}})
    assert found.scores["group_gap"] > 0.75 > 0.5 > found.scores["mig"]
    assert abs(found.floor["group_gap"]) < 0.1 < 0.7 < found.ceiling["group_gap"]
    assert [entry["group"] for entry in found.detail["group_gap"]["factors"]] == [1, 2]

    np.savez(tmp_path / "t.npz", codes=CIRCLES.reshape(600, 4), factors=FACTORS, group=[1, 1, 2, 2])
    shown = CliRunner().invoke(app, ["score", str(tmp_path / "t.npz"), "--metrics", "group_gap"])
    assert f"{found.scores['group_gap']:.3f}" in shown.output
    with pytest.raises(NotApplicable, match="group_gap uses the group of each code"):
        group_gap(CIRCLES.reshape(600, 4), FACTORS)
    assert "groups (D,)" in score(CIRCLES.reshape(600, 4), FACTORS, {"group_gap": {}}).skipped["group_gap"]
