"""Who stands in line before the device, and who is let in. Only the loop's thread uses it."""

from __future__ import annotations

from collections import deque

from models.engine import Engine
from models.errors import CannotLoad, ModelError
from models.loop.open_documents import OpenDocuments
from models.loop.pool import WarmPool
from models.loop.vitals import Vitals
from models.loop.waiting_line import Entry, Reservation, Submission, Waiters, WarmUp


class Admission:
    """The line, and who has the device alone; see `models/loop/waiting_line` for its order."""

    def __init__(self, pool: WarmPool, inside: OpenDocuments, waiters: Waiters, vitals: Vitals) -> None:
        self._pool = pool
        self._inside = inside
        self._waiters = waiters
        self._vitals = vitals
        self._line: deque[Entry] = deque()
        self._holder: Reservation | None = None

    def stand_in_line(self, entry: Entry) -> None:
        """Waits to be let in."""
        if isinstance(entry, Submission) and entry.holder is not None:
            self._line.appendleft(entry)  # nobody else may move before the holder is done
        else:
            self._line.append(entry)

    @property
    def may_admit(self) -> bool:
        """Whether somebody stands in line, and is not kept out by whoever has the device alone."""
        if not self._line or self._holder is None:
            return bool(self._line)
        first = self._line[0]
        return isinstance(first, Submission) and first.holder is self._holder

    def admit(self) -> None:
        """Lets in what stands in line, in order, up to the first that must wait."""
        while self.may_admit and self._let_in(self._line[0]):
            self._line.popleft()

    def release(self, entry: Reservation) -> None:
        """The device is everybody's again, or the wish for it is withdrawn."""
        if self._holder is entry:
            self._holder = None
        elif entry in self._line:  # gave up before it was granted
            self._line.remove(entry)
            self._waiters.remove(entry)

    def cancel(self, entry: Submission) -> None:
        """Nobody waits for these documents any more."""
        self._waiters.remove(entry)
        if entry in self._line:
            self._line.remove(entry)
            return
        keys = self._inside.withdraw(entry)
        engine = self._pool.get(entry.ticket.model) if keys else None
        if engine is not None:
            engine.cancel(keys)

    def turn_away(self, entry: Entry, error: ModelError) -> None:
        """It is not let in."""
        self._waiters.remove(entry)
        entry.fail(error)

    def turn_all_away(self, error: ModelError) -> None:
        """Nobody in line is let in."""
        while self._line:
            self.turn_away(self._line.popleft(), error)

    def _let_in(self, entry: Entry) -> bool:
        """Whether the entry need not stand in line any longer."""
        if isinstance(entry, Reservation):
            return self._grant(entry)
        model = entry.model if isinstance(entry, WarmUp) else entry.ticket.model
        try:
            engine = self._warm_engine(model)
        except CannotLoad as error:
            self.turn_away(entry, error)
            return True
        if engine is None:
            return False
        if isinstance(entry, WarmUp):
            self._waiters.remove(entry)
            entry.done.set_result(None)
        else:
            engine.submit(self._inside.enter(entry))
        return True

    def _warm_engine(self, model: str) -> Engine | None:
        """The model's engine, loaded if need be; None while a busy model holds its place."""
        engine = self._pool.get(model)
        if engine is not None:
            return engine
        try:
            if not self._pool.make_room(model):
                return None
            with self._vitals.busy_with("load", model):
                engine = self._pool.load(model)
        except CannotLoad:
            self._vitals.publish_now()
            raise
        self._vitals.publish_now()
        return engine

    def _grant(self, entry: Reservation) -> bool:
        if self._pool.busy():
            return False
        self._holder = entry
        self._waiters.remove(entry)
        entry.granted.set_result(None)
        return True
