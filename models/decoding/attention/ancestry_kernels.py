"""Attention over the pages of groups by Triton.

A beam's key at a place is read from the page of whoever wrote it, by the table of ancestry. All
beams of a document share a program over its source, so that each key of it is read once.
"""

from __future__ import annotations

import triton
import triton.language as tl

from models.decoding.attention.kernels import _add, _at, _cells
from models.decoding.scheduling import group_layout, layout

PAGES = tl.constexpr(layout.PAGES)
BEAM = tl.constexpr(group_layout.BEAM)
WIDTH = tl.constexpr(group_layout.WIDTH)
SOURCE_LENGTH = tl.constexpr(group_layout.SOURCE_LENGTH)
SOURCE_PAGES = tl.constexpr(group_layout.SOURCE_PAGES)
NONE = tl.constexpr(-1e30)  # a score of nobody's: finite, so that differences of two are


@triton.jit
def _add_biased(best, total, mixed, query, keys, values, cells, is_seen, more, scale,
                SIZE: tl.constexpr, SIZE_P: tl.constexpr):  # fmt: skip
    """Adds a block of keys and values to what was summed up; `more` is added to the scores."""
    d = tl.arange(0, SIZE_P)
    key_mask = is_seen[None, :] & (d[:, None] < SIZE)
    value_mask = is_seen[:, None] & (d[None, :] < SIZE)
    key = tl.load(keys + cells[None, :] + d[:, None], mask=key_mask, other=0.0)
    scores = tl.dot(query, key, input_precision="ieee") * scale + more
    scores = tl.where(is_seen[None, :], scores, NONE)
    top = tl.maximum(best, tl.max(scores, 1))
    shares = tl.exp(scores - top[:, None])
    fade = tl.exp(best - top)
    value = tl.load(values + cells[:, None] + d[None, :], mask=value_mask, other=0.0)
    mixed = mixed * fade[:, None] + tl.dot(shares.to(value.dtype), value, input_precision="ieee")
    return top, total * fade + tl.sum(shares, 1), mixed


