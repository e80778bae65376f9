"""What an owner has queued, by the rows of his open jobs; what he stores, by those of all, and his files."""

from __future__ import annotations

from sqlalchemy import Connection, Double, case, cast, func, select

from jobs.quota import Queued
from jobs.records import Priority
from jobs.store import tables as t
from jobs.store.database import Database
from jobs.store.stages import UNSETTLED, is_unfinished, is_visible


def queued(database: Database, *, owner: str) -> Queued:
    """Documents of open jobs without an outcome, and the work in them."""

    def work(connection: Connection) -> Queued:
        c = t.job.c
        num_open = c.total - c.succeeded - c.failed - c.cancelled - c.expired
        share = cast(num_open, Double) / func.nullif(c.total, 0)
        interactive = case((c.priority == Priority.INTERACTIVE, num_open), else_=0)
        row = connection.execute(
            select(
                func.coalesce(func.sum(num_open), 0),
                func.coalesce(func.sum(c.estimated_tokens * share), 0.0),
                func.coalesce(func.sum(interactive), 0),
            ).where(c.owner == owner, is_unfinished(), c.status.in_(UNSETTLED))
        ).one()
        return Queued(documents=int(row[0]), tokens=int(row[1]), interactive_documents=int(row[2]))

    return database.read(work)


def stored_bytes(database: Database, *, owner: str) -> int:
    """Of the documents of all jobs, and of all files, those that come in as well."""
    c, f = t.job.c, t.file.c
    of_jobs = select(func.sum(c.stored_bytes)).where(c.owner == owner, is_visible())
    of_files = select(func.sum(f.num_bytes)).where(f.owner == owner)

    def work(connection: Connection) -> int:
        return int(connection.scalar(of_jobs) or 0) + int(connection.scalar(of_files) or 0)

    return database.read(work)
