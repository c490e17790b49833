"""The last resort of every command: an error becomes one line and an exit status, never a traceback.

A file or disk that cannot be used and a value that is refused end with status 2, Ctrl-C with 130. Anything else is a bug of
disbench: it is named in one line, with how to see the traceback, and ends with status 70. With DISBENCH_TRACEBACK=1 no error is
caught, so a test or a bug report sees it whole.
"""

import errno
import os
from typing import Any

import typer

from disbench.benchmarks.terminal import Commands, fail

INTERRUPTED, BUG = 130, 70  # exit statuses: the shell's for SIGINT, sysexits.h's EX_SOFTWARE
TRACEBACK = "DISBENCH_TRACEBACK"
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


def one_line(error: BaseException) -> str:
    """What a user is told about an error."""
    if isinstance(error, OSError) and error.errno in ADVICE and error.filename is not None:
        said = error.strerror if error.strerror and len(error.strerror) > 60 else ADVICE[error.errno]
        return f"{error.filename}: {said}."
    return str(error).strip() or type(error).__name__


class GuardedGroup(Commands):
    """The commands, with every error in one line."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            fail("stopped.")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            # Errors with an exit status are the parser's: it shows them itself, as it does a closed pipe.
            own = hasattr(error, "exit_code") or isinstance(error, typer.Abort | BrokenPipeError)
            if own or os.environ.get(TRACEBACK):
                raise
            if isinstance(error, OSError | ValueError):
                raise fail(one_line(error)) from error
            lines = str(error).strip().splitlines()
            what = f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
            fail(f"{what}. This is a bug in disbench. Set {TRACEBACK}=1 and run the command again to see where it is.")
            raise typer.Exit(BUG) from error
