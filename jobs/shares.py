"""Whose slice is sent next: shares of the workers' slots, by owner and by model. Pure policy, no SQL.

A lane is what one owner has waiting of one priority for one model. The rule is that of dynamic
thresholds (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet
switches", IEEE/ACM Transactions on Networking 6, 1998): an owner with slices out may send another
as long as he, and the model, then have at most `TIMES_FREE` times what is left free. So one owner,
or one model, has at most three quarters of the slots, and some are free for who comes next. An
owner with nothing out may always send one: nobody is kept out, however many there are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jobs.records import Priority

TIMES_FREE = 3
#: An interactive lane may have so many slices out for each one of the owner's bulk.
_WEIGHTS = {Priority.INTERACTIVE: 4, Priority.BULK: 1}
#: Slots beyond the threshold: as many as an interactive lane with nothing out would take anyway.
_BEYOND = {Priority.INTERACTIVE: 1, Priority.BULK: 0}
#: An interactive document counts as submitted so much earlier: bulk work waits for it, not for ever.
_HEAD_START_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True, order=True)
class Lane:
    """What takes turns."""

    owner: str
    priority: Priority
    model: str


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Slots that some models share."""

    models: frozenset[str]
    slots: float


class Slots:
    """How many slices the workers can hold; models that share a worker share its slots."""

    def __init__(
        self,
        workers: Iterable[Pool] = (),
        *,
        otherwise: float = math.inf,
        holders: frozenset[str] | None = None,
    ) -> None:
        """Joins workers that have a model in common.

        Args:
            workers: for each that runs, the models it serves and the slots it has.
            otherwise: slots of a model that no worker serves now.
            holders: names of these workers. What another one holds takes none of these slots: it is
                dead, and the slots of who was started in its place are free. None: whoever holds a
                slice has one of them.
        """
        self.holders = holders
        self._otherwise = otherwise
        self._pools: list[Pool] = []
        for worker in workers:
            self._join(worker)

    def pool_of(self, model: str) -> Pool:
        """The slots that slices of this model may take."""
        alone = Pool(models=frozenset({model}), slots=self._otherwise)
        return next((pool for pool in self._pools if model in pool.models), alone)

    def _join(self, worker: Pool) -> None:
        touched = [pool for pool in self._pools if pool.models & worker.models]
        models = worker.models.union(*(pool.models for pool in touched))
        slots = worker.slots + sum(pool.slots for pool in touched)
        self._pools = [pool for pool in self._pools if pool not in touched]
        self._pools.append(Pool(models=models, slots=slots))


#: As many as anybody wants.
UNBOUNDED = Slots()


class Shares:
    """Picks the lanes that may send, one slice after the other."""

    def __init__(self, slots: Slots, out: Mapping[Lane, int]) -> None:
        """Sets up.

        Args:
            slots: of the workers.
            out: slices that are with workers or on their way to them.
        """
        self._slots = slots
        self._of_lane: Counter[Lane] = Counter()
        self._of_pool: Counter[Pool] = Counter()
        self._of_owner: Counter[tuple[Pool, str]] = Counter()
        self._of_model: Counter[str] = Counter()
        for lane, count in out.items():
            self.note_sent(lane, count)

    def pick(self, waiting: Mapping[Lane, float]) -> Lane | None:
        """The lane that sends next; None when none may.

        Args:
            waiting: lanes with something to send; the values say since when, in seconds.
        """
        allowed = filter(self._may_send, waiting)
        return min(allowed, key=lambda lane: (*self._share(lane), _since(lane, waiting), lane), default=None)

    def note_sent(self, lane: Lane, count: int = 1) -> None:
        """Slices of the lane are on their way."""
        pool = self._slots.pool_of(lane.model)
        self._of_lane[lane] += count
        self._of_pool[pool] += count
        self._of_owner[pool, lane.owner] += count
        self._of_model[lane.model] += count

    def of(self, lane: Lane) -> int:
        """Slices that a lane has out."""
        return self._of_lane[lane]

    def _may_send(self, lane: Lane) -> bool:
        pool = self._slots.pool_of(lane.model)
        of_owner = self._of_owner[pool, lane.owner]
        if not of_owner:
            return True
        free = pool.slots - self._of_pool[pool] - 1
        if free < 1:
            return False
        beyond = _BEYOND[lane.priority]
        most = max(of_owner, self._of_model[lane.model]) + 1 - beyond
        return not self._of_lane[lane] or most <= TIMES_FREE * (free + beyond)

    def _share(self, lane: Lane) -> tuple[int, float]:
        """What the owner has out, and then what the lane has, by its weight."""
        of_owner = self._of_owner[self._slots.pool_of(lane.model), lane.owner]
        return of_owner, self._of_lane[lane] / _WEIGHTS[lane.priority]


def _since(lane: Lane, waiting: Mapping[Lane, float]) -> float:
    head_start = _HEAD_START_SECONDS if lane.priority is Priority.INTERACTIVE else 0.0
    return waiting[lane] - head_start
