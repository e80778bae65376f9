"""What the row of a job may say beside `JobStatus`: states between two blocks of a long change.

Whatever touches very many rows goes in blocks, each a short transaction, so that others
write in between. One row tells how far it is: a crash leaves a state that a sweep finishes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Row

from jobs.records import DocumentStatus, JobStatus, Outcome
from jobs.store import tables as t


class Stage(StrEnum):
    """States that are no client's business."""

    ARRIVING = "arriving"  #: its documents are coming in; nobody sees the job before the last is there
    REOPENING = "reopening"  #: retried; its slices are being made ready. Clients see `queued`
    LEAVING = "leaving"  #: deleted, or never arrived: nobody sees it, its rows are going


_HIDDEN = (Stage.ARRIVING, Stage.LEAVING)
#: What clients call `queued`.
QUEUED = (JobStatus.QUEUED, Stage.REOPENING)
#: Whose slices may be sent, claimed and settled.
OPEN = (JobStatus.QUEUED, JobStatus.RUNNING)
#: Whose documents are queued or running for clients.
UNSETTLED = (*OPEN, Stage.REOPENING)

_UNWRITTEN = {
    JobStatus.CANCELLED: Outcome(
        seq=-1, status=DocumentStatus.CANCELLED, error_code="cancelled", error_message="the job was cancelled"
    ),
    JobStatus.EXPIRED: Outcome(
        seq=-1, status=DocumentStatus.EXPIRED, error_code="expired", error_message="the job ran out of time"
    ),
}


def is_unfinished() -> ColumnElement[bool]:
    """Whether the job may be in a stage, queued or running; there is an index of those alone."""
    return t.job.c.finished_at.is_(None)


def is_visible() -> ColumnElement[bool]:
    """Whether there is such a job, to anybody but those who bring or remove it."""
    return t.job.c.status.not_in(_HIDDEN)


def status_of(row: Row[Any]) -> JobStatus:
    """The status that clients see of a visible job."""
    return JobStatus.QUEUED if row.status == Stage.REOPENING else JobStatus(row.status)


def stored_as(status: JobStatus) -> tuple[str, ...]:
    """What the rows of jobs hold that clients see in this status."""
    return QUEUED if status is JobStatus.QUEUED else (status,)


def unwritten(row: Row[Any]) -> Outcome | None:
    """The outcome of each document of this job that has no row of its own; None: such are open."""
    return _UNWRITTEN.get(status_of(row))
