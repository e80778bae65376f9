"""Sending slices to workers: a hint that there is work, never the work itself."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from celery import Celery
from kombu.exceptions import LimitExceeded, OperationalError
from redis.exceptions import RedisError

from jobs.broker import TASK_NAMES
from jobs.catalogue import Catalogue
from jobs.errors import BrokerUnavailable, UnknownModel
from jobs.records import SliceTicket, WorkerBeat
from jobs.settings import Settings
from jobs.shares import Pool, Slots
from jobs.store.interface import Store

_log = logging.getLogger(__name__)
#: `LimitExceeded`: every producer waits for a Redis that accepts and never answers.
_BROKEN = (OperationalError, RedisError, OSError, LimitExceeded)
#: A worker signs every 3 s. The slots of one that is gone must not be counted for longer than its leases.
_SIGN_AGE_SECONDS = 10.0


class Dispatcher:
    """Sends as many slices as the workers have room for, by turns of owners."""

    def __init__(self, store: Store, app: Celery, catalogue: Catalogue, settings: Settings) -> None:
        self._store = store
        self._app = app
        self._catalogue = catalogue
        self._window = settings.window
        self._slots_each = settings.concurrency
        self._resend_seconds = settings.resend_seconds

    def release(self, job_id: str | None = None) -> int:
        """Sends what may be sent now, of one job or of all.

        Returns:
            How many messages were sent.

        Raises:
            BrokerUnavailable: Redis refused; what was not sent is marked unsent again.
        """
        tickets = self._store.take_window(
            job_id=job_id,
            window=self._window,
            resend_after_seconds=self._resend_seconds,
            slots=slots_of(self._store.workers(max_age_seconds=_SIGN_AGE_SECONDS), each=self._slots_each),
        )
        if tickets:
            self._send(tickets)
        return len(tickets)

    def _send(self, tickets: Sequence[SliceTicket]) -> None:
        sent = 0
        try:
            with self._app.producer_pool.acquire(block=True, timeout=5) as producer:
                for ticket in tickets:
                    self._app.send_task(
                        TASK_NAMES[ticket.task],
                        args=[str(ticket.key)],
                        queue=self._queue(ticket.model),
                        priority=int(ticket.priority),
                        argsrepr=describe(ticket),
                        kwargsrepr="{}",
                        ignore_result=True,
                        producer=producer,
                    )
                    sent += 1
        except _BROKEN as error:
            self._store.unsend([ticket.key for ticket in tickets[sent:]])
            raise BrokerUnavailable(f"Redis refused a message: {type(error).__name__}") from error

    def _queue(self, model: str) -> str:
        try:
            return self._catalogue.get(model).queue
        except UnknownModel:
            # Its model was taken off the list after it was accepted: it waits in a queue
            # of that name until a worker serves the model again.
            _log.warning("slice_without_model: %s", model)
            return f"model.{model}"


def slots_of(workers: Iterable[WorkerBeat], *, each: int) -> Slots:
    """The slots of the workers that run; `each` for one that does not say, and where none runs."""
    running = list(workers)
    pools = [
        Pool(models=frozenset(worker.models), slots=worker.details.get("slots", each)) for worker in running
    ]
    return Slots(pools, otherwise=each, holders=frozenset(worker.worker_id for worker in running))


def describe(ticket: SliceTicket) -> str:
    """What Flower shows of a slice, the beginning most visibly: no text of anybody's."""
    key = ticket.key
    return f"{ticket.num_documents} documents · {ticket.model} · slice {key.number} of {key.job_id}"
