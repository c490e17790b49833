"""Print output that fits the encoding of the stream, without control characters from files.

Two rules hold at one place each. A stream that is not UTF-8 gets a plain substitute for what it lacks, so scores are
never lost to an encoding. Text that comes from a file loses its control characters before it is printed; only this
program's own colors and tables send escape sequences.
"""

import codecs
import errno
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from disbench.datasets.storage.atomic import write_atomic
from disbench.datasets.untrusted import printable

SUBSTITUTES = {
    "↑": "^",
    "↓": "v",
    "→": "->",
    "←": "<-",
    "±": "+-",
    "≈": "~",
    "≥": ">=",
    "≤": "<=",
    "…": "...",
    "²": "2",
    "χ": "chi",
    "×": "x",
    "•": "*",
    **dict.fromkeys("’‘", "'"),
    **dict.fromkeys("“”", '"'),
    **dict.fromkeys("│┃║╎╷╵", "|"),
    **dict.fromkeys("–—−─━═╌╴╶", "-"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╯╰┏┓┗┛┡┩┢┪╇╈╪╞╡┠┨", "+"),
}


ADVICE = {
    errno.ENOSPC: "there is no room left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EEXIST: "a file is there already; a folder is needed",
    errno.ENOTDIR: "a part of this path is a file; a folder is needed",
    errno.EISDIR: "it is a folder; a file is needed",
    errno.ENOENT: "no such file or folder",
    errno.ENAMETOOLONG: "the name is too long",
}


def _substitute(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(SUBSTITUTES.get(character, "?") for character in lacking), error.end


codecs.register_error("disbench", _substitute)


def prepare_streams() -> None:
    """Let standard output and error print any text, whatever their encoding, and also where they are closed."""
    # A file that is opened later would get the number of a closed stream, and what a library prints would end in it.
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it stays open
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it stays open
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="disbench")


def flush_output() -> None:
    """Send off what was printed. Raises OSError that names standard output where that fails; the rest is then dropped."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries, and fails, at its end again
        raise OSError(error.errno, error.strerror, "standard output") from error


class Terminal(Console):
    """A rich console that prints no control character of the text it is given."""

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError, which is no wish to stop, as rich's SystemExit would be."""
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


class PlainFormatter(logging.Formatter):
    """Log lines without the control characters of what they report."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


console = Terminal()


def say(words: object, *, err: bool = False) -> None:
    """Print a line of text that may come from a file."""
    print(printable(words), file=sys.stderr if err else sys.stdout)


def one_line(error: BaseException) -> str:
    """Return the message that a user sees for an error."""
    if isinstance(error, OSError) and error.errno in ADVICE and error.filename is not None:
        said = error.strerror if error.strerror and len(error.strerror) > 60 else ADVICE[error.errno]
        return f"{error.filename}: {said}."
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        return "There is no room left on the disk, or where standard output goes to."
    return str(error).strip() or type(error).__name__


def fail(message: object) -> typer.Exit:
    """Say what was wrong, in words or by an error, and leave with status 2."""
    if isinstance(message, BaseException):
        message = one_line(message)
    Terminal(stderr=True, soft_wrap=True).print(Text.assemble(("Error:", "bold red"), " ", printable(message)))
    return typer.Exit(2)


def write_file(path: Path, content: bytes) -> None:
    """Write a file that the user named completely or not at all, or leave with the reason and the old file as it was."""
    try:
        write_atomic(path, content)
    except OSError as error:
        raise fail(f"{path} cannot be written: {ADVICE.get(error.errno or 0, error.strerror or error)}.") from error


def new_table(*columns: Column | str, title: str | None = None) -> Table:
    """An empty table in the one style of all commands."""
    return Table(*columns, title=title, title_justify="left", title_style="bold")


class Commands(typer.core.TyperGroup):
    """The group of all commands: streams are prepared before anything is printed, help included."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        prepare_streams()
        return super().main(*arguments, **options)


@contextmanager
def stopping(words: str) -> Iterator[None]:
    """Say where a command that is stopped left its work, and end with the exit status of Ctrl-C."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        say(f"\nStopped. {words}", err=True)
        raise typer.Exit(130) from None
