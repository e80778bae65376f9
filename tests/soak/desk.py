"""Where the clients of a soak send their orders and check what came of them."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus

import httpx2

from tests.soak.orders import Order, Reference
from tests.soak.singles import Single
from tests.soak.tally import Recording, Tally
from textmill.client import Textmill
from textmill.errors import RequestRefused
from textmill.handle import JobHandle
from textmill.views import JobView

_PATIENCE_SECONDS = 600.0


class Orders:
    """What was accepted and what has become of it; shared by all clients."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._lock = threading.Lock()
        self._accepted: dict[str, Order] = {}  #: by job, until it is removed
        self.num_accepted = self.num_jobs_checked = self.num_documents_checked = 0
        self.faults: list[str] = []
        self.singles: list[Single] = []

    def accept(self, job_id: str, order: Order) -> None:
        """The server said that it has it."""
        with self._lock:
            self._accepted[job_id] = order
            self.num_accepted += 1

    def forget(self, job_id: str) -> None:
        """Its owner checks it and has it deleted: the end need not look for it."""
        with self._lock:
            self._accepted.pop(job_id, None)

    def some_job(self, dice: random.Random) -> str | None:
        """A job that may still run."""
        with self._lock:
            recent = list(self._accepted)[-20:]
        return dice.choice(recent) if recent else None

    def check(self, order: Order, job: JobHandle) -> None:
        """Reads all results of a finished job."""
        faults = order.faults_of(job.results(), self._reference)
        with self._lock:
            self.faults += faults
            self.num_jobs_checked += 1
            self.num_documents_checked += order.count

    def check_rest(self, server: Textmill) -> None:
        """The end: every job that the server has, and none missing of those it accepted."""
        seen: dict[str, str] = {}
        for view in server.jobs(page_size=500):
            order = Order.of(view.raw["metadata"])
            if order.name in seen:
                self.faults.append(f"{order.name} is two jobs, {seen[order.name]} and {view.id}")
            seen[order.name] = view.id
            self.check(order, server.job(view.id))
        missing = set(self._accepted) - set(seen.values())
        self.faults += [f"{job_id} was accepted and is gone" for job_id in sorted(missing)]


class Desk:
    """One client's side of the server."""

    def __init__(
        self, url: str, tally: Tally, orders: Orders, *, seed: int, closing: threading.Event
    ) -> None:
        self._url = url
        self._tally = tally
        self._server = Textmill(url, transport=Recording(tally))
        self.orders = orders
        self.dice = random.Random(seed)
        self.closing = closing  #: set when no new work shall begin

    def note(self, words: str) -> None:
        """Something worth telling in the report."""
        self._tally.event(words)

    def submit(self, order: Order, *, priority: str = "bulk") -> JobHandle:
        """Sends it until it is accepted."""
        job = self._server.submit(
            order.rows(), task=order.task, model=order.model, params=order.params, priority=priority,
            metadata=order.metadata, idempotency_key=order.name,
        )  # fmt: skip
        self.orders.accept(job.id, order)
        return job

    def job(self, job_id: str) -> JobHandle:
        """Somebody's."""
        return self._server.job(job_id)

    def wait(self, job: JobHandle) -> JobView:
        """By long polls, to its end."""
        return job.wait(timeout_seconds=_PATIENCE_SECONDS).status()

    def settle(self, order: Order, job: JobHandle, *, keep: bool = False) -> None:
        """Waits, checks every document, and has the job deleted, unless it is to be kept."""
        self.wait(job)
        self.orders.check(order, job)
        if not keep:
            self.delete(job)

    def delete(self, job: JobHandle) -> None:
        """Its documents are checked."""
        self.orders.forget(job.id)
        self.try_to(job.delete)

    def try_to(self, ask: Callable[[], object]) -> bool:
        """Asks for what may have been done already: the answer to the first try may be lost."""
        try:
            ask()
        except RequestRefused as refused:
            if refused.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise
            return False
        return True

    def upload(self, order: Order, lines: Iterable[bytes]) -> JobHandle | None:
        """Sends lines as they come, once; the job, if it was accepted."""
        query = {"task": order.task, "model": order.model, "metadata": json.dumps(order.metadata)}
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": order.name}
        with httpx2.Client(base_url=self._url, transport=Recording(self._tally), timeout=120) as client:
            answer = client.post("/v1/jobs", params=query, headers=headers, content=lines)
        if answer.status_code != HTTPStatus.ACCEPTED:
            return None
        job = self.job(answer.json()["id"])
        self.orders.accept(job.id, order)
        return job
