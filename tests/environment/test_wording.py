"""The rules of wording find what they are for, and code is left alone; `make wording` applies them."""

import re
from pathlib import Path

import pytest
import wording

MODULE = '''"""A summary with a colour.

    colour : str
    >>> colour = 1
"""
colour = "colour"  # the colour of it
'''


@pytest.mark.parametrize("rule", wording.RULES, ids=lambda rule: rule["bad"])
def test_a_rule_finds_its_bad_example_and_spares_its_good_one(rule: dict[str, str]) -> None:
    assert rule["message"] in [advice for _, _, advice in wording.broken_rules(rule["bad"])]
    assert [*wording.broken_rules(rule["good"])] == []


def test_only_comments_and_docstrings_of_a_module_are_checked() -> None:
    assert [(number, word) for number, word, _ in wording.misspelled(wording.prose_of_module(MODULE))] == [
        (1, "colour"),
        (6, "colour"),
    ]


def test_code_formulas_and_links_of_a_page_are_not_checked() -> None:
    page = "a `data set` in\n```sh\ndata set .5\n```\n$x .5$ and [text](data set.md) data set\n"
    assert [number for number, *_ in wording.broken_rules(wording.blanked(page))] == [5, 5]


def test_no_page_has_a_bare_decimal_even_in_code() -> None:
    bare = re.compile(r"(?:^|[ (])\.[0-9]", flags=re.MULTILINE)
    pages = [path for path in wording.files() if path.suffix == ".md"]
    assert len(pages) > 50
    assert [path.name for path in pages if bare.search(path.read_text(encoding="utf-8"))] == []


def test_all_pages_and_packages_are_among_the_files() -> None:
    names = {path.relative_to(wording.ROOT).as_posix() for path in wording.files()}
    assert {"README.md", "docs/index.md", "docs/metrics/mig.md", "metrics/mig.py", "benchmarks/cli/main.py"} <= names
    assert not any(Path(name).parts[0] in ("tests", "build") for name in names)
