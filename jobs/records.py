"""What a job is: the values that cross between the edge, the store and the workers.

All are frozen; a change is a copy. This file knows no SQL, HTTP, Celery or torch.
Legal moves between statuses are in `jobs/states.py`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntEnum, StrEnum
from typing import Any

from jobs.isolation import Isolation
from jobs.webhooks.records import NewWebhook


class Task(StrEnum):
    """What is done to a document."""

    GENERATION = "generation"
    TRANSLATION = "translation"
    SENTIMENT = "sentiment"
    QA = "qa"


class JobStatus(StrEnum):
    """Where a job stands; `jobs/states.py` draws the moves."""

    QUEUED = "queued"  #: stored; no document has been claimed yet
    RUNNING = "running"  #: at least one slice was claimed
    CANCELLING = "cancelling"  #: of earlier releases, whose cancels took a while; nothing becomes it now
    COMPLETED = "completed"  #: every document is settled, at least one succeeded
    FAILED = "failed"  #: every document is settled, none succeeded
    CANCELLED = "cancelled"  #: every document is settled, after a cancel
    EXPIRED = "expired"  #: `expires_at` passed before every document was settled

    @property
    def is_final(self) -> bool:
        """Whether only an explicit retry can reopen the job."""
        return self in _FINAL_JOB_STATUSES


_FINAL_JOB_STATUSES = frozenset(
    {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.EXPIRED}
)


class DocumentStatus(StrEnum):
    """A document is open until its one outcome is settled."""

    OPEN = "open"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class SliceState(StrEnum):
    """Where a slice stands."""

    WAITING = "waiting"  #: may be sent and claimed once `available_at` has passed
    LEASED = "leased"  #: one worker holds it until `lease_until`
    DONE = "done"  #: every document of it is settled


class Priority(IntEnum):
    """Lower is sooner, as in Celery over Redis (steps 0, 3, 6, 9)."""

    INTERACTIVE = 0
    BULK = 6


#: A chat: each message has a `role` and a `content`.
Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class NewDocument:
    """One validated input row, with task, model and params resolved."""

    seq: int
    custom_id: str
    task: Task
    model: str
    text: str  #: empty when there are `messages`
    context: str | None = None
    messages: Messages | None = None  #: a chat instead of a text
    #: only what the client set, validated by `jobs/params.py`
    params: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] | None = None

    @property
    def num_characters(self) -> int:
        """Of all that a model reads."""
        chat = sum(len(message["content"]) for message in self.messages or ())
        return len(self.text) + len(self.context or "") + chat


@dataclass(frozen=True, kw_only=True)
class NewBatch:
    """A job as an OpenAI client asks for it, apart from its requests (`jobs/batches`)."""

    endpoint: str
    input_file: str | None  #: None: the requests came with the call
    completion_window: str
    results_seconds: int | None = None  #: results go so long after the batch ended
    metadata: Mapping[str, str] = field(default_factory=dict)
    request_sha256: str | None = None  #: of the call, to tell a repeat of it


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """What a client asked for, apart from its documents."""

    id: str | None = None  #: that it shall have (`new_job_id`); None: any
    owner: str = ""  #: the project's name; empty: submitted without a key
    api_key: str | None = None  #: id of the key it is submitted with
    task: Task | None = None  #: None: the rows name their own (mixed)
    model: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    priority: Priority = Priority.BULK
    metadata: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None  #: for people; several jobs may have one name
    tags: tuple[str, ...] = ()
    webhook: NewWebhook | None = None  #: told of this job, beside those of its project
    is_told: bool = True  #: False: its caller waits for the answer, and no webhook hears of it
    expires_at: datetime | None = None
    idempotency_key: str | None = None
    stored_bytes: int = 0  #: of all documents, as JSON
    request_sha256: str | None = None  #: of the request, to tell a replay from a reuse
    estimated_tokens: int = 0  #: work in all documents, as `jobs/estimate` counts it
    batch: NewBatch | None = None  #: what it is to an OpenAI client, if one asked for it


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Jobs summed up; `day`, `project` and `key` where they were asked for."""

    jobs: int
    documents: int
    succeeded: int
    failed: int
    input_tokens: int
    output_tokens: int
    stored_bytes: int
    day: date | None = None
    project: str | None = None
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Documents of a job by where they are; they add up to `total`."""

    total: int
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0

    @property
    def settled(self) -> int:
        """Documents that have their outcome."""
        return self.succeeded + self.failed + self.cancelled + self.expired

    @property
    def computed(self) -> int:
        """Documents that a worker was done with; one cancelled or expired was dropped instead."""
        return self.succeeded + self.failed

    @property
    def progress(self) -> float:
        """The share of documents computed, 0 to 1: a job cancelled half way stays at one half."""
        return self.computed / self.total if self.total else 1.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as it stood at one moment. Times are aware and in UTC."""

    id: str
    owner: str
    status: JobStatus
    task: Task | None
    model: str | None
    priority: Priority
    counts: Counts
    input_tokens: int
    output_tokens: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    metadata: Mapping[str, Any]
    error: str | None
    #: grows with every change of the row: the ETag, and what long polls wait on
    version: int
    kept_documents: int = 0  #: of those computed, how many were so before the last retry
    kept_tokens: int = 0  #: of the tokens, those from before the last retry
    name: str | None = None  #: given by whoever submitted it; several jobs may have one name
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, order=True)
class SliceKey:
    """Names a slice. `str()` is what travels in a Celery message."""

    job_id: str
    number: int

    def __str__(self) -> str:
        return f"{self.job_id}.{self.number}"

    @classmethod
    def parse(cls, text: str) -> SliceKey:
        """The inverse of `str()`.

        Raises:
            ValueError: the text is not of that form.
        """
        job_id, _, number = text.rpartition(".")
        if not job_id:
            raise ValueError(f"not a slice key: {text!r}")
        return cls(job_id=job_id, number=int(number))


