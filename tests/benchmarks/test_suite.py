"""A suite file: what it spans, and what is refused before anything is trained, with the field and what is allowed."""

import math
from pathlib import Path
from typing import Annotated

import pytest
import yaml
from pydantic import Field
from typer.testing import CliRunner

from disbench.baselines.vae import VAE
from disbench.benchmarks import METHODS
from disbench.benchmarks.cli.main import app
from disbench.benchmarks.settings.hyperparameters import Range, check_method, hyperparameters
from disbench.benchmarks.studies import budget
from disbench.benchmarks.studies.run import planned
from disbench.benchmarks.studies.status import TrialState, rows
from disbench.benchmarks.studies.suite import Suite, load_suite
from disbench.benchmarks.training.loop import ON_THIS_MACHINE
from disbench.benchmarks.trials.existing import Earlier
from disbench.datasets import load

GOOD = {
    "name": "x",
    "datasets": [{"name": "dsprites_like"}],
    "methods": [{"name": "vae"}, {"name": "beta_vae"}],
    "seeds": [0],
    "steps": 10,
}


def spanned(**entry: object) -> list[dict[str, object]]:
    """The hyperparameters of each row that one entry of beta_vae makes."""
    suite = Suite(**{**GOOD, "methods": [{"name": "beta_vae", **entry}], "untrained": False})
    return [hparams for _, _, hparams in suite.plan(suite.datasets[0])]


def test_a_grid_makes_a_row_of_every_combination() -> None:
    found = spanned(hparams={"lr": 0.1}, grid={"beta": [1, 4], "latent_dim": [5, 6]})
    assert found == [{"lr": 0.1, "beta": beta, "latent_dim": size} for beta in (1, 4) for size in (5, 6)]


def test_a_range_is_even_or_by_a_constant_factor_and_holds_both_ends() -> None:
    assert [row["beta"] for row in spanned(range={"beta": {"low": 0, "high": 1, "n": 5}})] == [0, 0.25, 0.5, 0.75, 1]
    logarithmic = [row["lr"] for row in spanned(range={"lr": {"low": 1e-4, "high": 1e-2, "n": 5, "log": True}})]
    assert logarithmic == pytest.approx([10 ** (exponent / 2 - 4) for exponent in range(5)], rel=1e-5)
    assert (logarithmic[0], logarithmic[-1]) == (1e-4, 1e-2)


def test_a_range_of_a_whole_number_has_each_number_once() -> None:
    assert [row["latent_dim"] for row in spanned(range={"latent_dim": {"low": 1, "high": 3, "n": 7}})] == [1, 2, 3]


