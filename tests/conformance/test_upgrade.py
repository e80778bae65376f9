"""A ledger of release 0.1.0 with work in flight goes on under this one; nothing is lost, doubled or miscounted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Boolean, Connection, MetaData, Table, insert, text

from jobs.errors import ConfigurationError, IllegalTransition, StoreUnavailable
from jobs.records import DocumentStatus, Job, JobStatus, LeaseState, NewJob, SliceKey
from jobs.store.database import Database
from jobs.store.migrate import _config, migrate
from tests.support.audit import books
from tests.support.ledger import Ledger, documents, succeeded

_MADE_BY_0_1_0 = Path(__file__).with_name("data") / "ledger-0.1.0.json"
COUNT = 12


@pytest.fixture
def upgraded(ledger: Ledger, database_url: str) -> Ledger:
    """The first schema with the rows of that release, brought to this one."""
    database = Database(database_url)
    database.write(lambda connection: _set(connection, "0001"))
    rows = json.loads(_MADE_BY_0_1_0.read_text(encoding="utf-8"))
    database.write(lambda connection: _fill(connection, rows))
    migrate(database)
    database.close()
    return ledger


def _set(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.downgrade(config, revision)


def _fill(connection: Connection, rows: dict[str, list[dict[str, Any]]]) -> None:
    for name, of_table in rows.items():
        table = Table(name, MetaData(), autoload_with=connection)
        switches = [column.name for column in table.c if isinstance(column.type, Boolean)]
        values = [{**row, **{name: bool(row[name]) for name in switches}} for row in of_table]
        connection.execute(insert(table), values)
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT setval('job_id_seq', (SELECT max(id) FROM job))"))


def by_name(ledger: Ledger) -> dict[str, Job]:
    return {job.metadata["name"]: job for job in ledger.store.list_jobs()[0]}


def test_every_job_stands_as_it_stood_and_its_results_are_there(upgraded: Ledger) -> None:
    jobs = by_name(upgraded)
    assert {name: str(job.status) for name, job in jobs.items()} == {
        "completed": "completed", "some failed": "completed", "cancelled": "cancelled", "expired": "expired",
        "queued": "queued", "running": "running", "cancelling": "cancelled",
    }  # fmt: skip
    for job in jobs.values():
        rows = upgraded.store.results(job.id)
        told = {status: sum(row.status is status for row in rows) for status in DocumentStatus}
        counts = job.counts
        assert (told["succeeded"], told["failed"]) == (counts.succeeded, counts.failed)
        assert (told["cancelled"], told["expired"]) == (counts.cancelled, counts.expired)
        assert len(rows) == counts.settled == (COUNT if job.status.is_final else counts.settled)
        assert all(row.output == {"n": row.seq} for row in rows if row.status is DocumentStatus.SUCCEEDED)
    cancelling = jobs["cancelling"].counts
    assert cancelling.succeeded + cancelling.cancelled == COUNT
    assert jobs["cancelling"].finished_at is not None


def test_a_worker_of_the_old_release_settles_what_it_holds(upgraded: Ledger) -> None:
    """Its attempt is still the fence; what it has settled before is not computed again."""
    job = by_name(upgraded)["running"]
    held = SliceKey(job_id=job.id, number=1)
    assert upgraded.store.heartbeat({held: 1}, lease_seconds=30) == {held: LeaseState.HELD}
    settled = upgraded.store.settle(held, 1, succeeded(range(COUNT)))
    assert settled.is_slice_done
    assert 0 < settled.accepted < COUNT
    assert upgraded.drain(job).counts.succeeded == COUNT


def test_work_in_flight_of_a_worker_that_is_gone_is_done_by_another(
    upgraded: Ledger, database_url: str
) -> None:
    upgraded.store.sweep(max_crashes=3)  # its lease ran out long ago
    jobs = by_name(upgraded)
    for name in ("queued", "running"):
        assert upgraded.drain(jobs[name]).counts.succeeded == COUNT
    for name in ("some failed", "cancelled", "expired", "cancelling"):
        upgraded.store.retry(jobs[name].id)
        assert upgraded.drain(jobs[name]).counts.succeeded == COUNT, name
    with pytest.raises(IllegalTransition):
        upgraded.store.retry(jobs["completed"].id)
    assert {job.status for job in by_name(upgraded).values()} == {JobStatus.COMPLETED}
    assert books(database_url) == {"lost": 0, "doubled": 0, "drift": 0, "stuck": 0}


def test_a_repeat_of_a_submit_to_the_old_release_finds_its_job(upgraded: Ledger) -> None:
    known, is_new = upgraded.store.submit(NewJob(idempotency_key="k", request_sha256="a"), documents(COUNT))
    assert (known.id, is_new) == (by_name(upgraded)["completed"].id, False)


def test_a_job_of_the_old_release_can_be_deleted_and_new_ones_get_numbers_of_their_own(
    upgraded: Ledger,
) -> None:
    for job in by_name(upgraded).values():
        if not job.status.is_final:
            upgraded.store.cancel(job.id)
        upgraded.store.delete(job.id)
    assert upgraded.drain(upgraded.submit(3)).counts.succeeded == 3


def test_a_ledger_of_a_later_release_is_neither_served_nor_migrated(
    ledger: Ledger, database_url: str
) -> None:
    """The advice was `python -m jobs.migrate`, which ended with a traceback."""
    database = Database(database_url)
    database.write(
        lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    )
    told = "schema 9999, which a newer release made"
    with pytest.raises(StoreUnavailable, match=told):
        ledger.store.ping()
    with pytest.raises(ConfigurationError, match=told):
        migrate(database)
    database.close()
