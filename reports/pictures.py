"""Pictures that trials left, as data URIs: the page stays whole when it is mailed without its folder."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from disbench.reports.aggregate import Found, Row
from disbench.reports.records import Record

TRAVERSAL = "traversal"
CAPTIONS = {
    "group_traversal": "Factor-group traversal: a row moves all latents of one group together, along their first component",
    "reconstructions": "Reconstructions: images above what the method makes of them",
    "assignment": "Assignment of latents (columns, in the order of their groups) to groups",
    "capacity": "Capacity of each group beside its target, and the complexity of each factor",
}
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """A picture to show, or the reason why it cannot be: one of `uri` and `note` is empty."""

    name: str
    uri: str = ""
    note: str = ""

    @property
    def caption(self) -> str:
        return CAPTIONS.get(self.name, self.name)


def picture(folder: Path, name: str, relative: str) -> Picture:
    """Embed the PNG that a record in `folder` names. Whatever is wrong with the file becomes a note, never an error."""
    path = folder / relative
    # Records come from other people: one must not pull a file from elsewhere on this machine into a page.
    if not path.resolve().is_relative_to(folder.resolve()):
        return Picture(name, note=f"Not shown: {relative} lies outside its trial's folder.")
    try:
        content = path.read_bytes()
    except OSError:
        return Picture(name, note=f"Missing: the record names {relative}, and the file is not there.")
    if not content.startswith(_PNG):
        return Picture(name, note=f"Not shown: {relative} is not a PNG picture.")
    return Picture(name, uri=f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}")


def traversal(row: Row) -> tuple[Record, Picture] | None:
    """The latent traversal of a row's seed of median MIG (the lower middle of an even number), the first without MIG."""
    if not row.trials:
        return None
    folder, record = median_trial(row.trials)
    if TRAVERSAL not in record.artefacts:
        return record, Picture(TRAVERSAL, note="This trial recorded no traversal.")
    return record, picture(folder, TRAVERSAL, record.artefacts[TRAVERSAL])


def median_trial(trials: Sequence[Found]) -> Found:
    """The trial of median MIG; ties and missing scores go by seed."""
    scored = [pair for pair in trials if "mig" in pair[1].scores] or [trials[0]]
    scored.sort(key=lambda pair: (pair[1].scores.get("mig", 0.0), pair[1].trial.seed))
    return scored[(len(scored) - 1) // 2]


def other_pictures(folder: Path, record: Record) -> list[Picture]:
    """Every PNG a trial names beside its traversal, in order of name."""
    named = sorted((name, path) for name, path in record.artefacts.items() if path.lower().endswith(".png"))
    return [picture(folder, name, path) for name, path in named if name != TRAVERSAL]
