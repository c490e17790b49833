"""Commands end in one line: files and folders that cannot be used, foreign checkpoints, Ctrl-C, and bugs."""

import errno
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from disbench.benchmarks.cli.main import app
from disbench.benchmarks.cli.terminal.guard import TRACEBACK, GuardedGroup
from disbench.benchmarks.settings.training_file import training_file
from disbench.benchmarks.studies.run import run_suite
from disbench.benchmarks.studies.status import PLANS, states, write_plan
from disbench.benchmarks.studies.suite import Suite
from disbench.benchmarks.trials import trial as trial_module
from disbench.reports.records import Record, Trial, write_record

SMALL = ["--set", "network=mlp", "--set", "hidden_dim=8", "--metrics", "mig"]
SELECT = {"shape": 1, "scale": "0-1", "orientation": "0-3", "position_x": "0-3", "position_y": "0-3"}
SELECTED = [word for name, value in SELECT.items() for word in ("--select", f"{name}={value}")]
TRAIN = [
    "train",
    "--method",
    "vae",
    "--dataset",
    "dsprites_like",
    "--steps",
    "1",
    "--batch-size",
    "16",
    *SELECTED,
    *SMALL,
]
FILE = """
model_params: {name: BetaVAE, in_channels: 1, latent_dim: 4, beta: 2, loss_type: B}
data_params: {data_path: Data/, dataset: dsprites_like, train_batch_size: 16, val_batch_size: 64, patch_size: 64, num_workers: 4}
exp_params: {LR: 0.005, weight_decay: 0.0, scheduler_gamma: 0.95, kld_weight: 0.00025, manual_seed: 7}
trainer_params: {gpus: [1], max_epochs: 1, precision: 32, max_steps: -1}
logging_params: {save_dir: logs/, name: BetaVAE}
"""


class Own:
    """Somebody's class in a pickle."""


def torchscript(path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(path))


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("notes.txt", "words")


def truncated(path: Path) -> None:
    content = io.BytesIO()
    torch.save({"state_dict": {"w": torch.zeros(1000)}}, content)
    path.write_bytes(content.getvalue()[:1500])


def described(path: Path, **changes: object) -> None:
    trial = {
        "method": "vae",
        "dataset": "dsprites_like",
        "dataset_version": "1",
        "seed": 0,
        "steps": 1,
        "batch_size": 2,
    }
    parts = {"trial": trial, "image_shape": [1, 64, 64], "n_train": 10}
    torch.save({"disbench": {**parts, **changes}, "state_dict": {}}, path)


