"""What an owner has in the ledger, counted from the rows of his jobs."""

from __future__ import annotations

from sqlalchemy import Connection, Double, case, cast, func, select

from jobs.quota import Holdings
from jobs.records import Priority
from jobs.store import tables as t
from jobs.store.database import Database
from jobs.store.stages import UNSETTLED, is_unfinished


def holdings(database: Database, owner: str, *, with_bytes: bool) -> Holdings:
    """Documents of open jobs that have no outcome yet, and the work in them.

    Args:
        database: of the ledger.
        owner: whose jobs.
        with_bytes: also add up the bytes of all jobs; it costs more the more jobs there ever were.
    """

    def work(connection: Connection) -> Holdings:
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
        stored = select(func.coalesce(func.sum(c.stored_bytes), 0)).where(c.owner == owner)
        return Holdings(
            queued_documents=int(row[0]),
            queued_tokens=int(row[1]),
            interactive_documents=int(row[2]),
            stored_bytes=int(connection.scalar(stored) or 0) if with_bytes else 0,
        )

    return database.read(work)
