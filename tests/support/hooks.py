"""Webhooks in tests: a book whose names lead where a test says, and a receiver on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from sqlalchemy import text

from jobs.store.database import Database
from jobs.store.webhook_book import WebhookBook
from jobs.webhooks.allow_list import AllowList
from jobs.webhooks.records import Answer, Parcel, Webhook
from jobs.webhooks.sealing import Sealer
from jobs.webhooks.targets import Targets

PUBLIC = "93.184.215.14"
URL = "https://hooks.example/textmill"


@dataclass
class Names:
    """A resolver that knows what it is told; a test changes it between two questions."""

    known: dict[str, list[str]] = field(default_factory=lambda: {"hooks.example": [PUBLIC]})
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in self.known:
            return [host]  # an address, as a resolver gives it back
        return self.known[host]


def book_on(database: Database, *, names: Names | None = None, allow: Sequence[str] = ()) -> WebhookBook:
    """A book of webhooks on a ledger."""
    return WebhookBook(database, Sealer(lambda: b"s" * 32), Targets(AllowList(allow), names or Names()))


def add_hook(book: WebhookBook, *, owner: str = "", url: str = URL, events: Sequence[Any] = ()) -> Webhook:
    """A webhook of a project."""
    return book.add(book.new(url, events=events, secret=None), owner=owner)


def take(book: WebhookBook, *, busy: Sequence[int] = (), limit: int = 100, most: int = 100) -> list[Parcel]:
    """All that is due."""
    return book.take(limit=limit, per_webhook=most, busy=busy, lease_seconds=60)


def fail(book: WebhookBook, parcel: Parcel, http_status: int = 500) -> None:
    assert book.settle(parcel, Answer(http_status=http_status, error="no"), chance=0.0)


def told(parcels: Sequence[Parcel]) -> list[tuple[str, str]]:
    """What they say: type and id of what ended."""
    bodies = [json.loads(parcel.body) for parcel in parcels]
    return [(body["type"], body["data"]["id"]) for body in bodies]


def num_rows(database: Database, table: str) -> int:
    return int(database.read(lambda c: c.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()))


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


class Receiver:
    """An HTTP server on loopback that keeps what it gets; a test says what it answers.

    Started by `with`.
    """

    def __init__(self, *, port: int = 0) -> None:
        self.got: list[Received] = []
        #: answers one after the other, the last of them for ever
        self.statuses = [200]
        self.headers: dict[str, str] = {}
        self.body = b""
        self.before_answer: Callable[[], None] = lambda: None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # as http.server calls it
                length = int(self.headers["Content-Length"])
                lowered = {name.lower(): value for name, value in self.headers.items()}
                receiver.got.append(Received(self.path, lowered, self.rfile.read(length)))
                receiver.before_answer()
                status = receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0]
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(receiver.body)))
                self.end_headers()
                self.wfile.write(receiver.body)

            def log_message(self, *said: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()