FOREIGN: dict[str, Callable[[Path], object]] = {
    "an empty file": lambda path: path.write_bytes(b""),
    "a zip of something": zipped,
    "a pickle with a class": lambda path: path.write_bytes(pickle.dumps(Own())),
    "torch's pickle with a class": lambda path: torch.save({"model": Own()}, path),
    "a whole module": lambda path: torch.save(torch.nn.Linear(2, 2), path),
    "a state_dict": lambda path: torch.save(torch.nn.Linear(2, 2).state_dict(), path),
    "Lightning's": lambda path: torch.save({"state_dict": {}, "epoch": 3, "pytorch-lightning_version": "2"}, path),
    "TorchScript": torchscript,
    "safetensors": lambda path: path.write_bytes(b"\x02\0\0\0\0\0\0\0{}"),
    "a folder": lambda path: path.mkdir(),
    "a truncated file": truncated,
    "a list": lambda path: torch.save([1, 2], path),
    "a trial of nothing": lambda path: described(path, trial={}),
    "a trial of another method": lambda path: described(path, trial={"method": "none"}),
    "a shape that is none": lambda path: described(path, image_shape="wide"),
    "no weights": described,
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.filterwarnings("ignore")
def test_a_foreign_checkpoint_is_refused_in_one_line_without_unsafe_advice(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    FOREIGN[kind](path)
    for command in ("evaluate", "traverse"):
        result = CliRunner().invoke(app, [command, str(path)])
        assert result.exit_code == 2, result.output
        assert result.stderr.startswith("Error: ")
        assert "model.ckpt" in result.stderr
        assert "weights_only" not in result.stderr
        assert "trust" not in result.stderr
        assert "further information" not in result.stderr
        assert len(result.stderr) < 600
    if kind not in ("a trial of nothing", "a trial of another method", "a shape that is none", "no weights"):
        assert "disbench score" in result.stderr


@pytest.mark.parametrize("command", ["evaluate", "traverse"])
def test_a_checkpoint_that_is_not_there_is_named(command: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [command, str(tmp_path / "none.ckpt")])
    assert result.exit_code == 2
    assert "none.ckpt" in result.stderr


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_results_cannot_go_into_a_file(out: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    result = CliRunner().invoke(app, [*TRAIN, "--out", str(tmp_path / out)])
    assert result.exit_code == 2, result.output
    assert "a folder is needed" in result.stderr
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "no room"), (errno.EROFS, "read-only"), (errno.EACCES, "permission denied")],
)
def test_a_disk_that_cannot_be_written_ends_in_one_line(
    number: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *arguments: object, **keywords: object) -> None:
        raise OSError(number, "the system's words", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    result = CliRunner().invoke(app, [*TRAIN, "--out", str(tmp_path / "runs")])
    assert result.exit_code == 2, result.output
    assert said in result.stderr.lower()
    assert len(result.stderr.strip().splitlines()) == 1


def failing(error: BaseException) -> typer.Typer:
    commands = typer.Typer(cls=GuardedGroup, pretty_exceptions_enable=False)

    @commands.command()
    def fails() -> None:
        raise error

    @commands.command()
    def other() -> None:
        """A second command, so that there is a group."""

    return commands


def test_a_bug_is_called_a_bug_in_one_line_and_can_be_seen_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRACEBACK, raising=False)
    result = CliRunner().invoke(failing(ZeroDivisionError("division by zero")), ["fails"])
    assert result.exit_code == 70
    assert "ZeroDivisionError: division by zero. This is a bug in disbench" in result.stderr
    assert TRACEBACK in result.stderr
    monkeypatch.setenv(TRACEBACK, "1")
    result = CliRunner().invoke(failing(ZeroDivisionError("division by zero")), ["fails"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_a_refused_value_is_one_line_and_can_be_seen_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRACEBACK, raising=False)
    result = CliRunner().invoke(app, ["data", "verify", "no_such_dataset"])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: There is no dataset 'no_such_dataset'")
    monkeypatch.setenv(TRACEBACK, "1")
    result = CliRunner().invoke(app, ["data", "verify", "no_such_dataset"])
    assert isinstance(result.exception, ValueError)


def test_ctrl_c_ends_with_the_status_of_an_interrupt() -> None:
    result = CliRunner().invoke(failing(KeyboardInterrupt()), ["fails"])
    assert result.exit_code == 130
    assert "Traceback" not in result.output


def test_a_mistyped_command_is_answered_with_the_nearest() -> None:
    result = CliRunner().invoke(app, ["trian"])
    assert result.exit_code == 2
    assert "train" in result.stderr


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"trials": 3}', '{"trials": [{}]}', "[" * 50_000, "\x00"])
def test_a_malformed_plan_is_listed_as_unreadable(content: str, tmp_path: Path) -> None:
    (tmp_path / PLANS).mkdir()
    (tmp_path / PLANS / "x.json").write_text(content)
    result = CliRunner().invoke(app, ["status", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "unreadable" in result.output
    assert "x.json" in "".join(result.output.split())


def test_two_suites_of_one_name_have_each_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"datasets": [{"name": "dsprites_like"}], "seeds": [0], "steps": 5, "untrained": False}
    suites = [Suite(name="mine", methods=[{"name": name}], **fields) for name in ("vae", "beta_vae")]
    for suite in [*suites, suites[0]]:
        assert list(run_suite(suite, tmp_path, engine=lambda jobs: iter(()))) == []
    assert len(list((tmp_path / PLANS).iterdir())) == 2
    assert sorted(state.trial.method for state in states(tmp_path)) == ["beta_vae", "vae"]


def test_a_file_with_the_five_original_blocks_trains_and_says_what_became_of_each_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_module, "IMAGES", 2)
    path = tmp_path / "original.yaml"
    path.write_text(FILE)
    result = CliRunner().invoke(app, ["train", "-c", str(path), *SELECTED, *SMALL, "--out", str(tmp_path / "runs")])
    assert result.exit_code == 0, result.output
    for line in (
        "model_params.name -> method = 'beta_vae'",
        "data_params.train_batch_size -> batch_size = 16",
        "exp_params.LR -> lr = 0.005",
        "exp_params.manual_seed -> seed = 7",
        "trainer_params.max_epochs -> steps = 8",
    ):
        assert line in result.output
    ignored = result.output.split("Ignored:")[1]
    for block, names in {
        "model_params": ["loss_type"],
        "data_params": ["data_path", "val_batch_size", "patch_size", "num_workers"],
        "exp_params": ["weight_decay", "scheduler_gamma", "kld_weight"],
        "trainer_params": ["gpus", "max_steps"],
        "logging_params": ["save_dir", "name"],
    }.items():
        for name in names:
            assert f"{block}.{name} - " in ignored
    (folder,) = (tmp_path / "runs").glob("beta_vae-*")
    assert "seed7" in folder.name


