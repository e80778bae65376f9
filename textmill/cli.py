"""The command `textmill`. Commands import what they need when they run, so this starts at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from jobs.errors import TextmillError
from textmill.commands import (
    backup,
    demo,
    doctor,
    keys,
    login,
    looking,
    models,
    results,
    serve,
    status,
    submit,
    usage,
    webhooks,
)
from textmill.commands.server import DEFAULT_URL, Server

_SERVERS, _WORK, _ENTRY, _HELP = "Run servers", "Work with jobs", "Enter servers", "Find out"

app = typer.Typer(
    name="textmill",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # our errors explain themselves; a bug deserves its plain traceback
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from textmill.version import installed_version

        typer.echo(installed_version())
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="TEXTMILL_URL",
            help=f"The server; default: of `textmill login`, else of `textmill up` here, else {DEFAULT_URL}.",
        ),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="TEXTMILL_API_KEY", show_envvar=True, help="Key of the server, if it wants one."),
    ] = None,
    data: Annotated[
        Path,
        typer.Option("--data-folder", envvar="TEXTMILL_DATA", hidden=True, help="Where `up` keeps its data."),
    ] = Path(".textmill"),
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Push piles of text through Hugging Face models: generation, translation, sentiment, qa.

    Start with `textmill up`, then, in another terminal, `textmill submit FILE --wait`.

    Exit codes: 0 done; 1 the job or some documents failed; 2 wrong usage; 3 server not reachable.
    """
    context.obj = Server(url=url, api_key=api_key, data=data)


for panel, functions in {
    _SERVERS: (serve.up, serve.worker, serve.api, backup.backup, backup.restore),
    _WORK: (
        submit.run,
        submit.submit,
        status.status,
        status.jobs,
        results.results,
        status.cancel,
        status.retry,
        status.delete,
    ),
    _ENTRY: (login.login, login.logout),
    _HELP: (looking.workers, usage.usage, looking.logs, doctor.doctor, demo.demo),
}.items():
    for function in functions:
        app.command(rich_help_panel=panel)(function)
app.command("open", rich_help_panel=_HELP)(looking.open_console)
app.add_typer(models.models, name="models", rich_help_panel=_HELP)
app.add_typer(webhooks.webhooks, name="webhooks", rich_help_panel=_WORK)
app.add_typer(keys.keys, name="keys", rich_help_panel=_ENTRY)
app.add_typer(keys.projects, name="projects", rich_help_panel=_ENTRY)


def main() -> None:
    """Runs the command line and exits with the promised code."""
    try:
        app()
    except TextmillError as error:
        from textmill.terminal.consoles import chatter
        from textmill.terminal.failure import exit_code_of, explain

        explain(error, chatter())
        sys.exit(exit_code_of(error))
