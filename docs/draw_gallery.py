"""Run the code of docs/gallery.md, which writes the figures of docs/gallery: python docs/draw_gallery.py"""

import os
import re
from pathlib import Path

DOCS = Path(__file__).parent


def draw(folder: Path) -> None:
    """Run each block of Python on the page in `folder`."""
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    for code in re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL):
        exec(code, {})


if __name__ == "__main__":
    draw(DOCS / "gallery")
