"""`textmill models`: what this server can run."""

from __future__ import annotations

from typing import Any

import typer

from textmill.commands.options import JsonOption
from textmill.commands.server import server_of

_SHOWN_LANGUAGES = 12


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
    for name in ("MODEL", "TASK", "DEFAULT", "PARAMETERS", "DTYPE", "WAY", "LOADED ON", "LANGUAGES"):
        table.add_column(name, no_wrap=True)
    for model in found:
        table.add_row(*_cells(model))
    answers().print(table)
    for model in found:
        if more := _more(model):
            answers().print(f"\n{model['id']}: {more}", highlight=False, markup=False, soft_wrap=True)


def _cells(model: dict[str, Any]) -> list[str]:
    facts = model["facts"]
    parameters = facts.get("parameters")
    return [
        model["id"],
        model["task"],
        "yes" if model["default"] else "",
        _count(parameters) if parameters else "",
        facts.get("dtype", ""),
        facts.get("way", ""),
        _where(model),
        _languages(facts),
    ]


def _where(model: dict[str, Any]) -> str:
    if "error" in model["facts"]:
        return "cannot be loaded"
    warm = [worker["worker"] for worker in model["workers"] if worker["warm"]]
    return ", ".join(warm) or ("not loaded" if model["workers"] else "no worker serves it")


def _languages(facts: dict[str, Any]) -> str:
    names = facts.get("languages", ())
    more = f" and {len(names) - _SHOWN_LANGUAGES} more" if len(names) > _SHOWN_LANGUAGES else ""
    return ", ".join(names[:_SHOWN_LANGUAGES]) + more or facts.get("language_pair", "")


def _more(model: dict[str, Any]) -> str:
    """What does not fit the table: why it is not served, or not the fastest way."""
    facts = model["facts"]
    return str(facts.get("message") or facts.get("why") or "")


def _count(number: int) -> str:
    for unit, divisor in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= divisor:
            return f"{number / divisor:.3g} {unit}"
    return str(number)
