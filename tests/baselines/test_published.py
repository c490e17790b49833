"""The published grid of every method names what exists: datasets, hyperparameters, and values that these take."""

import pytest

from disbench.benchmarks import METHODS
from disbench.benchmarks.settings.hyperparameters import check_method, hyperparameters
from disbench.datasets import DATASETS

GRIDS = [
    (method, dataset, hyperparameter)
    for method, kind in METHODS.items()
    for dataset, grid in kind.published.items()
    for hyperparameter in grid
]


@pytest.mark.parametrize(("method", "dataset", "hyperparameter"), GRIDS)
def test_a_published_grid_can_be_searched_as_it_stands(method: str, dataset: str, hyperparameter: str) -> None:
    values = METHODS[method].published[dataset][hyperparameter]
    assert dataset == "any" or dataset in DATASETS
    default = hyperparameters(method)[hyperparameter].default
    assert len(set(values)) == len(values) > 0
    chosen = len(values) == 1  # a paper's choice for this dataset, where the default may be that for another
    assert (
        default in values or chosen or method == "factor_vae"
    )  # whose grid is from the study, the default from its paper
    for value in values:
        assert type(value) is type(default)
        check_method(method, {hyperparameter: value})


def test_the_methods_of_the_study_have_its_grid() -> None:
    """Locatello et al. 2019, arXiv:1811.12359, table 2."""
    study = {
        "beta_vae": ("beta", [1, 2, 4, 6, 8, 16]),
        "annealed_vae": ("capacity", [5, 10, 25, 50, 75, 100]),
        "factor_vae": ("gamma", [10, 20, 30, 40, 50, 100]),
        "dip_vae_i": ("off_diagonal", [1, 2, 5, 10, 20, 50]),
        "dip_vae_ii": ("off_diagonal", [1, 2, 5, 10, 20, 50]),
        "beta_tcvae": ("beta", [1, 2, 4, 6, 8, 10]),
    }
    found = {name: [(key, list(v)) for key, v in METHODS[name].published["any"].items()] for name in study}
    assert found == {name: [grid] for name, grid in study.items()}
