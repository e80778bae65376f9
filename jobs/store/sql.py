"""The ledger on SQLAlchemy: every verb of `Store`, each in its own file, put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import text

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
from jobs.settings import Settings
from jobs.shares import UNBOUNDED, Slots
from jobs.store import control, facts, lease, reading, removal, results, settle, submit, sweep
from jobs.store import queued as queues
from jobs.store import usage as usages
from jobs.store import window as windows
from jobs.store.database import Database
from jobs.store.interface import EVERY_RESULT
from jobs.store.lapses import LedgerWatch
from jobs.store.lease_ends import LeaseEnds
from jobs.store.migrate import check_schema


class SqlStore:
    """Implements `jobs.store.interface.Store`."""

    def __init__(self, database: Database, *, slice_tokens: int, slice_documents: int) -> None:
        self._database = database
        self._slice_tokens = slice_tokens
        self._slice_documents = slice_documents
        self._watch = LedgerWatch(database)
        self._ends = LeaseEnds()

    @property
    def database(self) -> Database:
        """For what lies beside the ledger in the same database: projects and keys."""
        return self._database

    def submit(self, job: NewJob, documents: Iterable[NewDocument]) -> tuple[Job, bool]:
        job_id, is_new = submit.submit(
            self._database,
            job,
            documents,
            slice_tokens=self._slice_tokens,
            slice_documents=self._slice_documents,
        )
        return self.get_job(job_id, owner=job.owner), is_new

    def has_submission(self, idempotency_key: str, *, owner: str = "") -> bool:
        return reading.has_submission(self._database, idempotency_key, owner=owner)

    def queued(self, *, owner: str = "") -> Queued:
        return queues.queued(self._database, owner=owner)

    def stored_bytes(self, *, owner: str = "") -> int:
        return queues.stored_bytes(self._database, owner=owner)

    def get_job(self, job_id: str, *, owner: str = "") -> Job:
        return reading.get_job(self._database, job_id, owner=owner)

    def owner_of(self, job_id: str) -> str:
        return reading.owner_of(self._database, job_id)

    def list_jobs(
        self,
        *,
        owner: str | None = "",
        only: JobFilter = EVERY_JOB,
        after: str | None = None,
        limit: int = 20,
    ) -> tuple[list[Job], str | None]:
        return reading.list_jobs(self._database, owner=owner, only=only, after=after, limit=limit)

    def results(
        self, job_id: str, *, after: int = -1, limit: int = 1000, only: ResultFilter = EVERY_RESULT
    ) -> list[ResultRow]:
        return self.result_page(job_id, after=after, limit=limit, only=only, has_gaps=True).rows

    def result_page(
        self,
        job_id: str,
        *,
        after: int = -1,
        limit: int = 1000,
        only: ResultFilter = EVERY_RESULT,
        has_gaps: bool = False,
    ) -> ResultPage:
        return results.result_page(
            self._database, job_id, after=after, limit=limit, only=only, has_gaps=has_gaps
        )

    def count_results(self, job_id: str, *, after: int = -1, only: ResultFilter = EVERY_RESULT) -> int:
        return results.count_results(self._database, job_id, after=after, only=only)

    def models_of(self, job_id: str) -> list[str]:
        return reading.models_of(self._database, job_id)

    def cancel(self, job_id: str, *, owner: str = "") -> Job:
        control.cancel(self._database, job_id, owner=owner)
        return self.get_job(job_id, owner=owner)

    def retry(self, job_id: str, *, owner: str = "") -> Job:
        control.retry(self._database, job_id, owner=owner)
        return self.get_job(job_id, owner=owner)

    def delete(self, job_id: str, *, owner: str = "") -> None:
        removal.delete_job(self._database, job_id, owner=owner)

    def take_window(
        self,
        *,
        job_id: str | None = None,
        window: int,
        resend_after_seconds: float,
        slots: Slots = UNBOUNDED,
    ) -> list[SliceTicket]:
        return windows.take_window(
            self._database, job_id=job_id, window=window, resend_after_seconds=resend_after_seconds,
            slots=slots,
        )  # fmt: skip

    def unsend(self, keys: Sequence[SliceKey]) -> None:
        windows.unsend(self._database, keys)

    def claim(self, key: SliceKey, *, worker_id: str, lease_seconds: float) -> Lease | None:
        taken = lease.claim(self._database, key, worker_id=worker_id, lease_seconds=lease_seconds)
        if taken is not None:
            self._ends.renewed([key], lease_seconds)
        return taken

    def heartbeat(
        self, leases: Mapping[SliceKey, int], *, lease_seconds: float
    ) -> dict[SliceKey, LeaseState]:
        states = lease.heartbeat(self._database, leases, lease_seconds=lease_seconds)
        self._ends.renewed([key for key, state in states.items() if state is LeaseState.HELD], lease_seconds)
        return states

    def suspect(self, key: SliceKey, attempt: int, seq: int) -> bool:
        return lease.suspect(self._database, key, attempt, seq, within_seconds=self._ends.left_seconds(key))

    def settle(self, key: SliceKey, attempt: int, outcomes: Sequence[Outcome]) -> Settled:
        return settle.settle(
            self._database, key, attempt, outcomes, within_seconds=self._ends.left_seconds(key)
        )

    def release(self, key: SliceKey, attempt: int, *, delay_seconds: float = 0.0) -> bool:
        return lease.release(
            self._database, key, attempt, delay_seconds=delay_seconds,
            within_seconds=self._ends.left_seconds(key),
        )  # fmt: skip

    def beat(self, beat: WorkerBeat) -> None:
        reading.beat(self._database, beat)

    def forget_worker(self, worker_id: str) -> None:
        reading.forget_worker(self._database, worker_id)

    def keep_facts(self, told: ModelFacts) -> None:
        facts.keep_facts(self._database, told)

    def kept_facts(self) -> list[ModelFacts]:
        return facts.kept_facts(self._database)

    def sweep(self, *, max_crashes: int, keep_seconds: float | None = None) -> SweepReport:
        if self._database.has_traces:  # a reader was in the way of a deletion
            self._database.forget_traces()
        return sweep.sweep(self._database, self._watch, max_crashes=max_crashes, keep_seconds=keep_seconds)

    def workers(self, *, max_age_seconds: float) -> list[WorkerBeat]:
        return reading.workers(self._database, max_age_seconds=max_age_seconds)

    def backlog(self) -> Mapping[str, int]:
        return reading.backlog(self._database)

    def usage(
        self, *, by: Sequence[str], owner: str | None, begin: datetime | None, end: datetime | None
    ) -> list[Usage]:
        return usages.usage(self._database, by=by, owner=owner, begin=begin, end=end)

    def ping(self) -> None:
        self._database.read(lambda connection: connection.execute(text("SELECT 1")))
        check_schema(self._database)

    def close(self) -> None:
        self._database.close()


def open_store(settings: Settings, *, clock_offset: Callable[[], float] = lambda: 0.0) -> SqlStore:
    """The store that the settings name. Connects on first use."""
    return SqlStore(
        Database(settings.database, clock_offset=clock_offset),
        slice_tokens=settings.slice_tokens,
        slice_documents=settings.slice_documents,
    )