def test_a_flag_goes_before_the_file_and_the_file_before_the_defaults() -> None:
    file = training_file({"model_params": {"name": "vae"}, "exp_params": {"LR": 2, "manual_seed": 7}, "steps": 9})
    found = file.complete({"dataset": "dsprites_like", "seed": 3, "steps": None, "hparams": {"lr": 1}}, None)
    assert (found["seed"], found["steps"], found["hparams"]) == (3, 9, {"lr": 1})
    assert set(file.ignored) == {"exp_params.LR", "exp_params.manual_seed"}
    assert set(file.mapped) == {"model_params.name"}


def test_the_steps_of_an_epoch_count_every_minibatch_that_a_step_takes() -> None:
    for method, steps in {"vae": 24, "factor_vae": 12}.items():
        file = training_file({"method": method, "dataset": "dsprites_like", "trainer_params": {"max_epochs": 3}})
        given = {"batch_size": 16, "dataset_options": {"select": SELECT}}
        assert file.complete(given, None)["steps"] == steps


def test_steps_that_are_given_go_before_the_epochs_of_a_file() -> None:
    blocks = {"model_params": {"name": "VanillaVAE"}, "trainer_params": {"max_epochs": 3, "max_steps": 50}}
    in_file = training_file(blocks)
    assert in_file.complete({"dataset": "dsprites_like"}, None)["steps"] == 50
    flag = training_file({**blocks, "trainer_params": {"max_epochs": 3}})
    assert flag.complete({"dataset": "dsprites_like", "steps": 7}, None)["steps"] == 7
    assert in_file.ignored == {"trainer_params.max_epochs": "steps = 50 is given"}
    assert flag.ignored == {"trainer_params.max_epochs": "steps = 7 is given"}


@pytest.mark.parametrize(
    "words",
    [
        ["merge", "FILE", "RUNS"],
        ["data", "preview", "dsprites_like", "--out", "FILE"],
        ["estimators", "--out", "FILE"],
        ["estimators", "--out", "FILE/inner"],
        [*TRAIN, "--out", "FILE"],
    ],
)
def test_a_file_where_a_folder_is_needed_is_told_in_words(words: list[str], tmp_path: Path) -> None:
    trial = Trial(method="vae", dataset="d", dataset_version="1", seed=0, steps=1, batch_size=2)
    write_record(Record(trial=trial, status="ok", views={"mean": {"mig": 0.5}}), tmp_path / "runs" / trial.id)
    (tmp_path / "file").write_text("x")
    places = {
        "FILE": str(tmp_path / "file"),
        "RUNS": str(tmp_path / "runs"),
        "FILE/inner": str(tmp_path / "file" / "x"),
    }
    result = CliRunner().invoke(app, [places.get(word, word) for word in words])
    assert result.exit_code == 2
    assert "a folder is needed" in result.output
    assert "Errno" not in result.output
    assert (tmp_path / "file").read_text() == "x"


def test_ctrl_c_of_profile_is_told_as_of_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("disbench.baselines.vae.VAE.training_step", pressed)
    words = ["profile", *TRAIN[1:5], "--steps", "1", "--batch-size", "16", *SELECTED, *SMALL]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 130
    assert "stopped" in result.output


def test_status_says_which_plans_have_one_name_while_trials_wait(tmp_path: Path) -> None:
    trial = Trial(method="vae", dataset="d", dataset_version="1", seed=0, steps=1, batch_size=2)
    write_plan("mine", [trial], tmp_path, "as it was")
    assert "named mine" not in CliRunner().invoke(app, ["status", str(tmp_path)]).output
    write_plan("mine", [trial.model_copy(update={"steps": 2})], tmp_path, "as it is")
    write_plan("other", [trial], tmp_path, "another")
    output = CliRunner().invoke(app, ["status", str(tmp_path)]).output
    assert "2 plans are named mine: mine-" in output
    assert "named other" not in output
