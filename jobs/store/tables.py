"""The tables. A document of an unfinished job is open exactly while it has no result row.

That one rule carries most promises: the primary key of `result` is what makes an
outcome unique, and no second column can disagree about whether a document is done.
What is open when its job is cancelled or expires has that as its outcome: one row tells it.
Times are seconds since 1970 by the store's clock. JSON is kept as text that the
database never looks into.
"""

from __future__ import annotations

from typing import cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

#: SQLite gives an auto-incrementing key only to INTEGER.
RowId = BigInteger().with_variant(Integer, "sqlite")
_UNFINISHED = text("finished_at IS NULL")
_UNSENT = text("state = 'waiting' AND sent_at IS NULL")
_SENT = text("state = 'waiting' AND sent_at IS NOT NULL")
_NAMED = text("name IS NOT NULL")
_WITHOUT_SUCCESS = text("status <> 'succeeded'")
_NOT_HERE = text("stage <> 'here'")
_TO_EXPIRE = text("expires_at IS NOT NULL")
_RESULTS_END = text("results_seconds IS NOT NULL AND job IS NOT NULL")


class Base(DeclarativeBase):
    """All tables of the ledger."""

    type_annotation_map = {str: Text, float: Double}  # noqa: RUF012  # SQLAlchemy reads it from the class


class JobRow(Base):
    """One submission. Counters are bumped by exactly what a transaction writes.

    `status` is a `JobStatus`, or a `Stage` while the job comes in, is made ready again or goes.
    """

    __tablename__ = "job"
    __table_args__ = (
        UniqueConstraint("owner", "idempotency_key"),
        Index("job_by_age", "owner", "id"),
        Index("job_by_status", "owner", "status", "id"),
        Index("job_by_public_id", "owner", "public_id"),
        Index("job_by_name", "owner", "name", "id", sqlite_where=_NAMED, postgresql_where=_NAMED),
        Index("job_by_end", "finished_at"),
        # However many jobs there were, those that are not finished are found at once.
        Index("job_unfinished", "status", "id", sqlite_where=_UNFINISHED, postgresql_where=_UNFINISHED),
        Index(
            "job_unfinished_of_owner", "owner", "status",
            sqlite_where=_UNFINISHED, postgresql_where=_UNFINISHED,
        ),
        Index("job_by_tidiness", "close_from"),
        # Never reuse the number of a deleted job: an old message could name it.
        {"sqlite_autoincrement": True},
    )  # fmt: skip

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    public_id: Mapped[str] = mapped_column(unique=True)
    #: the project's name; empty: submitted without a key
    owner: Mapped[str]
    #: which key submitted it
    api_key: Mapped[str | None]
    #: of the documents as they were submitted
    stored_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    idempotency_key: Mapped[str | None]
    request_sha256: Mapped[str | None]
    task: Mapped[str | None]
    model: Mapped[str | None]
    params: Mapped[str]
    priority: Mapped[int]
    metadata_json: Mapped[str]
    name: Mapped[str | None]
    tags_json: Mapped[str] = mapped_column(default="[]", server_default="[]")
    #: `announcing.NOT_TOLD`, or NULL, which is all that releases before wrote; webhooks have a table
    webhook: Mapped[str | None]
    status: Mapped[str]
    error: Mapped[str | None]
    total: Mapped[int]
    succeeded: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    cancelled: Mapped[int] = mapped_column(default=0)
    expired: Mapped[int] = mapped_column(default=0)
    input_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    output_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    #: what was there when the job was last retried, for the rate of the run since then
    kept_documents: Mapped[int] = mapped_column(default=0, server_default="0")
    kept_tokens: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    expires_at: Mapped[float | None]
    version: Mapped[int] = mapped_column(default=1)
    #: After a retry, the next slice to be made ready; until that is done only successes count.
    reopen_from: Mapped[int | None]
    #: After a cancel or an expiry, the next slice to be tidied away.
    close_from: Mapped[int | None]
    #: work in all documents, as `jobs/estimate` counts it
    estimated_tokens: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class JobTagRow(Base):
    """A tag of a job, to find it by."""

    __tablename__ = "job_tag"
    __table_args__ = (Index("job_tag_by_owner", "owner", "tag", "job"), Index("job_tag_by_tag", "tag", "job"))

    job: Mapped[int] = mapped_column(RowId, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)
    #: of the job, once more, for the index
    owner: Mapped[str]


