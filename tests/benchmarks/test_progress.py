"""What a log and a terminal show of a training: how far it is, its loss and the time left, and nothing of Lightning's."""

import logging
import os
import pty
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch

from disbench.benchmarks.settings.defaults import resolved_trial
from disbench.benchmarks.studies.run import run_suite
from disbench.benchmarks.studies.status import states
from disbench.benchmarks.studies.suite import Suite
from disbench.benchmarks.training import progress
from disbench.benchmarks.training.loop import ShowProgress
from disbench.benchmarks.training.position import STARTED
from disbench.benchmarks.training.progress import Progress, duration, title
from disbench.benchmarks.training.steps import quiet_lightning
from disbench.benchmarks.trials.existing import note_started
from disbench.benchmarks.trials.trial import run_trial
from disbench.datasets import load
from disbench.reports.records import Trial

TRIAL = ("--method", "vae", "--dataset", "dsprites_like", "--steps", "40", "--rows", "200", "--metrics", "mig")
SMALL = ("--select", "shape=1", "--select", "orientation=0", "--set", "network=mlp", "--set", "hidden_dim=8")
LIGHTNING = ("GPU", "TPU", "HPU", "litlogger", "LitLogger", "max_epochs", "Lightning", "lightning", "LOCAL_RANK")
PROGRAM = "import sys\nfrom disbench.benchmarks.cli.main import app\napp(sys.argv[1:])\n"


def trial(steps: int) -> Trial:
    return resolved_trial(
        Trial(
            method="vae",
            dataset="dsprites_like",
            dataset_options={"select": {"shape": 1, "orientation": 0}},
            dataset_version="1",
            seed=0,
            steps=steps,
            batch_size=64,
            precision="32-true",
            rows=100,
            hparams={"network": "mlp", "hidden_dim": 8},
        )
    )


def run(trial: Trial, out: Path) -> None:
    record = run_trial(trial, load(trial.dataset, **trial.dataset_options), out, {"mig": {}})
    assert record.status == "ok", record.error


def test_a_log_has_the_total_the_percentage_the_loss_and_the_time_left(tmp_path: Path, caplog) -> None:
    with caplog.at_level(logging.INFO):
        run(trial(40), tmp_path)
    lines = [line for line in caplog.messages if "step" in line and " of 40" in line]
    assert any(re.search(r"vae on dsprites_like, seed 0: .*\(\d+%\), loss [\d.]+, \d+ s left", line) for line in lines)


def test_a_bar_on_a_terminal_has_the_total_the_percentage_the_loss_and_the_time_left(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    words = [sys.executable, "-c", PROGRAM, "train", *TRIAL, *SMALL, "--out", str(tmp_path)]
    words[words.index("40")] = "300"
    process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "COLUMNS": "200"})
    os.close(theirs)
    shown = b""
    while True:
        try:
            if not (more := os.read(ours, 65536)):
                break
        except OSError:  # Linux says so at the end of a terminal
            break
        shown += more
    os.close(ours)
    assert process.wait() == 0, shown.decode()
    assert re.search(
        r"vae on dsprites_like, seed 0: training +\d+%\|.*/300 steps \[.*loss [\d.]+, \d+ s left", shown.decode()
    )
    assert not [word for word in LIGHTNING if word in shown.decode()]


