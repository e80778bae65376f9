"""Deleting deletes: no text of a deleted job is left in the files, while processes run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from jobs.records import DocumentStatus, NewDocument, NewJob, Outcome, Task
from jobs.store.database import Database
from jobs.store.sql import SqlStore
from tests.support.new_ledger import new_ledger

_SECRET = b"ZETASECRET"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(new_ledger(tmp_path / "ledger.db"))
    yield opened
    opened.close()


def _finished_job(store: SqlStore, count: int) -> str:
    word = _SECRET.decode()
    documents = [
        NewDocument(
            seq=n, custom_id=f"{word}-{n}", task=Task.QA, model="m", text=f"{word} {n} " * 20, context=word * 50,
            metadata={"note": word},
        )
        for n in range(count)
    ]  # fmt: skip
    job, _ = store.submit(NewJob(metadata={"name": word}), iter(documents))
    for ticket in store.take_window(job_id=job.id, window=1000, resend_after_seconds=0.0):
        lease = store.claim(ticket.key, worker_id="w", lease_seconds=30)
        assert lease is not None
        answers = [
            Outcome(seq=d.seq, status=DocumentStatus.SUCCEEDED, output={"answer": word})
            for d in lease.documents
        ]
        store.settle(lease.key, lease.attempt, answers)
    return job.id


def _traces(folder: Path) -> int:
    return sum(path.read_bytes().count(_SECRET) for path in folder.glob("ledger.db*"))


def test_no_text_of_a_deleted_job_is_left_in_database_or_log(database: Database, tmp_path: Path) -> None:
    """S14: 2,000 of 2,000 deleted texts were still in the write-ahead log, as long as a process ran."""
    store = SqlStore(database, slice_tokens=10_000, slice_documents=50)
    other = _finished_job(store, 1)
    deleted = _finished_job(store, 300)
    with database.engine.connect() as idle:  # another process has the database open
        idle.execute(text("SELECT 1"))
        idle.rollback()
        assert _traces(tmp_path) > 300
        store.delete(deleted)
        store.delete(other)
        assert _traces(tmp_path) == 0


def test_a_reader_that_needs_the_log_does_not_keep_a_job_from_being_deleted(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.store.database._TRACES_SECONDS", 0.05)
    store = SqlStore(database, slice_tokens=10_000, slice_documents=50)
    job = _finished_job(store, 3)
    with database.engine.connect().execution_options(textmill_write=False) as reader:
        reader.execute(text("SELECT count(*) FROM document")).scalar()
        store.delete(job)
        assert _traces(tmp_path) > 0
    store.sweep(max_crashes=3)
    assert _traces(tmp_path) == 0
