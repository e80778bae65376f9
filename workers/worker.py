"""A worker: it claims slices, hands them to the device loop and settles what comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from jobs.dispatch import Dispatcher
from jobs.errors import BrokerUnavailable, StoreUnavailable
from jobs.records import Lease, SliceKey
from jobs.settings import Settings
from jobs.store.interface import Store
from models.loop.device_loop import DeviceLoop
from workers.heartbeats import Heartbeats
from workers.slice_run import SliceRun
from workers.telling import Teller
from workers.watched import Watched

#: A run looks up from its waiting several times a second.
_GIVE_BACK_SECONDS = 2.0
Progress = Callable[[int, int], None]


class Worker:
    """What one process does with slices. Knows Celery only as its caller."""

    def __init__(
        self,
        worker_id: str,
        *,
        store: Store,
        dispatcher: Dispatcher,
        loop: DeviceLoop,
        heartbeats: Heartbeats,
        settings: Settings,
        teller: Teller,
        on_death: Callable[[], None] = lambda: None,
    ) -> None:
        """Puts the parts together; starts nothing.

        Args:
            worker_id: names this process in leases and signs of life.
            store: the ledger.
            dispatcher: sends the next slices when one is done.
            loop: computes.
            heartbeats: keeps leases alive.
            settings: lease length and limits.
            teller: tells who watches a job what becomes of it.
            on_death: ends the process when the device loop is dead.
        """
        self.worker_id = worker_id
        self._store = store
        self._dispatcher = dispatcher
        self._loop = loop
        self._heartbeats = heartbeats
        self._settings = settings
        self._teller = teller
        self._on_death = on_death
        self._stopping = threading.Event()
        self._claiming = threading.Lock()

    def run_slice(
        self, key: SliceKey, *, on_progress: Progress = lambda settled, total: None
    ) -> dict[str, Any]:
        """Runs one slice to its end, or gives it up.

        Returns:
            A summary without any text, for Flower.
        """
        run = self._claim(key, on_progress)
        if run is None:
            self._send_next()  # it counted as on its way
            return {"slice": str(key), "skipped": "nothing to do"}
        try:
            summary = run.run(self._watched(run.lease))
        finally:
            self._heartbeats.remove(run)
        self._send_next()
        return summary

    def _claim(self, key: SliceKey, on_progress: Progress) -> SliceRun | None:
        """A run that beats already; None when there is nothing to do, or nothing may be begun."""
        # One at a time, so that whoever stops the worker knows of every lease it has.
        with self._claiming:
            if self._stopping.is_set():
                return None
            lease = self._store.claim(
                key, worker_id=self.worker_id, lease_seconds=self._settings.lease_seconds
            )
            if lease is None:
                return None
            run = SliceRun(
                lease, store=self._store, loop=self._loop, lease_seconds=self._settings.lease_seconds,
                on_progress=on_progress, on_death=self._on_death,
            )  # fmt: skip
            self._heartbeats.add(run)
            return run

    def _watched(self, lease: Lease) -> Watched | None:
        """Who waits for one document watches it; of larger slices nobody is asked."""
        if len(lease.documents) > 1:
            return None
        return self._teller.watched(lease.key.job_id, lease.attempt)

    def stop(self, *, grace_seconds: float) -> None:
        """Takes nothing more; lets running slices finish for a while, then gives them back."""
        self._begin_no_more()
        late = self._heartbeats.wait_until_idle(grace_seconds)
        for run in late:
            run.give_back()
        if late:
            self._heartbeats.wait_until_idle(_GIVE_BACK_SECONDS)

    def release_all(self) -> None:
        """Releases every lease while its run still computes: what the run settles later is refused."""
        self._begin_no_more()
        for run in self._heartbeats.wait_until_idle(0.0):
            run.release()

    def _begin_no_more(self) -> None:
        """Returns once a claim that was under way has either failed or become a run."""
        self._stopping.set()
        if self._claiming.acquire(timeout=_GIVE_BACK_SECONDS):
            self._claiming.release()

    def _send_next(self) -> None:
        """A slot is free: whose turn it is, of whatever job."""
        try:
            self._dispatcher.release()
        except (BrokerUnavailable, StoreUnavailable):
            return  # the sweeper will; the slice itself is settled
