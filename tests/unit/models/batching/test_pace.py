"""Batches on a slow device: urgent work does not wait for a long one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.batching.batch_core import BatchCore
from models.batching.begun import at_once
from models.batching.plan import Piece, padded_tokens
from models.errors import DocumentError
from models.records import ModelSpec

_SPEC = ModelSpec(name="fake", task="sentiment", ref="fake", max_batch_tokens=8000)
_TOKENS_A_SECOND = 500
_FIXED_SECONDS = 0.01  # of a batch, whatever its size
_MAX_SECONDS = 3.0
_REFUSED = "refused"


class SlowDevice:
    """As slow as a processor, by a clock of its own."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.steps: list[list[Any]] = []
        self.took: list[float] = []

    def compute(self, batch: Sequence[Piece]) -> list[Any]:
        if any(piece.data == _REFUSED for piece in batch):
            return [DocumentError("refused") for _ in batch]
        self.took.append(_FIXED_SECONDS + padded_tokens(batch) / _TOKENS_A_SECOND)
        self.seconds += self.took[-1]
        self.steps.append([piece.key for piece in batch])
        return [piece.key for piece in batch]

    def core(self) -> BatchCore:
        return BatchCore(_SPEC, at_once(self.compute, clock=lambda: self.seconds))


def pieces(count: int, *, num_tokens: int, name: str = "d") -> list[Piece]:
    return [Piece(key=f"{name}{i}", index=0, num_tokens=num_tokens) for i in range(count)]


def test_a_batch_that_would_take_long_is_computed_in_parts() -> None:
    """A batch was as long as its budget allowed: on a processor a quarter of a minute."""
    device = SlowDevice()
    core = device.core()
    core.add(pieces(80, num_tokens=100), priority=6.0)
    while not core.wants(float("inf")):
        core.step()
    assert sorted(key for step in device.steps for key in step) == sorted(f"d{i}" for i in range(80))
    assert max(device.took) <= _MAX_SECONDS + _FIXED_SECONDS
    assert sum(took < _MAX_SECONDS / 2 for took in device.took) <= 1  # nor in many small ones


def test_urgent_work_comes_between_the_parts() -> None:
    device = SlowDevice()
    core = device.core()
    core.add(pieces(80, num_tokens=100), priority=6.0)
    core.step()
    core.add(pieces(1, num_tokens=20, name="urgent"), priority=3.0)
    core.step()
    assert device.steps[1] == ["urgent0"]


def test_what_is_cancelled_between_the_parts_is_not_computed() -> None:
    device = SlowDevice()
    core = device.core()
    core.add(pieces(80, num_tokens=100), priority=6.0)
    core.step()
    done = set(device.steps[0])
    core.discard([f"d{i}" for i in range(80)])
    while not core.wants(float("inf")):
        core.step()
    assert {key for step in device.steps for key in step} == done


def test_a_piece_that_takes_long_by_itself_is_computed_all_the_same() -> None:
    device = SlowDevice()
    core = device.core()
    core.add(pieces(2, num_tokens=3000), priority=6.0)
    core.step()
    core.step()
    assert device.steps == [["d0"], ["d1"]]


def test_batches_do_not_stay_small_after_a_small_one() -> None:
    """One short text takes what any batch takes at least, so the device seems slow."""
    device = SlowDevice()
    core = device.core()
    core.add(pieces(1, num_tokens=1, name="short"), priority=6.0)
    core.step()
    core.add(pieces(80, num_tokens=100), priority=6.0)
    for _ in range(3):
        core.step()
    assert device.took[-1] > _MAX_SECONDS / 2


def test_refusals_say_nothing_of_how_fast_the_device_is() -> None:
    """They come back at once, and what came next was computed whole, however long it took."""
    device = SlowDevice()
    core = device.core()
    core.add([Piece(key="wrong", index=0, num_tokens=100, data=_REFUSED)], priority=3.0)
    core.step()
    core.add(pieces(80, num_tokens=100), priority=6.0)
    core.step()
    assert device.took[-1] <= _MAX_SECONDS
