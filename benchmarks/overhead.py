"""What the system itself costs per document: upload to downloaded results, no model.

    python -m benchmarks.overhead [--documents 100000] [--baseline-documents 10000]

Textmill: `textmill up` on embedded defaults with one worker, a CSV of short texts for
sentiment, the engine that computes nothing. Baseline, in the same run and on the same
Redis-compatible server: plain Celery, one task per document, a Redis result backend.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.plain_celery import URL_VARIABLE
from textmill.client import Textmill
from textmill.stack.background import BackgroundStack

_TARGET_MILLISECONDS = 0.3


@dataclass(frozen=True)
class Cost:
    """Milliseconds per document, by phase."""

    system: str
    documents: int
    submit_ms: float
    process_ms: float  #: from the end of the submit to the last result
    download_ms: float

    @property
    def total_ms(self) -> float:
        """From the first byte sent to the last byte received."""
        return self.submit_ms + self.process_ms + self.download_ms


def main() -> None:
    """Runs both and prints the table."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="textmill-bench-") as name:
        folder = Path(name)
        flags = ("--device", "cpu", "--workers", "1", "--no-flower", "--model", "sentiment=noop:sentiment")
        # The other tasks need no models here either: nothing may be loaded beside.
        others = [f"--model={task}=noop:{task}" for task in ("generation", "translation", "qa")]
        with BackgroundStack(folder / "data", flags=(*flags, *others)) as stack:
            ours = measure_textmill(stack.url, folder, options.documents)
            plain = measure_plain_celery(folder / "data" / "broker.sock", options.baseline_documents)
    _print(ours, plain)


def measure_textmill(url: str, folder: Path, count: int) -> Cost:
    """Uploads a CSV, waits, downloads, and checks that every row came back once, in order."""
    source, target = folder / "rows.csv", folder / "results.jsonl"
    with source.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows((n, f"A short review, number {n}: fine, and soon forgotten.") for n in range(count))
    with Textmill(url) as server:
        begun = time.perf_counter()
        job = server.submit(source, task="sentiment")
        submitted = time.perf_counter()
        job.wait()
        processed = time.perf_counter()
        with target.open("wb") as out:
            for line in job.result_lines():
                out.write(line + b"\n")
        downloaded = time.perf_counter()
    with target.open("rb") as results:
        assert [json.loads(line)["seq"] for line in results] == list(range(count))
    per_document = 1000 / count
    return Cost(
        "textmill",
        count,
        (submitted - begun) * per_document,
        (processed - submitted) * per_document,
        (downloaded - processed) * per_document,
    )


def measure_plain_celery(socket: Path, count: int) -> Cost:
    """Sends one task per document to two worker processes and fetches every result."""
    os.environ[URL_VARIABLE] = f"redis+socket://{socket}?virtual_host=1"
    from benchmarks.plain_celery import app, label

    app.conf.update(broker_url=os.environ[URL_VARIABLE], result_backend=os.environ[URL_VARIABLE])
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "benchmarks.plain_celery", "worker", "-c", "2", "-l", "error"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        label.delay("warm up").get(timeout=60)
        begun = time.perf_counter()
        pending = [
            label.delay(f"A short review, number {n}: fine, and soon forgotten.") for n in range(count)
        ]
        submitted = time.perf_counter()
        pending[-1].get(timeout=600)
        for result in pending:
            result.get(timeout=600)
        fetched = time.perf_counter()
    finally:
        worker.terminate()
        worker.wait(30)
    per_document = 1000 / count
    # Fetching overlaps with processing here: the two are one figure.
    return Cost(
        "plain celery", count, (submitted - begun) * per_document, (fetched - submitted) * per_document, 0
    )


def _print(ours: Cost, plain: Cost) -> None:
    print(
        f"{'ms per document':<14} {'documents':>10} {'submit':>8} {'process':>8} {'download':>9} {'total':>8}"
    )
    for cost in (ours, plain):
        print(
            f"{cost.system:<14}  {cost.documents:>10} {cost.submit_ms:>8.3f} {cost.process_ms:>8.3f} "
            f"{cost.download_ms:>9.3f} {cost.total_ms:>8.3f}"
        )
    ratio = plain.total_ms / ours.total_ms
    print(f"\nplain Celery costs {ratio:.1f} times as much; target {_TARGET_MILLISECONDS} ms a document")
    print(
        json.dumps(
            {"benchmark": "overhead", "ratio": ratio, "textmill": asdict(ours), "plain": asdict(plain)}
        )
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--baseline-documents", type=int, default=10_000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
