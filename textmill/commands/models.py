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
    for name in ("MODEL", "TASK", "DEFAULT", "PARAMETERS", "DTYPE", "LOADED ON", "LANGUAGES"):
        table.add_column(name, no_wrap=True)
    for model in found:
        table.add_row(*_cells(model))
    answers().print(table)


def _cells(model: dict[str, Any]) -> list[str]:
    facts = model["facts"]
    parameters = facts.get("parameters")
    return [
        model["id"],
        model["task"],
        "yes" if model["default"] else "",
        _count(parameters) if parameters else "",
        facts.get("dtype", ""),
        ", ".join(worker["worker"] for worker in model["workers"] if worker["warm"]) or "not loaded",
        ", ".join(facts.get("languages", ())),
    ]


def _count(number: int) -> str:
    for unit, divisor in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= divisor:
            return f"{number / divisor:.3g} {unit}"
    return str(number)
