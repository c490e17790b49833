"""The contents of a page, the files next to it, and what is left out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from disbench.datasets.untrusted import printable
from disbench.reports.records import RECORD_FILE
from disbench.reports.tables.table import Table

INLINE = 100  # trials whose details one page holds
PAGED = 1000  # trials that all get a separate page: each takes 4 ms and about 40 kB
EMBEDDED = 9 << 20  # characters of pictures in one page, over all datasets


@dataclass(frozen=True)
class Layout:
    """`folder` is where the page is written; `inline` means that the page itself holds the details of every trial.

    `embedded` is how many characters of pictures one dataset may take. If not `inline`, every trial has a separate page if
    `paged`, otherwise only failed trials and the median trial of each row. A page that is not `linked` has no link to another
    file. Whatever cannot be shown is added to `left_out` (what, why), and the folder of a trial without a page to `unpaged`.
    """

    folder: Path
    inline: bool
    embedded: int = EMBEDDED
    paged: bool = True
    linked: bool = True
    left_out: list[tuple[str, str]] = field(default_factory=list, compare=False)
    unpaged: set[Path] = field(default_factory=set, compare=False)

    def leave_out(self, folder: Path, reason: str, name: str = RECORD_FILE) -> None:
        """Note why a file of a trial or study is not shown."""
        self.left_out.append((f"{printable(folder.name)}/{name}", reason))


def layout_of(tables: Sequence[Table], output: Path, every_trial: bool = False, linked: bool = True) -> Layout:
    """The layout of a page at `output`: with details up to INLINE trials, beyond that with pages next to it.

    Beyond PAGED trials, every trial gets a page only if `every_trial` is True.
    """
    trials = sum(len(row.trials) + len(row.failed) for table in tables for row in table.first_views)
    return Layout(
        output.parent,
        trials <= INLINE or not linked,
        EMBEDDED // max(1, len(tables)),
        every_trial or trials <= PAGED,
        linked,
    )
