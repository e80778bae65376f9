"""`textmill status`, `jobs`, `cancel` and `retry`: looking after jobs."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from textmill.commands.options import JobArgument, JsonOption
from textmill.commands.server import server_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from textmill.views import JobView

_COLUMNS = ("JOB", "STATUS", "DONE", "DOCUMENTS", "FAILED", "TASK", "SUBMITTED")
_MOST_NAME_CHARACTERS = 40  # of a name in a list
_WIDE = 110  # characters, for all columns


def status(
    context: typer.Context,
    job: JobArgument,
    is_watched: Annotated[
        bool, typer.Option("--watch", "-w", help="Show progress until it is done.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show where a job stands.

    For example:

    textmill status last --watch
    textmill status nightly
    textmill status JOB --json | jq .counts
    """
    from textmill.commands import watch
    from textmill.terminal.consoles import answers

    with server_of(context).connect() as server:
        found = server.find(job)
        last = watch.follow(found) if is_watched else found.status()
    if json:
        answers().print_json(data=dict(last.raw))
    elif not is_watched:
        _print_job(last)
    raise typer.Exit(watch.exit_code(last))


def jobs(
    context: typer.Context,
    state: Annotated[
        str | None, typer.Option("--status", help="Only jobs of this status, such as running or failed.")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", "-t", help="Only jobs with documents of it.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Only jobs with documents for it.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Only jobs of this name.")] = None,
    tag: Annotated[str | None, typer.Option("--tag", help="Only jobs with this tag.")] = None,
    project: Annotated[
        str | None, typer.Option("--project", help="Only jobs of this project (administrators).")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 20,
    json: JsonOption = False,
) -> None:
    """List jobs, newest first.

    For example:

    textmill jobs --status running
    textmill jobs --name nightly --tag reviews
    """
    from textmill.terminal.consoles import answers, chatter

    with server_of(context).connect() as server:
        pages = server.jobs(
            status=state, task=task, model=model, name=name, tag=tag, project=project,
            page_size=min(limit, 100),
        )  # fmt: skip
        found = list(islice(pages, limit))
    if json:
        answers().print_json(data=[dict(job.raw) for job in found])
    elif found:
        _print_jobs(found)
    else:
        chatter().print("no jobs")


def cancel(context: typer.Context, job: JobArgument, json: JsonOption = False) -> None:
    """Stop a job. Results it has by then stay.

    For example:

    textmill cancel JOB
    """
    with server_of(context).connect() as server:
        _say_done(server.find(job, is_unique=True).cancel(), json=json)


def retry(context: typer.Context, job: JobArgument, json: JsonOption = False) -> None:
    """Run the documents of a finished job again that did not succeed.

    For example:

    textmill retry JOB && textmill status JOB --watch
    """
    with server_of(context).connect() as server:
        _say_done(server.find(job, is_unique=True).retry(), json=json)


def delete(context: typer.Context, job: JobArgument) -> None:
    """Delete a finished job with all its documents and results, for good.

    For example:

    textmill cancel JOB && textmill delete JOB
    """
    from textmill.terminal.consoles import chatter

    with server_of(context).connect() as server:
        found = server.find(job, is_unique=True)
        found.delete()
    chatter().print(f"deleted {found.id}", soft_wrap=True, markup=False)


def _say_done(job: JobView, *, json: bool) -> None:
    from textmill.terminal import words
    from textmill.terminal.consoles import answers, chatter

    if json:
        answers().print_json(data=dict(job.raw))
        return
    line = words.summary(job) if job.is_final else words.progress_line(job)
    chatter().print(line, soft_wrap=True, markup=False)


def _print_job(job: JobView) -> None:
    from textmill.terminal import words
    from textmill.terminal.consoles import answers

    console = answers()
    line = words.summary(job) if job.is_final else words.progress_line(job)
    console.print(line, style=words.style_of(job.status), soft_wrap=True, markup=False)
    counts = job.counts
    details = {
        "name": job.name or "",
        "tags": ", ".join(job.tags),
        "task": job.task or "named by each document",
        "model": job.model or "",
        "documents": ", ".join(
            f"{number:,} {name}" for name, number in vars(counts).items() if name != "total" and number
        ),
        "submitted": words.age(job.created_at),
    }
    for name, value in details.items():
        if value:
            console.print(f"  {name:<10} {value}", soft_wrap=True, markup=False)


def _print_jobs(found: Sequence[JobView]) -> None:
    from rich.table import Table

    from textmill.terminal.consoles import answers

    console = answers()
    rows = [_cells(job) for job in found]
    # On a narrow terminal a column less is better than an id that cannot be copied.
    columns = list(_COLUMNS if console.width >= _WIDE else _COLUMNS[:-2])
    if any(job.name for job in found):
        columns.append("NAME")
    if len({row["PROJECT"].plain for row in rows}) > 1:  # an administrator's view
        columns.append("PROJECT")
    table = Table(box=None, pad_edge=False)
    for name in columns:
        is_number = name in ("DONE", "DOCUMENTS", "FAILED")
        table.add_column(name, no_wrap=True, justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*(row[name] for name in columns))
    console.print(table)


def _cells(job: JobView) -> dict[str, Text]:
    """What each column says of a job."""
    from rich.text import Text

    from textmill.terminal import words

    cells = {
        "JOB": job.id,
        "DONE": words.share(job),
        "DOCUMENTS": f"{job.counts.total:,}",
        "FAILED": f"{job.counts.failed:,}" if job.counts.failed else "",
        "TASK": job.task or "mixed",
        "SUBMITTED": words.age(job.created_at),
        "NAME": _cut(job.name or ""),
        "PROJECT": str(job.raw.get("project", "")),
    }
    return {name: Text(cell) for name, cell in cells.items()} | {
        "STATUS": Text(job.status, style=words.style_of(job.status))
    }


def _cut(name: str) -> str:
    return name if len(name) <= _MOST_NAME_CHARACTERS else name[: _MOST_NAME_CHARACTERS - 1] + "…"
