"""A job from the inside: why documents failed, what was sent, how results came about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, select

from jobs.errors import JobNotFound
from jobs.listing import FailedDocument, FailureGroup, Failures, JobRecord, ModelRecord, SentDocument
from jobs.records import DocumentStatus, SliceState, Task
from jobs.store import tables as t
from jobs.store.codec import from_json
from jobs.store.database import Database
from jobs.store.outcomes import find_job

#: Of a job a million documents may have failed; the first so many tell why.
MOST_FAILURES = 4_000
_EXAMPLES = 3
#: Of a text that is shown beside its result; an answer is marked in a longer part of its context.
_TEXT_CHARACTERS = 4_000
_CONTEXT_CHARACTERS = 100_000
_MOST_MODELS = 12


def failures(database: Database, job_id: str) -> Failures:
    """Failed documents by reason; of very many, the first `MOST_FAILURES`."""

    def work(connection: Connection) -> Failures:
        job = _found(connection, job_id)
        if job.reopen_from is not None or not job.failed:  # what is retried failed once, and does no more
            return Failures(groups=(), looked_at=0, is_whole=True)
        seen = connection.execute(_failed(job.id)).all()
        seqs: dict[str, list[int]] = defaultdict(list)
        for seq, code in seen:
            seqs[code or ""].append(seq)
        shown = {seq for of_code in seqs.values() for seq in of_code[:_EXAMPLES]}
        examples = {row.seq: row for row in connection.execute(_examples(job.id, shown))}
        groups = [
            FailureGroup(
                code=code,
                count=len(of_code),
                examples=tuple(_example(examples[seq]) for seq in of_code[:_EXAMPLES]),
            )
            for code, of_code in seqs.items()
        ]
        groups.sort(key=lambda group: -group.count)
        return Failures(groups=tuple(groups), looked_at=len(seen), is_whole=len(seen) >= job.failed)

    return database.read(work)


def _failed(row_id: int) -> Select[Any]:
    """The first failures with their reasons. Counted here: SQL's windows take ten times as long."""
    r = t.result.c
    is_failed = and_(r.job == row_id, t.is_no_success(), r.status == DocumentStatus.FAILED)
    return select(r.seq, r.error_code).where(is_failed).order_by(r.seq).limit(MOST_FAILURES)


def _examples(row_id: int, seqs: Collection[int]) -> Select[Any]:
    d, r = t.document.c, t.result.c
    return (
        select(r.seq, r.error_message, d.custom_id)
        .join(t.document, and_(d.job == r.job, d.seq == r.seq))
        .where(r.job == row_id, r.seq.in_(seqs))
    )


def _example(row: Row[Any]) -> FailedDocument:
    return FailedDocument(seq=row.seq, custom_id=row.custom_id, message=row.error_message or "")


def sent_documents(database: Database, job_id: str, seqs: Sequence[int]) -> dict[int, SentDocument]:
    """What was sent, by seq."""

    def work(connection: Connection) -> dict[int, SentDocument]:
        job = _found(connection, job_id)
        d = t.document.c
        statement: Select[Any] = select(
            d.seq,
            func.substr(d.text, 1, _TEXT_CHARACTERS).label("text"),
            func.length(d.text).label("num_characters"),
            func.substr(d.context, 1, _CONTEXT_CHARACTERS).label("context"),
            d.messages_json,
            d.params,
        ).where(d.job == job.id, d.seq.in_(list(seqs)))
        return {row.seq: _sent(row) for row in connection.execute(statement)}

    return database.read(work)


def _sent(row: Row[Any]) -> SentDocument:
    return SentDocument(
        text=row.text,
        num_characters=row.num_characters,
        context=row.context,
        messages=from_json(row.messages_json),
        params=from_json(row.params) or {},
    )


def job_record(database: Database, job_id: str) -> JobRecord:
    """What was asked for, and how the results of each model came about."""

    def work(connection: Connection) -> JobRecord:
        job = _found(connection, job_id)
        s = t.slice_.c
        kinds: Select[Any] = (
            select(s.task, s.model).where(s.job == job.id).distinct().order_by(s.task, s.model)
        )
        return JobRecord(
            params=from_json(job.params) or {},
            stored_bytes=job.stored_bytes,
            models=tuple(
                ModelRecord(
                    task=Task(kind.task), model=kind.model, provenance=_provenance(connection, job, kind)
                )
                for kind in connection.execute(kinds.limit(_MOST_MODELS))
            ),
        )

    return database.read(work)


def _provenance(connection: Connection, job: Row[Any], kind: Row[Any]) -> Any:
    """That of one success; of a slice that is done, so that nothing is looked for in vain for long."""
    r, s = t.result.c, t.slice_.c
    is_kind = and_(s.owner == job.owner, s.job == job.id, s.model == kind.model, s.task == kind.task)
    done = select(s.first_seq, s.last_seq).where(is_kind, s.state == SliceState.DONE).limit(1)
    bounds = connection.execute(done).first()
    if bounds is None:
        return None
    is_success = and_(r.job == job.id, r.status == DocumentStatus.SUCCEEDED)
    within = r.seq.between(bounds.first_seq, bounds.last_seq)
    return from_json(connection.scalar(select(r.provenance).where(is_success, within).limit(1)))


def _found(connection: Connection, job_id: str) -> Row[Any]:
    job = find_job(connection, job_id)
    if job is None:
        raise JobNotFound(f"there is no job {job_id!r}")
    return job
