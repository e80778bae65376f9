"""Attention over the pages of groups against a plain float64 one: the reference, and the kernels of GPUs and CPUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.decoding.attention.ancestry import AncestralAttention
from models.decoding.attention.interface import Layer
from models.decoding.scheduling import group_layout, layout
from models.decoding.scheduling.group import BeamParameters
from models.decoding.scheduling.group_layout import GroupShape
from models.decoding.tensors.group_state import GroupState
from models.decoding.tensors.kv_pages import KVPages, LayerSize
from models.errors import NotSuited
from tests.support.seated import DEVICE, page_tables
from tests.support.seated_groups import PAGES, SOURCE_PAGES, group_of, make_group_state, seat_groups

_PAGE, _NUM_PAGES = 16, 80
_WIDTHS = (3, 1, 4, 2)
_POSITIONS = (37, 0, 70, 16)  # the second group sees its new keys alone
_SOURCES = (20, 1, 64, 17)


@dataclass
class _Case:
    """Groups in the middle of a search, over pages of random numbers, with ancestors drawn at random."""

    state: GroupState
    pages: KVPages
    shape: GroupShape
    layer: Layer
    writers: list[list[int]]  #: of each row, the seats that wrote what it sees before its position
    positions: list[int]  #: of each row


def _case(
    heads: int, key_heads: int, size: int, *, window: int = 0, bias: bool = False, seed: int = 0
) -> _Case:
    state = make_group_state(14, 50)
    groups = [
        group_of(BeamParameters(num_beams=width, num_candidates=2 * width), source=source)
        for width, source in zip(_WIDTHS, _SOURCES, strict=True)
    ]
    positions = [p for p, width in zip(_POSITIONS, _WIDTHS, strict=True) for _ in range(width)]
    tables = page_tables([position + 1 for position in positions], _NUM_PAGES, seed=seed)
    free = [*set(range(1, _NUM_PAGES)) - {page for table in tables for page in table}]
    for group, source in zip(groups, _SOURCES, strict=True):
        group.source_pages = np.array([free.pop() for _ in range(-(-source // _PAGE))], np.int32)
    shape = seat_groups(state, groups, tables)
    draw = np.random.default_rng(seed)
    writers, row = [], 0
    for group, position in zip(groups, _POSITIONS, strict=True):
        for seat in group.seats.tolist():
            state.rows[seat, layout.POSITION] = position
            seen = draw.choice(group.seats, size=position)
            state.ancestry[position % 2, seat, :position] = torch.from_numpy(seen.astype(np.int16)).to(DEVICE)
            state.ancestry[1 - position % 2, seat] = 0  # the other table is about to be written
            writers.append(seen.tolist())
            row += 1
    pages = KVPages([LayerSize(key_heads, size, size)], torch.float32, DEVICE)
    pages.allocate(_NUM_PAGES)
    random = torch.Generator().manual_seed(seed)
    for pool in (pages.keys[0], pages.values[0]):
        pool.copy_(torch.randn(pool.shape, generator=random))
    inbox = state.host_inbox()
    inbox[: shape.num_rows] = state.num_seats
    inbox[:row] = state.seats[:row].cpu().numpy()
    inbox[state.num_seats : state.num_seats + shape.num_rows] = 0
    state.send(2 * state.num_seats, 2 * state.num_seats)
    counts = (heads, key_heads, key_heads)
    new = [torch.randn(shape.num_rows, n, size, generator=random).to(DEVICE) for n in counts]
    added = torch.randn(heads, shape.num_rows, PAGES * _PAGE, generator=random).to(DEVICE) if bias else None
    layer = Layer(0, *new, scale=size**-0.5, window=window, bias=added)
    return _Case(state, pages, shape, layer, writers, positions)


def _backend(kind: str, case: _Case, split: int) -> Any:
    if kind == "torch":
        return AncestralAttention()
    if kind == "cpu":
        if DEVICE.type != "cpu":
            pytest.skip("computes in a CPU's memory")
        from models.decoding.attention.ancestry_cpu import AncestralCpu

        return AncestralCpu()
    pytest.importorskip("triton")
    from models.decoding.attention.ancestry_cuda import AncestralTriton

    heads, size = case.layer.queries.shape[1:]
    return AncestralTriton(case.state, num_heads=heads, head_size=size, split=split)


def _attend(query: Tensor, keys: Tensor, values: Tensor, scale: float, bias: Tensor | None) -> Tensor:
    """(heads, size), of keys (heads of keys, places, size), in float64."""
    groups = query.shape[0] // keys.shape[0]
    keys, values = (each.repeat_interleave(groups, 0).double() for each in (keys, values))
    scores = torch.einsum("hd,hnd->hn", query.double(), keys) * scale
    if bias is not None:
        scores = scores + bias.double()
    return torch.einsum("hn,hnd->hd", scores.softmax(-1), values)


def _wanted(case: _Case) -> Tensor:
    layer, state = case.layer, case.state
    keys, values = case.pages.keys[0].clone(), case.pages.values[0].clone()
    seats = state.seats[: len(case.positions)].tolist()

    def cell(seat: int, place: int) -> tuple[int, int]:
        return int(state.rows[seat, layout.PAGES + place // _PAGE]), place % _PAGE

    for row, (seat, position) in enumerate(zip(seats, case.positions, strict=True)):
        page, place = cell(seat, position)
        keys[page, :, place], values[page, :, place] = layer.keys[row], layer.values[row]
    result = []
    for row, (seat, position) in enumerate(zip(seats, case.positions, strict=True)):
        writers = [*case.writers[row], seat]
        first = max(0, position + 1 - layer.window) if layer.window else 0
        cells = [cell(writers[place], place) for place in range(first, position + 1)]
        own = [torch.stack([pool[page, :, place] for page, place in cells], 1) for pool in (keys, values)]
        bias = None if layer.bias is None else layer.bias[:, row, first : position + 1]
        result.append(_attend(layer.queries[row], *own, layer.scale, bias))
    return torch.stack(result)


@pytest.mark.parametrize(
    ("kind", "split"),
    [("torch", 0), ("triton", 512), ("triton", 32), ("cpu", 0)],
    ids=["torch", "triton", "triton, split", "cpu"],
)
@pytest.mark.parametrize(
    ("heads", "key_heads", "size", "window", "bias"),
    [(4, 4, 64, 0, False), (4, 2, 48, 0, True), (2, 2, 8, 6, False), (2, 1, 256, 40, True)],
)
def test_a_beam_sees_what_its_ancestors_wrote(
    heads: int, key_heads: int, size: int, window: int, bias: bool, kind: str, split: int
) -> None:
    case = _case(heads, key_heads, size, window=window, bias=bias, seed=size)
    wanted = _wanted(case)
    backend = _backend(kind, case, split)
    backend.begin(case.state, case.shape)
    got = backend.attend(case.state, case.pages, case.shape, case.layer)[: len(case.positions)].double()
    assert not got.isnan().any()
    assert float((got - wanted).norm() / wanted.norm()) < 1e-5


@pytest.mark.parametrize("kind", ["torch", "triton", "cpu"])
@pytest.mark.parametrize(("heads", "key_heads", "size"), [(4, 4, 64), (8, 2, 48), (1, 1, 16)])
def test_all_beams_of_a_document_see_its_source_and_nothing_else(
    heads: int, key_heads: int, size: int, kind: str
) -> None:
    case = _case(heads, key_heads, size, seed=3)
    state, pool = case.state, case.pages
    backend = _backend(kind, case, 512)
    backend.begin(state, case.shape)
    wanted, row = [], 0
    for width, source in zip(_WIDTHS, _SOURCES, strict=True):
        seat = int(state.seats[row])
        begin = state.first_column + group_layout.SOURCE_PAGES
        table = state.rows[seat, begin : begin + SOURCE_PAGES].tolist()
        own = [
            torch.stack([p[0][table[place // _PAGE], :, place % _PAGE] for place in range(source)], 1)
            for p in (pool.keys, pool.values)
        ]
        last = (source - 1) // _PAGE
        for p in (pool.keys, pool.values):  # what lies behind the end is nobody's
            p[0][table[last], :, (source - 1) % _PAGE + 1 :] = torch.nan
        queries = case.layer.queries[row : row + width]
        wanted += [_attend(query, *own, case.layer.scale, None) for query in queries]
        row += width
    got = backend.attend_source(state, pool, case.shape, case.layer)[:row].double()
    assert float((got - torch.stack(wanted)).norm() / torch.stack(wanted).norm()) < 1e-5


def test_scores_that_the_kernels_would_get_wrong_are_refused() -> None:
    case = _case(2, 2, 16)
    object.__setattr__(case.layer, "cap", 30.0)
    backend = _backend("triton", case, 512)
    with pytest.raises(NotSuited):
        backend.attend(case.state, case.pages, case.shape, case.layer)
