"""Show progress with total, percentage and time left: as a bar on a terminal, as lines in a log."""

import logging
import shutil
import sys
import threading
import time
from types import TracebackType
from typing import Any, Self

from rich.logging import RichHandler

from disbench.reports.records import Trial

log = logging.getLogger(__name__)
BAR_SECONDS = 0.2  # between two updates of the bar
FIRST_LINE_SECONDS = 2.0
LOG_SECONDS = 15.0
LOG_LOOK_SECONDS = 0.5  # between two looks whether a line is due
BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {unit}s [{elapsed}{postfix}]"


def duration(seconds: float) -> str:
    """Seconds as a reader wants them: 12 s, 3 min, 2.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def title(trial: Trial) -> str:
    """A trial's name in the log and on the terminal. A trial of no steps is an untrained encoder."""
    method = trial.method if trial.steps else f"untrained {trial.method}"
    return f"{method} on {trial.dataset}, seed {trial.seed}"


def columns() -> int:
    """The width of the terminal; one that says 0, as a pseudo-terminal does at first, counts as 100."""
    return shutil.get_terminal_size(fallback=(100, 24)).columns


class AboveBars(RichHandler):
    """Writes log lines above a bar on the terminal, instead of into it."""

    def emit(self, record: logging.LogRecord) -> None:
        if "tqdm" not in sys.modules:
            super().emit(record)
            return
        from tqdm import tqdm

        with tqdm.external_write_mode(file=sys.stderr):
            super().emit(record)


class Progress:
    """Shows how much of `total` is done, for as long as it is entered.

    what: what is done, such as "beta_vae on dsprites, seed 0: training". unit: what is counted. shown: False shows nothing.
    early: the log has its first line after a tenth already. On a terminal there is a bar on stderr. Otherwise the log has a
    line after two seconds, and then one every 15 seconds, also while a single item takes minutes.
    """

    def __init__(self, what: str, total: int, unit: str, *, shown: bool = True, early: bool = False) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.shown, self.early = shown, early
        self.first = self.done = 0
        self.started = self.last_shown = time.monotonic()
        self.lines = 0
        self.values = ""
        self._bar: Any = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.begin(0)
        if not self.shown:
            return self
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=self.total,
                desc=self.what,
                unit=self.unit,
                bar_format=BAR,
                leave=False,
                ncols=columns(),
                nrows=20,  # asked of the terminal otherwise, and a bar on one of no rows is hidden
                mininterval=BAR_SECONDS,
                file=sys.stderr,
            )
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if self._bar is not None:
            self._bar.close()

    def begin(self, done: int) -> None:
        """Count from here on: `done` was done before, by an earlier call, and says nothing about the time left."""
        self.first = self.done = done
        self.started = self.last_shown = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time to show something new. Values that cost something to compute are worth it only then."""
        if not self.shown:
            return False
        if self._bar is None and self.early and not self.lines and self.done - self.first >= max(2, self.total / 10):
            return True
        since = time.monotonic() - self.last_shown
        return since >= (BAR_SECONDS if self._bar is not None else LOG_SECONDS if self.lines else FIRST_LINE_SECONDS)

    def update(self, done: int, values: str = "") -> None:
        """Say that `done` of the total is done; values: further words, such as the loss. Cheap unless it is `due`."""
        self.done = done
        self.values = values or self.values
        if self.due:
            self.show()

    def show(self) -> None:
        """Show the present state now."""
        self.last_shown = time.monotonic()
        if not self.shown:
            return
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join(filter(None, [self.values, self.left()])), refresh=False)
            self._bar.n, self._bar.ncols = self.done, columns()
            self._bar.refresh()
        else:
            self.lines += 1
            log.info("%s", self.line())

    def left(self) -> str:
        """The time left, or the time spent where nothing is done yet to estimate it from."""
        spent, made = time.monotonic() - self.started, self.done - self.first
        if made <= 0:
            return f"{duration(spent)} so far"
        return f"{duration(spent / made * (self.total - self.done))} left"

    def line(self) -> str:
        """The present state as a line of a log."""
        share = f" ({self.done / self.total:.0%})" if self.total else ""
        words = [f"{self.what}: {self.unit} {self.done:,} of {self.total:,}{share}", self.values, self.left()]
        return ", ".join(filter(None, words))

    def _watch(self) -> None:
        """Show the present state also while nothing calls `update`."""
        while not self._ended.wait(LOG_LOOK_SECONDS if self._bar is None else 1.0):
            if self._bar is not None or self.due:
                self.show()
