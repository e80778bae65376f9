"""`textmill keys` and `textmill projects`: who may enter. They take an administrator's key."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from textmill.commands.options import JsonOption
from textmill.commands.server import server_of

keys = typer.Typer(no_args_is_help=True, help="Make, list, rotate and revoke API keys (administrators).")
projects = typer.Typer(no_args_is_help=True, help="Make and list projects (administrators).")

_KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="A key's id, as `keys list` shows it.")]
_ProjectOption = Annotated[str | None, typer.Option("--project", help="A project's name.")]


@keys.command("list")
def list_keys(context: typer.Context, project: _ProjectOption = None, json: JsonOption = False) -> None:
    """List keys, those that ended as well.

    For example:

    textmill keys list --project reviews
    """
    from textmill.terminal.tables import show_table

    with server_of(context).connect() as server:
        found = server.administration.keys(project=project)
    columns = ("ID", "NAME", "KEY", "PROJECT", "STATE", "ORIGIN", "CREATED")
    show_table(found, columns, [_key_cells(key) for key in found], json=json)


@keys.command("create")
def create_key(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is for, such as ci or ada-laptop.")],
    project: _ProjectOption = None,
    admin: Annotated[bool, typer.Option("--admin", help="An administrator's, for every project.")] = False,
    json: JsonOption = False,
) -> None:
    """Make a key of a project (default when none is named) and print it, this once.

    For example:

    textmill keys create ci --project reviews
    """
    with server_of(context).connect() as server:
        _tell(server.administration.create_key(name, project=project, is_admin=admin), json=json)


@keys.command("rotate")
def rotate_key(
    context: typer.Context,
    key_id: _KeyArgument,
    overlap_seconds: Annotated[
        float, typer.Option("--overlap-seconds", min=0, help="How long the old key holds on.")
    ] = 0.0,
    json: JsonOption = False,
) -> None:
    """Put a new key in the place of one and print it; the project keeps its jobs.

    For example:

    textmill keys rotate key_4f0c1d2e3a4b5c6d --overlap-seconds 3600
    """
    with server_of(context).connect() as server:
        _tell(server.administration.rotate_key(key_id, overlap_seconds=overlap_seconds), json=json)


@keys.command("revoke")
def revoke_key(context: typer.Context, key_id: _KeyArgument) -> None:
    """End a key, at once and for good.

    For example:

    textmill keys revoke key_4f0c1d2e3a4b5c6d
    """
    from textmill.terminal.consoles import chatter

    with server_of(context).connect() as server:
        server.administration.revoke_key(key_id)
    chatter().print(f"{key_id} is revoked", markup=False)


@projects.command("list")
def list_projects(context: typer.Context, json: JsonOption = False) -> None:
    """List projects.

    For example:

    textmill projects list
    """
    from textmill.terminal.tables import show_table

    with server_of(context).connect() as server:
        found = server.administration.projects()
    rows = [(project["name"], project["created_at"][:10], _limits(project)) for project in found]
    show_table(found, ("PROJECT", "CREATED", "LIMITS"), rows, json=json)


@projects.command("create")
def create_project(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Small letters, digits, '.', '_' and '-'.")],
    json: JsonOption = False,
) -> None:
    """Make a project; then make a key for it.

    For example:

    textmill projects create reviews && textmill keys create ci --project reviews
    """
    from textmill.terminal.consoles import answers

    with server_of(context).connect() as server:
        made = server.administration.create_project(name)
    answers().print_json(data=made) if json else answers().print(made["name"], markup=False)


@projects.command("limit")
def limit_project(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A project's name.")],
    limits: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=NUMBER]...", help="Its limits; none: the server's.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Give a project limits over the server's own, in place of those it had.

    For example:

    textmill projects limit reviews requests_per_minute=600 queued_documents=100000
    """
    from jobs.limits import parse_limits
    from textmill.terminal.consoles import answers

    try:
        wanted = parse_limits(" ".join(limits or ()))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="NAME=NUMBER") from None
    with server_of(context).connect() as server:
        made = server.administration.limit_project(name, wanted)
    answers().print_json(data=made) if json else answers().print(_limits(made), markup=False)


def _limits(project: dict[str, Any]) -> str:
    return " ".join(f"{name}={amount}" for name, amount in project["limits"].items()) or "the server's"


def _tell(made: dict[str, Any], *, json: bool) -> None:
    """The key alone on stdout, so that a script can take it."""
    from textmill.terminal.consoles import answers, chatter

    if json:
        answers().print_json(data=made)
        return
    whose = "an administrator" if made["admin"] else f"project {made['project']}"
    note = f"{made['name']} ({made['id']}) of {whose}; the key is not shown again:"
    chatter().print(note, markup=False, soft_wrap=True)
    answers().print(made["key"], markup=False, soft_wrap=True)


def _key_cells(key: dict[str, Any]) -> tuple[str, ...]:
    state = "live" if key["live"] else "revoked" if key["ends_at"] else "not set here"
    if key["live"] and key["ends_at"]:
        state = f"until {key['ends_at'][:16]}"
    project = "(administrator)" if key["admin"] else key["project"]
    return (
        key["id"],
        key["name"],
        f"{key['prefix']}...",
        project,
        state,
        key["origin"],
        key["created_at"][:10],
    )
