"""What a log and a terminal show of a training: how far it is, its loss and the time left, and nothing of Lightning's."""

import logging
import os
import pty
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from disbench.benchmarks import progress
from disbench.benchmarks.progress import Progress, duration, title
from disbench.benchmarks.quiet import quiet_lightning
from disbench.benchmarks.trial import run_trial
from disbench.datasets import load
from disbench.reports.records import Trial

TRIAL = ("--method", "vae", "--dataset", "dsprites_like", "--steps", "40", "--rows", "200", "--metrics", "mig")
SMALL = ("--select", "shape=1", "--select", "orientation=0", "--set", "network=mlp", "--set", "hidden_dim=8")
LIGHTNING = ("GPU", "TPU", "HPU", "litlogger", "LitLogger", "max_epochs", "Lightning", "lightning", "LOCAL_RANK")
PROGRAM = "import sys\nfrom disbench.benchmarks.cli import app\napp(sys.argv[1:])\n"


def trial(steps: int) -> Trial:
    return Trial(
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
        "from disbench.benchmarks.trial import run_trial\n"
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
