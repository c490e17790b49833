"""What the commands share: options that mean the same everywhere, how they are read, and how an error is told."""

from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

console = Console()

DataDir = Annotated[
    str | None, typer.Option("--data-dir", help="Folder of official files. Default: $DISBENCH_DATA, else ./Data.")
]
Select = Annotated[
    list[str] | None, typer.Option("--select", help="Restrict a factor: scale=2 or position_x=6-25. Repeatable.")
]

DatasetOptions = Annotated[
    list[str] | None,
    typer.Option("--option", help="An option of the data set itself: tier=reduced, split=test. Repeatable."),
]


def fail(message: object) -> typer.Exit:
    """Say what was wrong and leave with status 2."""
    Console(stderr=True, soft_wrap=True).print(f"[bold red]Error:[/] {str(message).replace('[', chr(92) + '[')}")
    return typer.Exit(2)


def assignments(words: list[str] | None) -> dict[str, Any]:
    """key=value words as a dict, values read as YAML reads them."""
    found = {}
    for word in words or []:
        key, equals, value = word.partition("=")
        if not equals:
            raise fail(f"expected key=value, got {word!r}.")
        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise fail(f"{word!r} cannot be read: its value is no YAML ({error}).") from error
    return found
