"""What clients of a soak do, again and again: each function is one turn of one of them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx2

from jobs.errors import TextmillError
from tests.soak.desk import Desk
from tests.soak.orders import LABELS, ROWS, STORIES, Order
from tests.soak.singles import Single
from textmill.errors import RequestRefused

_WATCH_SECONDS = 30.0
#: Above the 1 kB a second below which a body counts as stopped.
_SLOW_CHUNK_BYTES, _SLOW_CHUNK_SECONDS = 8192, 0.5
_SLOW_ROWS = 2000  # a quarter of a minute
_STALL_SECONDS = 45.0  # beyond TEXTMILL_IDLE_SECONDS


def _number(desk: Desk) -> int:
    return desk.dice.randrange(1_000_000)


def bulk_rows(desk: Desk) -> None:
    """A large table for a model that costs nothing: what the system itself costs."""
    order = Order(model=ROWS, first=_number(desk), count=desk.dice.randrange(500, 6000))
    desk.settle(order, desk.submit(order))


def bulk_texts(desk: Desk) -> None:
    """Some documents for a model with weights."""
    is_story = desk.dice.random() < 0.3
    count = desk.dice.randrange(5, 15) if is_story else desk.dice.randrange(20, 120)
    order = Order(model=STORIES if is_story else LABELS, first=_number(desk), count=count)
    desk.settle(order, desk.submit(order))


def interactive(desk: Desk) -> None:
    """One document, ahead of bulk work, and the time until its result is here."""
    order = Order(model=LABELS, first=_number(desk), count=1)
    begun = time.monotonic()
    job = desk.submit(order, priority="interactive")
    view = desk.wait(job)
    desk.orders.check(order, job)
    desk.orders.singles.append(Single.read(begun, view))
    desk.delete(job)


def changes_of_mind(desk: Desk) -> None:
    """A job cancelled on its way, perhaps retried, perhaps cancelled again."""
    order = Order(model=ROWS, first=_number(desk), count=desk.dice.randrange(2000, 8000), may_be_cut=True)
    job = desk.submit(order)
    desk.closing.wait(desk.dice.uniform(0.0, 2.0))
    desk.try_to(job.cancel)
    desk.wait(job)
    if desk.dice.random() < 0.7:
        desk.try_to(job.retry)
        if desk.dice.random() < 0.3:
            desk.try_to(job.cancel)
    desk.settle(order, job, keep=desk.dice.random() < 0.02)


def watch_by_events(desk: Desk) -> None:
    """Somebody else's job, followed as a stream and left."""
    job_id = desk.orders.some_job(desk.dice)
    if job_id is None:
        return
    until = time.monotonic() + _WATCH_SECONDS
    for _ in desk.job(job_id).events():
        if desk.closing.is_set() or time.monotonic() > until:
            return


def watch_by_long_polls(desk: Desk) -> None:
    """Somebody else's job, asked for as long as it changes."""
    job_id = desk.orders.some_job(desk.dice)
    if job_id is None:
        return
    until = time.monotonic() + _WATCH_SECONDS
    for _ in desk.job(job_id).changes():
        if desk.closing.is_set() or time.monotonic() > until:
            return


class _Left(Exception):
    """This client goes away in the middle of its body."""


def upload_slowly(desk: Desk) -> None:
    """A body that comes in drops: to its end, or its client leaves, or it stops and is refused."""
    ending = desk.dice.choice(("whole", "whole", "left", "stalled"))
    order = Order(model=ROWS, first=_number(desk), count=_SLOW_ROWS)
    try:
        job = desk.upload(order, _drops(order, ending, desk.closing))
    except (httpx2.TransportError, _Left):
        return  # whether a job of it was stored, the end will show
    if job is not None:
        desk.settle(order, job)


def _drops(order: Order, ending: str, closing: threading.Event) -> Iterator[bytes]:
    body = b"".join(json.dumps(row).encode() + b"\n" for row in order.rows())
    for start in range(0, len(body), _SLOW_CHUNK_BYTES):
        if ending != "whole" and start > len(body) / 2:
            if ending == "left":
                raise _Left
            closing.wait(_STALL_SECONDS)
        yield body[start : start + _SLOW_CHUNK_BYTES]
        closing.wait(_SLOW_CHUNK_SECONDS)


@dataclass(frozen=True)
class Client:
    """One kind of client: how many there are of it, and how long each rests between two turns."""

    turn: Callable[[Desk], None]
    number: int
    rest_seconds: float  #: on average


CLIENTS = (
    Client(bulk_rows, 2, 8.0),
    Client(bulk_texts, 1, 10.0),
    Client(interactive, 2, 3.0),
    Client(changes_of_mind, 1, 10.0),
    Client(watch_by_events, 3, 2.0),
    Client(watch_by_long_polls, 3, 2.0),
    Client(upload_slowly, 3, 5.0),
)


def keep_going(client: Client, desk: Desk) -> None:
    """Turns until the run is over; a server that cannot be reached for long ends a turn, not the client."""
    while not desk.closing.is_set():
        try:
            client.turn(desk)
        except (TextmillError, httpx2.TransportError) as error:
            status = f" {error.status}" if isinstance(error, RequestRefused) else ""
            desk.note(f"{client.turn.__name__} gave up: {type(error).__name__}{status}")
        desk.closing.wait(desk.dice.expovariate(1 / client.rest_seconds))
