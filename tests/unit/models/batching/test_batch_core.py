"""What becomes of a batch that fails: who fails, who is computed again, how large batches then are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.batching.batch_core import BatchCore
from models.batching.begun import at_once
from models.batching.core import Result
from models.batching.plan import Batch, Piece, padded_tokens
from models.errors import NotFinite, OutOfMemory
from models.records import ModelSpec

_MAX_TOKENS = 80
_SPEC = ModelSpec(name="fake", task="sentiment", ref="fake", max_batch_tokens=_MAX_TOKENS)


def test_a_document_that_does_not_fit_fails_alone() -> None:
    core = experienced(Device(too_large={3}))
    core.add(pieces(8), priority=6.0)
    results = drain(core)
    assert sorted(piece.index for piece, _ in results) == list(range(8))
    failed = [piece.index for piece, result in results if isinstance(result, OutOfMemory)]
    assert failed == [3]


def test_one_document_that_does_not_fit_halves_the_batches_once() -> None:
    """Every halving on the way to that one used to shrink them, down to a document at a time."""
    core = experienced(Device(too_large={3}))
    core.add(pieces(8), priority=6.0)
    drain(core)
    assert core.counters["batch_tokens"] == _MAX_TOKENS // 2


def test_batches_shrink_to_what_the_memory_holds() -> None:
    device = Device(max_tokens=25)
    core = experienced(device)
    while core.counters["batch_tokens"] > 25:
        core.add(pieces(8), priority=6.0)
        assert not failures(drain(core))
    num_failed = device.num_failed
    core.add(pieces(50), priority=6.0)
    assert not failures(drain(core))
    assert device.num_failed == num_failed  # nothing has to be divided any more


def test_batches_grow_back_after_a_hundred_that_fitted() -> None:
    core = experienced(Device(too_large={0}))
    core.add(pieces(8), priority=6.0)
    drain(core)
    for _ in range(100):
        core.add(pieces(1, first=1), priority=6.0)
        drain(core)
    assert core.counters["batch_tokens"] == _MAX_TOKENS


def test_a_result_that_is_not_finite_is_computed_once_more_alone() -> None:
    """A neighbour's overflow spreads through padding on some devices; alone it cannot."""
    device = Device(not_finite_in_company={2, 5}, never_finite={5})
    core = experienced(device)
    core.add(pieces(8), priority=6.0)
    results = drain(core)
    assert sorted(piece.index for piece, _ in results) == list(range(8))
    assert [piece.index for piece, result in results if isinstance(result, NotFinite)] == [5]


def test_what_is_cancelled_between_two_halves_is_not_computed() -> None:
    device = Device(max_tokens=40)
    core = experienced(device)
    planned = pieces(8)
    core.add(planned, priority=6.0)
    assert core.step() == []  # divided
    core.discard([piece.key for piece in planned[:4]])
    assert sorted(piece.index for piece, _ in drain(core)) == [4, 5, 6, 7]
    assert device.computed == [4, 5, 6, 7]


def test_the_halves_come_before_other_work_and_after_more_urgent_work() -> None:
    device = Device(max_tokens=40)
    core = experienced(device)
    core.add(pieces(8), priority=6.0)
    core.add(pieces(2, first=20), priority=6.0)
    core.step()
    core.add(pieces(2, first=10), priority=3.0)
    drain(core)
    assert device.computed == [10, 11, *range(8), 20, 21]


class Device:
    """Computes pieces as long as they fit; a result is the piece's number."""

    def __init__(
        self,
        *,
        max_tokens: int | None = None,
        too_large: frozenset[int] | set[int] = frozenset(),
        not_finite_in_company: frozenset[int] | set[int] = frozenset(),
        never_finite: frozenset[int] | set[int] = frozenset(),
    ) -> None:
        self._max_tokens = max_tokens
        self._too_large = too_large
        self._in_company = not_finite_in_company
        self._never = never_finite
        self.computed: list[int] = []
        self.num_failed = 0

    def compute(self, batch: Sequence[Piece]) -> list[Any]:
        if any(piece.index in self._too_large for piece in batch) or not self._fits(list(batch)):
            self.num_failed += 1
            raise MemoryError
        self.computed += [piece.index for piece in batch]
        return [self._result(piece, alone=len(batch) == 1) for piece in batch]

    def _fits(self, batch: Batch) -> bool:
        return self._max_tokens is None or padded_tokens(batch) <= self._max_tokens

    def _result(self, piece: Piece, *, alone: bool) -> Any:
        if piece.index in self._never or (piece.index in self._in_company and not alone):
            return NotFinite()
        return piece.index


def experienced(device: Device) -> BatchCore:
    """A core that knows how fast its device is, so that batches are computed whole."""
    core = BatchCore(_SPEC, at_once(device.compute))
    core.add(pieces(1, first=99), priority=6.0)
    drain(core)
    device.computed.clear()
    return core


def pieces(count: int, *, first: int = 0) -> list[Piece]:
    return [Piece(key=f"d{i}", index=i, num_tokens=10) for i in range(first, first + count)]


def drain(core: BatchCore) -> list[Result]:
    """Everything that comes of the work planned, in the order in which it came."""
    results: list[Result] = []
    while core.wants(float("inf")) is False:
        results += core.step()
    return results


def failures(results: Sequence[Result]) -> list[Result]:
    return [result for result in results if isinstance(result[1], Exception)]
