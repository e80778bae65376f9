"""Settling: outcomes become result rows, once, under the fence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, case, insert, select, update

from jobs.errors import LeaseLost
from jobs.records import Outcome, Settled, SliceKey, SliceState
from jobs.store import tables as t
from jobs.store.codec import to_json
from jobs.store.database import Database
from jobs.store.lease import held
from jobs.store.outcomes import bump, close_if_settled, find_job, lock_job
from jobs.store.stages import OPEN, status_of


def settle(
    database: Database,
    key: SliceKey,
    attempt: int,
    outcomes: Sequence[Outcome],
    *,
    within_seconds: float | None = None,
) -> Settled:
    """Writes the outcomes of documents that are still open."""

    def work(connection: Connection) -> Settled:
        found = find_job(connection, key.job_id)
        # The job's row first, then the slice's: every verb locks in this order, so
        # that a settle and a cancel wait for each other instead of deadlocking.
        job = None if found is None else lock_job(connection, found.id)
        if job is None:
            raise LeaseLost
        if job.status not in OPEN:
            return _replay_or_lost(connection, job, key, attempt, outcomes)
        slice_row = connection.execute(
            select(t.slice_).where(held(job.id, key, attempt)).with_for_update()
        ).first()
        if slice_row is None:
            return _replay_or_lost(connection, job, key, attempt, outcomes)
        fresh = _still_open(connection, slice_row, outcomes)
        if fresh:
            _write(connection, job.id, attempt, fresh)
        is_slice_done = slice_row.num_open == len(fresh)
        _shrink(connection, job.id, key, attempt, [o.seq for o in fresh], is_done=is_slice_done)
        is_job_done = is_slice_done and close_if_settled(connection, job.id, database.now(connection))
        return Settled(
            accepted=len(fresh),
            refused=len(outcomes) - len(fresh),
            is_slice_done=is_slice_done,
            is_job_done=is_job_done,
        )

    return database.write(work, within_seconds=within_seconds)


def _replay_or_lost(
    connection: Connection, job: Row[Any], key: SliceKey, attempt: int, outcomes: Sequence[Outcome]
) -> Settled:
    """An unknown COMMIT may have gone through: then this attempt wrote all of it already."""
    r, s = t.result.c, t.slice_.c
    seqs = {o.seq for o in outcomes}
    written = set(
        connection.scalars(
            select(r.seq).where(r.job == job.id, r.attempt == attempt, r.seq.between(min(seqs), max(seqs)))
        )
        if seqs
        else ()
    )
    is_ours = connection.scalar(
        select(s.attempt).where(s.job == job.id, s.number == key.number, s.state == SliceState.DONE)
    )
    if is_ours != attempt or not seqs <= written:
        raise LeaseLost
    is_job_done = status_of(job).is_final
    return Settled(accepted=0, refused=len(seqs), is_slice_done=True, is_job_done=is_job_done)


def _still_open(connection: Connection, slice_row: Any, outcomes: Sequence[Outcome]) -> list[Outcome]:
    by_seq = {o.seq: o for o in outcomes}
    if not by_seq:
        return []
    d, r = t.document.c, t.result.c
    open_seqs = connection.scalars(
        select(d.seq)
        .select_from(t.document.outerjoin(t.result, (r.job == d.job) & (r.seq == d.seq)))
        .where(
            d.job == slice_row.job,
            d.seq.between(min(by_seq), max(by_seq)),
            d.slice == slice_row.number,
            r.seq.is_(None),
        )
    )
    return [by_seq[seq] for seq in open_seqs if seq in by_seq]


def _write(connection: Connection, row_id: int, attempt: int, outcomes: Sequence[Outcome]) -> None:
    connection.execute(insert(t.result), [_row(row_id, attempt, outcome) for outcome in outcomes])
    bump(
        connection,
        row_id,
        dict(Counter(outcome.status for outcome in outcomes)),
        input_tokens=sum(o.input_tokens for o in outcomes),
        output_tokens=sum(o.output_tokens for o in outcomes),
    )


def _row(row_id: int, attempt: int, outcome: Outcome) -> dict[str, Any]:
    return {
        "job": row_id,
        "seq": outcome.seq,
        "attempt": attempt,
        "status": str(outcome.status),
        "output": None if outcome.output is None else to_json(outcome.output),
        "error_code": outcome.error_code,
        "error_message": outcome.error_message,
        "input_tokens": outcome.input_tokens,
        "output_tokens": outcome.output_tokens,
        "truncated": outcome.truncated,
        "provenance": None if outcome.provenance is None else to_json(outcome.provenance),
    }


def _shrink(
    connection: Connection,
    row_id: int,
    key: SliceKey,
    attempt: int,
    settled: Sequence[int],
    *,
    is_done: bool,
) -> None:
    c = t.slice_.c
    suspect = case((c.suspect_seq.in_(settled), None), else_=c.suspect_seq)  # a whole slice stays one
    values: dict[str, Any] = {"num_open": c.num_open - len(settled), "suspect_seq": suspect}
    if is_done:
        values |= {
            "state": str(SliceState.DONE), "suspect_seq": None, "lease_owner": None, "lease_until": None,
        }  # fmt: skip
    connection.execute(update(t.slice_).where(held(row_id, key, attempt)).values(**values))
