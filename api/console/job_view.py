"""A job as a page shows it: the same in a list, on its own page and in what the live stream sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.console import progress, words
from api.schemas import CountsOut, JobOut
from jobs.records import JobStatus

#: Status to its word and its icon, which is also its class.
STATUSES = {
    JobStatus.QUEUED: ("Waiting", "queued"),
    JobStatus.RUNNING: ("Running", "running"),
    JobStatus.CANCELLING: ("Cancelling", "cancelling"),
    JobStatus.COMPLETED: ("Completed", "completed"),
    JobStatus.FAILED: ("Failed", "failed"),
    JobStatus.CANCELLED: ("Cancelled", "cancelled"),
    JobStatus.EXPIRED: ("Expired", "expired"),
}
TASKS = {"generation": "Generation", "translation": "Translation", "sentiment": "Sentiment", "qa": "QA"}
_NAME = "name"
_MOST_TAGS = 3
_TAG_CHARACTERS = 40
_NAME_CHARACTERS = 120
_SHOWN_OF_ID = (16, 4)


@dataclass(frozen=True)
class JobView:
    """A job with its rate, and words for both."""

    job: JobOut

    @property
    def id(self) -> str:
        """As clients have it."""
        return self.job.id

    @property
    def short_id(self) -> str:
        """Enough of it to know it by."""
        begin, end = _SHOWN_OF_ID
        return self.id if len(self.id) <= begin + end else f"{self.id[:begin]}…{self.id[-end:]}"

    @property
    def name(self) -> str:
        """Its own; else `metadata.name`, as clients named jobs before these had names; else the id."""
        name = self.job.name or self.job.metadata.get(_NAME)
        return name.strip()[:_NAME_CHARACTERS] if isinstance(name, str) and name.strip() else self.short_id

    @property
    def has_name(self) -> bool:
        """Whether the client named it."""
        return self.name != self.short_id

    @property
    def tags(self) -> list[str]:
        """Its own, and what else the metadata says, as long as it is short."""
        return [*self.job.tags, *tags_of(self.job.metadata)][:_MOST_TAGS]

    @property
    def status(self) -> str:
        """As the API has it."""
        return self.job.status.value

    @property
    def status_word(self) -> str:
        """For people."""
        return STATUSES[self.job.status][0]

    @property
    def is_final(self) -> bool:
        """Whether nothing changes by itself any more."""
        return self.job.status.is_final

    @property
    def task(self) -> str:
        """The task's name; empty where rows name their own."""
        return self.job.task.value if self.job.task else ""

    @property
    def task_word(self) -> str:
        """For people."""
        return TASKS.get(self.task, "Mixed")

    @property
    def counts(self) -> CountsOut:
        """Documents by where they are."""
        return self.job.counts

    @property
    def computed(self) -> int:
        """Documents that a worker was done with."""
        return self.counts.succeeded + self.counts.failed

    @property
    def segments(self) -> list[progress.Segment]:
        """The bar."""
        return progress.segments(self.counts)

    @property
    def bar_words(self) -> str:
        """The bar, told."""
        return progress.words(self.counts)

    @property
    def percent(self) -> str:
        """The share of documents computed."""
        return words.percent(self.computed, self.counts.total)

    @property
    def speed(self) -> str:
        """Documents a second."""
        return words.speed(self.job.rate.documents_per_second)

    @property
    def token_speed(self) -> str:
        """Tokens a second."""
        return words.speed(self.job.rate.tokens_per_second)

    @property
    def created_at(self) -> datetime:
        """When it came in."""
        return self.job.created_at

    @property
    def seconds(self) -> float | None:
        """From its first document to its last."""
        if self.job.started_at is None or self.job.finished_at is None:
            return None
        return (self.job.finished_at - self.job.started_at).total_seconds()

    @property
    def left(self) -> str:
        """What is to be said of its time in a few words."""
        status = self.job.status
        if status is JobStatus.RUNNING:
            return (
                "" if self.job.eta_seconds is None else f"about {words.duration(self.job.eta_seconds)} left"
            )
        if status in (JobStatus.COMPLETED, JobStatus.FAILED):
            return "" if self.seconds is None else f"took {words.duration(self.seconds)}"
        said = {
            JobStatus.CANCELLED: "stopped",
            JobStatus.EXPIRED: "out of time",
            JobStatus.CANCELLING: "stopping",
        }
        return said.get(status, "")

    @property
    def left_duration(self) -> str:
        """How long it still takes, as far as that is known; empty: it is not."""
        eta = self.job.eta_seconds
        return "" if self.is_final or eta is None else words.duration(eta)

    @property
    def without_success(self) -> int:
        """Documents that a retry would run again."""
        return self.counts.failed + self.counts.cancelled + self.counts.expired


def tags_of(metadata: Mapping[str, Any]) -> list[str]:
    """Metadata but for the name, each entry in a few characters; what is nested is left out."""
    tags = []
    for key, value in metadata.items():
        if key == _NAME or isinstance(value, dict | list) or value is None:
            continue
        tag = f"{key}: {str(value).lower() if isinstance(value, bool) else value}"
        tags.append(tag if len(tag) <= _TAG_CHARACTERS else f"{tag[:_TAG_CHARACTERS]}…")
    return tags
