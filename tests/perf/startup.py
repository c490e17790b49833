"""CPU seconds from a command's start to its end, by stage, and the ratio to another installation of disbench.

    python tests/perf/startup.py
    python tests/perf/startup.py --against /path/to/other/.venv/bin/python

The trial has the network and the data of the quick suite, 60 steps long. Runs of the installations take turns, and the fastest of
each counts. CPU seconds are user plus system time of the process: other work on the machine changes them little.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

# The installed command, whichever module an installation keeps it in.
PROGRAM = (
    "import sys; from importlib.metadata import entry_points; sys.argv[0] = 'disbench'; "
    "entry_points(group='console_scripts', name='disbench')['disbench'].load()()"
)
DATA = ["--dataset", "dsprites_like", "--select", "shape=1", "--select", "orientation=0-9"]
DATA += ["--select", "position_x=6-25", "--select", "position_y=11-20"]
NETWORK = ["--set", "network=mlp", "--set", "hidden_dim=256", "--set", "lr=0.001", "--set", "beta=8"]
TRIAL = ["train", "--method", "beta_vae", *DATA, "--steps", "60", "--rows", "10000", *NETWORK]
COMMANDS = {
    "disbench --help": ["--help"],
    "disbench train --help": ["train", "--help"],
    "disbench list metrics": ["list", "metrics"],
    "60-step trial, command to exit": TRIAL,
}
FIRST = {
    "60-step trial, first line": "",
    "60-step trial, first training step": "training: step",
}


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "PYTHONSAFEPATH": "1"}


def whole(python: str, words: list[str]) -> float:
    """CPU seconds of a command that ends."""
    with tempfile.TemporaryDirectory() as folder:
        out = ["--out", folder] if words[0] == "train" and "--help" not in words else []
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([python, "-c", PROGRAM, *words, *out], env=environment(), capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def until(python: str, text: str) -> float:
    """CPU seconds of a trial until a line on its stderr has this text; it is stopped then. Linux only."""
    with tempfile.TemporaryDirectory() as folder:
        words = [python, "-c", PROGRAM, *TRIAL, "--out", folder]
        process = subprocess.Popen(
            words, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        assert process.stderr is not None
        found = float("nan")
        for line in process.stderr:
            if text in line:
                fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
                found = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                break
        process.kill()
        process.wait()
    return found


def write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="PYTHON", help="The Python of another installation of disbench.")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    pythons = [sys.executable, *([options.against] if options.against else [])]
    write(f"{'CPU seconds':<38}{'here':>8}" + (f"{'other':>8}{'ratio':>8}" if options.against else ""))
    for name, words in COMMANDS.items():
        best = [float("inf")] * len(pythons)
        for _ in range(options.runs):
            best = [min(low, whole(python, words)) for low, python in zip(best, pythons, strict=True)]
        write(
            f"{name:<38}" + "".join(f"{low:8.2f}" for low in best) + (f"{best[0] / best[-1]:8.2f}" if best[1:] else "")
        )
    for name, text in FIRST.items():
        write(f"{name:<38}{min(until(sys.executable, text) for _ in range(options.runs)):8.2f}")


if __name__ == "__main__":
    main()
