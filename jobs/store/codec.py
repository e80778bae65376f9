"""Values to columns and back. JSON is text; times are aware datetimes outside, seconds inside."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row

from jobs import jsontext
from jobs.records import Counts, Job, NewBatch, Priority, Task
from jobs.store.stages import status_of


def to_json(value: Any) -> str:
    """Compact JSON text."""
    return jsontext.dumps(value).decode()


def from_json(text: str | None) -> Any:
    """The value, or None for NULL."""
    return None if text is None else jsontext.loads(text)


def to_time(seconds: float | None) -> datetime | None:
    """An aware UTC datetime."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def batch_values(public_id: str, owner: str, batch: NewBatch, now: float) -> dict[str, Any]:
    """The columns of a new row of `batch`, apart from its job."""
    return {
        "public_id": public_id,
        "owner": owner,
        "endpoint": batch.endpoint,
        "input_file": batch.input_file,
        "completion_window": batch.completion_window,
        "results_seconds": batch.results_seconds,
        "metadata_json": to_json(dict(batch.metadata)),
        "request_sha256": batch.request_sha256,
        "created_at": now,
    }


def job_from_row(row: Row[Any], *, running: int) -> Job:
    """The record of one row of `job`; `running` counts open documents of leased slices."""
    settled = row.succeeded + row.failed + row.cancelled + row.expired
    created_at = to_time(row.created_at)
    assert created_at is not None  # the column is NOT NULL
    return Job(
        id=row.public_id,
        owner=row.owner,
        status=status_of(row),
        task=Task(row.task) if row.task else None,
        model=row.model,
        priority=Priority(row.priority),
        counts=Counts(
            total=row.total,
            queued=row.total - settled - running,
            running=running,
            succeeded=row.succeeded,
            failed=row.failed,
            cancelled=row.cancelled,
            expired=row.expired,
        ),
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        created_at=created_at,
        started_at=to_time(row.started_at),
        finished_at=to_time(row.finished_at),
        expires_at=to_time(row.expires_at),
        metadata=from_json(row.metadata_json),
        error=row.error,
        version=row.version,
        kept_documents=row.kept_documents,
        kept_tokens=row.kept_tokens,
        name=row.name,
        tags=tuple(from_json(row.tags_json)),
    )
