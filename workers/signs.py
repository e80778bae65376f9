"""A thread that writes the worker's sign of life, with the age of the loop's last round."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jobs.catalogue import ModelEntry
from jobs.errors import StoreUnavailable
from jobs.records import ModelFacts, WorkerBeat
from jobs.serving import static
from jobs.store.interface import Store
from models.loop.device_loop import DeviceLoop
from workers.retries import LoadRetries

_log = logging.getLogger(__name__)
_BEAT_SECONDS = 3.0


class SignsOfLife:
    """Beats until stopped; readiness, `GET /v1/models` and submissions read what it writes."""

    def __init__(
        self, store: Store, loop: DeviceLoop, *, worker_id: str, device: str, models: Sequence[ModelEntry],
        slots: int, on_death: Callable[[], None],
    ) -> None:  # fmt: skip
        """Starts nothing.

        Args:
            store: the ledger.
            loop: tells which models are loaded, what they are like and which cannot be loaded.
            worker_id: names this process.
            device: as people call it: `cuda:1`, though this process sees it as `cuda:0`.
            models: those this worker serves.
            slots: slices it holds at a time.
            on_death: ends the process when this thread dies.
        """
        self._store = store
        self._loop = loop
        self._worker_id = worker_id
        self._device = device
        self._models = tuple(models)
        self._slots = slots
        self._retries = LoadRetries(loop)
        self._told: dict[str, Mapping[str, Any]] = {}
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
                self._retries.look()
                self._stopping.wait(_BEAT_SECONDS)
        except BaseException:
            _log.exception("signs_of_life_died")
            self._on_death()
            raise

    def _beat(self) -> None:
        facts, failures = self._loop.facts, self._loop.failures
        failed = {
            # On one line, whatever a library writes: it is shown in tables and lists.
            name: {
                "error": error.code,
                "message": " ".join(str(error).split()),
                "is_retryable": error.is_retryable,
            }
            for name, error in failures.items()
        }
        sign = WorkerBeat(
            worker_id=self._worker_id,
            device=self._device,
            models=tuple(model.name for model in self._models),
            warm_models=tuple(facts),
            loop_age_seconds=self._loop.age_seconds,
            details={
                "models": {**{name: dict(told) for name, told in facts.items()}, **failed},
                "slots": self._slots,
            },
        )
        try:
            self._tell(facts)  # first: whoever sees the sign may count on the facts
            self._store.beat(sign)
        except StoreUnavailable as error:
            _log.warning("sign_of_life_failed: %s", error)

    def _tell(self, facts: Mapping[str, Mapping[str, Any]]) -> None:
        """Keeps what is new about the models: it outlives this worker, and their eviction."""
        for model in self._models:
            told = static(facts.get(model.name, {}))
            if told and told != self._told.get(model.name):
                self._store.keep_facts(
                    ModelFacts(name=model.name, ref=model.ref, revision=model.revision, facts=told)
                )
                self._told[model.name] = told
