"""Put a study's exported tables between the marks in README.md: python docs/fill_readme.py results/first"""

import re
import sys
from pathlib import Path

from disbench.reports.export import export
from disbench.reports.records.collect import collect
from disbench.reports.tables.aggregate import tables

README = Path(__file__).parents[1] / "README.md"
BETWEEN = re.compile(r"(?<=<!-- table:first -->\n).*?(?=<!-- /table:first -->)", flags=re.DOTALL)


def told_once(markdown: str) -> str:
    """The tables of an export, each note once: below the last table if it is on all of them, else below the first it is on."""
    pages = [
        page.strip().split("\n\n") for page in re.split(r"^(?=### )", markdown, flags=re.MULTILINE) if page.strip()
    ]
    common = [note for note in pages[0][2:] if all(note in page for page in pages)]
    written: list[str] = []
    for heading, table, *notes in pages:
        written += [heading, table, *(note for note in notes if note not in [*written, *common])]
    return "\n\n".join([*written, *common])


def filled(text: str, folder: Path) -> str:
    """`text` with the tables of the records in `folder` between its marks. Raises ValueError where it has no marks."""
    if not BETWEEN.search(text):
        raise ValueError("The text needs the lines <!-- table:first --> and <!-- /table:first -->, and has not both.")
    found = told_once(export(tables(collect(folder).found), "markdown").decode())
    return BETWEEN.sub(lambda _: f"{found}\n", text)


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8"), Path(sys.argv[1])), encoding="utf-8")