@triton.jit
def decode(
    queries, new_keys, new_values, places, seats, positions, rows, ancestry, bias, out, parts, scale,
    q_token, q_head, k_token, k_head, v_token, v_head, b_head, b_row, b_place,
    HEADS: tl.constexpr, KEY_HEADS: tl.constexpr, GROUP_P: tl.constexpr, SIZE: tl.constexpr,
    SIZE_P: tl.constexpr, WINDOW: tl.constexpr, HAS_BIAS: tl.constexpr, COLUMNS: tl.constexpr,
    ENTRIES: tl.constexpr, TABLE: tl.constexpr, PAGE: tl.constexpr, BLOCK: tl.constexpr,
    SPLIT: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    """One query a row over what its ancestors wrote and its own new key, which it stores.

    A program for each (row, key head, piece of SPLIT keys). ENTRIES: places of a row of ancestry;
    TABLE: numbers of one of the two tables.
    """
    row = tl.program_id(0)
    head = tl.program_id(1)
    piece = tl.program_id(2)
    group: tl.constexpr = HEADS // KEY_HEADS
    position = tl.load(positions + row).to(tl.int32)
    first = piece * SPLIT
    lowest = 0
    if WINDOW > 0:
        lowest = tl.maximum(position + 1 - WINDOW, 0)
    if (first <= position) & (first + SPLIT > lowest):
        seat = tl.load(seats + row)
        keys = _at(places, 0, queries.dtype.element_ty)
        values = _at(places, 1, queries.dtype.element_ty)
        g = tl.arange(0, GROUP_P)
        d = tl.arange(0, SIZE_P)
        n = tl.arange(0, BLOCK)
        is_own = d < SIZE
        is_query = (g[:, None] < group) & is_own[None, :]
        of_head = head * group + g
        query = tl.load(
            queries + row * q_token + of_head[:, None] * q_head + d[None, :], mask=is_query, other=0.0
        )
        key = tl.load(new_keys + row * k_token + head * k_head + d, mask=is_own, other=0.0)
        value = tl.load(new_values + row * v_token + head * v_head + d, mask=is_own, other=0.0)
        is_last = position < first + SPLIT
        if is_last:
            page = tl.load(rows + seat * COLUMNS + PAGES + position // PAGE).to(tl.int64)
            cell = ((page * KEY_HEADS + head) * PAGE + position % PAGE) * SIZE
            tl.store(keys + cell + d, key, mask=is_own)
            tl.store(values + cell + d, value, mask=is_own)
        score = tl.sum(query.to(tl.float32) * key.to(tl.float32)[None, :], 1) * scale
        line = bias + of_head * b_head + row * b_row
        if HAS_BIAS:
            score += tl.load(line + position * b_place, mask=g < group, other=0.0).to(tl.float32)
        best = tl.where(is_last, score, NONE)
        total = tl.where(is_last, best * 0 + 1.0, 0.0)
        mixed = tl.where(is_last, value.to(tl.float32), 0.0)[None, :] + tl.zeros(
            (GROUP_P, SIZE_P), tl.float32
        )
        writers = ancestry + (position & 1) * TABLE + seat * ENTRIES
        end = tl.minimum(first + SPLIT, position)
        for start in range(tl.maximum(first, lowest // BLOCK * BLOCK), end, BLOCK):
            where = start + n
            is_seen = (where < end) & (where >= lowest)
            writer = tl.load(writers + where, mask=is_seen, other=0).to(tl.int32)
            page = tl.load(rows + writer * COLUMNS + PAGES + where // PAGE, mask=is_seen, other=0)
            cells = ((page.to(tl.int64) * KEY_HEADS + head) * PAGE + where % PAGE) * SIZE
            cells = tl.multiple_of(cells, SIZE & -SIZE)
            more = tl.zeros((GROUP_P, BLOCK), tl.float32)
            if HAS_BIAS:
                more = tl.load(
                    line[:, None] + where[None, :] * b_place,
                    mask=(g[:, None] < group) & is_seen[None, :],
                    other=0.0,
                ).to(tl.float32)
            best, total, mixed = _add_biased(
                best, total, mixed, query, keys, values, cells, is_seen, more, scale, SIZE, SIZE_P
            )
        at = row * HEADS + of_head
        if position < SPLIT:  # one piece is all
            result = (mixed / total[:, None]).to(out.dtype.element_ty)
            tl.store(out + at[:, None] * SIZE + d[None, :], result, mask=is_query)
        else:
            part = parts + (at * SPLITS + piece) * (SIZE + 2)
            tl.store(part[:, None] + d[None, :], mixed, mask=is_query)
            tl.store(part + SIZE, best, mask=g < group)
            tl.store(part + SIZE + 1, total, mask=g < group)


@triton.jit
def attend_source(
    queries, places, seats, rows, out, scale, q_token, q_head,
    HEADS: tl.constexpr, KEY_HEADS: tl.constexpr, QUERIES_P: tl.constexpr, SIZE: tl.constexpr,
    SIZE_P: tl.constexpr, FIRST: tl.constexpr, COLUMNS: tl.constexpr, PAGE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """All beams of a document over its source: a program for each (leader, key head).

    FIRST: the column where those of groups begin.
    """
    row = tl.program_id(0)
    head = tl.program_id(1)
    group: tl.constexpr = HEADS // KEY_HEADS
    state = rows + tl.load(seats + row) * COLUMNS + FIRST
    if tl.load(state + BEAM) == 0:
        length = tl.load(state + SOURCE_LENGTH)
        keys = _at(places, 0, queries.dtype.element_ty)
        values = _at(places, 1, queries.dtype.element_ty)
        m = tl.arange(0, QUERIES_P)
        d = tl.arange(0, SIZE_P)
        n = tl.arange(0, BLOCK)
        token = row + m // group
        of_head = head * group + m % group
        is_query = (m // group < tl.load(state + WIDTH))[:, None] & (d < SIZE)[None, :]
        query = tl.load(
            queries + token[:, None] * q_token + of_head[:, None] * q_head + d[None, :],
            mask=is_query,
            other=0.0,
        )
        best = tl.full((QUERIES_P,), NONE, tl.float32)
        total = tl.zeros((QUERIES_P,), tl.float32)
        mixed = tl.zeros((QUERIES_P, SIZE_P), tl.float32)
        for start in range(0, length, BLOCK):
            is_seen = start + n < length
            cells = _cells(state + SOURCE_PAGES, start, length, head, KEY_HEADS, SIZE, PAGE, BLOCK)
            best, total, mixed = _add(
                best, total, mixed, query, keys, values, cells, is_seen, is_seen[None, :], scale, SIZE, SIZE_P
            )
        result = (mixed / total[:, None]).to(out.dtype.element_ty)
        at = token * HEADS + of_head
        tl.store(out + at[:, None] * SIZE + d[None, :], result, mask=is_query)


@triton.jit(do_not_specialize=["num_tokens"])
def store_source(
    new_keys, new_values, cells, places, c_document, k_document, k_head, k_token, v_document, v_head, v_token,
    num_tokens, HEADS: tl.constexpr, SIZE: tl.constexpr, SIZE_P: tl.constexpr, PAGE: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Puts keys and values of sources into pages; a program for each (document, head, block of tokens)."""
    document = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    t = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    page = tl.load(cells + document * c_document + t, mask=t < num_tokens, other=0).to(tl.int64)
    d = tl.arange(0, SIZE_P)[None, :]
    is_own = (page > 0)[:, None] & (d < SIZE)
    cell = ((page[:, None] * HEADS + head) * PAGE + (t % PAGE)[:, None]) * SIZE + d
    keys = _at(places, 0, new_keys.dtype.element_ty)
    values = _at(places, 1, new_values.dtype.element_ty)
    key = new_keys + document * k_document + head * k_head + t[:, None] * k_token + d
    value = new_values + document * v_document + head * v_head + t[:, None] * v_token + d
    tl.store(keys + cell, tl.load(key, mask=is_own), mask=is_own)
    tl.store(values + cell, tl.load(value, mask=is_own), mask=is_own)
