r"""The life of a job: every legal move, in one function and one diagram.

    queued ----claim----> running ----last settle----> completed | failed
      |  \                  |  \
      |   `--------expire---+---`---------------------> expired
      |                     |
      `------cancel---------+------------------------> cancelled

    completed | failed | cancelled | expired --retry--> queued

Only this file decides; the store asks it inside the transaction.
"""

from __future__ import annotations

from jobs.errors import IllegalTransition
from jobs.records import Counts, JobStatus

_MOVES: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset(
        {
            JobStatus.RUNNING,
            JobStatus.CANCELLED,
            JobStatus.EXPIRED,
            # A sweep may settle the last documents of a job nobody claimed again.
            JobStatus.COMPLETED,
            JobStatus.FAILED,
        }
    ),
    JobStatus.RUNNING: frozenset(
        {
            JobStatus.COMPLETED,
            JobStatus.FAILED,
            JobStatus.CANCELLED,
            JobStatus.EXPIRED,
        }
    ),
    JobStatus.CANCELLING: frozenset({JobStatus.CANCELLED}),
    JobStatus.COMPLETED: frozenset({JobStatus.QUEUED}),
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),
    JobStatus.CANCELLED: frozenset({JobStatus.QUEUED}),
    JobStatus.EXPIRED: frozenset({JobStatus.QUEUED}),
}


def move(current: JobStatus, wanted: JobStatus) -> JobStatus:
    """The new status, or an error; staying where one is always passes.

    Raises:
        IllegalTransition: the diagram above has no such arrow.
    """
    if wanted is not current and wanted not in _MOVES[current]:
        raise IllegalTransition(f"a job that is {current} cannot become {wanted}")
    return wanted


def closing_status(current: JobStatus, counts: Counts) -> JobStatus:
    """The final status of a job whose last document has just been settled."""
    if current is JobStatus.CANCELLING:
        return JobStatus.CANCELLED
    if counts.expired:
        return JobStatus.EXPIRED
    return JobStatus.COMPLETED if counts.succeeded else JobStatus.FAILED
