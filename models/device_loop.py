"""The device loop: the one thread of a worker that computes.

It steps all engines of the device in turn. Other threads hand it documents and wait
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
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any

from models.engine.interface import Engine
from models.errors import CannotLoad, LoopDied, LoopStopped, ModelError
from models.hang import Activity, HangDetector
from models.open_documents import OpenDocuments
from models.pool import WarmPool
from models.processor_time import loop_cpu_seconds
from models.records import DocumentInput, DocumentOutput
from models.ticket import Ticket
from models.waiting_line import Entry, Reservation, Submission, Waiters, WarmUp
from models.watchdog import Watchdog

logger = logging.getLogger(__name__)

_IDLE_SECONDS = 0.5  # an idle loop turns so often, so that its age shows that it lives
_FACTS_SECONDS = 1.0


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
        # Only the loop's thread touches these.
        self._line: deque[Entry] = deque()
        self._open = OpenDocuments()
        self._holder: Reservation | None = None
        self._stop_at_seconds: float | None = None
        self._facts_due_seconds = clock()
        # Replaced as a whole by the loop's thread, read by any.
        self._activity = Activity("idle", "", clock())
        self._turned_at_seconds = clock()
        self._facts: Mapping[str, Mapping[str, Any]] = {}
        self._failures: Mapping[str, CannotLoad] = {}
        self._was_stopped_clean = False
        self._thread = threading.Thread(target=self._run, name="device-loop", daemon=True)
        interval_seconds = min(1.0, step_limit_seconds / 4)
        self._hang_detector = HangDetector(
            self._limits_seconds,
            interval_seconds=interval_seconds,
            cpu_seconds=partial(loop_cpu_seconds, self._thread),
            clock=clock,
        )
        self._watchdog = Watchdog(
            ask=lambda: self._hang_detector.look(self._activity),
            on_alarm=self._die_of,
            interval_seconds=interval_seconds,
        )

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
        ticket = Ticket(model, documents, on_cancel=lambda _: self._inbox.put(partial(self._cancel, entry)))
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
            self._inbox.put(partial(self._release, entry))

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
        return 0.0 if self._activity.kind == "load" else self._clock() - self._turned_at_seconds

    @property
    def is_alive(self) -> bool:
        """Whether documents can still be submitted with hope."""
        return not self._waiters.has_ended

    @property
    def facts(self) -> Mapping[str, Mapping[str, Any]]:
        """What each warm model says of itself, at most a second or a step old."""
        return self._facts

    @property
    def failures(self) -> Mapping[str, CannotLoad]:
        """Why those models could not be loaded whose last try failed."""
        return self._failures

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
        self._turned_at_seconds = self._clock()
        self._receive()
        self._admit()
        for model, engine in self._pool.busy():
            outputs = self._compute(model, engine)
            self._settle(model, engine, outputs)
        self._publish_facts()

    def _receive(self) -> None:
        """Takes in what other threads ask for; waits for them only when there is nothing to do."""
        try:
            if not self._pool.busy() and not self._may_admit():
                self._inbox.get(timeout=_IDLE_SECONDS)()
            while True:
                self._inbox.get_nowait()()
        except queue.Empty:
            return

    def _admit(self) -> None:
        """Lets in what stands in line, in order, up to the first that must wait."""
        while self._may_admit() and self._let_in(self._line[0]):
            self._line.popleft()

    def _compute(self, model: str, engine: Engine) -> list[DocumentOutput]:
        with self._busy_with("step", model):
            return engine.step()

    def _settle(self, model: str, engine: Engine, outputs: Sequence[DocumentOutput]) -> None:
        """Hands outputs to their tickets; an engine that loses or doubles one ends the loop."""
        for submission in self._open.settle(model, outputs):
            self._waiters.remove(submission)
        if not engine.has_work:
            self._open.check_nothing_is_lost(model)

    def _publish_facts(self) -> None:
        if self._clock() >= self._facts_due_seconds:
            self._facts = self._pool.describe()
            self._failures = self._pool.failures
            self._facts_due_seconds = self._clock() + _FACTS_SECONDS

    # The waiting line.

    def _enqueue(self, entry: Entry) -> None:
        if self._waiters.add(entry):
            self._inbox.put(partial(self._stand_in_line, entry))

    def _stand_in_line(self, entry: Entry) -> None:
        if self._stop_at_seconds is not None:
            self._turn_away(entry, LoopStopped())
        elif isinstance(entry, Submission) and entry.holder is not None:
            self._line.appendleft(entry)  # nobody else may move before the holder is done
        else:
            self._line.append(entry)

    def _may_admit(self) -> bool:
        """Whether somebody stands in line, and is not kept out by whoever has the device alone."""
        if not self._line or self._holder is None:
            return bool(self._line)
        first = self._line[0]
        return isinstance(first, Submission) and first.holder is self._holder

    def _let_in(self, entry: Entry) -> bool:
        """Whether the entry need not stand in line any longer."""
        if isinstance(entry, Reservation):
            return self._grant(entry)
        model = entry.model if isinstance(entry, WarmUp) else entry.ticket.model
        try:
            engine = self._warm_engine(model)
        except CannotLoad as error:
            self._turn_away(entry, error)
            return True
        if engine is None:
            return False
        if isinstance(entry, WarmUp):
            self._waiters.remove(entry)
            entry.done.set_result(None)
        else:
            engine.submit(self._open.enter(entry))
        return True

    def _warm_engine(self, model: str) -> Engine | None:
        """The model's engine, loaded if need be; None while a busy model holds its place."""
        engine = self._pool.get(model)
        if engine is not None:
            return engine
        try:
            if not self._pool.make_room(model):
                return None
            with self._busy_with("load", model):
                engine = self._pool.load(model)
        except CannotLoad:
            self._publish_facts_now()
            raise
        self._publish_facts_now()
        return engine

    def _publish_facts_now(self) -> None:
        """Before anybody hears that the load is over: whoever waits for it reads them next."""
        self._facts_due_seconds = self._clock()
        self._publish_facts()

    def _grant(self, entry: Reservation) -> bool:
        if self._pool.busy():
            return False
        self._holder = entry
        self._waiters.remove(entry)
        entry.granted.set_result(None)
        return True

    def _release(self, entry: Reservation) -> None:
        if self._holder is entry:
            self._holder = None
        elif entry in self._line:  # gave up before it was granted
            self._line.remove(entry)
            self._waiters.remove(entry)

    def _cancel(self, entry: Submission) -> None:
        self._waiters.remove(entry)
        if entry in self._line:
            self._line.remove(entry)
            return
        keys = self._open.withdraw(entry)
        engine = self._pool.get(entry.ticket.model) if keys else None
        if engine is not None:
            engine.cancel(keys)

    def _turn_away(self, entry: Entry, error: ModelError) -> None:
        self._waiters.remove(entry)
        entry.fail(error)

    # The end.

    def _begin_stop(self, grace_seconds: float) -> None:
        self._stop_at_seconds = self._clock() + grace_seconds
        while self._line:
            self._turn_away(self._line.popleft(), LoopStopped())

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
        error = LoopDied(what, model=self._activity.model or None)
        if self._waiters.end(error):
            self._watchdog.stop()
            self._on_death(error)

    @contextmanager
    def _busy_with(self, kind: str, model: str) -> Iterator[None]:
        self._activity = Activity(kind, model, self._clock())
        try:
            yield
        finally:
            self._activity = Activity("idle", "", self._clock())
