"""How long a single call waits for its first token: on an idle server, and beside a bulk job.

    python -m benchmarks.first_token [--calls 15] [--documents 400] [--url URL]

Calls go one after the other, streamed, with 8 tokens each; medians and worst of both in seconds, as
a line of JSON. The bulk job generates 200 tokens a document, and must not have ended before the calls.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time

import httpx2

from benchmarks.served import served
from textmill.client import Textmill
from textmill.handle import JobHandle

_PROMPT = "Once upon a time there was a"
_WARM_CALLS = 3


def main() -> None:
    """Measures and prints a JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=15)
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--url", help="of a running server, with whatever models it has")
    asked = parser.parse_args()
    others = {task: f"noop:{task}" for task in ("translation", "sentiment", "qa")}
    with served(others, url=asked.url) as server:
        measure(server.url, _WARM_CALLS)
        idle = measure(server.url, asked.calls)
        job = bulk_job(server, asked.documents)
        measure(server.url, _WARM_CALLS)
        beside = measure(server.url, asked.calls)
        is_over = job.status().is_final
        job.cancel()
    if is_over:
        raise SystemExit("the bulk job ended before the calls: give it more --documents")
    print(json.dumps({"idle": summary(idle), "beside_a_bulk_job": summary(beside),
                      "ratio": round(statistics.median(beside) / statistics.median(idle), 2)}))  # fmt: skip


def bulk_job(server: Textmill, num_documents: int) -> JobHandle:
    """A job that is under way: its first document is done."""
    texts = [f"{_PROMPT} number {number} who" for number in range(num_documents)]
    job = server.submit(texts, task="generation", params={"max_new_tokens": 200, "min_new_tokens": 200})
    while not job.status().counts.settled:
        time.sleep(0.1)
    return job


def measure(url: str, num_calls: int) -> list[float]:
    """Seconds until the first token of each call."""
    numbers = itertools.count()
    return [seconds_to_first_token(url, f"{_PROMPT} {next(numbers)}") for _ in range(num_calls)]


def seconds_to_first_token(url: str, prompt: str) -> float:
    """From the request to the first piece of text."""
    body = {"prompt": prompt, "max_tokens": 8, "min_new_tokens": 8, "stream": True}
    begun = time.perf_counter()
    first = None
    with httpx2.stream("POST", f"{url}/v1/completions", json=body, timeout=600, trust_env=False) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if first is None and line.startswith("data: {") and json.loads(line[6:])["choices"][0]["text"]:
                first = time.perf_counter() - begun
    assert first is not None, "nothing was said"
    return first


def summary(seconds: list[float]) -> dict[str, float]:
    """What is told of the calls."""
    return {"median": round(statistics.median(seconds), 3), "worst": round(max(seconds), 3)}


if __name__ == "__main__":
    main()
