"""`textmill workers`, `logs` and `open`: looking at a server from a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from textmill.commands.options import JsonOption
from textmill.commands.server import server_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def workers(context: typer.Context, json: JsonOption = False) -> None:
    """List workers: their devices, the models that are loaded, and whether they are well.

    For example:

    textmill workers --json | jq -r '.[].device'
    """
    from textmill.terminal.consoles import answers, chatter

    with server_of(context).connect() as server:
        found = server.workers()
    if json:
        answers().print_json(data=found)
    elif found:
        _print_workers(found)
    else:
        chatter().print("no worker gave a sign of life within the last minute: `textmill worker` starts one")


def _print_workers(found: Sequence[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from textmill.terminal.consoles import answers

    table = Table(box=None, pad_edge=False)
    for name in ("WORKER", "DEVICE", "STATE", "LOADED", "SERVES"):
        table.add_column(name)
    for worker in found:
        loaded, served = (", ".join(worker[kind]) for kind in ("warm_models", "models"))
        table.add_row(*map(Text, (worker["id"], worker["device"], worker["state"], loaded, served)))
    answers().print(table)


def logs(
    context: typer.Context,
    part: Annotated[
        str | None, typer.Argument(metavar="PART", help="api, worker-cpu, broker, ...; default: all of them.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of each, from its end.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
) -> None:
    """Print the logs of the `textmill up` of this data folder, each line behind its part's name.

    For example:

    textmill logs worker-cpu --follow
    """
    from textmill.log_files import LogFiles

    files = LogFiles(server_of(context).data / "logs", part)
    for name, line in files.last(lines):
        typer.echo(f"{name} | {line}")
    if follow:
        for name, line in files.following():
            typer.echo(f"{name} | {line}")


def open_console(
    context: typer.Context,
    job: Annotated[str | None, typer.Argument(metavar="JOB", help="Its page; default: the overview.")] = None,
    is_printed: Annotated[
        bool, typer.Option("--print", help="Print the address alone; open nothing.")
    ] = False,
) -> None:
    """Open the console in a browser.

    For example:

    textmill open last
    """
    with server_of(context).connect() as server:
        path = "/" if job is None else f"/console/jobs/{server.find(job).id}"
        address = server.url.rstrip("/") + path
    typer.echo(address)
    if not is_printed and typer.launch(address) != 0:
        typer.echo("no browser could be opened: open the address above in one", err=True)
