"""One leased slice, from its documents to its settled outcomes."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from jobs.errors import LeaseLost, StoreUnavailable
from jobs.isolation import WHOLE_SLICE, Isolation
from jobs.records import DocumentStatus, Lease, LeasedDocument, LeaseState, Outcome
from jobs.store.interface import Store
from models.errors import CannotLoad, LoopDied, LoopStopped
from models.loop.device_loop import DeviceLoop
from models.loop.waiting_line import Reservation
from models.records import DocumentInput, DocumentOutput
from workers.watched import Watched

_log = logging.getLogger(__name__)
#: Outcomes are settled together: a transaction costs about as much as fifty rows.
_GROUP_SECONDS = 0.25
_GROUP_DOCUMENTS = 256
_RETRY_SECONDS = 0.5
_ALONE_SECONDS = 2.0  #: how long one slice has the device to itself, but for the document it is at
#: A model that cannot be loaded here may be loadable elsewhere, or after a repair.
_LOAD_RETRY_SECONDS = 15.0
_LOAD_TRIES = 3
#: A loop may die of the machine; that of so many workers died of what they computed.
_LOOP_TRIES = 3
#: Between two questions whether a job that nobody watches any more was cancelled.
_DESERTED_SECONDS = 1.0
T = TypeVar("T")


class SliceRun:
    """Computes and settles; every way it can end is one of `settled`, `lost`, `given back`."""

    def __init__(
        self,
        lease: Lease,
        *,
        store: Store,
        loop: DeviceLoop,
        lease_seconds: float,
        on_progress: Callable[[int, int], None],
        on_death: Callable[[], None],
    ) -> None:
        self.lease = lease
        self._store = store
        self._loop = loop
        self._on_progress = on_progress
        self._on_death = on_death
        self._watched: Watched | None = None
        self._ask_again_at = 0.0
        self._lease_seconds = lease_seconds
        self._valid_until = time.monotonic() + lease_seconds
        self._counts = {"succeeded": 0, "failed": 0}
        self._is_on_trial = False  # something of it has the device alone
        self._is_abandoned = threading.Event()
        self._is_given_back = threading.Event()

    # -- called by the heartbeat thread and at shutdown ----------------------------

    def heard(self, state: LeaseState) -> None:
        """The store's answer to a heartbeat."""
        if state is LeaseState.HELD:
            self._valid_until = time.monotonic() + self._lease_seconds
        else:
            _log.info("slice_abandoned: %s is %s", self.lease.key, state)
            self._is_abandoned.set()

    def give_back(self) -> None:
        """Asks the run to settle what it has, and to release the lease for another worker."""
        self._is_given_back.set()

    def release(self, *, delay_seconds: float = 0.0) -> None:
        """Lets another worker have the slice now; what this run still settles is refused."""
        try:
            self._store.release(self.lease.key, self.lease.attempt, delay_seconds=delay_seconds)
        except StoreUnavailable:
            _log.warning("release_failed: %s will be taken over when its lease ends", self.lease.key)

    # -- called by the Celery task's thread ----------------------------------------

    def run(self, watched: Watched | None = None) -> dict[str, Any]:
        """Runs to the end, telling who watches; returns a summary without text."""
        self._watched = watched
        try:
            if self.lease.isolation is Isolation.NONE:
                self._compute(self.lease.documents)
            else:
                self._compute_alone()
            if self._is_given_back.is_set():
                self.release()
        except LeaseLost:
            _log.info("late_settlement_refused: %s", self.lease.key)
            if not self._is_over():  # the ledger was away for too long: whoever is first may have it
                self.release()
        except CannotLoad as error:
            self._cannot_load(error)
        except LoopStopped:
            self.release()
        except LoopDied as error:
            if not self._may_have_killed(error):
                self.release()  # nobody's fault but this process's: its supervisor starts another
            self._on_death()
        finally:
            if self._watched is not None:
                self._watched.leave()
        return {"slice": str(self.lease.key), **self._counts}

    def _compute_alone(self) -> None:
        """A document here may kill the process: nothing else is on the device, and what is there is named.

        Others get the device in between: a slice of many such documents is nobody's reason to wait.
        """
        waiting = deque(self._trials())
        while waiting and not self._is_over():
            with self._loop.alone() as holder:
                until_seconds = time.monotonic() + _ALONE_SECONDS
                self._try(*waiting.popleft(), holder)
                while waiting and time.monotonic() < until_seconds:
                    self._try(*waiting.popleft(), holder)

    def _trials(self) -> list[tuple[int, Sequence[LeasedDocument]]]:
        """What is to be on the device by itself, and what the ledger is told of it."""
        documents = self.lease.documents
        if self.lease.isolation is Isolation.SLICE:
            return [(WHOLE_SLICE, documents)]
        return [(document.seq, [document]) for document in documents]

    def _try(self, name: int, documents: Sequence[LeasedDocument], holder: Reservation) -> None:
        if self._is_over() or not self._suspect(name):
            return
        self._is_on_trial = True
        self._compute(documents, holder)
        self._is_on_trial = False

    def _compute(self, documents: Sequence[LeasedDocument], holder: Reservation | None = None) -> None:
        ticket = self._loop.submit(self.lease.model, [self._input(d) for d in documents], holder=holder)
        group: list[Outcome] = []
        settled_at = time.monotonic()
        try:
            while ticket.num_open and not self._is_over():
                group += [_outcome(o) for o in ticket.outcomes(_GROUP_SECONDS)]
                is_due = time.monotonic() - settled_at >= _GROUP_SECONDS or len(group) >= _GROUP_DOCUMENTS
                if group and (is_due or not ticket.num_open or self._is_given_back.is_set()):
                    self._settle(group)
                    group, settled_at = [], time.monotonic()
                self._look_after_watcher()
        finally:
            ticket.cancel()

    def _look_after_watcher(self) -> None:
        """Whoever watched is gone: if the job was cancelled, the ledger says so before the next beat."""
        watched, now = self._watched, time.monotonic()
        if watched is None or not watched.is_deserted or now < self._ask_again_at:
            return
        self._ask_again_at = now + _DESERTED_SECONDS
        with contextlib.suppress(StoreUnavailable):
            leases = {self.lease.key: self.lease.attempt}
            states = self._store.heartbeat(leases, lease_seconds=self._lease_seconds)
            self.heard(states[self.lease.key])

    def _input(self, document: LeasedDocument) -> DocumentInput:
        watched = self._watched
        return DocumentInput(
            key=document.seq,
            text=document.text,
            context=document.context,
            messages=document.messages,
            params=document.params,
            priority=int(self.lease.priority),
            owner=self.lease.owner,
            group=self.lease.key.job_id,
            own_seed=_own_seed(self.lease.key.job_id, document.seq),
            on_text=watched.hear if watched is not None and watched.wants_text else None,
        )

    def _may_have_killed(self, error: LoopDied) -> bool:
        """Whether the lease is better left to end as after a crash: the next attempt is more careful."""
        if self.lease.isolation is not Isolation.NONE:
            return self._is_on_trial
        return error.model == self.lease.model or self.lease.attempt >= _LOOP_TRIES

    def _settle(self, outcomes: Sequence[Outcome]) -> None:
        self._keep_trying(lambda: self._store.settle(self.lease.key, self.lease.attempt, outcomes))
        for outcome in outcomes:
            self._counts[str(outcome.status)] += 1
        if self._watched is not None:
            self._watched.settled()
        self._on_progress(sum(self._counts.values()), len(self.lease.documents))

    def _suspect(self, name: int) -> bool:
        return self._keep_trying(lambda: self._store.suspect(self.lease.key, self.lease.attempt, name))

    def _keep_trying(self, write: Callable[[], T]) -> T:
        """Keeps what was computed for as long as nobody else may compute it."""
        while True:
            try:
                return write()
            except StoreUnavailable:
                if self._is_over() or time.monotonic() > self._valid_until:
                    raise LeaseLost from None
                self._is_abandoned.wait(_RETRY_SECONDS)

    def _is_over(self) -> bool:
        return self._is_abandoned.is_set() or self._is_given_back.is_set()

    def _cannot_load(self, error: CannotLoad) -> None:
        _log.error("model_cannot_load: %s", error)
        if error.is_retryable and self.lease.attempt < _LOAD_TRIES:
            self.release(delay_seconds=_LOAD_RETRY_SECONDS)
            return
        self._settle(
            [
                Outcome(
                    seq=d.seq, status=DocumentStatus.FAILED, error_code=error.code, error_message=str(error)
                )
                for d in self.lease.documents
            ]
        )


def _own_seed(job_id: str, seq: int) -> int:
    """What sampling begins with if nobody says: the same in every attempt, so that all say the same."""
    return int.from_bytes(hashlib.sha256(f"{job_id}.{seq}".encode()).digest()[:4]) >> 1


def _outcome(output: DocumentOutput) -> Outcome:
    seq: Any = output.key  # our own, see `_input`
    failed = output.error_code is not None
    return Outcome(
        seq=seq,
        status=DocumentStatus.FAILED if failed else DocumentStatus.SUCCEEDED,
        output=output.output,
        error_code=output.error_code,
        error_message=output.error_message,
        input_tokens=output.input_tokens,
        output_tokens=output.output_tokens,
        truncated=output.truncated,
        provenance=output.provenance,
    )
