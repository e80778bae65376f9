"""A thread that delivers what the outbox holds, many at a time; beside requests and far from devices.

It runs in every API process. Workers end jobs and write their events, but deliver none: they run models of
strangers, have no business in the network, and do not know the server's secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from jobs.errors import ConfigurationError, TextmillError
from jobs.store.webhook_book import WebhookBook
from jobs.webhooks.posting import TRY_SECONDS, Poster
from jobs.webhooks.records import Answer, Parcel
from jobs.webhooks.sealing import signed_headers

_log = logging.getLogger(__name__)
MOST_AT_ONCE = 16
#: Of one webhook: a slow receiver leaves places to others.
PER_WEBHOOK = 4
#: A delivery that was taken is due again so long after: its process is dead.
LEASE_SECONDS = 4 * TRY_SECONDS
_LOOK_SECONDS = 1.0
_GRACE_SECONDS = 2.0


class Deliverer:
    """Looks every second, and at once when it has been busy."""

    def __init__(
        self,
        book: WebhookBook,
        poster: Poster,
        *,
        on_death: Callable[[], None],
        on_tried: Callable[[Answer], None] = lambda _: None,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        """Builds the thread; `start` runs it.

        Args:
            book: Where deliveries are taken and settled.
            poster: Sends them.
            on_death: Called when the thread ends by an error nobody foresaw.
            on_tried: Told of every try.
            look_seconds: Between two looks at an outbox without anything due.
        """
        self._book = book
        self._poster = poster
        self._on_death = on_death
        self._on_tried = on_tried
        self._look_seconds = look_seconds
        self._stopping = threading.Event()
        self._wake: Callable[[], object] = lambda: None
        self._under_way: dict[asyncio.Task[None], int] = {}
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Starts delivering."""
        self._thread.start()

    def stop(self) -> None:
        """Ends soon; what is not settled by then is delivered by the next process."""
        self._stopping.set()
        with contextlib.suppress(RuntimeError):  # its loop has ended by itself
            self._wake()
        self._thread.join(timeout=5 * _GRACE_SECONDS)
        self._poster.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._deliver())
        except BaseException:
            _log.exception("deliverer_died")
            self._on_death()
            raise

    async def _deliver(self) -> None:
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(woken.set)
        stop = asyncio.create_task(woken.wait())
        while not self._stopping.is_set():
            if not await self._take():
                await asyncio.wait(
                    [stop, *self._under_way],
                    timeout=self._look_seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
        if self._under_way:
            await asyncio.wait(list(self._under_way), timeout=_GRACE_SECONDS)

    async def _take(self) -> bool:
        """Begins with what is due; returns whether there was anything."""
        free = MOST_AT_ONCE - len(self._under_way)
        if not free:
            return False
        busy = frozenset(self._under_way.values())
        try:
            parcels = await asyncio.to_thread(
                self._book.take, limit=free, per_webhook=PER_WEBHOOK, busy=busy, lease_seconds=LEASE_SECONDS
            )
        except TextmillError as error:
            if not error.is_retryable:
                raise
            _log.warning("outbox_not_read: %s", error)
            return False
        for parcel in parcels:
            task = asyncio.create_task(self._try(parcel))
            self._under_way[task] = parcel.webhook
            task.add_done_callback(self._done)
        return bool(parcels)

    async def _try(self, parcel: Parcel) -> None:
        answer = await self._answer(parcel)
        self._on_tried(answer)
        if answer.error is not None:
            _log.info("webhook_failed: %s: %s", parcel.event_id, answer.error)
        try:
            await asyncio.to_thread(self._book.settle, parcel, answer, chance=random.random())
        except TextmillError as error:
            if not error.is_retryable:
                raise
            _log.warning("delivery_not_settled: it is sent again: %s", error)

    async def _answer(self, parcel: Parcel) -> Answer:
        try:
            opened = self._book.open_secrets(parcel)
        except ConfigurationError as error:
            _log.error("webhook_not_signed: %s", error)
            return Answer(error="it cannot be signed: rotate the webhook's secret")
        headers = signed_headers(opened, parcel.event_id, parcel.body, datetime.now(UTC))
        return await self._poster.post(parcel.url, parcel.body, headers)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("delivery_died", exc_info=error)
            self._on_death()
