"""Short ways to fill and drive a store in tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from alembic import command
from sqlalchemy import Connection

from jobs.isolation import WHOLE_SLICE
from jobs.records import (
    DocumentStatus,
    Job,
    Lease,
    NewDocument,
    NewJob,
    Outcome,
    Settled,
    SliceKey,
    SweepReport,
    Task,
)
from jobs.store.database import Database
from jobs.store.migrate import _config
from jobs.store.sql import SqlStore


@dataclass
class Clock:
    """Seconds by which the store's clock runs ahead; a test moves it instead of waiting."""

    ahead_seconds: float = 0.0

    def __call__(self) -> float:
        return self.ahead_seconds

    def advance(self, seconds: float) -> None:
        self.ahead_seconds += seconds


def documents(count: int, *, task: Task = Task.SENTIMENT, model: str = "m") -> list[NewDocument]:
    """`count` plain documents."""
    return [
        NewDocument(seq=i, custom_id=f"row-{i}", task=task, model=model, text=f"text {i}")
        for i in range(count)
    ]


def succeeded(seqs: Iterable[int]) -> list[Outcome]:
    """A success for each."""
    return [
        Outcome(seq=seq, status=DocumentStatus.SUCCEEDED, output={"n": seq}, input_tokens=3, output_tokens=1)
        for seq in seqs
    ]


@dataclass
class Ledger:
    """A store with its clock."""

    store: SqlStore
    clock: Clock = field(default_factory=Clock)

    def submit(self, count: int = 10, **job: object) -> Job:
        return self.store.submit(NewJob(**job), documents(count))[0]  # type: ignore[arg-type]

    def keys(self, job: Job) -> list[SliceKey]:
        """Every slice of the job that may be sent, in order."""
        return [t.key for t in self.store.take_window(job_id=job.id, window=10_000, resend_after_seconds=0.0)]

    def claim(self, key: SliceKey, *, worker: str = "w", lease_seconds: float = 30.0) -> Lease | None:
        return self.store.claim(key, worker_id=worker, lease_seconds=lease_seconds)

    def claimed(self, key: SliceKey, **options: object) -> Lease:
        lease = self.claim(key, **options)  # type: ignore[arg-type]
        assert lease is not None
        return lease

    def finish(self, lease: Lease) -> Settled:
        return self.store.settle(lease.key, lease.attempt, succeeded(d.seq for d in lease.documents))

    def drain(self, job: Job, work: Callable[[Lease], object] | None = None) -> Job:
        """Claims and finishes whatever can be claimed."""
        for key in self.keys(job):
            lease = self.claim(key)
            if lease is not None:
                (work or self.finish)(lease)
        return self.store.get_job(job.id)


def back_to(database: Database, revision: str) -> None:
    """Takes a database back to an earlier schema."""

    def work(connection: Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)

    database.write(work)


def crash(ledger: Ledger) -> SweepReport:
    """Whoever holds a lease is gone: time passes, and the sweep notices."""
    ledger.clock.advance(31)
    return ledger.store.sweep(max_crashes=3)


def crash_on(ledger: Ledger, key: SliceKey, name: int = WHOLE_SLICE) -> SweepReport:
    """The slice, or one document of it, has the device alone, and its process dies."""
    lease = ledger.claimed(key)
    assert ledger.store.suspect(key, lease.attempt, name)
    return crash(ledger)


def in_threads(work: Callable[[], object], count: int) -> None:
    """Runs the same work in several threads at once, to its end."""
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
