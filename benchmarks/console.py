"""How long the console's pages take with very many jobs and documents in the database.

`python -m benchmarks.console` makes a ledger of 100,000 jobs and 10 million documents (SQLite, some
gigabytes, minutes) and asks for each page ten times, in process: what is measured is all that the server
does, and no socket. The first answer is told apart: it finds nothing in the caches of the database.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

from fastapi.testclient import TestClient

from api.app import make_app
from jobs.settings import Settings
from jobs.store.database import Database
from tests.support.finished_jobs import add_past
from tests.support.new_ledger import new_ledger

_TIMES = 10
_LIMIT_MS = 100
_MODELS = ("generation=noop:g", "translation=noop:t", "sentiment=noop:s", "qa=noop:q")


def pages(newest: str, largest: str) -> dict[str, str]:
    """Addresses by name."""
    return {
        "overview": "/",
        "jobs": "/console/jobs",
        "jobs, oldest": "/console/jobs?sort=oldest",
        "jobs, largest": "/console/jobs?sort=largest",
        "jobs, searched in vain": "/console/jobs?q=nowhere",
        "jobs, by model": "/console/jobs?model=m",
        "jobs, with failures": "/console/jobs?show=failures",
        "a job": f"/console/jobs/{newest}",
        "the largest job": f"/console/jobs/{largest}",
        "the largest job, far down": f"/console/jobs/{largest}?row=400000",
        "the largest job, its failures": f"/console/jobs/{largest}?status=failed",
        "submit": "/console/submit",
        "try one": "/console/try",
        "models": "/console/models",
        "workers": "/console/workers",
        "usage, 90 days": "/console/usage?days=90",
    }


def fill(database: Database, *, num_jobs: int, num_documents: int) -> None:
    """Finished jobs of one document, and one of very many; every hundredth document failed."""
    began = time.perf_counter()
    add_past(database, num_documents=num_documents, num_jobs=num_jobs)
    now = time.time()
    statement = (  # of the last days: usage and failures look at them
        f"UPDATE job SET created_at = {now} - (id % 60) * 86400.0, finished_at = {now} - 60, "
        "failed = total / 100, succeeded = total - total / 100, input_tokens = total * 5"
    )
    with database.engine.begin() as connection:
        connection.exec_driver_sql(statement)
    print(f"filled in {time.perf_counter() - began:.0f} s")


def measure(client: TestClient, address: str) -> tuple[float, float, float]:
    """Milliseconds of the first answer, of the median one, and of the processor in the fastest."""
    walls, processor = [], []
    for _ in range(_TIMES):
        wall, cpu = time.perf_counter(), time.process_time()
        answer = client.get(address, headers={"Accept": "text/html"})
        walls.append(1000 * (time.perf_counter() - wall))
        processor.append(1000 * (time.process_time() - cpu))
        assert answer.status_code == 200, address
    return walls[0], median(walls), min(processor)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--documents", type=int, default=10_000_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(new_ledger(Path(folder) / "textmill.db"))
        fill(database, num_jobs=asked.jobs, num_documents=asked.documents)
        last = asked.jobs
        database.close()
        settings = Settings(
            data=Path(folder), redis_url="memory://", models=_MODELS, config=Path(folder) / "none.toml"
        )
        print(f"{asked.jobs:,} jobs, {asked.documents:,} documents in one of them\n")
        print(f"| {'page':30} | first ms | median ms | processor ms |\n|---|---|---|---|")
        with TestClient(make_app(settings), base_url="http://127.0.0.1:8000") as client:
            for name, address in pages(f"job_past{last - 1}", f"job_past{last}").items():
                first, middle, processor = measure(client, address)
                slow = " above the limit" if middle > _LIMIT_MS else ""
                print(f"| {name:30} | {first:8.1f} | {middle:9.1f} | {processor:12.1f} |{slow}")


if __name__ == "__main__":
    main()
