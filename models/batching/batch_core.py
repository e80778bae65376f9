"""Computes pieces in batches of like length, each batch from beginning to end.

On a GPU some are on their way at once, and the host reads the results of one while the device
computes the next. A batch that fails is halved until the document at fault is alone; the halves
are planned as batches of their own, so that a step stays one batch and a cancel gets in between.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from models.batching.begun import Begin, Begun, Bounds, usual_bounds
from models.batching.core import Result, as_document_error
from models.batching.pace import Pace
from models.batching.plan import Batch, Piece, Plan, TokenBudget, into_batches, padded_tokens
from models.errors import NotFinite, OutOfMemory
from models.memory import is_out_of_memory, release_cached_memory
from models.records import ModelSpec

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Flight:
    """A batch that was begun."""

    priority: float
    batch: Batch
    begun: Begun


class BatchCore:
    """A core for what is done in one forward pass, or in one call of `generate`."""

    def __init__(
        self,
        spec: ModelSpec,
        begin: Begin,
        *,
        batch_key: Callable[[Piece], Hashable] = lambda _: None,
        bounds: Bounds | None = None,
        facts: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Sets up.

        Args:
            spec: of the model, for its name and the size of a batch.
            begin: begins one batch; `at_once` makes one of a function that computes it.
            batch_key: only pieces of equal ones share a batch.
            bounds: of batches, if not the usual ones.
            facts: for `Engine.describe`.
        """
        self.facts = facts
        self._name = spec.name
        self._begin = begin
        self._batch_key = batch_key
        self._bounds = bounds or usual_bounds(spec)
        self._plan = Plan()
        self._flights: deque[_Flight] = deque()
        self._inside: set[Hashable] = set()  # documents
        self._divided: set[Piece] = set()  # of batches that ran out of memory, until computed or failed
        self._budget = TokenBudget(self._bounds.max_tokens)
        self._pace = Pace(self._bounds.max_tokens, self._bounds.max_seconds)
        self._counters = {"steps": 0, "live_rows": 0, "padded_tokens": 0, "useful_tokens": 0}

    @property
    def max_window(self) -> int:
        """Documents to take in at a time."""
        return self._bounds.max_window

    @property
    def counters(self) -> dict[str, int]:
        """Counters of the engine."""
        return {**self._counters, "batch_tokens": self._budget.tokens}

    def wants(self, priority: float) -> bool:
        """Whether nothing is planned that would come before."""
        planned = self._plan.best_priority
        return planned is None or priority < planned

    def add(self, pieces: Sequence[Piece], priority: float) -> None:
        """Plans batches."""
        self._inside.update(piece.key for piece in pieces)
        batches = into_batches(
            pieces, max_tokens=self._budget.tokens, batch_key=self._batch_key, alike=self._bounds.alike
        )
        self._plan.add(priority, batches)

    def discard(self, keys: Collection[Hashable]) -> None:
        """Forgets documents; planned pieces of theirs are skipped, and what is begun has no results."""
        self._inside.difference_update(keys)
        if not self._inside:
            self._forget()

    def so_far(self, key: Hashable) -> Sequence[int]:
        """None: a batch is there once it is computed."""
        return ()

    def step(self) -> list[Result]:
        """Begins the next batch, or as much of it as does not take long, and hands out what is there.

        Waits for the oldest batch only where there is nothing to begin, or enough was.
        """
        is_idle = self._plan.best_priority is None
        results = [] if is_idle else self._begin_next()
        while self._flights and (is_idle or self._has_enough or self._flights[0].begun.is_done):
            results += self._land(self._flights.popleft())
            is_idle = False
        return results

    def close(self) -> None:
        """Drops everything."""
        self._inside.clear()
        self._forget()

    @property
    def _has_enough(self) -> bool:
        return len(self._flights) >= self._bounds.max_begun

    def _begin_next(self) -> list[Result]:
        """Results only of a piece that failed at once."""
        priority, batch = self._next()
        if not batch:
            return []
        self._count(batch)
        try:
            with torch.inference_mode():
                begun = self._begin(batch)
        except torch.AcceleratorError:
            raise  # the device itself has failed: nothing can be computed in this process any more
        except Exception as error:
            return self._divide(priority, batch, error)
        self._flights.append(_Flight(priority, batch, begun))
        return []

    def _land(self, flight: _Flight) -> list[Result]:
        """Results of a batch, those of documents that are no longer inside left out."""
        try:
            with torch.inference_mode():
                results = flight.begun.results()
        except torch.AcceleratorError:
            raise
        except Exception as error:
            return self._divide(flight.priority, flight.batch, error)
        self._divided.difference_update(flight.batch)
        self._budget.note_success()
        if not all(isinstance(result, Exception) for result in results):  # a refusal takes no time
            self._pace.note(flight.batch, flight.begun.seconds)
        return self._checked(flight.priority, flight.batch, results)

    def _next(self) -> tuple[float, Batch]:
        priority, planned = self._plan.pop()
        now, later = self._pace.cut([piece for piece in planned if piece.key in self._inside])
        if later:
            self._plan.put_first(priority, [later])
        return priority, now

    def _forget(self) -> None:
        self._plan.clear()
        self._flights.clear()
        self._divided.clear()

    def _divide(self, priority: float, batch: Batch, error: Exception) -> list[Result]:
        """Plans the halves of a batch that failed; fails the document when it was alone."""
        if is_out_of_memory(error):
            release_cached_memory()
            self._learn_from(batch)
        if len(batch) > 1:
            logger.warning(
                "batch divided",
                extra={
                    "action": "batch_divided",
                    "model": self._name,
                    "num_pieces": len(batch),
                    "reason": type(error).__name__,
                },
            )
            middle = len(batch) // 2
            self._plan.put_first(priority, [batch[:middle], batch[middle:]])
            return []
        self._divided.discard(batch[0])
        return [(batch[0], OutOfMemory() if is_out_of_memory(error) else as_document_error(error))]

    def _learn_from(self, batch: Batch) -> None:
        """Shrinks the budget once for each planned batch that did not fit.

        Its halves are only searched for the one document that is too large: were each of
        them counted, a single such document would bring the budget down to nothing.
        """
        if len(batch) > 1 and self._divided.isdisjoint(batch):
            self._budget.shrink(padded_tokens(batch))
        self._divided.update(batch)

    def _checked(self, priority: float, batch: Batch, results: Sequence[Any]) -> list[Result]:
        """Results that count; one that is not finite may be the company's fault: once more, alone."""
        fine: list[Result] = []
        for piece, result in zip(batch, results, strict=True):
            if piece.key not in self._inside:
                continue  # dropped while it was computed
            if isinstance(result, NotFinite) and len(batch) > 1:
                self._plan.put_first(priority, [[piece]])
            else:
                fine.append((piece, result))
        return fine

    def _count(self, batch: Batch) -> None:
        self._counters["steps"] += 1
        self._counters["live_rows"] += sum(piece.num_rows for piece in batch)
        self._counters["padded_tokens"] += padded_tokens(batch)
        self._counters["useful_tokens"] += sum(
            (piece.num_tokens - piece.num_padding) * piece.num_rows for piece in batch
        )
