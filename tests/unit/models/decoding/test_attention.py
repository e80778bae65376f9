"""Attention over pages against a plain float64 one: the reference, and the kernels of CPUs and GPUs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.decoding.attention.cpu import CpuAttention
from models.decoding.attention.interface import AttentionBackend, Layer, refuse_unknown
from models.decoding.attention.reference import ReferenceAttention
from models.decoding.scheduling.layout import PROMPT_PARTS, Shape
from models.decoding.scheduling.request import Request
from models.decoding.scheduling.scheduler import Chunk
from models.decoding.scheduling.staging import stage_chunks, stage_rows
from models.decoding.tensors.kv_pages import KVPages, LayerSize
from models.decoding.tensors.state import BatchState
from models.errors import NotSuited
from tests.support.seated import DEVICE, make_state, page_tables, request_of, seat

_PAGE = 16
_NUM_PAGES = 40


@dataclass
class _Case:
    """Rows that decode at positions, and a chunk of a prompt beside them, over pages of random numbers."""

    state: BatchState
    pages: KVPages
    shape: Shape
    layer: Layer
    tokens: list[tuple[int, int]]  #: seat and position of each token of the step
    tables: list[list[int]]


def _case(
    heads: int,
    key_heads: int,
    size: int,
    *,
    value_size: int = 0,  # as of keys
    window: int = 0,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    start: int = 13,
) -> _Case:
    positions = [0, 15, 16, 37, 70, 95]  # of rows that decode; the first sees itself alone
    count = 9  # of a chunk, by default the second of its prompt
    lengths = [*(position + 1 for position in positions), start + count]
    state = make_state(8, 6, 50)
    value_size = value_size or size
    pages = KVPages([LayerSize(key_heads, size, value_size)], dtype, DEVICE)
    pages.allocate(_NUM_PAGES)
    draw = torch.Generator().manual_seed(seed)
    for pool in (pages.keys[0], pages.values[0]):
        pool.copy_(torch.randn(pool.shape, generator=draw))
    tables = page_tables(lengths, _NUM_PAGES, seed=seed)
    for number, (length, table) in enumerate(zip(lengths, tables, strict=True)):
        seat(state, number, request_of(length), table)
    shape = Shape(8, 16)
    inbox = state.host_inbox()
    rows = np.arange(len(positions), dtype=np.int32)
    stage_rows(inbox, shape, rows, (rows[:0], rows[:0]), state.num_seats)
    prompt: Request = request_of(60)
    prompt.seat = len(positions)
    stage_chunks(inbox, shape, [Chunk(prompt, start, count)], state.num_seats)
    end = 2 * state.num_seats + shape.prompt_ints
    state.send(end, end)
    new = [
        torch.randn(shape.num_tokens, n, length, generator=draw).to(DEVICE, dtype)
        for n, length in ((heads, size), (key_heads, size), (key_heads, value_size))
    ]
    layer = Layer(0, *new, scale=size**-0.5, window=window)
    decoding = list(enumerate(positions))
    nobody = [(-1, 0)] * (shape.num_rows - len(decoding))
    filling = [(len(positions), start + n) for n in range(count)]
    return _Case(state, pages, shape, layer, decoding + nobody + filling, tables)


def _plain(case: _Case) -> Tensor:
    """What each token should see, in float64, from keys as they lie after the step's own are stored."""
    layer = case.layer
    keys, values = case.pages.keys[0].cpu().double(), case.pages.values[0].cpu().double()
    new_keys, new_values = layer.keys.cpu().double(), layer.values.cpu().double()
    for token, (who, position) in enumerate(case.tokens):
        if who >= 0:
            page = case.tables[who][position // _PAGE]
            keys[page, :, position % _PAGE], values[page, :, position % _PAGE] = (
                new_keys[token],
                new_values[token],
            )
    heads = layer.queries.shape[1]
    result = torch.zeros(len(case.tokens), heads, layer.values.shape[2], dtype=torch.float64)
    for token, (who, position) in enumerate(case.tokens):
        if who < 0:
            continue
        first = max(0, position + 1 - layer.window) if layer.window else 0
        seen = [(case.tables[who][place // _PAGE], place % _PAGE) for place in range(first, position + 1)]
        own_keys = torch.stack([keys[page, :, place] for page, place in seen], dim=1)
        own_values = torch.stack([values[page, :, place] for page, place in seen], dim=1)
        groups = heads // own_keys.shape[0]
        own_keys, own_values = own_keys.repeat_interleave(groups, 0), own_values.repeat_interleave(groups, 0)
        scores = torch.einsum("hd,hnd->hn", layer.queries[token].cpu().double(), own_keys) * layer.scale
        shares = _softened(scores, layer, torch.arange(first, position + 1))
        result[token] = torch.einsum("hn,hnd->hd", shares, own_values)
    return result


def _softened(scores: Tensor, layer: Layer, places: Tensor) -> Tensor:
    """Shares of keys, (heads, keys), by the formulas of Gemma 2, ALiBi and gpt-oss."""
    if layer.cap:
        scores = torch.tanh(scores / layer.cap) * layer.cap
    if layer.slopes is not None:
        scores = scores + layer.slopes.double()[:, None] * places
    weights = scores.exp()
    total = weights.sum(-1, keepdim=True)
    if layer.sinks is not None:
        total = total + layer.sinks.double().exp()[:, None]
    return weights / total


def _poison(case: _Case) -> None:
    """What nobody may read is no number: pages of others, places behind the end."""
    for pool in (case.pages.keys[0], case.pages.values[0]):
        used = {page for table in case.tables for page in table}
        for page in set(range(_NUM_PAGES)) - used:
            pool[page] = torch.nan
        lengths = [position for who, position in case.tokens[:6]] + [case.tokens[-1][1]]
        for table, last in zip(case.tables, lengths, strict=True):
            pool[table[last // _PAGE], :, last % _PAGE :] = torch.nan


def _check(case: _Case, backend: AttentionBackend, *, tolerance: float = 1e-5) -> None:
    _poison(case)
    wanted = _plain(case)
    backend.begin(case.state, case.shape)
    out = backend.attend(case.state, case.pages, case.shape, case.layer).cpu().double()
    is_somebody = torch.tensor([who >= 0 for who, _ in case.tokens])
    got = out[: len(case.tokens)][is_somebody]
    assert not got.isnan().any()
    assert float((got - wanted[is_somebody]).norm() / wanted.norm()) < tolerance


def _triton(case: _Case, split: int) -> AttentionBackend:
    pytest.importorskip("triton")
    from models.decoding.attention.cuda import TritonAttention

    heads = case.layer.queries.shape[1]
    size = max(case.layer.keys.shape[2], case.layer.values.shape[2])
    return TritonAttention(case.state, num_heads=heads, head_size=size, split=split)


_DTYPES = {torch.float32: 1e-6, torch.bfloat16: 4e-3}  # bfloat16: of the result alone
_SPECIAL: dict[str, dict[str, Any]] = {
    "soft cap": {"cap": 2.0},
    "ALiBi": {"slopes": torch.tensor([0.5, 0.25, 0.125, 0.0625])},
    "sinks": {"sinks": torch.tensor([1.0, -2.0, 4.0, 0.0])},
    "all": {
        "cap": 3.0,
        "slopes": torch.tensor([0.5, 0.1, 0.0, 0.02]),
        "sinks": torch.tensor([1.0, 0.0, 2.0, -9.0]),
    },
}


@pytest.mark.parametrize("dtype", list(_DTYPES))
@pytest.mark.parametrize(
    ("heads", "key_heads", "size", "window", "start"),
    [
        (4, 4, 64, 0, 13),
        (8, 2, 16, 0, 0),
        (6, 1, 48, 0, 32),
        (4, 2, 80, 0, 7),
        (2, 2, 128, 0, 13),
        (2, 1, 256, 0, 0),
        (4, 2, 8, 6, 0),
        (4, 2, 32, 40, 13),
        (4, 2, 32, 6, 40),
        (3, 3, 5, 1, 13),
    ],
)
def test_a_cpu_sees_what_it_should(
    heads: int, key_heads: int, size: int, window: int, start: int, dtype: torch.dtype
) -> None:
    case = _case(heads, key_heads, size, window=window, seed=size, dtype=dtype, start=start)
    _check(case, CpuAttention(), tolerance=_DTYPES[dtype])


@pytest.mark.parametrize("backend", [CpuAttention(), ReferenceAttention()], ids=["cpu", "reference"])
@pytest.mark.parametrize("window", [0, 6])
@pytest.mark.parametrize("special", list(_SPECIAL.values()), ids=list(_SPECIAL))
def test_soft_caps_slopes_and_sinks_count(
    special: dict[str, Any], window: int, backend: AttentionBackend
) -> None:
    case = _case(4, 2, 32, window=window, seed=1)
    case.layer = replace(case.layer, **special)
    _check(case, backend)


@pytest.mark.parametrize("dtype", list(_DTYPES))
def test_bits_of_a_row_on_a_cpu_do_not_depend_on_its_company(dtype: torch.dtype) -> None:
    """The same rows, once all together and once with every other seat empty."""
    case = _case(4, 2, 16, seed=3, dtype=dtype)
    backend = CpuAttention()
    backend.begin(case.state, case.shape)
    together = backend.attend(case.state, case.pages, case.shape, case.layer)
    inbox = case.state.host_inbox()
    alone = np.array([1, 3], np.int32)
    stage_rows(inbox, Shape(2, 0), alone, (alone[:0], alone[:0]), case.state.num_seats)
    case.state.send(2 * case.state.num_seats, 2 * case.state.num_seats)
    layer = case.layer
    few = Layer(0, layer.queries[[1, 3]], layer.keys[[1, 3]], layer.values[[1, 3]], layer.scale, 0)
    backend.begin(case.state, Shape(2, 0))
    assert torch.equal(backend.attend(case.state, case.pages, Shape(2, 0), few), together[[1, 3]])


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
@pytest.mark.parametrize("where", ["queries", "keys", "values"])
def test_what_a_cpu_sees_and_is_not_finite_comes_out(where: str, number: float) -> None:
    """A document fails by it, instead of going on with something that looks like a result."""
    case = _case(4, 2, 16)
    getattr(case.layer, where)[2] = number  # of the third row
    backend = CpuAttention()
    backend.begin(case.state, case.shape)
    out = backend.attend(case.state, case.pages, case.shape, case.layer)
    assert not out[2].isfinite().any()
    assert out[[0, 1, 3, 4, 5]].isfinite().all()


@pytest.mark.parametrize("window", [0, 6, 40])
def test_the_reference_sees_what_it_should(window: int) -> None:
    _check(_case(4, 2, 8, window=window), ReferenceAttention())


@pytest.mark.parametrize(
    ("heads", "key_heads", "size", "window", "split"),
    [
        (4, 4, 64, 0, 512),
        (8, 2, 16, 0, 32),
        (6, 1, 48, 0, 64),
        (4, 2, 80, 0, 32),
        (2, 2, 128, 0, 32),
        (2, 1, 256, 0, 512),
        (4, 2, 8, 6, 32),
        (4, 2, 32, 40, 32),
    ],
)
def test_the_kernels_see_what_they_should(
    heads: int, key_heads: int, size: int, window: int, split: int
) -> None:
    case = _case(heads, key_heads, size, window=window, seed=size)
    _check(case, _triton(case, split))


@pytest.mark.parametrize("split", [32, 512])
@pytest.mark.parametrize("window", [0, 40])
@pytest.mark.parametrize("special", list(_SPECIAL.values()), ids=list(_SPECIAL))
def test_the_kernels_count_soft_caps_slopes_and_sinks(
    special: dict[str, Any], window: int, split: int
) -> None:
    case = _case(4, 2, 32, window=window, seed=1)
    numbers = {name: each.to(DEVICE) if isinstance(each, Tensor) else each for name, each in special.items()}
    case.layer = replace(case.layer, **numbers)
    _check(case, _triton(case, split))


@pytest.mark.parametrize("split", [32, 512])
@pytest.mark.parametrize(("size", "value_size"), [(24, 16), (12, 40), (48, 128)])
def test_values_may_be_of_another_size_than_keys(size: int, value_size: int, split: int) -> None:
    """Latent attention (DeepSeek: 192 and 128), MiMo-V2."""
    case = _case(4, 2, size, value_size=value_size, seed=2)
    case.layer = replace(case.layer, sinks=_SPECIAL["sinks"]["sinks"].to(DEVICE))
    _check(case, _triton(case, split))
    for backend in (CpuAttention(), ReferenceAttention()):
        case = _case(4, 2, size, value_size=value_size, seed=2)
        _check(case, backend)


def test_bits_of_a_row_do_not_depend_on_its_company() -> None:
    """The same rows, once all together and once with every other seat empty."""
    case = _case(4, 2, 16, seed=3)
    backend = _triton(case, 32)
    backend.begin(case.state, case.shape)
    together = backend.attend(case.state, case.pages, case.shape, case.layer)
    inbox = case.state.host_inbox()
    alone = np.array([1, 3], np.int32)
    stage_rows(inbox, Shape(2, 0), alone, (alone[:0], alone[:0]), case.state.num_seats)
    case.state.send(2 * case.state.num_seats, 2 * case.state.num_seats)
    layer = case.layer
    few = Layer(0, layer.queries[[1, 3]], layer.keys[[1, 3]], layer.values[[1, 3]], layer.scale, 0)
    backend.begin(case.state, Shape(2, 0))
    assert torch.equal(backend.attend(case.state, case.pages, Shape(2, 0), few), together[[1, 3]])


def test_bits_of_a_row_do_not_depend_on_what_a_step_is_launched_for() -> None:
    """A step of short rows has fewer pieces; those without keys add nothing."""
    case = _case(4, 2, 16, seed=3)
    backend = _triton(case, 32)
    inbox = case.state.host_inbox()
    short = np.array([1, 2], np.int32)  # of 16 and 17 keys
    stage_rows(inbox, Shape(2, 0), short, (short[:0], short[:0]), case.state.num_seats)
    case.state.send(2 * case.state.num_seats, 2 * case.state.num_seats)
    layer = case.layer
    few = Layer(0, layer.queries[:2], layer.keys[:2], layer.values[:2], layer.scale, 0)
    backend.begin(case.state, Shape(2, 0))
    whole = backend.attend(case.state, case.pages, Shape(2, 0), few)
    assert torch.equal(backend.attend(case.state, case.pages, Shape(2, 0, 32), few), whole)


def test_tokens_are_packed_alike_by_both() -> None:
    """Rows first, then the chunk; who ended, and who pads, is nobody; seen tokens of penalised rows are noted."""
    case = _case(4, 2, 8)
    case.state.rows[2, 1] = 1  # ended, and the host has not heard
    found = []
    for backend in (ReferenceAttention(), CpuAttention(), _triton(case, 32)):
        case.state.seen.zero_()
        backend.begin(case.state, case.shape)
        tokens = case.shape.num_tokens
        state = case.state
        found.append(
            [state.seats[:8].clone(), state.token_ids[:tokens].clone(), state.positions[:tokens].clone()]
        )
    for other in found[1:]:
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(found[0], other, strict=True))
    assert found[0][0].tolist() == [0, 1, 8, 3, 4, 5, 8, 8]
    prompt = case.state.prompt_in(case.shape)[: PROMPT_PARTS * 16].view(PROMPT_PARTS, 16)
    assert found[0][2][8:].tolist() == prompt[2].tolist()


def test_what_the_attention_would_leave_out_is_refused() -> None:
    refuse_unknown({"dropout": 0.1, "softcap": None, "is_causal": True})
    with pytest.raises(NotSuited, match="softcap"):
        refuse_unknown({"softcap": 30.0})
