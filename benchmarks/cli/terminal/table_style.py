"""One look for every table on a terminal."""

from rich.table import Column, Table


def table(*columns: Column | str, title: str | None = None) -> Table:
    """An empty table in the one style of all commands."""
    return Table(*columns, title=title, title_justify="left", title_style="bold")
