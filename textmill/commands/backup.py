"""`textmill backup` and `restore`: the ledger in one file, and back. They need the database, not a server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

_Data = Annotated[Path | None, typer.Option("--data", help="Folder of the database (default .textmill).")]


def backup(
    file: Annotated[Path, typer.Argument(help="A new file, which only you will be able to read.")],
    data: _Data = None,
) -> None:
    """Save all jobs, documents and results to one file, while everything runs.

    The database is that of the --data folder, or of TEXTMILL_DATABASE_URL.

    For example:

    textmill backup /srv/backups/textmill-monday.db
    """
    _become("save", file, data)


def restore(
    file: Annotated[Path, typer.Argument(help="What `textmill backup` wrote.")],
    data: _Data = None,
) -> None:
    """Bring a backup back into an empty database; what was being computed is computed again.

    For example:

    textmill restore /srv/backups/textmill-monday.db --data new-folder && textmill up --data new-folder
    """
    _become("restore", file, data)


def _become(verb: str, file: Path, data: Path | None) -> None:
    """Replaces this process by one that may speak SQL."""
    from textmill.stack.child import child_environment, python

    command = python("jobs.backup", verb, str(file))
    environment = child_environment({"TEXTMILL_DATA": str(data)} if data else {})
    os.execve(command[0], command, environment)  # noqa: S606 -- our own module, no shell wanted
