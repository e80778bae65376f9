"""A batch as OpenAI's clients read it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from jobs.batches import Batch, Half, result_file_id
from jobs.records import Job, JobStatus

Status = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
#: A batch whose requests all failed is a completed one: its error file says why each of them did.
_ENDED: dict[JobStatus, Status] = {
    JobStatus.COMPLETED: "completed",
    JobStatus.FAILED: "completed",
    JobStatus.CANCELLED: "cancelled",
    JobStatus.EXPIRED: "expired",
}


class BatchProblem(BaseModel):
    """Why a batch was refused; `line` counts from 1."""

    code: str
    line: int | None
    message: str
    param: str | None


class BatchProblems(BaseModel):
    """All of them, or the first hundred."""

    object: Literal["list"] = "list"
    data: list[BatchProblem]


class RequestCounts(BaseModel):
    """Requests by what became of them."""

    total: int
    completed: int
    failed: int


class BatchUsage(BaseModel):
    """Tokens of all requests so far."""

    input_tokens: int
    input_tokens_details: dict[str, int] = {"cached_tokens": 0}
    output_tokens: int
    output_tokens_details: dict[str, int] = {"reasoning_tokens": 0}
    total_tokens: int


class BatchOut(BaseModel):
    """A batch."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    errors: BatchProblems | None = None
    input_file_id: str | None
    completion_window: str
    status: Status
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: int
    in_progress_at: int | None = None
    expires_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: RequestCounts
    metadata: dict[str, str] | None
    usage: BatchUsage


class BatchPage(BaseModel):
    """Batches, newest first."""

    object: Literal["list"] = "list"
    data: list[BatchOut]
    first_id: str | None
    last_id: str | None
    has_more: bool


def status_of(batch: Batch) -> Status:
    """Where it stands. Nobody sees `validating`: every line is checked before the call that makes it ends."""
    if batch.job is None:
        return "failed"
    if batch.job.status in _ENDED:
        return _ENDED[batch.job.status]
    if batch.job.status is JobStatus.CANCELLING:
        return "cancelling"
    return "finalizing" if batch.job.counts.settled == batch.job.counts.total else "in_progress"


def batch_out(batch: Batch) -> BatchOut:
    """The batch as its owner reads it."""
    common: dict[str, Any] = {
        "id": batch.id,
        "endpoint": batch.asked.endpoint,
        "input_file_id": batch.asked.input_file,
        "completion_window": batch.asked.completion_window,
        "status": status_of(batch),
        "created_at": _seconds(batch.created_at),
        "metadata": dict(batch.asked.metadata) or None,
    }
    return BatchOut(**common, **(_refused(batch) if batch.job is None else _of_job(batch, batch.job)))


def _refused(batch: Batch) -> dict[str, Any]:
    problems = [
        BatchProblem(code=each.code, line=each.line, message=each.message, param=each.param)
        for each in batch.problems
    ]
    return {
        "errors": BatchProblems(data=problems),
        "failed_at": _seconds(batch.created_at),
        "request_counts": RequestCounts(total=0, completed=0, failed=0),
        "usage": BatchUsage(input_tokens=0, output_tokens=0, total_tokens=0),
    }


def _of_job(batch: Batch, job: Job) -> dict[str, Any]:
    ids = {half: result_file_id(batch.id, half) if batch.num_results(half) else None for half in Half}
    return {
        "output_file_id": ids[Half.OUTPUT],
        "error_file_id": ids[Half.ERRORS],
        "in_progress_at": _seconds(job.created_at),
        "expires_at": _seconds(job.expires_at),
        **_ends(status_of(batch), _seconds(job.finished_at)),
        "request_counts": RequestCounts(
            total=job.counts.total, completed=job.counts.succeeded, failed=job.counts.failed
        ),
        "usage": BatchUsage(
            input_tokens=job.input_tokens,
            output_tokens=job.output_tokens,
            total_tokens=job.input_tokens + job.output_tokens,
        ),
    }


def _ends(status: Status, at: int | None) -> dict[str, int | None]:
    """The times that belong to an end; what leads to it takes no time here."""
    names = {
        "completed": ("finalizing_at", "completed_at"),
        "expired": ("finalizing_at", "expired_at"),
        "cancelled": ("cancelling_at", "cancelled_at"),
    }
    return dict.fromkeys(names.get(status, ()), at)


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