@dataclass(frozen=True, kw_only=True)
class SliceTicket:
    """What dispatch needs to send one slice, and nothing of its text."""

    key: SliceKey
    task: Task
    model: str
    priority: Priority
    num_documents: int


@dataclass(frozen=True, kw_only=True)
class LeasedDocument:
    """One unsettled document of a claimed slice."""

    seq: int
    text: str
    context: str | None
    params: Mapping[str, Any]
    messages: Messages | None = None


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to settle a slice for a while. `attempt` is the fencing token."""

    key: SliceKey
    attempt: int
    task: Task
    model: str
    priority: Priority
    documents: tuple[LeasedDocument, ...]
    #: an earlier attempt crashed: have the device alone, with the whole slice or with one
    #: document at a time, and tell the store what is about to run (`Store.suspect`)
    isolation: Isolation = Isolation.NONE
    owner: str = ""  #: of the job


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one document; becomes its one result row."""

    seq: int
    status: DocumentStatus  #: never OPEN
    output: Mapping[str, Any] | None = None
    error_code: str | None = None
    error_message: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    truncated: bool = False
    #: how the result came about: model revision, dtype, library versions, seed
    provenance: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What a settlement changed."""

    accepted: int  #: outcomes written now
    refused: int  #: outcomes dropped: fenced off, cancelled or settled before
    is_slice_done: bool
    is_job_done: bool


class LeaseState(StrEnum):
    """The store's answer to a heartbeat."""

    HELD = "held"
    LOST = "lost"  #: somebody else's now: drop the work, settle nothing
    CANCELLED = "cancelled"  #: the job was cancelled: stop, nothing will be accepted


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One result line, as stored; `output` is None unless it succeeded."""

    seq: int
    custom_id: str
    status: DocumentStatus
    task: Task
    model: str
    output: Mapping[str, Any] | None
    error_code: str | None
    error_message: str | None
    input_tokens: int
    output_tokens: int
    truncated: bool
    metadata: Mapping[str, Any] | None
    provenance: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class ResultFilter:
    """Which results are asked for. An empty set asks for all."""

    statuses: frozenset[DocumentStatus] = frozenset()
    tasks: frozenset[Task] = frozenset()
    models: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.statuses or self.tasks or self.models)


@dataclass(frozen=True, kw_only=True)
class ResultPage:
    """Results of one page, and what comes behind it."""

    rows: list[ResultRow]
    #: more may come behind these rows: settled ones, or documents that are still open
    has_more: bool
    #: the next document is one that is still open
    is_open_next: bool = False


@dataclass(frozen=True, kw_only=True)
class WorkerBeat:
    """A worker's sign of life. Ages are measured by the store's clock."""

    worker_id: str
    device: str
    models: tuple[str, ...]  #: names it serves
    warm_models: tuple[str, ...]  #: names loaded right now
    #: seconds since the device loop last came round; large = hung
    loop_age_seconds: float
    #: free-form facts shown by `GET /v1/models`: parameters, dtype, languages, ...
    details: Mapping[str, Any] = field(default_factory=dict)
    age_seconds: float = 0.0  #: filled by the store on reading


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What a worker tells of a model it has loaded: facts that hold until it is loaded anew."""

    name: str
    ref: str  #: as the catalogue has it, with the revision: facts of another model are not its own
    revision: str | None
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class SweepReport:
    """What one sweep found and mended."""

    released: int = 0  #: leases that had run out
    quarantined: int = 0  #: documents failed for crashing their process
    expired: int = 0  #: documents whose job ran out of time
    closed: int = 0  #: jobs found finished but not closed
    removed: int = 0  #: jobs whose last row went


def new_job_id() -> str:
    """A sortable id: 48 bits of milliseconds, 80 random bits (the layout of a ULID)."""
    return f"job_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
