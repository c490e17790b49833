"""The progress of a trial at its last checkpoint, in a separate file that can be read without torch."""

import json
from pathlib import Path
from typing import NamedTuple

POSITION = "position.json"
STARTED = "trial.json"  # of a trial that has begun and has no record yet


class Position(NamedTuple):
    """Steps that a trial had made at its last checkpoint, of how many, and the seconds of training that it took."""

    step: int
    steps: int
    seconds: float


def position(folder: Path) -> Position | None:
    """How far the unfinished trial in a folder is; None where it has left no checkpoint yet, or is finished."""
    try:
        content = json.loads((folder / POSITION).read_text(encoding="utf-8"))
        return Position(int(content["step"]), int(content["steps"]), float(content["seconds"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
