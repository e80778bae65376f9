"""Lists of things, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def show_table(
    found: Sequence[dict[str, Any]], columns: Sequence[str], rows: Sequence[Sequence[str]], *, json: bool
) -> None:
    """Prints the rows under their columns, or what was found as JSON."""
    from rich.table import Table
    from rich.text import Text

    from textmill.terminal.consoles import answers

    if json:
        answers().print_json(data=list(found))
        return
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    answers().print(table)