class SliceRow(Base):
    """The unit of dispatch: one message, one lease. Also the outbox: waiting and unsent means to send."""

    __tablename__ = "slice"
    __table_args__ = (
        # What waits, unsent ones in their order, what is on its way and what is leased: each is a range
        # of its own, so that no question costs more for what is done.
        Index("slice_by_job_state", "state", "job", "sent_at", "number"),
        Index("slice_by_lease", "state", "lease_until"),
        # What is to be sent, in the two orders in which `window` looks for it, and what was sent:
        # small while the table grows, since a claimed slice is in none. Their first column says
        # nothing, but with it SQLite prefers them to those above.
        Index(
            "slice_by_turn", "state", "owner", "priority", "model", "number", "job",
            sqlite_where=_UNSENT, postgresql_where=_UNSENT,
        ),
        Index(
            "slice_by_age", "state", "owner", "priority", "model", "job", "number",
            sqlite_where=_UNSENT, postgresql_where=_UNSENT,
        ),
        Index("slice_by_sending", "state", "sent_at", sqlite_where=_SENT, postgresql_where=_SENT),
        Index("slice_of_model", "owner", "model", "job"),
        Index("slice_of_task", "owner", "task", "job"),
    )  # fmt: skip

    job: Mapped[int] = mapped_column(RowId, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    task: Mapped[str]
    model: Mapped[str]
    priority: Mapped[int]
    state: Mapped[str]
    first_seq: Mapped[int]
    last_seq: Mapped[int]
    num_open: Mapped[int]
    attempt: Mapped[int] = mapped_column(default=0)
    crash_count: Mapped[int] = mapped_column(default=0)
    isolate: Mapped[bool] = mapped_column(default=False)
    suspect_seq: Mapped[int | None]
    lease_owner: Mapped[str | None]
    lease_until: Mapped[float | None]
    available_at: Mapped[float] = mapped_column(default=0.0)
    sent_at: Mapped[float | None]
    #: of the job: slices take turns by it
    owner: Mapped[str] = mapped_column(default="", server_default="")


class DocumentRow(Base):
    """One input row, as accepted; never changed but for its crash count."""

    __tablename__ = "document"

    job: Mapped[int] = mapped_column(RowId, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    slice: Mapped[int]
    custom_id: Mapped[str]
    text: Mapped[str]
    context: Mapped[str | None]
    messages_json: Mapped[str | None]
    params: Mapped[str | None]
    metadata_json: Mapped[str | None]
    crash_count: Mapped[int] = mapped_column(default=0)


class ResultRow(Base):
    """The one outcome of a document; what a cancel or the clock left open needs none (`unwritten`)."""

    __tablename__ = "result"
    __table_args__ = (
        # The few that are asked for by themselves.
        Index(
            "result_without_success", "job", "seq",
            sqlite_where=_WITHOUT_SUCCESS, postgresql_where=_WITHOUT_SUCCESS,
        ),
    )  # fmt: skip

    job: Mapped[int] = mapped_column(RowId, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    attempt: Mapped[int]
    status: Mapped[str]
    output: Mapped[str | None]
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    input_tokens: Mapped[int] = mapped_column(default=0)
    output_tokens: Mapped[int] = mapped_column(default=0)
    truncated: Mapped[bool] = mapped_column(default=False)
    provenance: Mapped[str | None]


class WorkerRow(Base):
    """A worker's last sign of life."""

    __tablename__ = "worker"

    worker_id: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str]
    models: Mapped[str]
    warm_models: Mapped[str]
    loop_age_seconds: Mapped[float]
    details: Mapped[str]
    seen_at: Mapped[float]


class ModelFactsRow(Base):
    """What a worker last told of a model; outlives the worker."""

    __tablename__ = "model_facts"

    name: Mapped[str] = mapped_column(primary_key=True)
    ref: Mapped[str]
    revision: Mapped[str | None]
    facts: Mapped[str]
    told_at: Mapped[float]


class ProjectRow(Base):
    """Owns jobs. `fingerprint` is the owner that 0.1.0 wrote, until its key comes back and takes the jobs."""

    __tablename__ = "project"

    name: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str | None] = mapped_column(unique=True)
    limits: Mapped[str] = mapped_column(default="{}", server_default="{}")
    created_at: Mapped[float]


class ApiKeyRow(Base):
    """A key of a project, or an administrator's: its HMAC and what may be shown of it."""

    __tablename__ = "api_key"

    id: Mapped[str] = mapped_column(primary_key=True)
    project: Mapped[str | None] = mapped_column(ForeignKey("project.name"), index=True)
    name: Mapped[str]
    prefix: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    #: which secret it was hashed with
    secret_id: Mapped[str]
    origin: Mapped[str]
    created_at: Mapped[float]
    ends_at: Mapped[float | None]


class FileRow(Base):
    """A file that a client sent; `stage` is a `FileStage`."""

    __tablename__ = "file"
    __table_args__ = (
        Index("file_by_age", "owner", "created_at", "public_id"),
        Index("file_not_here", "stage", sqlite_where=_NOT_HERE, postgresql_where=_NOT_HERE),
        Index("file_by_expiry", "expires_at", sqlite_where=_TO_EXPIRE, postgresql_where=_TO_EXPIRE),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    public_id: Mapped[str] = mapped_column(unique=True)
    owner: Mapped[str]
    api_key: Mapped[str | None]
    filename: Mapped[str]
    purpose: Mapped[str]
    stage: Mapped[str]
    num_bytes: Mapped[int] = mapped_column(BigInteger)
    num_blocks: Mapped[int]
    created_at: Mapped[float]
    expires_at: Mapped[float | None]


class FileBlockRow(Base):
    """Bytes of a file, a block of them."""

    __tablename__ = "file_block"

    file: Mapped[int] = mapped_column(RowId, ForeignKey("file.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class BatchRow(Base):
    """What a job is for OpenAI's clients; without a job what was refused, or whose results were deleted."""

    __tablename__ = "batch"
    __table_args__ = (
        Index("batch_by_age", "owner", "id"),
        Index("batch_by_request", "owner", "request_sha256"),
        Index("batch_by_results", "job", sqlite_where=_RESULTS_END, postgresql_where=_RESULTS_END),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    public_id: Mapped[str] = mapped_column(unique=True)
    owner: Mapped[str]
    job: Mapped[int | None] = mapped_column(RowId, ForeignKey("job.id", ondelete="CASCADE"), unique=True)
    endpoint: Mapped[str]
    input_file: Mapped[str | None]
    completion_window: Mapped[str]
    results_seconds: Mapped[int | None]
    metadata_json: Mapped[str]
    request_sha256: Mapped[str | None]
    created_at: Mapped[float]
    #: why there never was a job
    problems_json: Mapped[str | None]
    #: the job's row, as it was when its results were deleted
    ended_json: Mapped[str | None]
    #: bytes of the two files, by the version of the job that they were counted at
    sizes_json: Mapped[str | None]
    #: which of the two files were deleted
    gone_json: Mapped[str | None]


job = cast("Table", JobRow.__table__)
job_tag = cast("Table", JobTagRow.__table__)
slice_ = cast("Table", SliceRow.__table__)
document = cast("Table", DocumentRow.__table__)
result = cast("Table", ResultRow.__table__)
worker = cast("Table", WorkerRow.__table__)
model_facts = cast("Table", ModelFactsRow.__table__)
project = cast("Table", ProjectRow.__table__)
api_key = cast("Table", ApiKeyRow.__table__)
file = cast("Table", FileRow.__table__)
file_block = cast("Table", FileBlockRow.__table__)
batch = cast("Table", BatchRow.__table__)


def is_waiting() -> ColumnElement[bool]:
    """The state written out: with a parameter, SQLite uses none of the indexes that hold waiting slices."""
    return slice_.c.state == literal_column("'waiting'")


def is_no_success() -> ColumnElement[bool]:
    """Whether a result is one of the few; written out, as above, for the index that holds them alone."""
    return result.c.status != literal_column("'succeeded'")


def is_not_here() -> ColumnElement[bool]:
    """Whether a file is one of the few that come or go; written out, as above, for the index of those."""
    return file.c.stage != literal_column("'here'")
