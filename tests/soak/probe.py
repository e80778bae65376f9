"""`python -m tests.soak.probe URL FILE`: submits of one document at a steady pace, each one timed.

A process of its own: the threads of the clients must not count as time of the server.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path

import httpx2

from tests.soak.orders import LABELS, Order
from tests.soak.tally import NO_ANSWER

PAUSE_SECONDS = 0.25


@dataclass(frozen=True)
class Try:
    """One submit."""

    at: float  #: by `time.monotonic`, when it began
    seconds: float
    status: int  #: `NO_ANSWER` when none came
    job_id: str | None
    order: str


def read_tries(file: Path) -> list[Try]:
    """What a probe wrote; a last line half written is left out."""
    lines = file.read_text().split("\n")[:-1]
    return [Try(**json.loads(line)) for line in lines]


def _try_once(client: httpx2.Client, order: Order) -> Try:
    body = {
        "task": order.task, "model": order.model, "metadata": order.metadata, "documents": list(order.rows()),
    }  # fmt: skip
    begun = time.monotonic()
    job_id, status = None, NO_ANSWER
    try:
        answer = client.post("/v1/jobs", json=body, headers={"Idempotency-Key": order.name})
        status = answer.status_code
        if status == HTTPStatus.ACCEPTED:
            job_id = answer.json()["id"]
    except httpx2.TransportError:
        pass
    return Try(begun, time.monotonic() - begun, status, job_id, order.name)


def main(arguments: Sequence[str]) -> None:
    """Until it is ended."""
    url, path = arguments
    pause = threading.Event()
    order = Order(model=LABELS, first=0, count=1)
    with httpx2.Client(base_url=url, timeout=60, trust_env=False) as client, Path(path).open("w") as file:
        while True:
            done = _try_once(client, order)
            file.write(json.dumps(asdict(done)) + "\n")
            file.flush()
            if done.job_id is not None:  # else the same again
                order = Order(model=LABELS, first=order.first + 1, count=1)
            pause.wait(PAUSE_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1:])
