"""A driver in a process of its own: runs a suite and notes in a file, one line each, the trials whose training it began."""

import os
import sys
from pathlib import Path

from disbench.benchmarks.studies.run import run_suite
from disbench.benchmarks.studies.suite import load_suite
from disbench.benchmarks.trials import trial as trial_module

suite, out, notes = sys.argv[1:]
train = trial_module.train


def noted(trial, *arguments, **keywords):
    with Path(notes).open("a") as file:
        file.write(f"{os.getpid()} {trial.id}\n")
    return train(trial, *arguments, **keywords)


trial_module.train = noted
for record in run_suite(load_suite(suite), Path(out)):
    assert record.status == "ok", record.error
