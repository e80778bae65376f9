"""What projects have used, counted from their jobs. Deleted jobs are not counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Integer, Row, cast, func, select

from jobs.keys import shown_project
from jobs.records import Usage
from jobs.store import tables as t
from jobs.store.database import Database
from jobs.store.stages import is_visible

_DAY_SECONDS = 86400


def usage(
    database: Database,
    *,
    by: Sequence[str],
    owner: str | None,
    begin: datetime | None,
    end: datetime | None,
) -> list[Usage]:
    """Jobs submitted in a time, with their documents and tokens, summed up.

    Args:
        database: of the ledger.
        by: any of `day` (UTC), `project` and `key`: a line for each of their values.
        owner: only this project; None: every one.
        begin: submitted at this time or later.
        end: submitted before this time.
    """
    c = t.job.c
    groups: dict[str, ColumnElement[Any]] = {
        "day": cast(func.floor(c.created_at / _DAY_SECONDS), Integer),
        "project": c.owner,
        "key": c.api_key,
    }
    chosen = [groups[name].label(name) for name in by]
    sums = {
        "jobs": func.count(),
        "documents": func.sum(c.total),
        "succeeded": func.sum(c.succeeded),
        "failed": func.sum(c.failed),
        "input_tokens": func.sum(c.input_tokens),
        "output_tokens": func.sum(c.output_tokens),
        "stored_bytes": func.sum(c.stored_bytes),
    }
    query = select(*chosen, *(amount.label(name) for name, amount in sums.items())).where(is_visible())
    if owner is not None:
        query = query.where(c.owner == owner)
    if begin is not None:
        query = query.where(c.created_at >= begin.timestamp())
    if end is not None:
        query = query.where(c.created_at < end.timestamp())
    query = query.group_by(*chosen).order_by(*chosen)
    rows = database.read(lambda connection: connection.execute(query).all())
    return [_usage(row, by, sums) for row in rows if row.jobs]


def _usage(row: Row[Any], by: Sequence[str], sums: Iterable[str]) -> Usage:
    found: dict[str, Any] = {name: int(getattr(row, name) or 0) for name in sums}
    found |= {name: getattr(row, name) for name in by}
    if "day" in found:
        found["day"] = datetime.fromtimestamp(found["day"] * _DAY_SECONDS, UTC).date()
    if "project" in found:
        found["project"] = shown_project(found["project"])
    return Usage(**found)
