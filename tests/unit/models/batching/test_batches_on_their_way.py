"""The host begins batches while the device computes others, and reads results late."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import pytest
import torch

from models.batching.batch_core import BatchCore
from models.batching.begun import Bounds
from models.batching.plan import Piece
from models.errors import DocumentError, NotFinite
from models.loop.device_loop import DeviceLoop
from models.loop.pool import WarmPool
from models.records import DocumentInput, DocumentOutput, ModelSpec
from models.tasks.documents.document_engine import DocumentEngine, OpenDocument, PieceData, Prepared
from tests.support.engines import documents
from tests.support.late_device import LateBatch, LateDevice

_PER_BATCH = 4
_SPEC = ModelSpec(name="fake", task="sentiment", ref="fake", max_batch_tokens=_PER_BATCH)


def core_of(device: LateDevice, *, max_begun: int = 2, max_tokens: int = _PER_BATCH) -> BatchCore:
    bounds = Bounds(max_tokens=max_tokens, max_begun=max_begun, max_window=_PER_BATCH)
    core = BatchCore(_SPEC, device.begin, bounds=bounds)
    core._pace.note(pieces("pace"), 1e-3)  # batches are not cut: how fast the device is is known
    return core


def pieces(*keys: Hashable) -> list[Piece]:
    return [Piece(key=key, index=0, num_tokens=1, data=key) for key in keys]


def keys_of(results: Sequence[tuple[Piece, Any]]) -> list[Hashable]:
    return [piece.key for piece, _ in results]


def test_the_next_batch_is_begun_before_the_results_of_the_first_are_read() -> None:
    """On a GPU the device stood still while the host read results and made the next batch ready."""
    device = LateDevice()
    core = core_of(device)
    core.add(pieces(*range(3 * _PER_BATCH)), priority=6.0)
    assert core.step() == []
    assert keys_of(core.step()) == [0, 1, 2, 3]  # read when the second was begun
    assert device.num_waiting == 1
    assert keys_of(core.step()) == [4, 5, 6, 7]
    assert keys_of(core.step()) == [8, 9, 10, 11]


def test_a_device_is_given_so_many_batches_at_once_and_no_more() -> None:
    device = LateDevice()
    core = core_of(device, max_begun=3)
    core.add(pieces(*range(10 * _PER_BATCH)), priority=6.0)
    most = 0
    for _ in range(12):
        core.step()
        most = max(most, device.num_waiting)
    assert most == 2  # the third is begun, and then the first is waited for
    assert len(device.begun) == 10
    assert device.num_waiting == 0


def test_what_is_done_is_handed_out_without_waiting_for_more() -> None:
    device = LateDevice()
    core = core_of(device, max_begun=4)
    core.add(pieces(*range(3 * _PER_BATCH)), priority=6.0)
    core.step()
    core.step()
    device.begun[0].is_done = True
    assert keys_of(core.step()) == [0, 1, 2, 3]
    assert device.num_waiting == 2


def test_an_error_that_shows_late_is_settled_with_its_own_documents() -> None:
    device = LateDevice()
    core = core_of(device)
    core.add(pieces("bad", 1, 2, 3, 4, 5), priority=6.0)
    core.step()
    device.begun[0].error = ValueError("index out of range")
    device.compute = _refuse_bad
    results = {piece.key: result for _ in range(8) for piece, result in core.step()}
    assert isinstance(results.pop("bad"), DocumentError)
    assert results == {number: number for number in range(1, 6)}


def test_memory_that_runs_out_late_costs_its_batch_another_run_in_halves() -> None:
    device = LateDevice()
    core = core_of(device)
    core.add(pieces(*range(2 * _PER_BATCH)), priority=6.0)
    core.step()
    device.begun[0].error = torch.OutOfMemoryError("out of memory")
    found = [result for _ in range(6) for result in core.step()]
    assert sorted(result for _, result in found) == list(range(8))
    assert [batch.keys for batch in device.begun] == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1], [2, 3]]
    assert core.counters["batch_tokens"] == _PER_BATCH // 2


def test_a_device_that_has_failed_is_not_taken_for_a_document_that_has() -> None:
    device = LateDevice()
    core = core_of(device)
    core.add(pieces(1, 2), priority=6.0)
    core.step()
    device.begun[0].error = torch.AcceleratorError("illegal memory access")
    with pytest.raises(torch.AcceleratorError):
        core.step()


def test_what_is_not_finite_is_computed_again_alone_though_it_shows_late() -> None:
    device = LateDevice(lambda data: NotFinite() if data == "nan" else data)
    core = core_of(device)
    core.add(pieces("nan", 1, 2, 3, 4), priority=6.0)
    results = [result for _ in range(5) for result in core.step()]
    assert sorted(map(str, keys_of(results))) == ["1", "2", "3", "4", "nan"]
    assert ["nan"] in [batch.keys for batch in device.begun]


def test_a_document_that_is_cancelled_while_it_is_computed_is_not_delivered() -> None:
    device = LateDevice()
    core = core_of(device)
    core.add(pieces(*range(_PER_BATCH)), priority=6.0)
    core.step()
    core.discard([1, 2])
    assert keys_of(core.step()) == [0, 3]


def test_when_all_are_cancelled_nothing_is_waited_for() -> None:
    device = LateDevice()
    core = core_of(device)
    core.add(pieces(1, 2), priority=6.0)
    core.step()
    core.discard([1, 2])
    assert core.step() == []
    assert device.num_waiting == 1


class WordEngine(DocumentEngine):
    """A piece for each document."""

    def __init__(self, device: LateDevice) -> None:
        self.prepared: list[list[Hashable]] = []
        super().__init__(_Loaded(), core_of(device))  # type: ignore[arg-type]

    def prepare(self, documents: Sequence[DocumentInput]) -> list[Prepared | DocumentError]:
        self.prepared.append([document.key for document in documents])
        return [
            Prepared(pieces=[PieceData(num_tokens=1, data=document.text)], input_tokens=1)
            for document in documents
        ]

    def assemble(self, opened: OpenDocument) -> DocumentOutput:
        return DocumentOutput(key=opened.document.key, output={"text": opened.results[0]})


class _Loaded:
    spec = _SPEC
    facts: Mapping[str, Any] = MappingProxyType({})


def test_the_next_documents_are_tokenised_while_the_first_are_computed() -> None:
    device = LateDevice()
    engine = WordEngine(device)
    prepared_when_waiting: list[int] = []
    device.on_wait = lambda _: prepared_when_waiting.append(len(engine.prepared))
    engine.submit(documents(*"abcdefghijkl"))
    outputs = [output for _ in range(4) for output in engine.step()]
    assert prepared_when_waiting == [2, 3, 3]
    assert [output.key for output in outputs] == list(range(12))
    assert not engine.has_work


def test_a_loop_that_is_stopped_reads_what_is_on_its_way() -> None:
    device = LateDevice()
    pool = WarmPool([_SPEC], build=lambda _: WordEngine(device), budget_bytes=0)
    loop = DeviceLoop(pool, on_death=lambda error: None)
    is_waiting, may_go_on = threading.Event(), threading.Event()

    def hold(_: LateBatch) -> None:
        is_waiting.set()
        may_go_on.wait(30)

    device.on_wait = hold
    loop.start()
    ticket = loop.submit("fake", documents(*"abcdefghij"))
    assert is_waiting.wait(30)
    with ThreadPoolExecutor() as others:
        was_clean = others.submit(loop.stop, 30.0)
        may_go_on.set()
        assert was_clean.result(30)
    delivered = [output.key for output in ticket.outcomes(30)]
    assert delivered == list(range(10))


def _refuse_bad(data: Any) -> Any:
    if data == "bad":
        raise ValueError("index out of range")
    return data
