from __future__ import annotations

import pytest

from jobs.errors import IllegalTransition
from jobs.records import Counts, JobStatus
from jobs.states import closing_status, move


@pytest.mark.parametrize("status", [s for s in JobStatus if s.is_final])
def test_a_final_job_reopens_only_as_queued(status: JobStatus) -> None:
    assert move(status, JobStatus.QUEUED) is JobStatus.QUEUED
    for other in set(JobStatus) - {status, JobStatus.QUEUED}:
        with pytest.raises(IllegalTransition, match=f"{status} cannot become {other}"):
            move(status, other)


def test_a_cancelling_job_can_only_end_cancelled() -> None:
    for other in set(JobStatus) - {JobStatus.CANCELLING, JobStatus.CANCELLED}:
        with pytest.raises(IllegalTransition):
            move(JobStatus.CANCELLING, other)


@pytest.mark.parametrize(
    ("current", "counts", "expected"),
    [
        (JobStatus.RUNNING, Counts(total=2, succeeded=1, failed=1), JobStatus.COMPLETED),
        (JobStatus.RUNNING, Counts(total=2, failed=2), JobStatus.FAILED),
        (JobStatus.RUNNING, Counts(total=2, succeeded=1, expired=1), JobStatus.EXPIRED),
        (JobStatus.CANCELLING, Counts(total=2, succeeded=1, cancelled=1), JobStatus.CANCELLED),
    ],
)
def test_a_job_closes_by_what_became_of_its_documents(
    current: JobStatus, counts: Counts, expected: JobStatus
) -> None:
    assert closing_status(current, counts) is expected
