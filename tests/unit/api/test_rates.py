"""W25: speed, share and time left tell of documents that were computed."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.rates import Rates
from jobs.records import Counts, Job, JobStatus, Priority
from tests.support.ledger import Clock
from tests.unit.api.conftest import Api

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def job(status: JobStatus, *, seconds: float | None = None, tokens: int = 0, **counts: Any) -> Job:
    """A job that began at noon and, given seconds, ended so much later."""
    return Job(
        id="job_1", owner="", status=status, task=None, model=None, priority=Priority.BULK, counts=Counts(**counts),
        input_tokens=tokens, output_tokens=0, created_at=NOON, started_at=NOON,
        finished_at=None if seconds is None else NOON + timedelta(seconds=seconds), expires_at=None, metadata={},
        error=None, version=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        (JobStatus.CANCELLED, {"succeeded": 680, "failed": 9, "cancelled": 4311}),
        (JobStatus.EXPIRED, {"succeeded": 689, "expired": 4311}),
    ],
)
def test_a_job_cut_off_says_what_was_computed(status: JobStatus, counts: dict[str, int]) -> None:
    """W25: 689 of 5,000 computed in 35 s read as 141 documents/s and 100 %."""
    view = Rates().view(job(status, seconds=35, total=5000, **counts))
    assert view.rate.documents_per_second == pytest.approx(689 / 35, abs=0.001)
    assert view.progress == pytest.approx(689 / 5000)
    assert view.eta_seconds == 0


def test_documents_cancelled_while_it_is_looked_at_are_no_speed() -> None:
    clock = Clock()
    rates = Rates(clock)
    rates.view(job(JobStatus.RUNNING, total=1000, succeeded=10))
    clock.advance(10)
    running = rates.view(job(JobStatus.RUNNING, total=1000, succeeded=110))
    assert running.rate.documents_per_second == 10
    assert running.eta_seconds == 89
    clock.advance(10)
    cancelling = rates.view(job(JobStatus.CANCELLING, total=1000, succeeded=110, cancelled=500))
    assert cancelling.rate.documents_per_second == 5
    assert cancelling.eta_seconds is None
    assert cancelling.progress == 0.11


def test_jobs_that_nobody_looks_at_any_more_take_no_memory() -> None:
    """L10's kind: whoever submitted and never asked again left a window of samples behind, up to 10,000."""
    clock = Clock()
    rates = Rates(clock)
    queued = dataclasses.replace(job(JobStatus.QUEUED, total=1), started_at=None)
    for number in range(50):
        rates.view(dataclasses.replace(queued, id=f"queued_{number}"))
        rates.view(dataclasses.replace(job(JobStatus.RUNNING, total=9, succeeded=1), id=f"left_{number}"))
    clock.advance(299)
    rates.view(job(JobStatus.RUNNING, total=1000, succeeded=10))
    assert len(rates) == 51
    clock.advance(10)
    assert rates.view(job(JobStatus.RUNNING, total=1000, succeeded=110)).rate.documents_per_second == 10
    assert len(rates) == 1


def test_a_job_that_failed_altogether_was_computed_all_the_same() -> None:
    view = Rates().view(job(JobStatus.FAILED, seconds=10, total=20, failed=20))
    assert (view.rate.documents_per_second, view.progress) == (2, 1)


def test_a_job_cancelled_before_it_began_has_no_speed() -> None:
    view = Rates().view(job(JobStatus.CANCELLED, seconds=5, total=20, cancelled=20))
    assert (view.rate.documents_per_second, view.progress) == (None, 0)


def test_a_retried_job_counts_from_its_retry() -> None:
    """The documents of the first run, and the night between, are not part of the speed."""
    clock = Clock()
    rates = Rates(clock)
    rates.view(job(JobStatus.RUNNING, total=1000, succeeded=500, failed=400))
    clock.advance(3600)
    again = job(JobStatus.RUNNING, total=1000, succeeded=520, tokens=5_000)
    again = dataclasses.replace(
        again, started_at=datetime.now(UTC) - timedelta(seconds=10), kept_documents=500
    )
    view = rates.view(again)
    assert view.rate.documents_per_second == pytest.approx(2, rel=0.1)
    clock.advance(10)
    later = dataclasses.replace(again, counts=Counts(total=1000, succeeded=620))
    assert rates.view(later).rate.documents_per_second == 10
    ended = dataclasses.replace(
        job(JobStatus.COMPLETED, seconds=50, total=1000, succeeded=1000, tokens=9_000),
        kept_documents=500, kept_tokens=4_000,
    )  # fmt: skip
    assert rates.view(ended).rate.model_dump() == {"documents_per_second": 10, "tokens_per_second": 100}


def test_the_console_shows_a_cancelled_job_as_what_it_is_and_pages_past_no_open_document(api: Api) -> None:
    """W25, W12."""
    job_id = api.submit(*(f"text {n}" for n in range(50)))
    api.work_off(job_id, leaving=(30, *range(45, 50)))
    page = api.http.get(f"/console/jobs/{job_id}").text
    assert "?after=19" in page
    second = api.http.get(f"/console/jobs/{job_id}?after=19").text
    assert "TEXT 29" in second
    assert "TEXT 31" not in second
    assert "not done yet" in second
    api.store.cancel(job_id)
    page = api.http.get(f"/console/jobs/{job_id}?after=19").text
    assert "TEXT 31" in page
    assert 'data-status="cancelled"' in page
    assert "88 %" in page
    assert 'data-status="cancelled"' in api.http.get("/console/jobs").text


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    """A window of 3,000 s was noticed by no test: a job that had been fast looked fast for an hour."""
    clock = Clock()
    rates = Rates(clock)
    computed = 0
    for second in range(120):
        computed += 100 if second < 60 else 10
        view = rates.view(job(JobStatus.RUNNING, total=100_000, succeeded=computed))
        clock.advance(1)
    assert view.rate.documents_per_second == pytest.approx(10, rel=0.05)
