"""The device loop: the one thread of a worker that computes.

It steps the engines of the device, which share its time. Other threads hand it documents and wait
on a ticket; they never touch an engine. It checks that every document comes back
exactly once, notices a step that hangs, and when it ends for whatever reason every
waiter is told. It knows nothing of jobs, leases or Celery.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any

from models.engine import Engine
from models.errors import CannotLoad, LoopDied, LoopStopped, ModelError
from models.loop.admission import Admission
from models.loop.hang import HangDetector
from models.loop.open_documents import OpenDocuments
from models.loop.pool import WarmPool
from models.loop.ticket import Ticket
from models.loop.turns import Turns
from models.loop.vitals import Vitals
from models.loop.waiting_line import Entry, Reservation, Submission, Waiters, WarmUp
from models.loop.watchdog import Watchdog
from models.processor_time import loop_cpu_seconds
from models.records import DocumentInput, DocumentOutput

logger = logging.getLogger(__name__)

_IDLE_SECONDS = 0.5  # an idle loop turns so often, so that its age shows that it lives


class DeviceLoop:
    """Steps the engines of a warm pool; see the module."""

    def __init__(
        self,
        pool: WarmPool,
        *,
        on_death: Callable[[ModelError], None],
        step_limit_seconds: float = 300.0,
        load_limit_seconds: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._on_death = on_death
        self._limits_seconds = {"step": step_limit_seconds, "load": load_limit_seconds}
        self._clock = clock
        self._numbers = itertools.count()
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._waiters = Waiters()
        self._vitals = Vitals(pool, clock)
        # Only the loop's thread touches these.
        self._open = OpenDocuments()
        self._admission = Admission(pool, self._open, self._waiters, self._vitals)
        self._turns = Turns()
        self._stop_at_seconds: float | None = None
        self._was_stopped_clean = False
        self._thread = threading.Thread(target=self._run, name="device-loop", daemon=True)
        self._watchdog = self._make_watchdog(min(1.0, step_limit_seconds / 4))

    # Any thread may call these.

    def start(self) -> None:
        """Starts the loop's thread and its watchdog."""
        self._thread.start()
        self._watchdog.start()

    def submit(
        self, model: str, documents: Sequence[DocumentInput], *, holder: Reservation | None = None
    ) -> Ticket:
        """Queues documents for a model, which is loaded first if it is not warm.

        Returns at once. Whatever goes wrong is told by the ticket, also when the
        loop has ended before. `holder` comes from `alone`.

        Raises:
            ValueError: two documents have the same key.
        """
        ticket = Ticket(
            model, documents, on_cancel=lambda _: self._inbox.put(partial(self._admission.cancel, entry))
        )
        entry = Submission(next(self._numbers), ticket, tuple(documents), holder)
        if documents:
            self._enqueue(entry)
        return ticket

    def warm(self, model: str) -> Future[None]:
        """Loads a model ahead of its first document; the future raises `CannotLoad`."""
        entry = WarmUp(model)
        self._enqueue(entry)
        return entry.done

    @contextmanager
    def alone(self, timeout_seconds: float | None = None) -> Iterator[Reservation]:
        """Has the device alone: what was inside has finished, what comes later waits.

        For documents under suspicion of killing the process: whoever dies now is
        guilty. Pass what it yields to `submit` as `holder`.

        Raises:
            TimeoutError: others did not finish in time.
            LoopDied: the loop ended first.
        """
        entry = Reservation()
        self._enqueue(entry)
        try:
            entry.granted.result(timeout_seconds)
            yield entry
        finally:
            self._inbox.put(partial(self._admission.release, entry))

    def stop(self, grace_seconds: float) -> bool:
        """Stops in order: takes nothing new, finishes what is inside, tells the rest.

        Documents that have not entered an engine are handed back at once, the others
        after `grace_seconds`: their tickets raise `LoopStopped`. Frees all models.
        Returns whether everything inside was finished in time.
        """
        if self._thread.ident is None:  # never started: nothing is inside
            self._finish()
            return True
        self._inbox.put(partial(self._begin_stop, grace_seconds))
        # A step cannot be interrupted: one that hangs is left to the end of the process.
        self._thread.join(grace_seconds + self._limits_seconds["step"])
        self._watchdog.stop()
        return self._was_stopped_clean

    @property
    def age_seconds(self) -> float:
        """Time since the last turn began; 0 while a model loads, which may take long."""
        return self._vitals.age_seconds

    @property
    def is_alive(self) -> bool:
        """Whether documents can still be submitted with hope."""
        return not self._waiters.has_ended

    @property
    def facts(self) -> Mapping[str, Mapping[str, Any]]:
        """What each warm model says of itself, at most a second or a step old."""
        return self._vitals.facts

    @property
    def failures(self) -> Mapping[str, CannotLoad]:
        """Why those models could not be loaded whose last try failed."""
        return self._vitals.failures

    # Everything below runs on the loop's thread, except `_enqueue` and `_die_of`.

    def _run(self) -> None:
        try:
            while not self._is_over():
                self._turn()
            self._finish()
        except BaseException as error:
            logger.exception("device loop died", extra={"action": "loop_died"})
            self._die_of(f"{type(error).__name__}: {error}")

    def _turn(self) -> None:
        """One round of the loop."""
        self._vitals.note_turn()
        self._receive()
        self._admission.admit()
        if busy := dict(self._pool.busy()):
            model = self._turns.pick(tuple(busy))
            outputs = self._compute(model, busy[model])
            self._settle(model, busy[model], outputs)
        self._vitals.publish()

    def _receive(self) -> None:
        """Takes in what other threads ask for; waits for them only when there is nothing to do."""
        try:
            if not self._pool.busy() and not self._admission.may_admit:
                self._inbox.get(timeout=_IDLE_SECONDS)()
            while True:
                self._inbox.get_nowait()()
        except queue.Empty:
            return

    def _compute(self, model: str, engine: Engine) -> list[DocumentOutput]:
        begun_seconds = self._clock()
        with self._vitals.busy_with("step", model):
            outputs = engine.step()
        self._turns.note(model, self._clock() - begun_seconds)
        return outputs

    def _settle(self, model: str, engine: Engine, outputs: Sequence[DocumentOutput]) -> None:
        """Hands outputs to their tickets; an engine that loses or doubles one ends the loop."""
        for submission in self._open.settle(model, outputs):
            self._waiters.remove(submission)
        if not engine.has_work:
            self._open.check_nothing_is_lost(model)

    def _enqueue(self, entry: Entry) -> None:
        if self._waiters.add(entry):
            self._inbox.put(partial(self._stand_in_line, entry))

    def _stand_in_line(self, entry: Entry) -> None:
        if self._stop_at_seconds is not None:
            self._admission.turn_away(entry, LoopStopped())
        else:
            self._admission.stand_in_line(entry)

    # The end.

    def _begin_stop(self, grace_seconds: float) -> None:
        self._stop_at_seconds = self._clock() + grace_seconds
        self._admission.turn_all_away(LoopStopped())

    def _is_over(self) -> bool:
        if self._stop_at_seconds is None:
            return self._waiters.has_ended
        return not len(self._open) or self._clock() >= self._stop_at_seconds

    def _finish(self) -> None:
        self._was_stopped_clean = not len(self._open)
        self._waiters.end(LoopStopped())
        self._pool.close()

    def _die_of(self, what: str) -> None:
        """Tells every waiter, then whoever ends the process. By the loop itself or the watchdog."""
        error = LoopDied(what, model=self._vitals.activity.model or None)
        if self._waiters.end(error):
            self._watchdog.stop()
            self._on_death(error)

    def _make_watchdog(self, interval_seconds: float) -> Watchdog:
        detector = HangDetector(
            self._limits_seconds,
            interval_seconds=interval_seconds,
            cpu_seconds=partial(loop_cpu_seconds, self._thread),
            clock=self._clock,
        )
        return Watchdog(
            ask=lambda: detector.look(self._vitals.activity),
            on_alarm=self._die_of,
            interval_seconds=interval_seconds,
        )