def test_a_grid_and_a_range_with_the_same_values_make_the_same_trials() -> None:
    by_grid, by_range = (
        Suite(**{**GOOD, "methods": [{"name": "beta_vae", **entry}]})
        for entry in (
            {"grid": {"beta": [1, 4, 16]}},
            {"range": {"beta": {"low": 1.0, "high": 16.0, "n": 3, "log": True}}},
        )
    )
    ids = [[trial.id for trial in suite.trials(suite.datasets[0], "1")] for suite in (by_grid, by_range)]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": 3}, r"unknown key step; allowed are name, .*steps"),
        (
            {"methods": [{"name": "vae", "hparam": {}}]},
            r"methods\.0: unknown key hparam; allowed are name, hparams, grid",
        ),
        ({"datasets": [{"name": "dsprites_like", "option": {}}]}, r"datasets\.0: unknown key option; allowed are"),
        ({"steps": -5}, r"steps: .*greater than or equal to 1, got -5"),
        ({"steps": "many"}, r"steps: .*integer.*got 'many'"),
        ({"seeds": [-1]}, r"seeds\.0: .*greater than or equal to 0, got -1"),
        ({"batch_size": 1}, r"batch_size: .*greater than or equal to 2"),
        ({"precision": "float32"}, r"precision: .*'32-true'.*got 'float32'"),
        ({"methods": []}, r"methods: .*at least 1"),
        ({"methods": [{"name": "gan"}]}, r"Unknown method 'gan'. Known: vae, "),
        ({"methods": [{"name": "beta_vae", "hparams": {"betta": 4}}]}, r"no hyperparameter betta. It takes: beta, "),
        ({"methods": [{"name": "beta_vae", "hparams": {"beta": "four"}}]}, r"beta_vae: beta needs .*float.*got 'four'"),
        ({"methods": [{"name": "beta_vae", "hparams": {"beta": -1}}]}, r"beta_vae: beta needs .*got -1.*equal to 0"),
        ({"methods": [{"name": "beta_vae", "hparams": {"beta": True}}]}, r"beta_vae: beta needs .*got True"),
        ({"methods": [{"name": "beta_vae", "hparams": {"beta": math.inf}}]}, r"beta_vae: beta .*finite"),
        ({"methods": [{"name": "vae", "hparams": {"lr": 0}}]}, r"vae: lr needs .*got 0.*greater than 0"),
        ({"methods": [{"name": "vae", "hparams": {"latent_dim": 2.5}}]}, r"vae: latent_dim needs .*int.*got 2\.5"),
        ({"methods": [{"name": "vae", "hparams": {"latent_dim": 0}}]}, r"vae: latent_dim .*equal to 1"),
        ({"methods": [{"name": "vae", "hparams": {"network": "resnet"}}]}, r"vae: network must be one of .*'resnet'"),
        ({"methods": [{"name": "mine_vae", "hparams": {"mine": "perhaps"}}]}, r"mine_vae: mine needs .*bool"),
        ({"methods": [{"name": "mine_vae", "hparams": {"attention": "strong"}}]}, r"mine_vae: attention must be"),
        ({"methods": [{"name": "beta_vae", "grid": {"beta": [1, "four"]}}]}, r"beta_vae: beta needs .*'four'"),
        (
            {"methods": [{"name": "beta_vae", "grid": {"beta": 4}}]},
            r"methods\.0\.grid: beta needs a list of values, got 4",
        ),
        (
            {"methods": [{"name": "beta_vae", "grid": "publshed"}]},
            r"grid: needs .*such as .*or the word published; got 'publshed'",
        ),
        ({"methods": [{"name": "beta_vae", "grid": [4]}]}, r"methods\.0\.grid: needs hyperparameters with lists"),
        (
            {"methods": [{"name": "vae", "grid": "published"}]},
            r"vae has no published grid for dsprites_like.*Leave grid out",
        ),
        (
            {"methods": [{"name": "control_vae", "grid": "published"}]},
            r"no published grid for .*It has one for dsprites\.",
        ),
        ({"methods": [{"name": "betavae", "grid": "published"}]}, r"Unknown method 'betavae'.*Did you mean beta_vae"),
        (
            {"methods": [{"name": "beta_vae", "hparams": {"beta": 3}, "grid": "published"}]},
            r"beta_vae has beta in hparams and grid",
        ),
        ({"methods": [{"name": "beta_vae", "grid": {"beta": []}}]}, r"grid of beta has no value"),
        ({"methods": [{"name": "beta_vae", "range": {"beta": {"low": 2, "high": 1, "n": 3}}}]}, r"beta: .*low < high"),
        ({"methods": [{"name": "beta_vae", "range": {"beta": {"low": 1, "high": 2}}}]}, r"needs n, how many"),
        ({"methods": [{"name": "beta_vae", "range": {"beta": {"low": 1, "high": 2, "n": 1}}}]}, r"n: .*equal to 2"),
        (
            {"methods": [{"name": "beta_vae", "range": {"beta": {"low": 0, "high": 2, "n": 3, "log": True}}}]},
            r"log: true needs low > 0",
        ),
        (
            {"methods": [{"name": "vae", "range": {"network": {"low": 1, "high": 2, "n": 2}}}]},
            r"vae: network is no number",
        ),
        (
            {"methods": [{"name": "beta_vae", "hparams": {"beta": 1}, "grid": {"beta": [2]}}]},
            r"beta_vae has beta in hparams and grid",
        ),
        ({"metrics": {"mig": {"binz": 5}}}, r"mig has no option 'binz'. It takes: bins"),
        ({"metrics": {"mig": {"bins": "many"}}}, r"mig\.bins needs int, got 'many'"),
        ({"metrics": {"accuracy": {}}}, r"Unknown metric 'accuracy'. Known: "),
        ({"datasets": [{"name": "mnist"}]}, r"There is no dataset 'mnist'; there are dsprites_like"),
        ({"datasets": [{"name": "dsprites_like", "steps": 0}]}, r"datasets\.0\.steps: .*equal to 1"),
    ],
)
def test_a_wrong_field_is_named_with_what_is_allowed(change: dict[str, object], words: str, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **change}))
    with pytest.raises(ValueError, match=f"(?s){words}"):
        load_suite(str(path))


def test_a_wrong_suite_makes_no_folder(tmp_path: Path) -> None:
    path, out = tmp_path / "suite.yaml", tmp_path / "runs"
    path.write_text(yaml.safe_dump({**GOOD, "steps": -5}))
    result = CliRunner().invoke(app, ["run", str(path), "--out", str(out)])
    assert result.exit_code == 2
    assert "steps" in result.output
    assert not out.exists()


def test_a_number_in_yaml_that_looks_like_a_word_is_a_number() -> None:
    assert yaml.safe_load("lr: 1e-4") == {"lr": "1e-4"}
    assert spanned(hparams={"lr": "1e-4"}) == [{"lr": 1e-4}]


def test_a_number_stays_as_it_was_written_so_that_trials_keep_their_ids() -> None:
    (row,) = spanned(hparams={"beta": 4})
    assert isinstance(row["beta"], int)


class Signed(VAE):
    """A hyperparameter whose limits its constructor says, and one whose default is negative."""

    def __init__(
        self,
        image_shape: tuple[int, ...],
        n_train: int,
        *,
        share: Annotated[float, Field(ge=0, le=1)] = 0.5,
        shift: float = -1.0,
        lr: float = 1e-4,
    ) -> None:
        super().__init__(image_shape, n_train, lr=lr)


