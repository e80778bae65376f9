"""`textmill webhooks`: who is told when jobs end."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer

from textmill.commands.options import JsonOption
from textmill.commands.server import server_of

webhooks = typer.Typer(
    no_args_is_help=True, help="Be told when jobs end; see what was delivered, send again."
)

_WebhookArgument = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Its id, as `webhooks list` shows.")]
_ProjectOption = Annotated[str | None, typer.Option("--project", help="A project's (administrators).")]
_EventOption = Annotated[
    list[str] | None,
    typer.Option(
        "--event", metavar="TYPE", help="Only these: job.completed, batch.failed, ... (repeatable)."
    ),
]


@webhooks.command("list")
def list_webhooks(
    context: typer.Context,
    project: _ProjectOption = None,
    job: Annotated[str | None, typer.Option("--job", help="The one that a job was submitted with.")] = None,
    json: JsonOption = False,
) -> None:
    """List webhooks.

    For example:

    textmill webhooks list
    """
    from textmill.terminal.tables import show_table

    with server_of(context).connect() as server:
        found = server.webhooks.all(project=project, job_id=job)
    columns = ("ID", "PROJECT", "STATE", "EVENTS", "URL")
    rows = [
        (each["id"], each["project"], _state(each), ",".join(each["events"]) or "all", each["url"])
        for each in found
    ]
    show_table(found, columns, rows, json=json)


@webhooks.command("create")
def create_webhook(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="https, to a public address.")],
    event: _EventOption = None,
    project: _ProjectOption = None,
    json: JsonOption = False,
) -> None:
    """Have an address told when jobs of your project end; prints the secret that signs, this once.

    For example:

    textmill webhooks create https://app.example/hooks/textmill --event job.completed --event job.failed
    """
    with server_of(context).connect() as server:
        _tell(server.webhooks.create(url, events=event or (), project=project), json=json)


@webhooks.command("change")
def change_webhook(
    context: typer.Context,
    webhook: _WebhookArgument,
    url: Annotated[str | None, typer.Option("--url", help="Another address.")] = None,
    event: _EventOption = None,
    json: JsonOption = False,
) -> None:
    """Change where a webhook goes, or of what it is told.

    For example:

    textmill webhooks change wh_4f0c1d2e --event batch.completed
    """
    with server_of(context).connect() as server:
        _print(server.webhooks.change(webhook, url=url, events=event or None), json=json)


@webhooks.command("enable")
def enable_webhook(context: typer.Context, webhook: _WebhookArgument, json: JsonOption = False) -> None:
    """Switch a webhook on again, also one that was disabled for failing.

    For example:

    textmill webhooks enable wh_4f0c1d2e
    """
    with server_of(context).connect() as server:
        _print(server.webhooks.change(webhook, enabled=True), json=json)


@webhooks.command("disable")
def disable_webhook(context: typer.Context, webhook: _WebhookArgument, json: JsonOption = False) -> None:
    """Switch a webhook off; what it misses is kept for 30 days.

    For example:

    textmill webhooks disable wh_4f0c1d2e
    """
    with server_of(context).connect() as server:
        _print(server.webhooks.change(webhook, enabled=False), json=json)


@webhooks.command("rotate")
def rotate_webhook(
    context: typer.Context,
    webhook: _WebhookArgument,
    overlap_seconds: Annotated[
        float, typer.Option("--overlap-seconds", min=0, help="How long the old secret signs as well.")
    ] = 86_400.0,
    json: JsonOption = False,
) -> None:
    """Give a webhook another secret and print it; both sign for a while.

    For example:

    textmill webhooks rotate wh_4f0c1d2e --overlap-seconds 3600
    """
    with server_of(context).connect() as server:
        _tell(server.webhooks.rotate(webhook, overlap_seconds=overlap_seconds), json=json)


@webhooks.command("delete")
def delete_webhook(context: typer.Context, webhook: _WebhookArgument) -> None:
    """Remove a webhook with its deliveries.

    For example:

    textmill webhooks delete wh_4f0c1d2e
    """
    from textmill.terminal.consoles import chatter

    with server_of(context).connect() as server:
        server.webhooks.delete(webhook)
    chatter().print(f"{webhook} is deleted", markup=False)


@webhooks.command("deliveries")
def list_deliveries(
    context: typer.Context,
    webhook: _WebhookArgument,
    state: Annotated[
        str | None, typer.Option("--state", metavar="waiting|delivered|failed", help="Only these.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 20,
    json: JsonOption = False,
) -> None:
    """List what was sent, or is to be sent, newest first.

    For example:

    textmill webhooks deliveries wh_4f0c1d2e --state failed
    """
    from textmill.terminal.tables import show_table

    with server_of(context).connect() as server:
        found = list(islice(server.webhooks.deliveries(webhook, state=state), limit))
    columns = ("ID", "EVENT", "STATE", "TRIES", "STATUS", "NEXT TRY", "ERROR")
    show_table(found, columns, [_delivery_cells(each) for each in found], json=json)


@webhooks.command("replay")
def replay(
    context: typer.Context,
    webhook: _WebhookArgument,
    delivery: Annotated[
        str | None, typer.Option("--delivery", metavar="ID", help="This one, whatever became of it.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--since", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"], help="Only events since then, in UTC."
        ),
    ] = None,
) -> None:
    """Send again what failed, or one delivery.

    For example:

    textmill webhooks replay wh_4f0c1d2e --since 2026-11-20
    """
    from textmill.terminal.consoles import chatter

    if delivery is not None and since is not None:
        raise typer.BadParameter("give --delivery or --since", param_hint="--since")
    with server_of(context).connect() as server:
        if delivery is not None:
            server.webhooks.replay(webhook, delivery)
            count = 1
        else:
            at = None if since is None else since.replace(tzinfo=UTC)
            count = server.webhooks.replay_failed(webhook, since=at)
    chatter().print(f"{count} to be sent again", markup=False)


def _state(webhook: dict[str, Any]) -> str:
    if not webhook["enabled"]:
        return f"disabled ({webhook['disabled_for']})"
    return "failing" if webhook["failing_since"] else "enabled"


def _delivery_cells(delivery: dict[str, Any]) -> tuple[str, ...]:
    status = "" if delivery["http_status"] is None else str(delivery["http_status"])
    next_try = (delivery["next_try_at"] or "")[:16]
    cells = (delivery["id"], delivery["type"], delivery["state"], str(delivery["tries"]), status, next_try)
    return (*cells, delivery["error"] or "")


def _print(webhook: dict[str, Any], *, json: bool) -> None:
    from textmill.terminal.consoles import answers, chatter

    if json:
        answers().print_json(data=webhook)
    else:
        chatter().print(f"{webhook['id']} is {_state(webhook)}", markup=False)


def _tell(made: dict[str, Any], *, json: bool) -> None:
    """The secret alone on stdout, so that a script can take it."""
    from textmill.terminal.consoles import answers, chatter

    if json:
        answers().print_json(data=made)
        return
    chatter().print(f"{made['id']}; its secret is not shown again:", markup=False, soft_wrap=True)
    answers().print(made["secret"], markup=False, soft_wrap=True)
