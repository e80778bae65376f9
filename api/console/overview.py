"""The first page: what runs now, how fast, and whether anything needs somebody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from api.console import words
from api.console.job_view import JobView
from jobs.records import JobStatus, WorkerBeat

SHOWN_RUNNING = 5
#: Of these the speeds are added up.
MOST_RUNNING = 100


@dataclass(frozen=True)
class Figure:
    """A number with its name and a line of context."""

    label: str
    value: str
    unit: str = ""
    context: str = ""


@dataclass(frozen=True)
class Overview:
    """Of one project, or of all."""

    running: Sequence[JobView]
    counts: Mapping[JobStatus, int]
    workers: Sequence[WorkerBeat]

    @property
    def total(self) -> int:
        """All jobs."""
        return sum(self.counts.values())

    @property
    def num_running(self) -> int:
        """Jobs that run."""
        return self.counts.get(JobStatus.RUNNING, 0) + self.counts.get(JobStatus.CANCELLING, 0)

    @property
    def more(self) -> int:
        """Running jobs that the page does not show."""
        return max(0, self.num_running - SHOWN_RUNNING)

    @property
    def headline(self) -> str:
        """The answer in a line."""
        waiting = self.counts.get(JobStatus.QUEUED, 0)
        if not self.num_running and not waiting:
            return "Nothing runs and nothing waits"
        wait = "waits" if waiting == 1 else "wait"
        run = "runs" if self.num_running == 1 else "run"
        return f"{words.counted(self.num_running, 'job')} {run}, {waiting:,} {wait}"

    @property
    def figures(self) -> list[Figure]:
        """Four of them."""
        documents = sum(view.job.rate.documents_per_second or 0 for view in self.running)
        tokens = sum(view.job.rate.tokens_per_second or 0 for view in self.running)
        left = sum(view.counts.queued + view.counts.running for view in self.running)
        failed = sum(view.counts.failed for view in self.running)
        is_part = self.num_running > len(self.running)
        of_jobs = f"of the newest {len(self.running)} running jobs" if is_part else "of running jobs"
        silent = "jobs wait until one starts" if not self.workers else _devices(self.workers)
        return [
            Figure("Documents a second", words.speed(documents), context=of_jobs),
            Figure("Tokens a second", words.speed(tokens), context=of_jobs),
            Figure("Documents left", words.number(left), context=f"{failed:,} failed so far, {of_jobs}"),
            Figure("Workers", words.number(len(self.workers)), context=silent),
        ]


def _devices(workers: Sequence[WorkerBeat]) -> str:
    return ", ".join(sorted({worker.device for worker in workers}))
