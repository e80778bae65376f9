"""What the rest of Textmill may ask of the store. Each method is one transaction, or several short ones.

What touches very many rows goes in blocks, so that others write in between; one row says how
far it is, and a sweep goes on with what was broken off.

The store alone knows the clock that leases are measured by (the database's own
on PostgreSQL, the host's on SQLite). Every write by a worker is fenced by
`(slice, attempt)`: a caller whose lease has passed on changes nothing.

Any method may raise `StoreUnavailable`; all are safe to repeat after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from jobs.listing import EVERY_JOB, JobFilter
from jobs.quota import Queued
from jobs.records import (
    Job,
    Lease,
    LeaseState,
    ModelFacts,
    NewDocument,
    NewJob,
    Outcome,
    ResultFilter,
    ResultPage,
    ResultRow,
    Settled,
    SliceKey,
    SliceTicket,
    SweepReport,
    Usage,
    WorkerBeat,
)
from jobs.shares import UNBOUNDED, Slots

#: No filter: every result.
EVERY_RESULT = ResultFilter()


class Store(Protocol):
    """The job ledger."""

    # -- the client's side ---------------------------------------------------------

    def submit(self, job: NewJob, documents: Iterable[NewDocument]) -> tuple[Job, bool]:
        """Stores job, documents and slices, or nothing.

        `documents` is consumed in blocks, so memory does not grow with the job; nobody sees
        the job before the last block is in.

        Returns:
            The job, and whether this call created it (False: an equal request
            with the same idempotency key did).

        Raises:
            IdempotencyKeyReused: the key is known with another request.
            EmptySubmission: there was no document.
        """
        ...

    def has_submission(self, idempotency_key: str, *, owner: str = "") -> bool:
        """Whether a job was made with this key, so that the request is a repeat."""
        ...

    def queued(self, *, owner: str = "") -> Queued:
        """What the owner's open jobs still have to do; of what they store, nothing is counted."""
        ...

    def stored_bytes(self, *, owner: str = "") -> int:
        """Of the documents of all the owner's jobs, and of his files; looks at each of them."""
        ...

    def get_job(self, job_id: str, *, owner: str = "") -> Job:
        """Raises JobNotFound for unknown and foreign jobs alike."""
        ...

    def owner_of(self, job_id: str) -> str:
        """Whose job it is, for an administrator. Raises JobNotFound."""
        ...

    def list_jobs(
        self,
        *,
        owner: str | None = "",
        only: JobFilter = EVERY_JOB,
        after: str | None = None,
        limit: int = 20,
    ) -> tuple[list[Job], str | None]:
        """Newest first; the second value is the cursor of the next page, or None.

        `owner=None`: jobs of every owner, for an administrator.
        """
        ...

    def results(
        self, job_id: str, *, after: int = -1, limit: int = 1000, only: ResultFilter = EVERY_RESULT
    ) -> list[ResultRow]:
        """What is settled behind `after` now, by seq; gaps are documents still open.

        No more than are held at a time, and none only when there is none.
        """
        ...

    def result_page(
        self,
        job_id: str,
        *,
        after: int = -1,
        limit: int = 1000,
        only: ResultFilter = EVERY_RESULT,
        has_gaps: bool = False,
    ) -> ResultPage:
        """As `results`, but ends before the first document still open that `only` may let through.

        With `has_gaps` it passes over those. A page whose rows are large ends before its limit.

        Without gaps the last `seq` of a page is a safe `after` for the next: pages read one behind
        the other hold every result once, however documents finish. (`retry` reopens
        documents behind a cursor: whoever retries reads anew.)
        """
        ...

    def count_results(self, job_id: str, *, after: int = -1, only: ResultFilter = EVERY_RESULT) -> int:
        """How many results `results` would find now, without a limit."""
        ...

    def models_of(self, job_id: str) -> list[str]:
        """Names of the models that a job's documents go to, sorted."""
        ...

    def cancel(self, job_id: str, *, owner: str = "") -> Job:
        """Ends the job, however large, by one row: no further result is accepted for it.

        Raises:
            IllegalTransition: the job is final (unless cancelled: then it is a no-op).
        """
        ...

    def retry(self, job_id: str, *, owner: str = "") -> Job:
        """Reopens failed, cancelled and expired documents of a final job.

        Raises:
            IllegalTransition: the job is not final, or nothing is left to retry.
        """
        ...

    def delete(self, job_id: str, *, owner: str = "") -> None:
        """Removes a final job with all its rows; of a very large one the last go in later sweeps.

        Raises:
            IllegalTransition: the job is not final.
        """
        ...

    # -- dispatch ------------------------------------------------------------------

    def take_window(
        self,
        *,
        job_id: str | None = None,
        window: int,
        resend_after_seconds: float,
        slots: Slots = UNBOUNDED,
    ) -> list[SliceTicket]:
        """Waiting slices to send now, by turns of owners; notes that they were sent.

        At most `window` slices of one job are sent or leased at a time, and of an owner
        or a model no more than their share of the workers' `slots` (`jobs/shares`). A
        slice sent more than `resend_after_seconds` ago and still waiting counts as lost
        and is handed out again. `job_id=None` looks at all jobs.
        """
        ...

    def unsend(self, keys: Sequence[SliceKey]) -> None:
        """Takes back the mark "sent" of slices that the broker did not accept."""
        ...

    # -- the worker's side ---------------------------------------------------------

    def claim(self, key: SliceKey, *, worker_id: str, lease_seconds: float) -> Lease | None:
        """Takes a waiting slice: attempt + 1, lease set, job running.

        None: nothing to do (leased, done, cancelled, not yet available, unknown);
        the message was a duplicate.
        """
        ...

    def heartbeat(
        self, leases: Mapping[SliceKey, int], *, lease_seconds: float
    ) -> dict[SliceKey, LeaseState]:
        """Extends those leases whose attempt (the value) is still current."""
        ...

    def suspect(self, key: SliceKey, attempt: int, seq: int) -> bool:
        """Notes that `seq`, or `WHOLE_SLICE`, has the device alone, so that a crash is laid at its door.

        It holds until that document is settled or the lease ends. Returns False when the lease is lost.
        """
        ...

    def settle(self, key: SliceKey, attempt: int, outcomes: Sequence[Outcome]) -> Settled:
        """Writes outcomes of documents still open; bumps counters; closes slice and job.

        Raises:
            LeaseLost: the attempt is not current or the job was cancelled; nothing was written.
        """
        ...

    def release(self, key: SliceKey, attempt: int, *, delay_seconds: float = 0.0) -> bool:
        """Gives an unfinished slice back at once, without counting a crash."""
        ...

    def beat(self, beat: WorkerBeat) -> None:
        """Records a worker's sign of life."""
        ...

    def forget_worker(self, worker_id: str) -> None:
        """Removes the sign of life of a worker that leaves in order."""
        ...

    def keep_facts(self, told: ModelFacts) -> None:
        """Records what a model is like; the last word counts."""
        ...

    # -- recovery and looking on ---------------------------------------------------

    def sweep(self, *, max_crashes: int, keep_seconds: float | None = None) -> SweepReport:
        """Re-opens slices with expired leases, quarantines, expires, closes, removes.

        A lapse counts as a crash of its documents unless their worker gave a sign of life after
        it. Goes on with submits, retries and deletions that were broken off. `keep_seconds`:
        finished jobs older than that are deleted. Safe to run anywhere, any number of times, at once.
        """
        ...

    def workers(self, *, max_age_seconds: float) -> list[WorkerBeat]:
        """Workers that gave a sign of life within `max_age_seconds`."""
        ...

    def kept_facts(self) -> list[ModelFacts]:
        """What models are like, as their workers last told, whether those still run or not."""
        ...

    def backlog(self) -> Mapping[str, int]:
        """Facts for readiness and metrics.

        Keys: `waiting_slices`, `leased_slices`, `open_documents`, `oldest_waiting_seconds`.
        """
        ...

    def usage(
        self, *, by: Sequence[str], owner: str | None, begin: datetime | None, end: datetime | None
    ) -> list[Usage]:
        """Jobs summed up by any of `day`, `project` and `key`; of every project when `owner` is None."""
        ...

    def ping(self) -> None:
        """Raises StoreUnavailable unless the database answers and is migrated."""
        ...

    def close(self) -> None:
        """Gives back every connection."""
        ...
