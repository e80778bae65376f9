"""A job's progress: a live bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.progress_bar import ProgressBar

from textmill.terminal import words
from textmill.uploads import Upload
from textmill.views import JobView

_PLAIN_SECONDS = 10.0
_SHOWN_UPLOAD_BYTES = 8_000_000


class JobProgress(Protocol):
    """Shows a job until left."""

    def show(self, job: JobView) -> None:
        """The job as it is now."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def progress_on(console: Console) -> JobProgress:
    """What suits the console."""
    return BarProgress(console) if console.is_terminal else PlainProgress(console)


class _JobBar(BarColumn):
    """A bar in the colour of the job's status: green is for one that completed."""

    def render(self, task: Task) -> ProgressBar:
        """The bar as the job stands."""
        bar = super().render(task)
        if style := task.fields["style"]:
            bar.complete_style = bar.finished_style = style
        return bar


class BarProgress:
    """One line that moves: bar, M/N, %, rate, elapsed, time left, failures."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            _JobBar(),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TextColumn("[cyan]{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[eta]}"),
            TextColumn("[red]{task.fields[failed]}"),
            console=console,
            transient=True,  # the summary line that follows says it all
        )
        self._row = self._progress.add_task("", total=None, rate="", eta="", failed="", style="")

    def show(self, job: JobView) -> None:
        """Moves the bar."""
        failed = f"{job.counts.failed:,} failed" if job.counts.failed else ""
        self._progress.update(
            self._row,
            description=str(job.status),
            total=job.counts.total,
            completed=job.counts.computed,
            rate="" if job.is_final else words.rate(job.documents_per_second),
            eta="" if job.is_final else words.eta(job),
            failed=failed,
            style=words.style_of(job.status),
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


class PlainProgress:
    """A line at first, then every ten seconds; made for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last_at: float | None = None

    def show(self, job: JobView) -> None:
        """Prints a line when one is due."""
        now = time.monotonic()
        if not job.is_final and (self._last_at is None or now - self._last_at >= _PLAIN_SECONDS):
            self._last_at = now
            self._console.print(words.progress_line(job), soft_wrap=True, markup=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


@contextmanager
def upload_shown(console: Console, upload: Upload) -> Iterator[None]:
    """Shows how much of a large upload is sent; small ones and logs stay quiet."""
    if not console.is_terminal or upload.size_bytes < _SHOWN_UPLOAD_BYTES:
        yield
        return
    columns = (TextColumn("uploading"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        row = progress.add_task("", total=upload.size_bytes)
        upload.on_sent = lambda num_bytes: progress.update(row, completed=num_bytes)
        yield
