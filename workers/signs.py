"""A thread that writes the worker's sign of life, with the age of the loop's last round."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from jobs.errors import StoreUnavailable
from jobs.records import WorkerBeat
from jobs.store.interface import Store
from models.device_loop import DeviceLoop

_log = logging.getLogger(__name__)
_BEAT_SECONDS = 3.0


class SignsOfLife:
    """Beats until stopped; readiness and `GET /v1/models` read what it writes."""

    def __init__(
        self, store: Store, loop: DeviceLoop, *, worker_id: str, device: str, models: Sequence[str],
        on_death: Callable[[], None],
    ) -> None:  # fmt: skip
        self._store = store
        self._loop = loop
        self._worker_id = worker_id
        self._device = device
        self._models = tuple(models)
        self._on_death = on_death
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="signs-of-life", daemon=True)

    def start(self) -> None:
        """Writes the first sign at once."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and takes the worker off the list."""
        self._stopping.set()
        self._thread.join(timeout=_BEAT_SECONDS)
        try:
            self._store.forget_worker(self._worker_id)
        except StoreUnavailable:
            _log.warning("worker_not_forgotten: its last sign will grow old")

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._beat()
                self._stopping.wait(_BEAT_SECONDS)
        except BaseException:
            _log.exception("signs_of_life_died")
            self._on_death()
            raise

    def _beat(self) -> None:
        sign = WorkerBeat(
            worker_id=self._worker_id,
            device=self._device,
            models=self._models,
            warm_models=tuple(self._loop.facts),
            loop_age_seconds=self._loop.age_seconds,
            details={"models": {name: dict(facts) for name, facts in self._loop.facts.items()}},
        )
        try:
            self._store.beat(sign)
        except StoreUnavailable as error:
            _log.warning("sign_of_life_failed: %s", error)
