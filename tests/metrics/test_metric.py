"""What a metric declares and is given, and the old names that still work."""

import inspect
import pickle

import numpy as np
import pytest

from disbench.metrics import METRICS, Metric, NotApplicable, as_table, mig, rmig

CARD = {"label": "x", "higher_is_better": True, "bounds": (0.0, 1.0), "definition": "x.", "source": "x"}
CODES = np.random.default_rng(0).normal(size=(60, 4))
FACTORS = np.arange(60)[:, None] % 3


def test_a_table_scores_as_its_arrays_do():
    table = as_table(CODES, FACTORS, std=np.abs(CODES))
    assert mig(table) == mig(CODES, FACTORS) == mig.detail(table)["score"]
    assert rmig(table) == rmig(CODES, FACTORS, std=np.abs(CODES)) != rmig(CODES, FACTORS)
    with pytest.raises(ValueError, match="pass it alone"):
        mig(table, FACTORS)


@pytest.mark.parametrize(
    ("uses", "arrays", "reason"),
    [
        ("groups", {"factors": FACTORS}, r"mean uses the group of each code, groups \(D,\), and this table has none"),
        ("std", {"factors": FACTORS}, r"mean uses the standard deviations of posteriors, std \(N, D\)"),
        ("labels", {"groups": [1, 1, 2, 2]}, r"mean uses factors \(N, K\)"),
        ("values", {"std": np.abs(CODES)}, r"mean uses factors \(N, K\)"),
    ],
)
def test_a_metric_is_not_applicable_to_a_table_that_lacks_what_it_uses(uses, arrays, reason):
    def mean(table):
        return float(table.codes.mean())

    with pytest.raises(NotApplicable, match=reason):
        Metric(mean, **CARD, uses=("codes", uses))(CODES, **arrays)
    assert Metric(mean, **CARD, uses=("codes",))(CODES, **arrays) == CODES.mean()


def test_vector_valued_codes_are_columns_in_groups():
    vectors = CODES.reshape(60, 2, 2)
    table = as_table(vectors, FACTORS, std=np.abs(vectors))
    assert np.array_equal(table.codes, CODES)
    assert np.array_equal(table.std, np.abs(CODES))
    assert table.group_columns == {1: [0, 1], 2: [2, 3]}
    assert as_table(vectors, FACTORS, groups=[0, 5]).group_columns == {5: [2, 3]}
    assert mig(vectors, FACTORS) == mig(CODES, FACTORS)
    assert as_table(CODES, FACTORS, groups=[0, 3, 0, 3]).group_columns == {3: [1, 3]}


@pytest.mark.parametrize("groups", [[1, 2, 3], [1.5, 1.0, 2.0, 2.0], [[1, 1, 2, 2]], list("abcd")])
def test_groups_are_a_whole_number_for_each_code_and_do_not_disturb_other_metrics(groups):
    table = as_table(CODES, FACTORS, groups=groups)
    assert mig(table) == mig(CODES, FACTORS)
    with pytest.raises(ValueError, match="groups needs a whole number for each of the 4 codes"):
        Metric(lambda table: 0.0, **CARD, uses=("groups",))(table)


def test_a_metric_cannot_write_to_the_callers_table():
    def destroy(table):
        table.codes[0] = 0.0
        return 1.0

    with pytest.raises(ValueError, match="read-only"):
        Metric(destroy, **CARD)(CODES, FACTORS)


def test_a_metric_looks_like_the_function_that_it_was():
    assert (mig.name, mig.__module__) == ("mig", "disbench.metrics.mig")
    assert list(inspect.signature(mig).parameters)[-2:] == list(mig.options) == ["bins", "divide_by"]
    assert "second-best" in mig.__doc__
    assert pickle.loads(pickle.dumps(mig)) is mig
    with pytest.raises(TypeError, match="unexpected keyword argument 'bin'"):
        mig(CODES, FACTORS, bin=3)


def test_old_names_of_a_metrics_parts_work_with_a_warning():
    z_min_var = METRICS["z_min_var"]
    for old, new in {
        "blind": "insensitive_to",
        "sampled": "stochastic",
        "not_resampled": "no_bootstrap_reason",
    }.items():
        with pytest.warns(DeprecationWarning, match=f"Metric.{old} is {new} now"):
            assert getattr(z_min_var, old) == getattr(z_min_var, new)
    with pytest.warns(DeprecationWarning, match=r"Metric\.fn is the metric itself"):
        assert METRICS["mig"].fn(CODES, FACTORS, bins=10) == mig(CODES, FACTORS, bins=10)
    with pytest.warns(DeprecationWarning, match="stds is std now"):
        assert rmig(CODES, FACTORS, stds=np.abs(CODES)) == rmig(CODES, FACTORS, std=np.abs(CODES))
    from disbench.metrics.z_min_var import factor_vae_detail

    with pytest.warns(DeprecationWarning, match=r"factor_vae_detail is factor_vae_score\.detail now"):
        factor_vae_detail(CODES, np.arange(60)[:, None] % [3, 2], train=20, test=20)


def test_a_metric_in_the_old_form_of_two_functions_of_arrays_works_with_a_warning():
    def mean_detail(codes, factors, *, shift=0.0, stds=None, seed=0):
        return {"score": float(codes.mean()) + shift, "std": None if stds is None else float(stds.mean()), "seed": seed}

    def mean(codes, factors, **options):
        return mean_detail(codes, factors, **options)["score"]

    with pytest.warns(DeprecationWarning, match=r"Metric\(fn, detail=\.\.\.\) of arrays"):
        old = Metric(mean, detail=mean_detail, blind="All.", sampled=True, reads="codes", uses_std=True, **CARD)
    assert (old.name, old.insensitive_to, old.stochastic, old.reads) == ("mean", "All.", True, "codes")
    assert old(CODES, FACTORS, shift=1.0) == CODES.mean() + 1.0
    assert old.detail(CODES, FACTORS, std=np.ones_like(CODES), seed=3) == {"score": CODES.mean(), "std": 1.0, "seed": 3}


@pytest.mark.parametrize("value", [60.5, "60", None])
def test_a_count_that_is_no_whole_number_is_refused_by_its_name(value):
    with pytest.raises(ValueError, match="mig needs bins as a whole number, got"):
        mig(CODES, FACTORS, bins=value)
