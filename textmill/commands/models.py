"""`textmill models`: what this server can run, and what is installed here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from textmill.commands.model_changes import add, remove
from textmill.commands.options import JsonOption
from textmill.commands.server import Server, server_of

_SHOWN_LANGUAGES = 12


models = typer.Typer(invoke_without_command=True, help="List, add and remove models.")
models.command("add")(add)
models.command("remove")(remove)


@models.callback()
def list_models(
    context: typer.Context,
    json: JsonOption = False,
    installed: Annotated[
        bool, typer.Option("--installed", help="Those installed in the data folder; asks no server.")
    ] = False,
) -> None:
    """List the models this server serves; `add` and `remove` change what is installed here.

    For example:

    textmill models --json | jq -r '.[].id'
    """
    if context.invoked_subcommand is not None:
        return
    from textmill.terminal.consoles import answers

    if installed:
        _show_installed(server_of(context).data, json=json)
        return
    with server_of(context).connect() as server:
        found = server.models()
    if json:
        answers().print_json(data=found)
        return
    _show_served(found)
    if waiting := _not_served(server_of(context), found):
        answers().print(
            f"\ninstalled in {server_of(context).data}, served after a restart: {', '.join(waiting)}",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip


def _not_served(server: Server, found: list[dict[str, Any]]) -> list[str]:
    """Names of installed models that the server on this data folder does not list yet."""
    from jobs.installed import read_installed
    from textmill.stack.folder import running

    stack = running(server.data.absolute())
    if stack is None or stack.url != server.address():
        return []
    listed = {model["id"] for model in found}
    return [model.name for model in read_installed(server.data) if model.name not in listed]


def _show_installed(data: Path, *, json: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from jobs.installed import read_installed
    from textmill.terminal.consoles import answers, chatter
    from textmill.terminal.words import size

    found = read_installed(data)
    if json:
        answers().print_json(data=[model.model_dump(mode="json") for model in found])
        return
    if not found:
        chatter().print(
            f"no models are installed in {data}; `textmill models add` installs one", markup=False
        )
        return
    table = Table(box=None, pad_edge=False)
    for name in ("MODEL", "TASK", "DEFAULT", "SIZE", "LICENCE", "ADDED", "DIGEST", "FROM"):
        table.add_column(name, no_wrap=True)
    for model in found:
        table.add_row(
            model.name, model.task, "yes" if model.default else "", size(model.num_bytes),
            model.licence or "", f"{model.added_at:%Y-%m-%d}", model.revision[:19], Text(model.source),
        )  # fmt: skip
    answers().print(table)


def _show_served(found: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from textmill.terminal.consoles import answers

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
