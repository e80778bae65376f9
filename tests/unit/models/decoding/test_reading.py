"""Sources are read into pages: by kernels, in shapes that repeat, and as a graph would keep it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.decoding.attention.ancestry import AncestralAttention
from models.decoding.group_factory import build_group_program
from models.decoding.passes.encoder_decoder import EncoderDecoderProgram
from models.decoding.passes.positions import adapt_positions
from models.decoding.passes.reading import (
    CapturedReadings,
    EagerReadings,
    Ints,
    Reading,
    columns_for,
    padded_count,
    padded_width,
    stage_source,
    with_nobody,
)  # fmt: skip
from models.decoding.tensors.kv_pages import KVPages, LayerSize
from tests.support.groups import MOST_SOURCE, TIGHT, layout_of
from tests.support.seated import DEVICE
from tests.support.tape import Recorder, addresses
from tests.support.tiny_models import Loader

_SOURCES = ([5, 9, 33, 7], [12] * 17, [8])


def _program(loaded: Loader, name: str) -> tuple[EncoderDecoderProgram, Reading]:
    model = loaded("translation", name)
    adapt_positions(model.model)
    program = build_group_program(
        model, TIGHT, by="reference", layout=layout_of(name), most_source=MOST_SOURCE
    )
    assert isinstance(program, EncoderDecoderProgram)
    program.pages.allocate(9)
    for pool in (*program.pages.source.keys, *program.pages.source.values):
        pool.zero_()
    return program, Reading(program.forward, program.attention, program.pages.source)


def _inbox(width: int) -> Ints:
    inbox = np.zeros((len(_SOURCES), columns_for(width)), np.int32)
    page = 1
    for row, ids in zip(inbox, _SOURCES, strict=True):
        pages = page + np.arange(len(ids), dtype=np.int32) // 16
        stage_source(row, np.array(ids, np.int32), pages)
        page = int(pages[-1]) + 1
    return inbox


@pytest.mark.parametrize("name", ["marian", "bart", "t5", "nllb"])
def test_padding_and_missing_documents_leave_what_is_read_as_it_is(name: str, loaded: Loader) -> None:
    """Graphs have few shapes: a pass is wider than its longest document, and has rows of nobody's."""
    program, reading = _program(loaded, name)
    source = program.pages.source
    with torch.inference_mode():
        EagerReadings(reading).run(_inbox(17))
        wanted = [pool[1:].clone() for pool in (*source.keys, *source.values)]
        for pool in (*source.keys, *source.values):
            pool.zero_()
        EagerReadings(reading).run(with_nobody(_inbox(padded_width(17)), 16))
    got = [pool[1:] for pool in (*source.keys, *source.values)]
    assert all(float(each.abs().max()) > 0 for each in wanted)
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(got, wanted, strict=True))


@pytest.mark.parametrize("name", ["marian", "bart", "t5", "nllb"])
def test_two_passes_of_a_shape_dispatch_the_same_operators_on_the_same_addresses(
    name: str, loaded: Loader
) -> None:
    program, reading = _program(loaded, name)
    own: Any = program.forward.model
    static = torch.from_numpy(_inbox(24))
    source = program.pages.source
    lasting = addresses([static, *source.keys, *source.values, *own.parameters(), *own.buffers()])
    tapes = []
    for shorter in (0, 3):
        static[0, 2 * 24] -= shorter
        recorder = Recorder(lasting)
        with torch.inference_mode(), recorder:
            reading.run(static)
        assert not recorder.host_reads - _OF_THE_MASK
        tapes.append(recorder.tape)
    assert tapes[0] == tapes[1]


#: transformers looks whether nothing is masked, unless a stream is captured.
_OF_THE_MASK = {"_local_scalar_dense", "item", "is_nonzero"}


@pytest.mark.parametrize("size", [48, 64])
def test_the_kernel_stores_what_torch_stores(size: int) -> None:
    pytest.importorskip("triton")
    from models.decoding.attention.ancestry_cuda import AncestralTriton

    draw = torch.Generator().manual_seed(1)
    # As projections are: (documents, tokens, heads, size), transposed.
    keys, values = (torch.randn(3, 37, 2, size, generator=draw).to(DEVICE).transpose(1, 2) for _ in range(2))
    cells = torch.zeros(3, 40, dtype=torch.int32, device=DEVICE)[:, :37]
    cells[0], cells[1, :20] = (
        torch.arange(37, device=DEVICE) // 16 + 1,
        torch.arange(20, device=DEVICE) // 16 + 4,
    )
    wanted, got = (_Pool.of(size) for _ in range(2))
    AncestralAttention.store_source(wanted.pages, 0, keys, values, cells)
    AncestralTriton.store_source(got.pages, 0, keys, values, cells)
    for one, other in zip(wanted.tensors, got.tensors, strict=True):
        assert torch.equal(one[1:], other[1:])
        assert not other[0].any()


@dataclass
class _Pool:
    pages: KVPages
    tensors: list[Tensor] = field(default_factory=list)

    @staticmethod
    def of(size: int) -> _Pool:
        pages = KVPages([LayerSize(2, size, size)], torch.float32, torch.device(DEVICE))
        pages.allocate(7)
        tensors = [*pages.keys, *pages.values]
        for each in tensors:
            each.zero_()
        return _Pool(pages, tensors)


def test_shapes_are_few_and_hardly_larger_than_needed() -> None:
    assert [padded_width(width) for width in (1, 16, 17, 24, 25, 33, 100, 130)] == [
        16,
        16,
        24,
        24,
        32,
        48,
        128,
        192,
    ]
    assert [padded_count(count) for count in (1, 2, 4, 5, 16, 17, 33, 64)] == [1, 4, 4, 16, 16, 32, 64, 64]


def test_passes_of_usual_sizes_are_captured_before_anybody_waits(
    loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first seconds of a job every new shape used to stop all documents while it was captured."""
    _, reading = _program(loaded, "marian")
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: None)
    prepared: list[tuple[int, int]] = []
    monkeypatch.setattr(CapturedReadings, "_prepare", lambda _, shape: prepared.append(shape))
    CapturedReadings(reading, most_tokens=MOST_SOURCE).capture_ahead(256, within_seconds=60.0)
    wanted = [(16, 16), (16, 24), (16, 32), (16, 48), (4, 64), (4, 16), (4, 24), (4, 32), (1, 48), (1, 64)]
    assert prepared == [(count, columns_for(width)) for count, width in wanted]


def test_an_encoder_that_no_graph_takes_is_read_operator_by_operator(
    loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As steps are: its documents are read all the same, and nobody tries to capture it again."""
    program, reading = _program(loaded, "marian")
    source = program.pages.source
    with torch.inference_mode():
        EagerReadings(reading).run(_inbox(24))
    wanted = [pool[1:].clone() for pool in (*source.keys, *source.values)]
    tries: list[int] = []

    def refuse(*_: Any) -> None:
        tries.append(1)
        raise RuntimeError("operation not permitted when stream is capturing")

    for name in ("Stream", "graph_pool_handle", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: None)
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr("models.decoding.passes.reading.captured", refuse)
    captured = CapturedReadings(reading, most_tokens=MOST_SOURCE)
    for _ in range(2):
        for pool in (*source.keys, *source.values):
            pool.zero_()
        with torch.inference_mode():
            captured.run(_inbox(24))
        got = [pool[1:] for pool in (*source.keys, *source.values)]
        assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(got, wanted, strict=True))
    assert len(tries) == 1
