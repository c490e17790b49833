"""The location, format and checksums of official files.

A file of an official set is looked for in `<root>/<folder>/` for each folder that its users are known to keep it in, then
in `<root>` itself. The root is an argument, else the environment variable `DISBENCH_DATA`, else `Data` in the working
directory.
"""

import hashlib
import logging
import lzma
import os
import shlex
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from disbench.datasets.storage.atomic import write_atomic
from disbench.datasets.storage.cache import cache_folder
from disbench.datasets.storage.hdf5 import check_regular_file

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OfficialFile:
    """One published file: its name, mirrors in the order to try, and checksum as 'md5:...' or 'sha256:...'.

    `size` is in bytes, or None where it is not known. A file without `urls` can only be fetched by a person.
    """

    name: str
    urls: tuple[str, ...]
    checksum: str
    size: int | None = None


@dataclass(frozen=True)
class Source:
    """An official set: its files, where they are kept, and on what terms.

    `folders`, relative to the root, are searched in order; a download is put into the first. `restricted` means that the
    license asks something of the user, who has to agree to it before a download. `manual` says how a person gets the files
    where a program cannot. `stand_in` names the procedural set of the same factors, if there is one. `images` is how many the
    published set has.
    """

    name: str
    homepage: str
    licence: str
    folders: tuple[str, ...]
    files: tuple[OfficialFile, ...]
    restricted: bool = False
    manual: str = ""
    stand_in: str = ""
    images: int | None = None


def data_root(root: str | Path | None = None) -> Path:
    """The given root, else `DISBENCH_DATA`, else `./Data`. Raises ValueError where `~` or `~name` is no folder here."""
    named = Path(root or os.environ.get("DISBENCH_DATA") or "Data")
    try:
        return named.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{named}: there is no such home folder. Write the folder's whole path.") from error


def candidates(root: str | Path | None, source: Source, name: str) -> list[Path]:
    """The paths at which a file or folder of a set is looked for, in order."""
    base = data_root(root)
    return [*(base / folder / name for folder in source.folders), base / name]


def find(root: str | Path | None, source: Source, *names: str) -> Path:
    """The first path that exists of one of `names`, files or folders of an official set.

    Raises FileNotFoundError with the paths that were tried, the command that fetches the file, and the procedural set of
    the same factors: nothing falls back silently to other pictures.
    """
    tried = [path for name in names for path in candidates(root, source, name)]
    for path in tried:
        if path.is_file() or path.is_dir():
            return path
        if path.exists():
            raise ValueError(f"{path.absolute()} is neither a regular file nor a folder.")
    looked_at = "\n".join(f"  {path.absolute()}" for path in tried)
    where = f" --data-dir {shlex.quote(str(root))}" if root else ""
    advice = [f"Fetch it with\n  disbench data download {source.name}{where}"]
    if source.manual:
        advice.append(source.manual)
    advice.append("Or set DISBENCH_DATA to the folder that holds it.")
    if source.stand_in:
        advice.append(f"Without any file, the dataset '{source.stand_in}' draws procedural images of the same factors.")
    raise FileNotFoundError(f"{' or '.join(names)} was not found. Looked at:\n{looked_at}\n" + "\n".join(advice))


def sha256_of(path: Path) -> str:
    """The sha256 of a file; of a folder, that of the sha256s of its files in the order of their names. Lower-case hex.

    A result is remembered in the cache folder for as long as path, size and time of change stay the same (for a folder:
    its own time, which changes when a file is added or removed), so that a set of 12 GB is read once, not at every start.
    """
    stat = path.stat()
    signature = f"{path.absolute()}\n{stat.st_size}\n{stat.st_mtime_ns}"
    memo = cache_folder() / "sha256" / hashlib.sha256(signature.encode()).hexdigest()[:32]
    try:
        remembered = memo.read_text(encoding="ascii")
        if len(remembered) == 64:
            return remembered
    except (OSError, ValueError):
        pass
    if path.is_dir():
        digest = hashlib.sha256()
        for file in sorted(entry for entry in path.iterdir() if entry.is_file()):
            digest.update(checksum(file).encode())
        found = digest.hexdigest()
    else:
        found = checksum(path)
    try:
        write_atomic(memo, found.encode())
    except OSError as error:
        _log.info("The checksum of %s is not kept for the next process: %s.", path, error)
    return found


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """The checksum of a file as lower-case hex, read anew. Raises ValueError for a named pipe or a device."""
    check_regular_file(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


# numpy's reader of headers raises the tokenizer's and the compiler's errors, and MemoryError for a length that is a lie.
DAMAGE = (
    *(ValueError, LookupError, EOFError, TypeError, RuntimeError, OSError, ArithmeticError, MemoryError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError),
)


class WrongContentError(ValueError):
    """Sound files that are not what a dataset needs: the message says what to do, and fetching them again would not help."""


@contextmanager
def explained(path: Path, what: str, advice: str) -> Iterator[None]:
    """Turn what zip, zlib, HDF5 and numpy say about a damaged file into one ValueError that names it and what to do.

    Errors of the operating system pass: a full disk or a cache that cannot be written is not the file's fault.
    """
    try:
        yield
    except WrongContentError as error:
        raise WrongContentError(f"{path}: {error}") from error
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:  # HDF5 raises OSErrors without a number
            raise
        raise ValueError(f"{path} is not a readable {what} file: {error}. {advice}") from error
