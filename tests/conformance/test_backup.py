"""A backup is one state of the whole ledger, taken while work goes on; a restore goes on from there."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jobs.errors import ConfigurationError
from jobs.records import DocumentStatus, JobStatus, LeaseState, NewJob, Outcome
from jobs.store import backup
from jobs.store.database import Database
from jobs.store.migrate import migrate
from jobs.store.sql import SqlStore
from tests.support.audit import books
from tests.support.ledger import Ledger, documents

CLEAN = {"lost": 0, "doubled": 0, "drift": 0, "stuck": 0}


@pytest.fixture
def restored(empty_url: str) -> Iterator[Ledger]:
    """A store on the database to restore into; it has no table before."""
    database = Database(empty_url)
    yield Ledger(SqlStore(database, slice_tokens=10_000, slice_documents=4))
    database.close()


def test_what_was_saved_comes_back_and_work_in_flight_goes_on(
    ledger: Ledger, restored: Ledger, empty_url: str, tmp_path: Path
) -> None:
    done = ledger.submit(10)
    ledger.drain(done)
    new = NewJob(idempotency_key="k", request_sha256="a", metadata={"\u00e9": [1, 2**70]})
    running, _ = ledger.store.submit(new, documents(12))
    first, second = (ledger.claimed(key) for key in ledger.keys(running)[:2])
    failed = Outcome(seq=0, status=DocumentStatus.FAILED, error_code="x", error_message="y")
    ledger.store.settle(first.key, first.attempt, [failed])
    cancelled = ledger.store.cancel(ledger.submit(5).id)
    file = tmp_path / "saved.db"
    backup.save(ledger.store._database, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("saved*")] == ["saved.db"]
    ledger.finish(second)  # after the backup: not in it
    backup.restore(restored.store._database, file)
    restored.store.ping()
    for job in (done, running, cancelled):
        there, here = ledger.store.get_job(job.id), restored.store.get_job(job.id)
        assert here.metadata == there.metadata
        if job is not running:
            assert here == there
            assert restored.store.results(job.id) == ledger.store.results(job.id)
    states = restored.store.heartbeat({second.key: second.attempt}, lease_seconds=30)
    assert states == {second.key: LeaseState.HELD}
    restored.finish(second)
    restored.store.release(first.key, first.attempt)
    final = restored.drain(running)
    assert (final.status, final.counts.failed, final.counts.succeeded) == (JobStatus.COMPLETED, 1, 11)
    again, is_new = restored.store.submit(new, documents(12))
    assert (again.id, is_new) == (running.id, False)
    assert restored.drain(restored.submit(3)).counts.succeeded == 3  # a number that was never used
    assert books(empty_url) == CLEAN


def test_a_backup_while_others_write_is_one_state_and_keeps_nobody_waiting(
    ledger: Ledger, tmp_path: Path
) -> None:
    job = ledger.submit(400)
    ledger.store._database.forget_traces()
    has_begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        for key in ledger.keys(job):
            ledger.finish(ledger.claimed(key))
            has_begun.set()
            if may_end.is_set():
                return

    worker = threading.Thread(target=work)
    worker.start()
    assert has_begun.wait(30)
    backup.save(ledger.store._database, tmp_path / "saved.db")
    may_end.set()
    worker.join(30)
    url = f"sqlite:///{tmp_path / 'saved.db'}"
    assert books(url)["drift"] == books(url)["doubled"] == 0
    with closing(SqlStore(Database(url), slice_tokens=1, slice_documents=1)) as saved:
        counts = saved.get_job(job.id).counts
        assert 0 < counts.succeeded == len(saved.results(job.id))
        assert counts.queued + counts.running + counts.succeeded == 400


def test_a_backup_is_made_of_a_ledger_and_overwrites_nothing(
    ledger: Ledger, restored: Ledger, tmp_path: Path
) -> None:
    file = tmp_path / "saved.db"
    with pytest.raises(ConfigurationError, match="holds no ledger"):
        backup.save(restored.store._database, file)
    assert not list(tmp_path.glob("saved*"))
    file.write_text("mine")
    with pytest.raises(ConfigurationError, match="exists"):
        backup.save(ledger.store._database, file)
    assert file.read_text() == "mine"


def test_a_restore_wants_a_backup_and_an_empty_database(
    ledger: Ledger, restored: Ledger, tmp_path: Path
) -> None:
    file = tmp_path / "saved.db"
    with pytest.raises(ConfigurationError, match="not there"):
        backup.restore(restored.store._database, file)
    file.write_text("not a database")
    with pytest.raises(ConfigurationError, match="no backup"):
        backup.restore(restored.store._database, file)
    file.unlink()
    ledger.submit(1)
    backup.save(ledger.store._database, file)
    with pytest.raises(ConfigurationError, match="empty one"):
        backup.restore(ledger.store._database, file)
    migrate(restored.store._database)  # a server was started on it once, and nobody used it
    backup.restore(restored.store._database, file)
    assert len(restored.store.list_jobs()[0]) == 1


def test_a_backup_of_an_earlier_schema_is_brought_up_to_date(restored: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "saved.db"
    with closing(Database(f"sqlite:///{file}")) as old:
        migrate(old, "0003")
    backup.restore(restored.store._database, file)
    restored.store.ping()
    assert restored.drain(restored.submit(2)).counts.succeeded == 2
