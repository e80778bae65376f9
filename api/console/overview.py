"""The first page: what runs now, how fast, and whether anything needs somebody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from api.console import words
from api.console.job_view import TASKS
from api.console.reasons import word_of
from api.console.throughput import Moment
from api.console.workers_page import WorkerView
from jobs import jsontext
from jobs.listing import FailureCount, QueueLine, RecentFailures
from jobs.records import JobStatus, Priority

SHOWN_RUNNING = 5


@dataclass(frozen=True)
class Figure:
    """A number with its name and a line of context."""

    label: str
    value: str
    unit: str = ""
    context: str = ""


@dataclass(frozen=True)
class Waiting:
    """What a model still has to do."""

    model: str
    task: str
    interactive: int
    bulk: int
    oldest_at: datetime

    @property
    def task_word(self) -> str:
        """For people."""
        return TASKS[self.task]


@dataclass(frozen=True)
class Failing:
    """One reason for which documents failed lately."""

    count: FailureCount
    most: int

    @property
    def word(self) -> str:
        """What happened."""
        return word_of(self.count.code)

    @property
    def share(self) -> float:
        """Percent of the most frequent one."""
        return round(100 * self.count.count / self.most, 2)


@dataclass(frozen=True)
class Disk:
    """What is left of it, and what the database takes."""

    database_bytes: int
    used_bytes: int
    free_bytes: int

    @property
    def database_share(self) -> float:
        """Percent of the disk; where the database is elsewhere, of nothing."""
        return round(100 * min(self.database_bytes, self.used_bytes) / (self.used_bytes + self.free_bytes), 2)

    @property
    def other_share(self) -> float:
        """What else there is, in percent."""
        return round(100 * self.used_bytes / (self.used_bytes + self.free_bytes) - self.database_share, 2)


@dataclass(frozen=True, kw_only=True)
class Overview:
    """Of one project, or of all."""

    counts: Mapping[JobStatus, int]
    workers: Sequence[WorkerView]
    moments: Sequence[Moment]
    queue: Sequence[QueueLine]
    failures: RecentFailures
    disk: Disk | None = None

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
    def num_waiting(self) -> int:
        """Documents without an outcome."""
        return sum(line.documents for line in self.queue)

    @property
    def figures(self) -> list[Figure]:
        """Six of them."""
        now = self.moments[-1] if self.moments else Moment(0, 0, 0)
        silent = [worker for worker in self.workers if worker.status[0] == "attention"]
        oldest = min((line.oldest_at for line in self.queue), default=None)
        failed = sum(group.count for group in self.failures.reasons)
        devices = ", ".join(sorted({worker.beat.device for worker in self.workers}))
        of_workers = f"{len(silent)} of them silent or stuck" if silent else devices
        return [
            Figure("Documents a second", words.speed(now.documents), context="in the last 10 s"),
            Figure("Tokens a second", words.speed(now.tokens), context="read and written"),
            Figure("Waiting", words.short(self.num_waiting), context=f"{self.num_waiting:,} documents"),
            Figure("Oldest waits", words.ago(oldest) if oldest else words.NONE, context="since it came in"),
            Figure(
                "Failed, 24 h", words.short(failed) + ("" if self.failures.is_whole else "+"),
                context="of jobs since then",
            ),
            Figure("Workers", words.number(len(self.workers)), context=of_workers or "jobs wait for one"),
        ]  # fmt: skip

    @property
    def waiting(self) -> list[Waiting]:
        """By model, the largest first."""
        models = dict.fromkeys((line.model, line.task) for line in self.queue)
        found = [self._of(model, task.value) for model, task in models]
        return sorted(found, key=lambda line: -(line.interactive + line.bulk))

    def _of(self, model: str, task: str) -> Waiting:
        lines = [line for line in self.queue if (line.model, line.task.value) == (model, task)]
        interactive = sum(line.documents for line in lines if line.priority is Priority.INTERACTIVE)
        bulk = sum(line.documents for line in lines) - interactive
        return Waiting(model, task, interactive, bulk, min(line.oldest_at for line in lines))

    @property
    def failing(self) -> list[Failing]:
        """By reason, most frequent first."""
        reasons = self.failures.reasons
        return [Failing(count, reasons[0].count) for count in reasons]

    def chart(self, unit: str) -> str:
        """For the script: documents or tokens a second over the last hour."""
        color = {"documents": "--c1", "tokens": "--c2"}[unit]
        values = [getattr(moment, unit) for moment in self.moments]
        spec = {
            "kind": "line", "unit": unit, "sync": "throughput", "xs": [moment.at for moment in self.moments],
            "series": [{"name": unit, "color": color, "values": values}],
        }  # fmt: skip
        return jsontext.dumps(spec).decode()
