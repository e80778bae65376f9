"""From a command line to a running worker, and from a signal to an orderly end."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

from jobs.catalogue import Catalogue, ModelEntry
from jobs.dispatch import Dispatcher
from jobs.recovery import Sweeper
from jobs.settings import Settings
from jobs.store.sql import open_store
from models.errors import CannotLoad, ModelError
from models.factory import build_engine, estimate_bytes
from models.loading.device import prepare_device
from models.loop.device_loop import DeviceLoop
from models.loop.pool import BuildEngine, WarmPool
from models.records import ModelSpec
from workers.ending import OrderlyEnd
from workers.heartbeats import Heartbeats
from workers.signs import SignsOfLife
from workers.telling import open_teller
from workers.worker import Worker

_log = logging.getLogger(__name__)
_HURRY_SECONDS = 1.0
EXIT_DEAD = 70  # a part of the worker died: the supervisor must start another


def die() -> None:
    """Ends the process at once: without its loop, heart or sweeper a worker only looks alive.

    Leases are not released: what they hold may be half settled by a thread that is
    still running. They end by themselves.
    """
    logging.shutdown()
    os._exit(EXIT_DEAD)


class WorkerProcess:
    """Everything that runs in a worker process beside Celery."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        entries: Sequence[ModelEntry],
        *,
        name: str | None = None,
        device_label: str | None = None,
        build: BuildEngine | None = None,
    ) -> None:
        """Opens nothing and loads nothing yet.

        Args:
            settings: of this process; their device is the one that torch sees.
            catalogue: all that is served here.
            entries: what this worker serves of it.
            name: of the worker; default: its device.
            device_label: the device as it is called outside this process.
            build: makes the engine of a model; default: `models.factory.build_engine`.
        """
        from workers.celery_app import app

        self._settings = settings
        self.entries = tuple(entries)
        self._device = prepare_device(settings.device, num_threads=settings.threads)
        self.store = open_store(settings)
        pool = WarmPool(
            [spec_of(entry, settings) for entry in entries],
            build=build or (lambda spec: build_engine(spec, self._device)),
            estimate=estimate_bytes,
            budget_bytes=settings.model_memory_bytes or self._device.default_budget_bytes,
        )
        self.loop = DeviceLoop(pool, step_limit_seconds=settings.step_limit_seconds, on_death=self._loop_died)
        dispatcher = Dispatcher(self.store, app, catalogue, settings)
        label = device_label or self._device.name
        worker_id = f"{name or label}@{socket.gethostname()}-{os.getpid()}"
        self.heartbeats = Heartbeats(self.store, lease_seconds=settings.lease_seconds, on_death=die)
        self.signs = SignsOfLife(
            self.store, self.loop, worker_id=worker_id, device=label, models=self.entries,
            slots=settings.concurrency, on_death=die,
        )  # fmt: skip
        self.sweeper = Sweeper(self.store, dispatcher, settings, on_death=die)
        self.worker = Worker(
            worker_id, store=self.store, dispatcher=dispatcher, loop=self.loop, heartbeats=self.heartbeats,
            settings=settings, teller=open_teller(settings, on_death=die), on_death=self._end_soon,
        )  # fmt: skip
        self._end = OrderlyEnd(self.worker, die=die)

    def _loop_died(self, error: ModelError) -> None:
        _log.critical("device_loop_ended: %s", error)
        self._end_soon()

    def _end_soon(self) -> None:
        self._end.begin()

    def start(self) -> None:
        """Loads the models, then says that it lives: readiness means that work can be done.

        Raises:
            StoreUnavailable: the database does not answer or is not migrated.
        """
        self.store.ping()
        self.loop.start()
        for entry in self.entries:
            try:
                self.loop.warm(entry.name).result()
                _log.info("model_loaded: %s: %s", entry.name, _how(self.loop.facts.get(entry.name, {})))
            except CannotLoad as error:
                # One broken model must not keep the others from being served.
                _log.error("model_cannot_load: %s", error)
        self.heartbeats.start()
        self.sweeper.start()
        self.signs.start()
        names = ", ".join(entry.name for entry in self.entries)
        _log.info("worker_started: %s serves %s", self.worker.worker_id, names)

    def stop(self) -> None:
        """The order matters: intake first, the store last."""
        self.worker.stop(grace_seconds=self._settings.grace_seconds)  # settle, or give back
        self.signs.stop()  # no longer ready
        self.sweeper.stop()
        self.heartbeats.stop()  # only now: leases had to live until they were given back
        self.loop.stop(grace_seconds=0)  # tells those who still wait for the device, and they give back
        self.heartbeats.wait_until_idle(1.0)
        self.store.close()


def _how(facts: Mapping[str, Any]) -> str:
    """Which way a model is computed, and why not by a faster one."""
    told = [str(facts[name]) for name in ("decoded_by", "way", "dtype") if facts.get(name)]
    return ", ".join(told) + (f" ({facts['why']})" if facts.get("why") else "")


def spec_of(entry: ModelEntry, settings: Settings) -> ModelSpec:
    """What `models` needs to know of a catalogue entry."""
    return ModelSpec(
        name=entry.name,
        task=entry.task,
        ref=entry.ref,
        revision=entry.revision,
        dtype=entry.dtype or settings.dtype,
        pinned=entry.pinned,
        max_batch_tokens=entry.max_batch_tokens or settings.max_batch_tokens,
    )


def install_signals(process: WorkerProcess) -> None:
    """SIGTERM and SIGINT stop in order; a second one, or SIGQUIT, gives back and ends at once.

    Celery's own handlers are replaced: with the threads pool its warm shutdown waits
    without limit for running slices, and its cold one exits in the middle of them.
    """
    ways = deque([_leave, _leave_at_once])  # each for one signal

    def stop(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGQUIT and len(ways) == 2:
            ways.popleft()
        if not ways:
            os._exit(128 + number)
        threading.Thread(target=ways.popleft(), args=(process, number), name="shutdown").start()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, stop)


def _leave_at_once(process: WorkerProcess, number: int) -> None:
    """Without waiting for anything that is computed; the database gets a second to hear of it."""
    overtime = threading.Timer(_HURRY_SECONDS, os._exit, [128 + number])
    overtime.daemon = True
    overtime.start()
    try:
        process.worker.release_all()
    finally:
        os._exit(128 + number)


def _leave(process: WorkerProcess, number: int) -> None:
    _log.info("worker_stopping")
    try:
        process.stop()
    finally:
        _log.info("worker_stopped")
        logging.shutdown()
        # Celery's consumer would wait for its next message; there is nothing left to wait for.
        os._exit(0)
