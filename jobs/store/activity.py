"""What goes on over all jobs: how far those are that run, what waits for each model, what failed lately."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select, text

from jobs.listing import FailureCount, HeldSlice, Progress, QueueLine, RecentFailures
from jobs.records import DocumentStatus, Priority, SliceState, Task
from jobs.store import tables as t
from jobs.store.database import Database
from jobs.store.stages import UNSETTLED, is_unfinished, is_visible

#: Of jobs with failures that came in lately, the newest so many; of their failures, so many.
MOST_JOBS, MOST_FAILURES = 50, 4_000
#: A worker holds a few slices; of very many workers, the first are told of.
_MOST_HELD = 500
_SHOWN_JOBS = 3


def progress(database: Database, *, since: datetime) -> list[Progress]:
    """How far jobs are that run, or ended since then; by two indexes, however many there were."""
    c = t.job.c
    # In the run that goes on: what a retry keeps was computed before.
    documents = c.succeeded + c.failed - c.kept_documents
    tokens = c.input_tokens + c.output_tokens - c.kept_tokens
    asked = select(c.public_id, c.owner, documents, tokens).where(
        or_(is_unfinished(), c.finished_at >= since.timestamp()), is_visible()
    )

    def work(connection: Connection) -> list[Progress]:
        return [
            Progress(job_id=job_id, owner=owner, documents=documents, tokens=num_tokens)
            for job_id, owner, documents, num_tokens in connection.execute(asked)
        ]

    return database.read(work)


def queue(database: Database, *, owner: str | None) -> list[QueueLine]:
    """Open documents by model and priority; interactive ones first, then by model."""
    s, c = t.slice_.c, t.job.c
    asked = (
        select(
            s.priority,
            s.model,
            s.task,
            func.sum(s.num_open),
            func.count(s.job.distinct()),
            func.min(c.created_at),
        )
        .join(t.job, c.id == s.job)
        .where(is_unfinished(), c.status.in_(UNSETTLED), s.state != SliceState.DONE, *_of(owner))
        .group_by(s.priority, s.model, s.task)
        .order_by(s.priority, s.model)
    )

    def work(connection: Connection) -> list[QueueLine]:
        return [
            QueueLine(
                priority=Priority(priority), model=model, task=Task(task), documents=int(documents),
                jobs=jobs, oldest_at=datetime.fromtimestamp(oldest, UTC),
            )
            for priority, model, task, documents, jobs, oldest in connection.execute(asked)
        ]  # fmt: skip

    return database.read(work)


def held(database: Database, *, owner: str | None) -> list[HeldSlice]:
    """Slices that workers have, by worker."""
    s, c = t.slice_.c, t.job.c
    asked = (
        select(s.lease_owner, c.public_id, s.number, s.num_open)
        .join(t.job, c.id == s.job)
        .where(s.state == SliceState.LEASED, *_of(owner))
        .order_by(s.lease_owner, s.job, s.number)
        .limit(_MOST_HELD)
    )

    def work(connection: Connection) -> list[HeldSlice]:
        return [
            HeldSlice(worker_id=worker or "", job_id=job, number=number, documents=documents)
            for worker, job, number, documents in connection.execute(asked)
        ]

    return database.read(work)


def recent_failures(database: Database, *, owner: str | None, since: datetime) -> RecentFailures:
    """Failed documents by reason, of the newest jobs that have any."""
    c, r = t.job.c, t.result.c
    newest = (
        select(c.id, c.public_id)
        .where(c.created_at >= since.timestamp(), c.failed > 0, c.reopen_from.is_(None))
        .where(is_visible(), *_of(owner))
        .order_by(c.id.desc())
        .limit(MOST_JOBS)
    )

    def work(connection: Connection) -> RecentFailures:
        names: dict[int, str] = {row.id: row.public_id for row in connection.execute(newest)}
        looked_at = (
            select(r.job, r.error_code)
            .where(r.job.in_(names), t.is_no_success(), r.status == DocumentStatus.FAILED)
            .order_by(r.job.desc(), r.seq)
            .limit(MOST_FAILURES)
            .subquery()
        )
        of = looked_at.c
        counts: Counter[str] = Counter()
        jobs: dict[str, list[str]] = defaultdict(list)
        grouped = select(of.error_code, of.job, func.count()).group_by(of.error_code, of.job)
        for code, job, count in connection.execute(grouped.order_by(of.job.desc())):
            counts[code or ""] += count
            jobs[code or ""].append(names[job])
        return RecentFailures(
            reasons=tuple(
                FailureCount(code=code, count=count, jobs=tuple(jobs[code][:_SHOWN_JOBS]))
                for code, count in counts.most_common()
            ),
            is_whole=len(names) < MOST_JOBS and counts.total() < MOST_FAILURES,
        )

    return database.read(work)


def database_bytes(database: Database) -> int:
    """As the database itself counts them."""
    asked = (
        "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        if database.is_sqlite
        else "SELECT pg_database_size(current_database())"
    )
    return database.read(lambda connection: int(connection.scalar(text(asked)) or 0))


def _of(owner: str | None) -> list[ColumnElement[Any]]:
    return [] if owner is None else [t.job.c.owner == owner]
