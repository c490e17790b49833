"""Where official files lie: `<root>/<folder>/<file>` or `<root>/<file>`.

The root is an argument, else the environment variable `DISBENCH_DATA`, else `Data` in the working directory.
"""

import os
from pathlib import Path


def data_root(root: str | Path | None = None) -> Path:
    """The given root, else `DISBENCH_DATA`, else `./Data`."""
    return Path(root or os.environ.get("DISBENCH_DATA") or "Data")


def find_file(root: str | Path | None, folder: str, file_name: str, *, url: str, size: str, stand_in: str) -> Path:
    """The path of an official file.

    Raises FileNotFoundError with the paths that were tried, a command that fetches the file from `url`, and the
    procedural dataset `stand_in`: nothing falls back silently to other pictures.
    """
    base = data_root(root)
    candidates = [base / folder / file_name, base / file_name]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    looked_at = "\n".join(f"  {candidate.absolute()}" for candidate in candidates)
    raise FileNotFoundError(
        f"{file_name} was not found. Looked at:\n{looked_at}\n"
        f"Fetch it ({size}) with\n"
        f"  curl -L --fail --create-dirs -o '{candidates[0].absolute()}' '{url}'\n"
        "or set DISBENCH_DATA to the folder that holds it. "
        f"Without any file, the dataset '{stand_in}' draws procedural images of the same factors."
    )
