"""What the ledger's daily questions cost with a long past, and with none.

    python -m benchmarks.ledger [--past 10000000] [--database postgresql://...]

Makes a ledger (SQLite in a temporary folder, or an empty database of yours), asks each
question many times, adds a finished job of so many documents and 100,000 short ones, and
asks again. Prints the median milliseconds of both and their ratio.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from jobs.records import DocumentStatus, NewDocument, NewJob, Outcome, Task
from jobs.store.database import Database
from jobs.store.migrate import migrate
from jobs.store.sql import SqlStore
from tests.support.finished_jobs import add_past

_ROUNDS = 60
_SHORT_JOBS = 100_000


def main() -> None:
    """Runs it and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--past", type=int, default=10_000_000, help="finished documents")
    parser.add_argument("--database", help="URL of an empty database; default: SQLite")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="textmill-bench-") as folder:
        database = Database(options.database or f"sqlite:///{Path(folder) / 'ledger.db'}")
        migrate(database)
        store = SqlStore(database, slice_tokens=8192, slice_documents=512)
        before = measure(store)
        begun = time.monotonic()
        add_past(database, num_documents=options.past, num_jobs=_SHORT_JOBS)
        database.forget_traces()  # or the log of the past would be read with every page
        seconds = time.monotonic() - begun
        after = measure(store)
        store.close()
    sys.stdout.write(
        f"{options.past} finished documents and {_SHORT_JOBS} short jobs, made in {seconds:.0f} s\n"
    )
    sys.stdout.write("| question | ms without | ms with | ratio |\n|---|---|---|---|\n")
    for name, without in before.items():
        row = f"| {name} | {without:.2f} | {after[name]:.2f} | {after[name] / without:.2f} |\n"
        sys.stdout.write(row)


def measure(store: SqlStore) -> dict[str, float]:
    """Median milliseconds of each question, asked in turns."""
    seconds: dict[str, list[float]] = {}
    for _ in range(_ROUNDS):
        for name, question in day(store).items():
            begun = time.monotonic()
            question()
            seconds.setdefault(name, []).append(time.monotonic() - begun)
    return {name: statistics.median(taken) * 1000 for name, taken in seconds.items()}


def day(store: SqlStore) -> dict[str, Callable[[], object]]:
    """What happens around one small job, in the order in which it happens."""
    rows = [
        NewDocument(seq=n, custom_id=str(n), task=Task.SENTIMENT, model="m", text="a text") for n in range(3)
    ]
    job, _ = store.submit(NewJob(), rows)
    (ticket,) = store.take_window(job_id=job.id, window=8, resend_after_seconds=60)
    lease = store.claim(ticket.key, worker_id="w", lease_seconds=30)
    assert lease is not None
    outcomes = [Outcome(seq=row.seq, status=DocumentStatus.SUCCEEDED, output={}) for row in rows]
    return {
        "submit": lambda: store.submit(NewJob(), rows),
        "backlog (every submit, /metrics)": store.backlog,
        "window": lambda: store.take_window(window=8, resend_after_seconds=60),
        "claim of nothing": lambda: store.claim(ticket.key, worker_id="w", lease_seconds=30),
        "heartbeat": lambda: store.heartbeat({ticket.key: lease.attempt}, lease_seconds=30),
        "settle": lambda: store.settle(ticket.key, lease.attempt, outcomes),
        "sweep": lambda: store.sweep(max_crashes=3, keep_seconds=1e10),
        "job": lambda: store.get_job(job.id),
        "page of jobs": lambda: store.list_jobs(limit=20),
        "page of results": lambda: store.result_page(job.id, limit=20),
        "cancel": lambda: [store.cancel(each.id) for each in store.list_jobs(limit=1)[0]],
    }


if __name__ == "__main__":
    main()
