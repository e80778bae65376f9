"""How a model decodes: continuously where it can, else by `generate` in batches.

Pieces whose `data` is a `Prompt` go in, `Decoded` comes out.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Hashable, Sequence
from typing import cast

from models.engine.causal import CausalCore, CausalForward
from models.engine.core import DecodingCore
from models.engine.cross import CrossCore
from models.engine.fitting import fit
from models.engine.limits import limits_for
from models.registry import LoadedModel
from models.runners.batch_core import BatchCore
from models.runners.document_engine import Core, Result
from models.runners.generate import BatchDecoder
from models.runners.plan import Piece

logger = logging.getLogger(__name__)


def decoding_core(loaded: LoadedModel) -> Core:
    """The core that suits a model."""
    forward = fit(loaded)
    if forward is None:
        logger.warning(
            "model decodes in batches",
            extra={"action": "no_continuous_decoding", "model": loaded.spec.name},
        )
        decoder = BatchDecoder(loaded)
        return BatchCore(loaded.spec, decoder.decode, batch_key=decoder.group)
    limits = limits_for(loaded)
    if isinstance(forward, CausalForward):
        return ContinuousCore(CausalCore(loaded, forward, limits))
    return ContinuousCore(CrossCore(loaded, forward, limits))


class ContinuousCore:
    """The decoding engine as a core of pieces."""

    def __init__(self, core: DecodingCore) -> None:
        self._core = core
        self._pieces: defaultdict[Hashable, dict[int, Piece]] = defaultdict(dict)  # by document

    @property
    def counters(self) -> dict[str, int]:
        """Counters of the engine."""
        return self._core.counters

    @property
    def max_window(self) -> int:
        """About what begins in the next steps: who comes later is weighed against newcomers then."""
        return max(8, self._core.scheduler.limits.max_rows // 2)

    def wants(self, priority: float) -> bool:
        """Whether few wait before documents of this priority."""
        scheduler = self._core.scheduler
        waiting = scheduler.best_waiting_priority
        return waiting is None or priority < waiting or scheduler.num_waiting < self.max_window

    def add(self, pieces: Sequence[Piece], priority: float) -> None:
        """Queues prompts."""
        for piece in pieces:
            self._pieces[piece.key][piece.index] = piece
            self._core.add((piece.key, piece.index), piece.data, priority=priority)

    def discard(self, keys: Collection[Hashable]) -> None:
        """Forgets documents."""
        inside = [(key, index) for key in keys for index in self._pieces.pop(key, ())]
        self._core.discard(inside)

    def step(self) -> list[Result]:
        """The next token of everything inside."""
        results: list[Result] = []
        for place, result in self._core.step():
            key, index = cast("tuple[Hashable, int]", place)
            results.append((self._pieces[key].pop(index), result))
        return results

    def close(self) -> None:
        """Drops everything."""
        self._pieces.clear()
        self._core.clear()
