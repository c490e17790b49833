"""Escape text, such as labels, for LaTeX and Markdown."""

import html
import re
import unicodedata

from disbench.datasets.untrusted import printable

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",  # the straight quote is not in TeX's default encoding
    "–": "--",
    "×": r"$\times$",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "[": "{[}",  # after a line's \\ a bracket or star would be read as its argument
    "*": "{*}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def latex_text(words: str) -> str:
    """Escape words for LaTeX. A character that its default fonts lack becomes its code point."""
    return "".join(_latex_character(character) for character in " ".join(printable(words).split()))


def markdown_text(words: str) -> str:
    """Escape words for Markdown, also inside a table."""
    escaped = html.escape(" ".join(printable(words).split()), quote=False)
    return re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", escaped)


def _latex_character(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    if character.isascii():
        return character if character.isprintable() else " "
    name = unicodedata.name(character, "")
    greek = re.fullmatch(r"GREEK SMALL LETTER (\w+)", name)
    if greek and greek[1] != "OMICRON":
        return f"$\\{greek[1].replace('LAMDA', 'LAMBDA').lower()}$"
    if "LATIN" in name and len(unicodedata.normalize("NFD", character)) == 2 and ord(character) < 0x180:
        return character
    return f"{{[}}U+{ord(character):04X}]"
