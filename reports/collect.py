"""Reading a folder of trials without losing the rest to one broken file."""

from dataclasses import dataclass
from pathlib import Path

from disbench.reports.records import RECORD_FILE, SCHEMA_VERSION, Record, read_record


@dataclass(frozen=True)
class Collection:
    """What lies below a folder: `found` (trial folder, record) in path order; `unreadable` (relative path, error)."""

    found: tuple[tuple[Path, Record], ...]
    unreadable: tuple[tuple[str, str], ...]
    newest: float  # modification time of the newest record file, in seconds since 1970


def collect(folder: Path) -> Collection:
    """Read every record below `folder`; one that cannot be read is listed with its error instead of raised.

    Raises FileNotFoundError when there is no record file at all, because an empty page would look like a result.
    """
    folder = Path(folder)
    paths = sorted(folder.rglob(RECORD_FILE)) if folder.is_dir() else []
    if not paths:
        state = "holds none" if folder.is_dir() else "is not a folder"
        raise FileNotFoundError(
            f"A leaderboard needs trial folders with a {RECORD_FILE} each, but {folder} {state}. "
            f"Make some with: disbench run quick --out {folder}"
        )
    found: list[tuple[Path, Record]] = []
    unreadable: list[tuple[str, str]] = []
    for path in paths:
        try:
            record = read_record(path)
        except (OSError, ValueError) as error:
            # The message names the absolute path, which differs between machines: the page names the relative one.
            message = str(error).replace(str(path), RECORD_FILE)
            unreadable.append((path.relative_to(folder).as_posix(), message))
            continue
        if record.schema_version != SCHEMA_VERSION:
            message = f"schema version {record.schema_version}; this version of disbench reads {SCHEMA_VERSION}."
            unreadable.append((path.relative_to(folder).as_posix(), message))
            continue
        found.append((path.parent, record))
    return Collection(tuple(found), tuple(unreadable), max(path.stat().st_mtime for path in paths))
