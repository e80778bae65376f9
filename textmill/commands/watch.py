"""Following a job on the screen, and leaving it alone when the user has seen enough."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from textmill.handle import JobHandle
from textmill.terminal import words
from textmill.terminal.consoles import chatter
from textmill.terminal.failure import DONE, FAILED, INTERRUPTED
from textmill.terminal.progress import progress_on
from textmill.views import JobView


def follow(job: JobHandle) -> JobView:
    """Shows progress until the job is final, then its summary.

    Ctrl-C leaves the job running and says how to come back.
    """
    last: JobView | None = None
    with may_leave(job), progress_on(chatter()) as progress:
        for last in job.changes():
            progress.show(last)
    if last is None:
        last = job.status()
    say_summary(last)
    return last


def say_summary(job: JobView) -> None:
    """What became of it, in one line."""
    chatter().print(words.summary(job), style=words.style_of(job.status), soft_wrap=True, markup=False)


@contextmanager
def may_leave(job: JobHandle) -> Iterator[None]:
    """Around everything that happens while a submitted job is looked at."""
    try:
        yield
    except KeyboardInterrupt:
        leave(job)


def leave(job: JobHandle) -> NoReturn:
    """The user looked away; the job goes on."""
    chatter().print(
        f"\n{job.id} goes on. Watch it again: textmill status {job.id} --watch\n"
        f"Stop it: textmill cancel {job.id}",
        soft_wrap=True,
        markup=False,
    )
    raise typer.Exit(INTERRUPTED)


def exit_code(job: JobView) -> int:
    """0 while it runs and when all went well; 1 when it ended with anything less."""
    return DONE if not job.is_final or job.has_succeeded else FAILED
