"""Every public function refuses an option of the wrong type, not finite or too small, by the name of the option."""

import inspect

import numpy as np
import pytest

import disbench.metrics as metrics
from disbench.metrics import METRICS
from disbench.metrics.confidence import confidence
from disbench.metrics.stress import stress
from disbench.metrics.stress_encoders import stress_encoders

FACTORS = np.array([[a, b] for a in range(5) for b in range(7)])
ANGLES = 2 * np.pi * FACTORS / [5, 7]
CODES = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
WRONG = {
    int: [1.5, np.nan, "3", None, [2], True, -7],
    float: [np.nan, np.inf, "3", None, [2.0], True],
    bool: ["yes", 2, None],
    str: ["nonsense", 3, None],
}
FUNCTIONS = {
    metrics.find_groups: (CODES,),
    metrics.udr: ([CODES, CODES],),
    metrics.udr_detail: ([CODES, CODES],),
    metrics.seed_consistency: ([CODES, CODES],),
    metrics.seed_consistency_detail: ([CODES, CODES],),
    metrics.lsbd_distance: (CODES, FACTORS),
    metrics.lsbd_distance_detail: (CODES, FACTORS),
    metrics.shuffled: (CODES,),
    metrics.as_codes: (FACTORS,),
    confidence: (METRICS["mig"], CODES, FACTORS),
    stress: (["mig"],),
    stress_encoders: (),
}
WITHOUT_OPTIONS = {"as_table", "principal_components"}


def options_of(function):
    """Each option of a public function, with the type that it needs."""
    for name, parameter in inspect.signature(function).parameters.items():
        if name in ("count", "seed"):  # the default of one is None, and the other may have none
            yield name, int
        elif type(parameter.default) in WRONG:
            yield name, type(parameter.default)


CASES = [(metric, (CODES, FACTORS), name, kind) for metric in METRICS.values() for name, kind in options_of(metric)]
CASES += [(function, table, name, kind) for function, table in FUNCTIONS.items() for name, kind in options_of(function)]


@pytest.mark.parametrize(
    ("function", "table", "name", "kind"), CASES, ids=[f"{function.__name__}-{name}" for function, _, name, _ in CASES]
)
def test_an_option_that_is_wrong_is_refused_by_its_name(function, table, name, kind):
    arrays = {}
    if "std" in getattr(function, "uses", ()):
        arrays["std"] = np.ones(CODES.shape)
    if "groups" in getattr(function, "uses", ()):
        arrays["groups"] = [1, 2, 1, 2]
    for value in WRONG[kind]:
        if name == "count" and value is None:
            continue  # which leaves the count to the price
        with pytest.raises(ValueError, match=rf"\b{name}\b"):
            function(*table, **arrays, **{name: value})


def test_all_public_functions_are_among_those_that_are_tried():
    public = {name for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))}
    assert public == {each.__name__ for each in FUNCTIONS} & public | WITHOUT_OPTIONS


@pytest.mark.parametrize("cyclic", [0, 1.0, "01", ["a"], [[0]], [0.0], [True], [5], [0, 0], []])
def test_columns_of_cyclic_factors_are_refused_by_name(cyclic):
    with pytest.raises(ValueError, match=r"lsbd_distance needs .*cyclic"):
        metrics.lsbd_distance(CODES, FACTORS, cyclic=cyclic)


def test_numbers_of_numpy_are_taken():
    assert METRICS["mig"](CODES, FACTORS, bins=np.int64(7), seed=np.uint8(3)) == METRICS["mig"](CODES, FACTORS, bins=7)
    assert METRICS["z_diff"].detail(CODES, FACTORS, train=np.int32(60), test=50, scaled=np.True_)["score"] >= 0
    found = metrics.find_groups(CODES, count=np.int64(2), price=np.float32(0.5), rows=np.int16(30))
    assert found.max() == 2


def test_a_stress_run_of_a_metric_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="stress needs names of metrics, got 'migg'"):
        stress(["mig", "migg"])


def test_a_small_integer_of_numpy_scores_as_pythons_does():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 4, (300, 2))
    codes = factors + rng.normal(0, 0.3, (300, 2))
    for name in ("jemmig", "mig"):
        assert METRICS[name](codes, factors, bins=np.uint8(100)) == METRICS[name](codes, factors, bins=100)