@pytest.mark.parametrize("handlers", ["root", "none"])
def test_lightning_writes_nothing_neither_in_a_log_nor_from_python(handlers: str, tmp_path: Path) -> None:
    program = (
        "import logging\n"
        + "logging.basicConfig(level=logging.INFO)\n" * (handlers == "root")
        + "from pathlib import Path\n"
        "from disbench.benchmarks.trials.trial import run_trial\n"
        "from disbench.datasets import load\n"
        "from disbench.reports.records import Trial\n"
        f"trial = Trial.model_validate({trial(12).model_dump()!r})\n"
        "for seed in (0, 1):\n"
        "    one = trial.model_copy(update={'seed': seed})\n"
        f"    record = run_trial(one, load(one.dataset, **one.dataset_options), Path({str(tmp_path)!r}), {{'mig': {{}}}})\n"
        "    assert record.status == 'ok', record.error\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert not [line for line in said.splitlines() if any(word in line for word in LIGHTNING)]
    assert said.count("(17%)") == (2 if handlers == "root" else 0)


def test_lightning_is_as_it_was_for_others_afterwards() -> None:
    logger = logging.getLogger("pytorch_lightning")
    before, filters = logger.level, list(warnings.filters)
    with pytest.raises(ValueError, match="stop"), quiet_lightning():
        assert not logging.getLogger("pytorch_lightning.utilities.rank_zero").isEnabledFor(logging.INFO)
        raise ValueError("stop")
    assert logger.level == before
    assert warnings.filters == filters


def test_the_warnings_of_other_packages_stay() -> None:
    with quiet_lightning(), pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", stacklevel=1)


def test_a_log_has_a_line_while_one_item_takes_long(caplog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE_SECONDS", 0.1)
    monkeypatch.setattr(progress, "LOG_LOOK_SECONDS", 0.05)
    with caplog.at_level(logging.INFO), Progress("scoring", 3, "metric") as shown:
        shown.update(1, "dci")
        time.sleep(0.4)
    assert any(line.startswith("scoring: metric 1 of 3 (33%), dci, ") for line in caplog.messages)


def test_steps_of_an_earlier_call_do_not_count_as_fast_ones() -> None:
    shown = Progress("training", 100, "step")
    shown.begin(90)
    assert shown.left().endswith("so far")
    shown.started -= 50  # ten seconds a step
    shown.done = 95
    assert shown.left() == "50 s left"


def test_an_untrained_encoder_is_named_as_one() -> None:
    assert title(trial(0)) == "untrained vae on dsprites_like, seed 0"
    assert title(trial(5)) == "vae on dsprites_like, seed 0"


@pytest.mark.parametrize(("seconds", "words"), [(12.2, "12 s"), (99.0, "99 s"), (150.0, "2 min"), (9000.0, "2.5 h")])
def test_durations_read_well(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_log_names_each_trial_as_it_starts_and_how_it_ended(tmp_path: Path, caplog) -> None:
    content = {
        "name": "two",
        "datasets": [{"name": "dsprites_like", "options": trial(6).dataset_options}],
        "methods": [{"name": "beta_vae", "grid": {"beta": [1, 4]}}],
        "untrained": True,
        "hparams": {"network": "mlp", "hidden_dim": 8},
        "seeds": [0],
        "steps": 6,
        "rows": 100,
        "metrics": {"mig": {}},
    }
    with caplog.at_level(logging.INFO):
        list(run_suite(Suite.model_validate(content), tmp_path))
    for line in (
        r"\[1/3\] untrained vae on dsprites_like, seed 0: encoding and scoring, no training",
        r"\[1/3\] untrained vae on dsprites_like, seed 0: finished in \d+ s, mig [\d.]+",
        r"\[2/3\] beta_vae \(beta=1\) on dsprites_like, seed 0: training 6 steps",
        r"\[2/3\] beta_vae \(beta=1\) on dsprites_like, seed 0: training: step 2 of 6 \(33%\), loss [\d.]+, \d s left",
        r"\[2/3\] beta_vae \(beta=1\) on dsprites_like, seed 0: finished in \d+ s, mig [\d.]+; about \d+ s left",
        r"\[3/3\] beta_vae \(beta=4\) on dsprites_like, seed 0: finished in \d+ s, mig [\d.]+",
    ):
        assert any(re.fullmatch(line, said) for said in caplog.messages), (line, caplog.messages)


def test_status_sees_a_train_that_runs_and_one_that_was_stopped(tmp_path: Path) -> None:
    words = [sys.executable, "-c", PROGRAM, "train", *TRIAL, *SMALL, "--out", str(tmp_path)]
    words[words.index("40")] = "100000"
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(words, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + 120
        while "loss" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.2)
        (state,) = states(tmp_path)
        assert (state.state, state.trial.method) == ("running", "vae")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
    (state,) = states(tmp_path)
    assert state.state == "stopped"
    assert state.step
    assert "Run the same command again" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_status_sees_a_train_that_was_killed_before_its_first_checkpoint(tmp_path: Path) -> None:
    note_started(trial(5), tmp_path / "train" / trial(5).id)
    assert [(state.state, state.step) for state in states(tmp_path / "train")] == [("stopped", 0)]
    with pytest.raises(FileNotFoundError, match=f"disbench status {tmp_path / 'train'}"):
        states(tmp_path)


def test_a_finished_trial_is_not_taken_for_a_stopped_one(tmp_path: Path) -> None:
    run(trial(3), tmp_path)
    assert [state.state for state in states(tmp_path)] == ["finished"]
    assert not (tmp_path / trial(3).id / STARTED).exists()


def test_the_loss_is_the_latest_also_where_lines_are_shown_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that was just shown must not keep the training from reading the next loss."""
    clock = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    shown = Progress("a training", 1000, "step")
    callback = ShowProgress(shown)
    for step in range(5):
        shown.last_shown = 1e9
        callback.on_step(None, step + 1, {"loss": torch.tensor(50.0 - step)})
    assert shown.values == "loss 46.0"
