"""A batch that a device has begun, and the bounds of batches.

A processor is done when it returns. A GPU has only taken the batch in: the host reads its results
later, and prepares the next ones meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from models.batching.plan import ALIKE, Piece
from models.records import ModelSpec


class Begun(Protocol):
    """A batch on its way."""

    @property
    def is_done(self) -> bool:
        """Whether its results can be had without waiting."""
        ...

    def results(self) -> list[Any]:
        """One for each piece, or a `DocumentError` in its place; waits for the device, and is called once."""
        ...

    @property
    def seconds(self) -> float:
        """Of the device, for this batch alone; known once there are results."""
        ...


Begin = Callable[[Sequence[Piece]], Begun]


@dataclass(frozen=True)
class _Done:
    """A batch that was computed while it was begun."""

    computed: list[Any]
    seconds: float
    is_done: bool = True

    def results(self) -> list[Any]:
        return self.computed


def at_once(
    compute: Callable[[Sequence[Piece]], list[Any]], clock: Callable[[], float] = time.monotonic
) -> Begin:
    """Begins a batch by computing it."""

    def begin(pieces: Sequence[Piece]) -> Begun:
        begun = clock()
        return _Done(compute(pieces), clock() - begun)

    return begin


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How large batches become, and how many a device is given at once."""

    max_tokens: int  #: padded, of a batch
    #: Of the longest piece, the share that the shortest of a batch has once it keeps a device busy; 0 where
    #: padding costs nothing.
    alike: float = ALIKE
    #: Of a batch. At two, CTranslate2 has too few rows of long texts and loses a seventh (docs/LOG.md).
    max_seconds: float = 3.0
    #: Documents taken in at a time: enough to find many of one length, few enough that tokenising
    #: them takes no longer than a batch.
    max_window: int = 512
    max_begun: int = 1  #: batches


def usual_bounds(spec: ModelSpec) -> Bounds:
    """Where a batch is done when it was begun."""
    return Bounds(max_tokens=spec.max_batch_tokens)


def gpu_bounds(spec: ModelSpec) -> Bounds:
    """Where the host runs ahead of the device.

    Time bounds a batch rather than tokens, for an H100 reads 8,192 tokens of a model of 66 M in 3 ms, and
    the host needs nearly as long to begin a batch of any size. Urgent work waits for 150 ms at most.
    """
    return Bounds(max_tokens=16 * spec.max_batch_tokens, max_seconds=0.05, max_window=2048, max_begun=3)
