"""`textmill usage`: what was used, what a project holds, and what it may have."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from textmill.commands.options import JsonOption
from textmill.commands.server import server_of

_COLUMNS = ("jobs", "documents", "failed", "input_tokens", "output_tokens", "stored_bytes")


def usage(
    context: typer.Context,
    by: Annotated[str, typer.Option(help="Any of day, project and key, apart by commas.")] = "project",
    first_day: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day, in UTC.")
    ] = None,
    last_day: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="The last day, in UTC.")
    ] = None,
    project: Annotated[
        str | None, typer.Option("--project", help="Only this project (administrators).")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show documents and tokens of your jobs, and how far you are from your limits.

    Deleted jobs are not counted.

    For example:

    textmill usage --by day,key --from 2026-11-01
    """
    from textmill.terminal.consoles import answers

    groups = [name.strip() for name in by.split(",") if name.strip()]
    with server_of(context).connect() as server:
        found = server.usage(
            by=groups,
            first_day=first_day.date() if first_day else None,
            last_day=last_day.date() if last_day else None,
            project=project,
        )
    if json:
        answers().print_json(data=found)
        return
    _print_table(found["data"], groups)
    _print_limits(found)


def _print_table(lines: list[dict[str, Any]], groups: list[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    from textmill.terminal.consoles import answers, chatter

    if not lines:
        chatter().print("nothing was used")
        return
    table = Table(box=None, pad_edge=False)
    for name in (*groups, *_COLUMNS):
        table.add_column(name.replace("_", " ").upper(), justify="right" if name in _COLUMNS else "left")
    for line in lines:
        numbers = (f"{line[name]:,}" for name in _COLUMNS)
        table.add_row(*(Text(str(line[name] or "(none)")) for name in groups), *numbers)
    answers().print(table)


def _print_limits(found: dict[str, Any]) -> None:
    from textmill.terminal.consoles import answers

    now = found["now"] or {}
    for name, most in (found["limits"] or {}).items():
        held = f"{now[name]:,} of " if name in now else ""
        answers().print(f"{name.replace('_', ' ')}: {held}{most:,}", markup=False, highlight=False)
