"""What people ask of the ledger who look at it: lists of jobs, why documents failed, what was sent.

Values only; `jobs/store/ledger_view` finds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from jobs.records import Job, JobStatus, Messages, Priority, Task


class JobOrder(StrEnum):
    """What comes first in a list."""

    NEWEST = "newest"
    OLDEST = "oldest"
    LARGEST = "largest"  #: by documents
    MOST_FAILED = "most_failed"  #: by documents that failed


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Which jobs a list is of. What is None asks for all."""

    status: JobStatus | None = None
    task: Task | None = None  #: jobs that hold documents of it
    model: str | None = None  #: likewise
    name: str | None = None  #: exactly
    tag: str | None = None
    prefix: str | None = None  #: how the id begins


EVERY_JOB = JobFilter()


@dataclass(frozen=True, kw_only=True)
class JobSearch:
    """Which jobs, in which order. What is empty asks for all."""

    words: str = ""  #: the beginning of an id, a model, or a part of the name, a tag or the metadata
    statuses: frozenset[JobStatus] = frozenset()
    task: Task | None = None  #: jobs that hold documents of it
    model: str | None = None  #: likewise
    has_failures: bool = False
    order: JobOrder = JobOrder.NEWEST


@dataclass(frozen=True, kw_only=True)
class JobsFound:
    """A page of jobs; the cursors are ids."""

    jobs: list[Job]
    before: str | None  #: the cursor of the page before this one
    after: str | None  #: the cursor of the page behind it
    #: that many jobs were looked at, and no more, though there are more
    looked_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class FailedDocument:
    """One of those that failed for the same reason."""

    seq: int
    custom_id: str
    message: str


@dataclass(frozen=True, kw_only=True)
class FailureGroup:
    """Documents of a job that failed for the same reason."""

    code: str
    count: int
    examples: tuple[FailedDocument, ...]


@dataclass(frozen=True, kw_only=True)
class Failures:
    """Why documents of a job failed, most frequent reason first."""

    groups: tuple[FailureGroup, ...]
    looked_at: int  #: failed documents that were looked at
    is_whole: bool  #: False: there are more


@dataclass(frozen=True, kw_only=True)
class SentDocument:
    """A document as it was sent; long texts are cut."""

    text: str
    num_characters: int  #: of the whole text
    context: str | None
    messages: Messages | None
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """How results of one model came about."""

    task: Task
    model: str
    provenance: Mapping[str, Any] | None  #: of a result that succeeded; None: there is none yet


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """What is kept of a job beside its counts."""

    params: Mapping[str, Any]
    stored_bytes: int
    models: tuple[ModelRecord, ...]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is that runs, or did until just now."""

    job_id: str
    owner: str
    documents: int  #: computed since it was last retried
    tokens: int  #: read and written, likewise


@dataclass(frozen=True, kw_only=True)
class QueueLine:
    """What a model still has to do at one priority."""

    model: str
    task: Task
    priority: Priority
    documents: int
    jobs: int
    oldest_at: datetime  #: when the oldest of these jobs came in


@dataclass(frozen=True, kw_only=True)
class FailureCount:
    """Documents that failed lately for one reason, in whichever job."""

    code: str
    count: int
    jobs: tuple[str, ...]  #: their ids, newest first


@dataclass(frozen=True, kw_only=True)
class RecentFailures:
    """Why documents of the newest jobs failed, most frequent reason first."""

    reasons: tuple[FailureCount, ...]
    is_whole: bool  #: False: there are more than were looked at


@dataclass(frozen=True, kw_only=True)
class HeldSlice:
    """A slice that a worker has now."""

    worker_id: str
    job_id: str
    number: int
    documents: int  #: of it, still open
