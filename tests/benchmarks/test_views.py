"""Views of a partitioned table: one column a factor's group, along the direction in which the group varies most."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from disbench.benchmarks.trials.tables.tables import read_named_table
from disbench.metrics.views import GROUP, MEAN, first_components, view, views

SPREAD = np.random.default_rng(0).normal(size=400)
OTHER = np.random.default_rng(1).normal(size=400)


def test_the_mean_view_is_the_codes_themselves() -> None:
    codes = np.stack([SPREAD, OTHER], 1).astype(np.float32)
    shown = view(MEAN, codes, None)
    assert shown.codes is codes
    assert shown.names == ("z0", "z1")


def test_a_group_of_one_latent_is_that_latent() -> None:
    shown = view(GROUP, np.stack([SPREAD, OTHER], 1), np.array([2, 1]))
    assert shown.names == ("group 1", "group 2")
    assert np.array_equal(shown.codes, np.stack([OTHER, SPREAD], 1))


def test_latents_that_move_together_become_one_column_whose_largest_loading_is_positive() -> None:
    codes = np.outer(SPREAD, [0.6, -0.8])
    (column,) = view(GROUP, codes, np.array([1, 1])).codes.T
    np.testing.assert_allclose(column, -SPREAD, atol=1e-12)
    (again,) = view(GROUP, -codes, np.array([1, 1])).codes.T
    np.testing.assert_allclose(again, SPREAD, atol=1e-12)


def test_a_component_is_the_first_right_singular_vector_of_the_centred_group() -> None:
    codes = np.random.default_rng(2).normal(size=(300, 5)) @ np.random.default_rng(3).normal(size=(5, 5)) + 7
    component = first_components(codes, np.array([1, 0, 1, 1, 0]))[1]
    own = codes[:, [0, 2, 3]]
    _, values, axes = np.linalg.svd(own - own.mean(0), full_matrices=False)
    assert component.latents.tolist() == [0, 2, 3]
    assert abs(component.direction @ axes[0]) == pytest.approx(1)
    assert component.direction[np.abs(component.direction).argmax()] > 0
    assert component.deviation == pytest.approx(values[0] / np.sqrt(300))


def test_a_latent_that_carries_little_weighs_little() -> None:
    shown = view(GROUP, np.stack([SPREAD, 0.01 * OTHER], 1), np.array([1, 1]))
    assert np.corrcoef(shown.codes[:, 0], SPREAD)[0, 1] > 0.9999


def test_nuisance_empty_groups_and_constant_groups_have_no_column() -> None:
    codes = np.stack([SPREAD, OTHER, np.full(400, 3.0), np.full(400, -0.1)], 1)
    shown = view(GROUP, codes, np.array([4, 0, 2, 2]))
    assert shown.names == ("group 4",)
    assert np.array_equal(shown.codes[:, 0], SPREAD)


def test_a_column_does_not_depend_on_the_order_of_rows() -> None:
    codes, order = np.stack([SPREAD, OTHER, SPREAD + OTHER], 1), np.random.default_rng(4).permutation(400)
    group = np.array([1, 1, 1])
    np.testing.assert_allclose(
        view(GROUP, codes[order], group).codes, view(GROUP, codes, group).codes[order], atol=1e-9
    )


@pytest.mark.parametrize(
    ("name", "group", "words"),
    [
        (GROUP, None, "which this table lacks"),
        (GROUP, np.array([1]), "2 integers, one a latent"),
        (GROUP, np.array([1.0, 2.0]), "2 integers, one a latent, got float64"),
        (GROUP, np.array([0, 0]), "every latent is nuisance"),
        ("median", np.array([1, 2]), "no view 'median'; there are mean, group"),
    ],
)
def test_a_view_that_cannot_be_made_says_why(name: str, group: np.ndarray | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        view(name, np.stack([SPREAD, OTHER], 1), group)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_codes_that_are_not_finite_have_no_component(broken: float) -> None:
    with pytest.raises(ValueError, match="needs finite codes"):
        view(GROUP, np.stack([SPREAD, np.where(OTHER > 2, broken, OTHER)], 1), np.array([1, 2]))


def test_a_table_has_a_group_view_where_it_has_a_partition_and_else_a_reason() -> None:
    codes = np.stack([SPREAD, OTHER], 1)
    assert list(views(codes, None)[0]) == [MEAN]
    assert not views(codes, None)[1]
    assert list(views(codes, np.array([1, 2]))[0]) == [MEAN, GROUP]
    found, missing = views(codes, np.array([0, 0]))
    assert list(found) == [MEAN]
    assert "nuisance" in missing[GROUP]


def test_the_groups_of_a_table_are_read_from_either_kind_of_file(tmp_path: Path) -> None:
    arrays = {"codes": np.eye(2), "factors": np.eye(2)}
    np.savez(tmp_path / "with.npz", **arrays, group=[1, 0])
    np.savez(tmp_path / "without.npz", **arrays)
    for name, content in (("with", {**arrays, "group": [1, 0]}), ("without", arrays)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            for key, array in content.items():
                file[key] = array
    for kind in ("npz", "h5"):
        assert read_named_table(tmp_path / f"with.{kind}").group.tolist() == [1, 0]
        assert read_named_table(tmp_path / f"without.{kind}").group is None