PUBLISHED = {**GOOD, "methods": [{"name": "beta_vae", "grid": "published"}], "untrained": False}


def test_a_published_grid_makes_a_row_of_every_value() -> None:
    values = METHODS["beta_vae"].published["any"]["beta"]
    assert spanned(grid="published") == [{"beta": value} for value in values]
    ids = [
        [trial.id for trial in suite.trials(suite.datasets[0], "1")]
        for suite in (
            Suite(**PUBLISHED),
            Suite(**{**PUBLISHED, "methods": [{"name": "beta_vae", "grid": {"beta": [*values]}}]}),
        )
    ]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == len(values)


def test_a_published_grid_is_the_datasets_own_before_that_for_any(monkeypatch: pytest.MonkeyPatch) -> None:
    grids = {"any": {"beta": (1.0, 2.0)}, "shapes3d_like": {"beta": (3.0, 4.0), "latent_dim": (5, 6)}}
    monkeypatch.setattr(METHODS["beta_vae"], "published", grids)
    suite = Suite(**{**PUBLISHED, "datasets": [{"name": "dsprites_like"}, {"name": "shapes3d_like"}]})
    first, second = ([hparams for _, _, hparams in suite.plan(entry)] for entry in suite.datasets)
    assert first == [{"beta": 1}, {"beta": 2}]
    assert second == [{"beta": beta, "latent_dim": size} for beta in (3, 4) for size in (5, 6)]
    assert spanned(grid="published", range={"lr": {"low": 0.1, "high": 0.2, "n": 2}}) == [
        {"beta": beta, "lr": lr} for beta in (1, 2) for lr in (0.1, 0.2)
    ]


def test_a_suite_with_a_published_grid_is_dumped_as_it_was_written() -> None:
    suite = Suite(**PUBLISHED)
    dumped = yaml.safe_load(yaml.safe_dump(suite.model_dump(mode="json")))
    assert dumped["methods"][0]["grid"] == "published"
    again = Suite(**dumped)
    assert again == suite
    assert again.trials(again.datasets[0], "1") == suite.trials(suite.datasets[0], "1")


def test_the_rows_of_a_published_grid_have_different_names_and_their_cost_is_in_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(Suite(**{**PUBLISHED, "seeds": [0, 1]}))
    states = [TrialState(entry.trial, tmp_path / entry.trial.id, "waiting") for entry in plan]
    assert [row.label for row in rows(states)] == [f"beta_vae (beta={value})" for value in (1, 2, 4, 6, 8, 16)]
    probed = []
    monkeypatch.setattr(
        budget, "probe", lambda trial, *_: probed.append(trial) or budget.Cost(2.0, 1.0, 10.0, "a probe")
    )
    (found,) = budget.estimates(plan, tmp_path, None, ON_THIS_MACHINE)
    assert (found.trials, found.left, found.seconds) == (12, 12, 12 * (10 * 2 + 1))
    assert len(probed) == 1  # a weight does not change the cost of a step


def test_the_full_grid_is_the_full_suite_with_the_published_grid_of_each_method_that_has_one_for_any_dataset() -> None:
    full, grid = load_suite("full"), load_suite("full_grid")
    everywhere = {name for name, kind in METHODS.items() if "any" in kind.published}
    assert {entry.name for entry in full.methods} == {entry.name for entry in grid.methods} == set(METHODS)
    assert {entry.name for entry in grid.methods if entry.grid == "published"} == everywhere
    left_out = {"name", "description", "methods"}
    assert full.model_dump(exclude=left_out) == grid.model_dump(exclude=left_out)
    for entry in full.datasets:
        one, many = ({trial.id for trial in suite.trials(entry, "1")} for suite in (full, grid))
        assert one < many  # a finished full suite is a part of the grid


def test_limits_that_a_constructor_states_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "signed", Signed)
    assert check_method("signed", {"shift": -3.0, "share": 1.0}) == {"shift": -3.0, "share": 1.0}
    with pytest.raises(ValueError, match=r"signed: share .*less than or equal to 1"):
        check_method("signed", {"share": 1.5})


@pytest.mark.parametrize("method", METHODS)
def test_every_default_is_a_value_that_the_method_takes(method: str) -> None:
    defaults = {name: parameter.default for name, parameter in hyperparameters(method).items()}
    assert check_method(method, defaults) == defaults


def test_values_of_a_range_need_its_length() -> None:
    with pytest.raises(ValueError, match="needs n"):
        Range(low=1, high=2).values(whole=False)


def test_every_trial_of_the_first_suite_is_found_in_its_results() -> None:
    """Results that are there already are found: no change of a suite's reading or of a default may lose them."""
    suite = load_suite("first")
    earlier = Earlier(Path(__file__).parents[2] / "results" / "first")
    for entry in suite.datasets:
        for trial in suite.trials(entry, load(entry.name).version):
            folder, record = earlier.record(trial)
            assert record.trial == trial
            assert folder.name.startswith(trial.id.rpartition("-")[0])
