"""Makes `ledger-0.1.0.json`: a ledger of release 0.1.0 (commit 143fab2) with work in flight.

    cd CHECKOUT-OF-143fab2; PYTHONPATH=. python make_ledger_0_1_0.py > ledger-0.1.0.json

Runs on that release's code alone. Kept to tell how the file came about.
"""
# mypy: ignore-errors

from __future__ import annotations

import json
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from jobs.records import DocumentStatus, Lease, NewDocument, NewJob, Outcome, Task, WorkerBeat
from jobs.store import control
from jobs.store.database import Database
from jobs.store.migrate import migrate
from jobs.store.sql import SqlStore

TABLES = ("job", "slice", "document", "result", "worker")
COUNT = 12


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'ledger.db'}")
        migrate(database)
        fill(SqlStore(database, slice_tokens=10_000, slice_documents=32))
        rows = database.read(lambda connection: {table: read(connection, table) for table in TABLES})
        json.dump(rows, sys.stdout, indent=1, ensure_ascii=False)


def read(connection: Any, table: str) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in connection.execute(text(f"SELECT * FROM {table}"))]


def fill(store: SqlStore) -> None:
    beat = WorkerBeat(
        worker_id="old@host-1", device="cpu", models=("m",), warm_models=("m",), loop_age_seconds=0.1
    )
    store.beat(beat)
    for lease in leases(store, submit(store, "completed", idempotency_key="k", request_sha256="a"), 99):
        settle(store, lease, COUNT)
    for lease in leases(store, submit(store, "some failed"), 99):
        settle(store, lease, COUNT, fails_every=3)
    store.cancel(submit(store, "cancelled"))
    submit(store, "expired", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    store.sweep(max_crashes=3)
    submit(store, "queued")
    first, second = leases(store, submit(store, "running"), 2)
    settle(store, first, COUNT)
    settle(store, second, 1)  # and its other documents are being computed
    control.FILL_AT_ONCE = 5
    cancelling = submit(store, "cancelling")
    first, _ = leases(store, cancelling, 2)
    settle(store, first, COUNT)
    store.cancel(cancelling)  # five of its documents have their result, the others wait for a sweep


def submit(store: SqlStore, name: str, **job: Any) -> str:
    rows = [
        NewDocument(seq=n, custom_id=f"row-{n}", task=Task.SENTIMENT, model="m", text=f"text {n} \u00e9")
        for n in range(COUNT)
    ]
    return store.submit(NewJob(metadata={"name": name}, **job), rows)[0].id


def leases(store: SqlStore, job_id: str, count: int) -> list[Lease]:
    tickets = store.take_window(job_id=job_id, window=count, resend_after_seconds=0.0)
    return [store.claim(ticket.key, worker_id="old@host-1", lease_seconds=30) for ticket in tickets]


def settle(store: SqlStore, lease: Lease, count: int, *, fails_every: int = 0) -> None:
    outcomes = []
    for document in lease.documents[:count]:
        has_failed = fails_every and document.seq % fails_every == 0
        status = DocumentStatus.FAILED if has_failed else DocumentStatus.SUCCEEDED
        output, code = (None, "x") if has_failed else ({"n": document.seq}, None)
        outcomes.append(
            Outcome(
                seq=document.seq,
                status=status,
                output=output,
                error_code=code,
                input_tokens=3,
                output_tokens=1,
            )
        )
    store.settle(lease.key, lease.attempt, outcomes)


main()
