"""Checks for names, paths and files from untrusted sources. Standard library only, so that every package can use it.

Records, suites and imported datasets are shared between people. A name in them becomes part of a path, and a path in them
names a file to read, so each is checked here before it is used.
"""

import re
import stat
from contextlib import suppress
from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def check_path_name(name: str, what: str) -> str:
    """Return `name` if it is safe as a part of a path, and raise ValueError otherwise.

    A name has 1 to 100 letters (a to z), digits, underscores, dots and hyphens, and starts with a letter, digit or
    underscore. `what` says in the error what the name is of, such as "method".
    """
    if not NAME.fullmatch(name):
        got = ascii(name if len(name) <= 60 else f"{name[:60]}...")
        raise ValueError(
            f"A {what} name needs 1 to 100 letters, digits, '_', '.' and '-', and no '.' or '-' in front, got {got}."
        )
    return name


def path_inside(folder: Path, relative: str) -> Path | None:
    """The path of a file that a description in `folder` names; None where it lies outside of `folder`.

    An absolute path, '..' and a symbolic link that lead elsewhere are outside. The file need not exist.
    """
    path = folder / relative
    try:
        # A bare name that is not a link leads nowhere else. Resolving a path asks the system about each of its parts.
        if Path(relative).name == relative != ".." and not path.is_symlink():
            return None if "\0" in relative else path
        with suppress(FileNotFoundError):
            path.resolve(strict=True)  # without `strict`, Python 3.13 accepts a link to itself
        return path if path.resolve().is_relative_to(folder.resolve()) else None
    except (OSError, ValueError, RuntimeError):  # a name that is too long or has a NUL in it, a link to itself
        return None


def read_regular(path: Path, limit: int, *, follow: bool = False) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises FileNotFoundError where nothing is there, and ValueError, which names the file, for anything that is not a
    regular file (a folder, a named pipe, a device) and for a file above `limit`. A symbolic link is refused too, unless
    `follow` is set. Nothing is read, and no pipe is waited for, before these checks.
    """
    found = path.stat(follow_symlinks=follow)
    if stat.S_ISLNK(found.st_mode):
        raise ValueError(f"{path} is a symbolic link, and a regular file is needed. Copy the file itself here.")
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path} is not a regular file.")
    if found.st_size > limit:
        raise ValueError(f"{path} has {found.st_size:,} bytes, and at most {limit:,} are read.")
    with path.open("rb") as file:
        content = file.read(limit + 1)  # it may have grown since
    if len(content) > limit:
        raise ValueError(f"{path} has more than {limit:,} bytes.")
    return content


# Controls but tab and line feed, lone surrogates, and characters that change the direction of the text around them.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(text: object) -> str:
    """The words of `text` without control characters, each replaced by U+FFFD, so that they cannot steer a terminal.

    Escape sequences, bidirectional overrides and bytes of a file name that are not UTF-8 become visible. Tabs and line
    breaks stay.
    """
    return _UNPRINTABLE.sub("\ufffd", str(text).replace("\r\n", "\n"))


def spreadsheet_text(text: str) -> str:
    """A text cell of a CSV file that a spreadsheet shows and does not run as a formula: "'" goes in front of one."""
    text = printable(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text
