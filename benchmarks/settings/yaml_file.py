"""Read all YAML from users: suites, training files, and values of options such as `--set`.

It reads the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), so that `no`, `010`, `1:30` and `2024-01-01`
stay the text that they are, and a number such as 1e-4 is a number. It refuses what hides a mistake or exhausts memory: a key
that is given twice, tags, several documents, deep nesting, and aliases that expand to more than `NODES` values.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from disbench.datasets.untrusted import read_regular
from disbench.datasets.wording import shown

BYTES = 1_000_000
DEPTH = 30
NODES = 100_000
DIGITS = 300  # of one number
MERGE = "tag:yaml.org,2002:merge"
TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "seq", "map", "merge")}


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core schema; a number may have `_` between its digits."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # not in the stubs of PyYAML
            raise yaml.MarkedYAMLError(problem=f"more than {DEPTH} levels of nesting", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {}  # without those of YAML 1.1
for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9_]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|(0|[1-9][0-9_]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), [*_first, *([""] * (_kind == "null"))]
    )


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a user's YAML file. Raises ValueError that names the file and, where there is one, the line."""
    try:
        content = read_regular(path, BYTES, follow=True)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file. A YAML file is needed.") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 (byte {error.start + 1}). Save the file as UTF-8, for example with your editor's 'Save with "
            "encoding'."
        ) from error
    found = parse_yaml(text, str(path))
    if found is None:
        raise ValueError(f"{path} is empty. A YAML file with `name: value` lines is needed.")
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a mapping (`name: value` lines), got {shown(found)}.")
    return found


def parse_yaml(text: str, where: str) -> Any:
    """The value that a YAML text holds. Raises ValueError that starts with `where` and has the line."""
    if len(text) > BYTES:
        raise ValueError(f"{where}: {len(text):,} characters; YAML may have {BYTES:,}.")
    loader = None
    try:
        loader = _Loader(text)  # which refuses control characters
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node, loader, {}, where)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f", line {mark.line + 1}"
        reason = error.problem or error.context or "not YAML"
        if "found another document" in reason:
            reason = "one YAML document is needed, and `---` starts a second one"
        raise ValueError(f"{where}{place} is no YAML: {_short(reason)}.") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        hint = "; save the file as UTF-8 text" if "\0" in text else ""
        raise ValueError(
            f"{where}: line {line}: the character #x{error.character:04x} is not allowed{hint}."
        ) from error
    finally:
        if loader is not None:
            loader.dispose()


def _short(reason: str) -> str:
    return reason if len(reason) <= 200 else f"{reason[:200]}..."


def _check(node: Any, loader: _Loader, measured: dict[int, tuple[int, int] | None], where: str) -> tuple[int, int]:
    """The number of values in a node and its levels, with every alias expanded. Raises ValueError for what is refused."""
    if id(node) in measured:
        if (known := measured[id(node)]) is None:
            raise ValueError(f"{_place(node, where)} an alias refers to the value that contains it.")
        return known
    measured[id(node)] = None
    if node.tag not in TAGS:
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        raise ValueError(f"{_place(node, where)} the tag {shown(tag)} is not allowed.")
    children: list[Any] = []
    if isinstance(node, yaml.SequenceNode):
        children = node.value
    elif isinstance(node, yaml.MappingNode):
        _check_keys(node, where)
        children = [value for _, value in node.value]
    else:
        _check_scalar(node, loader, where)
    size = depth = 1
    for child in children:
        child_size, child_depth = _check(child, loader, measured, where)
        size, depth = size + child_size, max(depth, 1 + child_depth)
        if size > NODES or depth > DEPTH:
            what = f"{NODES:,} values" if size > NODES else f"{DEPTH} levels of nesting"
            raise ValueError(f"{_place(node, where)} more than {what}, with every alias expanded.")
    measured[id(node)] = size, depth
    return size, depth


def _check_keys(node: yaml.MappingNode, where: str) -> None:
    """Make every key the text that was typed. Raises ValueError for one that is no text or is given twice."""
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ValueError(f"{_place(key, where)} a key must be a name, not a list or a mapping.")
        if key.tag == MERGE:
            continue
        key.tag = "tag:yaml.org,2002:str"
        line = key.start_mark.line + 1
        if key.value in lines:
            before = lines[key.value]
            raise ValueError(f"{where}: line {line}: the key {shown(key.value)} was given before, on line {before}.")
        lines[key.value] = line


def _check_scalar(node: yaml.ScalarNode, loader: _Loader, where: str) -> None:
    kind = node.tag.rpartition(":")[2]
    if kind in ("int", "float") and len(node.value) > DIGITS:
        raise ValueError(f"{_place(node, where)} a number of {len(node.value):,} digits; {DIGITS} are allowed.")
    tag = loader.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]  # not in the stubs
    means = tag.rpartition(":")[2]
    if kind not in ("str", means) and (kind, means) != ("float", "int"):  # a tag of the user's, such as !!int many
        raise ValueError(f"{_place(node, where)} {shown(node.value)} is no {kind}.")


def _place(node: Any, where: str) -> str:
    return f"{where}: line {node.start_mark.line + 1}:"
