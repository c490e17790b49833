"""Check the spelling and the terms of the documentation, and of comments and docstrings in the code: make wording

Spelling is American and is checked by codespell with the words of `.codespell-words.txt` allowed. Terms are the rules of
`wording.toml`. Code is not checked: neither statements in modules nor fenced blocks, code spans and formulas in pages.
"""

# ruff: noqa: T201 -- a script for the terminal

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
RULES = tomllib.loads(Path(__file__).with_name("wording.toml").read_text(encoding="utf-8"))["rule"]
PACKAGES = ("baselines", "benchmarks", "datasets", "disbench", "metrics", "mine_vae", "reports", "src")
CODE = re.compile(
    r"^(```|~~~).*?^\1 *$|``.+?``|`[^`\n]+`|\$\$.+?\$\$|\$[^$\n]+\$|\]\([^)\s]+\)|https?://\S+", re.M | re.S
)

# In a docstring: lines of an example, and the names that begin the entry of a parameter.
NOT_PROSE = re.compile(r"^ *(?:>>>|\.\.\. ).*$|^ +[\w*, ]+ : (?=\w)|^ +\*{0,2}\w+$", re.M)


def blanked(text: str) -> str:
    """Return `text` with code, formulas and links replaced by blanks, so that lines and columns stay."""
    return CODE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def prose_of_module(source: str) -> str:
    """Return the comments and docstrings of a module on their lines, and nothing else."""
    lines = [""] * (source.count("\n") + 2)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not re.match(r"#\s*(type:|noqa|ruff:|!)", token.string):
            lines[token.start[0] - 1] += token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            first = node.body[0]
            text = re.sub(NOT_PROSE, "", ast.get_source_segment(source, first) or "")
            for number, line in enumerate(text.split("\n"), first.lineno):
                lines[number - 1] += line
    return "\n".join(lines)


def prose(path: Path) -> str:
    """Return what is checked of a file: all prose of a page, or the comments and docstrings of a module."""
    text = path.read_text(encoding="utf-8")
    return blanked(prose_of_module(text) if path.suffix == ".py" else text)


def files(root: Path = ROOT) -> list[Path]:
    """Return the pages and modules that are checked."""
    pages = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob(".github/**/*.md")]
    return sorted(pages) + [path for package in PACKAGES for path in sorted(root.glob(f"{package}/**/*.py"))]


def broken_rules(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line number, match and advice for each place of `text` that breaks a rule."""
    for number, line in enumerate(text.split("\n"), 1):
        for rule in RULES:
            for found in re.finditer(rule["pattern"], line):
                yield number, found[0], rule["message"]


def misspelled(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line number, word and advice for each word of `text` that codespell knows better."""
    command = [sys.executable, "-m", "codespell_lib", "--builtin", "clear,rare,en-GB_to_en-US", "-"]
    command += ["--ignore-words", str(ROOT / ".codespell-words.txt")]
    told = subprocess.run(command, input=text, capture_output=True, text=True, check=False, cwd=ROOT)
    for line in told.stdout.splitlines():
        if found := re.match(r"(\d+): .*$", line):
            number = int(found[1])
        elif "==>" in line:
            word, _, better = line.strip().partition(" ==> ")
            yield number, word, f"write {better}"


def main() -> None:
    """Print each place that breaks a rule and exit with status 1 if there is one."""
    texts = {path: prose(path) for path in files()}
    faults = [(path, *fault) for path, text in texts.items() for fault in broken_rules(text)]
    starts, joined = {}, []
    for path, text in texts.items():  # all files at once: codespell takes most of its time to start
        starts[len(joined)] = path
        joined += text.split("\n")
    for number, word, advice in misspelled("\n".join(joined)):
        start = max(at for at in starts if at < number)
        faults.append((starts[start], number - start, word, advice))
    for path, number, word, advice in sorted(faults):
        print(f"{path.relative_to(ROOT)}:{number}: {word!r}: {advice}")
    if faults:
        raise SystemExit(f"{len(faults)} places to mend; the rules are in tests/environment/wording.toml")


if __name__ == "__main__":
    main()
