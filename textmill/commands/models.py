"""`textmill models`: what this server can run."""

from __future__ import annotations

from typing import Any

import typer

from textmill.commands.options import JsonOption
from textmill.commands.server import server_of


def models(context: typer.Context, json: JsonOption = False) -> None:
    """List the models this server serves.

    For example:

    textmill models --json | jq -r '.[].id'
    """
    from rich.table import Table

    from textmill.terminal.consoles import answers

    with server_of(context).connect() as server:
        found = server.models()
    if json:
        answers().print_json(data=found)
        return
    table = Table(box=None, pad_edge=False)
    for name in ("MODEL", "TASK", "DEFAULT", "PARAMETERS", "LOADED ON", "LANGUAGES"):
        table.add_column(name, no_wrap=True)
    for model in found:
        table.add_row(*_cells(model))
    console = answers()
    console.print(table, width=None if console.is_terminal else 200)


def _cells(model: dict[str, Any]) -> list[str]:
    parameters = model.get("parameters")
    return [
        str(model.get("id", "")),
        str(model.get("task", "")),
        "yes" if model.get("default") else "",
        _count(parameters) if isinstance(parameters, int) else "",
        _listed(model.get("loaded") or model.get("loaded_on")),
        _listed(model.get("languages")),
    ]


def _count(number: int) -> str:
    for unit, divisor in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= divisor:
            return f"{number / divisor:.3g} {unit}"
    return str(number)


def _listed(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_listed(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_listed(item)}" for key, item in value.items())
    return "" if value in (None, False) else "yes" if value is True else str(value)
