"""What people who look at the ledger may ask of it; it changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from jobs.listing import (
    Failures,
    HeldSlice,
    JobRecord,
    JobSearch,
    JobsFound,
    Progress,
    QueueLine,
    RecentFailures,
    SentDocument,
)
from jobs.records import Job, JobStatus
from jobs.store import activity, insight, listing
from jobs.store.database import Database


class LedgerView:
    """Beside the ledger's own verbs (`Store`), which programs use. Every question has a bound."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def search(
        self,
        search: JobSearch,
        *,
        owner: str | None,
        after: str | None = None,
        before: str | None = None,
        limit: int = 25,
    ) -> JobsFound:
        """A page of an owner's jobs, or everybody's (None); a cursor whose job is gone begins anew."""
        return listing.search_jobs(
            self._database, search, owner=owner, after=after, before=before, limit=limit
        )

    def counts(self, *, owner: str | None) -> Mapping[JobStatus, int]:
        """How many jobs there are in each status."""
        return listing.count_jobs(self._database, owner=owner)

    def jobs(self, ids: Sequence[str]) -> list[Job]:
        """Those of the jobs that there are, whoever owns them."""
        return listing.jobs_of(self._database, ids)

    def newest(self, *, owner: str | None) -> str | None:
        """The id of the job that came in last."""
        return listing.newest_job(self._database, owner=owner)

    def failures(self, job_id: str) -> Failures:
        """Why documents failed. Raises JobNotFound."""
        return insight.failures(self._database, job_id)

    def sent(self, job_id: str, seqs: Sequence[int]) -> Mapping[int, SentDocument]:
        """What was sent, by seq. Raises JobNotFound."""
        return insight.sent_documents(self._database, job_id, seqs)

    def record(self, job_id: str) -> JobRecord:
        """How results came about. Raises JobNotFound."""
        return insight.job_record(self._database, job_id)

    def progress(self, *, since: datetime) -> list[Progress]:
        """How far every job is that runs or ended since then, whoever owns it."""
        return activity.progress(self._database, since=since)

    def queue(self, *, owner: str | None) -> list[QueueLine]:
        """What is still to be done by each model."""
        return activity.queue(self._database, owner=owner)

    def held(self, *, owner: str | None) -> list[HeldSlice]:
        """What workers have of an owner's jobs."""
        return activity.held(self._database, owner=owner)

    def recent_failures(self, *, owner: str | None, since: datetime) -> RecentFailures:
        """Why documents failed of jobs that came in since then."""
        return activity.recent_failures(self._database, owner=owner, since=since)

    def database_bytes(self) -> int:
        """How large the database is."""
        return activity.database_bytes(self._database)
