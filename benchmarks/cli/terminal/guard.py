"""Convert every error of a command into one line and an exit status instead of a traceback.

A file or disk that cannot be used, a value that is refused and a missing package of the extra [train] end with status 2, Ctrl-C
with 130. Anything else is a bug of disbench: it is named in one line, with how to see the traceback, and ends with status 70.
With DISBENCH_TRACEBACK=1 no error is caught, so a test or a bug report sees it whole.
"""

import os
from pathlib import Path
from typing import Any

import typer

from disbench.benchmarks.cli.terminal.printing import Commands, fail, flush_output
from disbench.datasets.wording import missing_extra

INTERRUPTED, BUG = 130, 70  # exit statuses: the shell's for SIGINT, sysexits.h's EX_SOFTWARE
TRACEBACK = "DISBENCH_TRACEBACK"


class GuardedGroup(Commands):
    """The commands, with every error in one line."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run a command; what it printed is on its way before the process ends, or the status says that it is not."""
        try:
            try:
                return super().main(*arguments, **options)
            finally:
                flush_output()
        except BrokenPipeError:  # whoever read the output has enough of it, such as `head`
            raise SystemExit(1) from None
        except OSError as error:  # of help and --version, which are printed before a command begins
            if os.environ.get(TRACEBACK):
                raise
            raise SystemExit(fail(error).exit_code) from error

    def invoke(self, ctx: Any) -> Any:
        try:
            Path.cwd()
        except OSError as error:
            raise fail("the current folder no longer exists. Go to one that does, such as with: cd ~") from error
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
            if isinstance(error, OSError) and error.filename is None:
                flush_output()  # raises the error again with a name where printing raised it
            if isinstance(error, OSError | ValueError):
                raise fail(error) from error
            if (advice := missing_extra(error)) is not None:
                raise fail(advice) from error
            lines = str(error).strip().splitlines()
            what = f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
            fail(f"{what}. This is a bug in disbench. Set {TRACEBACK}=1 and run the command again to see where it is.")
            raise typer.Exit(BUG) from error
