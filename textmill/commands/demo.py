"""`textmill demo`: everything once, in a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    documents: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="What to run.", show_default=True)
    ] = Path("examples/documents.jsonl"),
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the results go.")] = Path(
        "results.jsonl"
    ),
) -> None:
    """Start everything on a folder of its own, run the example documents, stop everything.

    For example:

    textmill demo
    """
    from textmill.demo import run_demo
    from textmill.terminal.failure import DONE, FAILED

    job = run_demo(documents, output)
    raise typer.Exit(DONE if job.has_succeeded else FAILED)
