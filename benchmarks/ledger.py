"""What the ledger's daily questions cost with a long past, and with none.

    python -m benchmarks.ledger [--past 10000000] [--databases postgresql://...a postgresql://...b]

Makes two ledgers (SQLite in a temporary folder, or in two empty databases of yours), gives one
of them a finished job of so many documents and 100,000 short ones, and asks both the same
questions in turns. Prints the median milliseconds of both and their ratio.
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

_ROUNDS = 100
_SHORT_JOBS = 100_000

Seconds = dict[str, list[float]]


def main() -> None:
    """Runs it and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--past", type=int, default=10_000_000, help="finished documents")
    parser.add_argument("--databases", nargs=2, metavar="URL", help="two empty databases; default: SQLite")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="textmill-bench-") as folder:
        urls = options.databases or [f"sqlite:///{Path(folder) / name}.db" for name in ("new", "old")]
        new, old = (Database(url) for url in urls)
        for database in (new, old):
            migrate(database)
        begun = time.monotonic()
        add_past(old, num_documents=options.past, num_jobs=_SHORT_JOBS)
        old.forget_traces()  # or the log of the past would be read with every page
        made_seconds = time.monotonic() - begun
        of_new, of_old = measure(new, old)
    past = f"{options.past} finished documents and {_SHORT_JOBS} short jobs"
    sys.stdout.write(f"{past}, made in {made_seconds:.0f} s\n")
    sys.stdout.write("| question | ms without | ms with | ratio |\n|---|---|---|---|\n")
    for name in of_new:
        without, having = (statistics.median(seconds[name]) * 1000 for seconds in (of_new, of_old))
        sys.stdout.write(f"| {name} | {without:.2f} | {having:.2f} | {having / without:.2f} |\n")


def measure(*databases: Database) -> list[Seconds]:
    """Seconds of each question to each, asked in turns."""
    stores = [SqlStore(database, slice_tokens=8192, slice_documents=512) for database in databases]
    taken: list[Seconds] = [{} for _ in stores]
    for _ in range(_ROUNDS):
        for store, seconds in zip(stores, taken, strict=True):
            for name, question in day(store).items():
                begun = time.perf_counter()
                question()
                seconds.setdefault(name, []).append(time.perf_counter() - begun)
    return taken


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
        "settle": lambda: store.settle(ticket.key, lease.attempt, outcomes[: len(lease.documents)]),
        "sweep": lambda: store.sweep(max_crashes=3, keep_seconds=1e10),
        "job": lambda: store.get_job(job.id),
        "page of jobs": lambda: store.list_jobs(limit=20),
        "page of results": lambda: store.result_page(job.id, limit=20),
        "cancel": lambda: [store.cancel(each.id) for each in store.list_jobs(limit=1)[0]],
    }


if __name__ == "__main__":
    main()
