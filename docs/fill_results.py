"""Put a study's tables between the marks in docs/results.md and README.md: python docs/fill_results.py results/first"""

import re
import sys
from pathlib import Path

from disbench.reports.export import export
from disbench.reports.records.collect import collect
from disbench.reports.tables.aggregate import tables

ROOT = Path(__file__).parents[1]
README, RESULTS = ROOT / "README.md", ROOT / "docs" / "results.md"


def notes_once(markdown: str) -> str:
    """The tables of an export, each note once: below the last table if it is on all of them, else below the first it is on."""
    pages = [
        page.strip().split("\n\n") for page in re.split(r"^(?=### )", markdown, flags=re.MULTILINE) if page.strip()
    ]
    common = [note for note in pages[0][2:] if all(note in page for page in pages)]
    written: list[str] = []
    for heading, table, *notes in pages:
        written += [heading, table, *(note for note in notes if note not in [*written, *common])]
    return "\n\n".join([*written, *common])


def exported(folder: Path) -> str:
    """All tables of the records in `folder`, as Markdown."""
    return notes_once(export(tables(collect(folder).found), "markdown").decode())


def first_table(markdown: str) -> str:
    """The rows of the first table alone, without its heading and its notes."""
    return markdown.split("\n\n")[1]


def filled(text: str, mark: str, content: str) -> str:
    """`text` with `content` between the lines of this mark. Raises ValueError if one of the lines is missing."""
    between = re.compile(rf"(?<=<!-- {mark} -->\n).*?(?=<!-- /{mark} -->)", flags=re.DOTALL)
    if not between.search(text):
        raise ValueError(f"The text needs the lines <!-- {mark} --> and <!-- /{mark} -->.")
    return between.sub(lambda _: f"{content}\n", text)


if __name__ == "__main__":
    found = exported(Path(sys.argv[1]))
    RESULTS.write_text(filled(RESULTS.read_text(encoding="utf-8"), "table:first", found), encoding="utf-8")
    README.write_text(filled(README.read_text(encoding="utf-8"), "table:short", first_table(found)), encoding="utf-8")
