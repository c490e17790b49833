"""Check the links of built pages without a network: python html_links.py build/docs

Every link to a page, a picture, a script or a style has to lead to a file below the folder, and every anchor to an element of
that page. Pages may link to other sites, but load nothing from them.
"""

# ruff: noqa: T201 -- a script for the terminal

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "source": "src", "link": "href"}


class Page(HTMLParser):
    """The anchors of a page, what it links to, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the identifiers and addresses of an element."""
        given = {name: value for name, value in attrs if value}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in LOADED and LOADED[tag] in given and given.get("rel") not in ("canonical", "author"):
            self.loads.append(given[LOADED[tag]])


def broken(folder: Path) -> list[str]:
    """Return a line for each link that leads nowhere and for each file that another site would have to send."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    faults = []
    for path, page in pages.items():
        name = path.relative_to(folder.resolve())
        faults += [f"{name}: loads {one}" for one in page.loads if urlsplit(one).netloc]
        for target in [*page.links, *(one for one in page.loads if not urlsplit(one).netloc)]:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            linked = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not linked.is_file():
                faults.append(f"{name}: {target}: no such file")
            elif parts.fragment and linked in pages and unquote(parts.fragment) not in pages[linked].anchors:
                faults.append(f"{name}: {target}: no such anchor")
    return faults


def main(folder: Path) -> None:
    """Print the broken links and exit with status 1 if there is one."""
    faults = broken(folder)
    print("\n".join(faults))
    if faults or not (folder / "index.html").is_file():
        raise SystemExit(f"{len(faults)} broken links in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
