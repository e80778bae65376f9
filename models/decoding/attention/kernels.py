"""Attention over pages by Triton. Lengths and page tables are read on the device.

A sequence's keys are summed up in fixed pieces of SPLIT positions, joined first to last, so
that the bits of a row depend on no neighbour, on no bucket and on no other length. The query
heads of a key head share a program, and with it every key that is read.
"""

from __future__ import annotations

import triton
import triton.language as tl

from models.decoding.scheduling import layout

POSITION = tl.constexpr(layout.POSITION)
IS_DONE = tl.constexpr(layout.IS_DONE)
TOKEN = tl.constexpr(layout.TOKEN)
PENALTY = tl.constexpr(layout.PENALTY)
PAGES = tl.constexpr(layout.PAGES)
NONE = tl.constexpr(-1e30)  # a score of nobody's: finite, so that differences of two are


@triton.jit(do_not_specialize=["num_rows", "num_prompt", "nobody"])
def begin(
    wanted, new_pages, prompt, rows, seats, ids, positions, seen, num_rows, num_prompt, nobody,
    WIDTH: tl.constexpr, COLUMNS: tl.constexpr, PAGE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Gives rows their new pages and packs the step's tokens: those of the rows, then of the prompts."""
    t = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_row = t < num_rows
    is_prompt = (t >= num_rows) & (t < num_rows + num_prompt)
    seat = tl.load(wanted + t, mask=is_row, other=nobody)
    seat = tl.where(tl.load(rows + seat * COLUMNS + IS_DONE) != 0, nobody, seat)
    position = tl.load(rows + seat * COLUMNS + POSITION)
    page = tl.load(new_pages + t, mask=is_row, other=0)
    is_new = is_row & (page > 0) & (seat != nobody)
    tl.store(rows + seat * COLUMNS + PAGES + position // PAGE, page, mask=is_new)
    tl.store(seats + t, seat, mask=is_row)
    of_prompt = prompt + t - num_rows
    token = tl.load(rows + seat * COLUMNS + TOKEN)
    token = tl.where(is_row, token, tl.load(of_prompt, mask=is_prompt, other=0))
    seat = tl.where(is_row, seat, tl.load(of_prompt + num_prompt, mask=is_prompt, other=nobody))
    place = tl.load(of_prompt + 2 * num_prompt, mask=is_prompt, other=0)
    position = tl.where(is_row, position, place)
    tl.store(ids + t, token.to(tl.int64), mask=is_row | is_prompt)
    tl.store(positions + t, position.to(tl.int64), mask=is_row | is_prompt)
    penalty = tl.load(rows + seat * COLUMNS + PENALTY).to(tl.float32, bitcast=True)
    is_counted = (is_row | is_prompt) & (penalty != 1.0)
    tl.store(seen + seat.to(tl.int64) * WIDTH + token, 1, mask=is_counted)


@triton.jit
def _at(places, which, KIND: tl.constexpr):
    """Where a layer's keys (0) or values (1) are: read by each step, for pages move and graphs stay."""
    return tl.multiple_of(tl.load(places + which).to(tl.pointer_type(KIND)), 16)


@triton.jit
def _cells(table, start, end, head, HEADS: tl.constexpr, SIZE: tl.constexpr, PAGE: tl.constexpr,
           BLOCK: tl.constexpr):  # fmt: skip
    """Where the keys of the places from `start`, which begins a page, to `end` lie; (BLOCK,)."""
    pages = tl.arange(0, BLOCK // PAGE)
    inside = tl.arange(0, PAGE)
    page = tl.load(table + start // PAGE + pages, mask=start + pages * PAGE < end, other=0).to(tl.int64)
    cells = (page[:, None] * HEADS + head) * (PAGE * SIZE) + inside[None, :] * SIZE
    # A reshape forgets that they are multiples, and with it wide and asynchronous loads.
    return tl.multiple_of(tl.reshape(cells, (BLOCK,)), SIZE & -SIZE)


@triton.jit
def _adapted(scores, slope, where, CAP: tl.constexpr):
    """CAP * tanh(score / CAP), and what each position adds; neither where there is none."""
    if CAP > 0:
        scores = CAP * (2 * tl.sigmoid(scores * (2 / CAP)) - 1)
    if slope is not None:
        scores += slope * where.to(tl.float32)
    return scores


@triton.jit
def _with_sink(best, total, sink):
    """What sums are multiplied by, and their total, once a key without a value is seen as well."""
    top = tl.maximum(best, sink)
    fade = tl.exp(best - top)
    return fade, total * fade + tl.exp(sink - top)


@triton.jit
def _add(best, total, mixed, queries, keys, values, cells, value_cells, is_seen, is_visible, scale, slope,
         where, SIZE: tl.constexpr, SIZE_P: tl.constexpr, VALUE: tl.constexpr, VALUE_P: tl.constexpr,
         CAP: tl.constexpr):  # fmt: skip
    """Adds a block of keys and values to what was summed up. `is_visible`: (queries, places)."""
    d = tl.arange(0, SIZE_P)
    v = tl.arange(0, VALUE_P)
    is_there = is_seen
    key_mask = is_there[None, :]
    value_mask = is_there[:, None]
    if SIZE != SIZE_P:
        key_mask = key_mask & (d[:, None] < SIZE)
    if VALUE != VALUE_P:
        value_mask = value_mask & (v[None, :] < VALUE)
    key = tl.load(keys + cells[None, :] + d[:, None], mask=key_mask, other=0.0)
    scores = tl.dot(queries, key, input_precision="ieee") * scale
    scores = _adapted(scores, slope, where[None, :], CAP)
    scores = tl.where(is_visible, scores, NONE)
    top = tl.maximum(best, tl.max(scores, 1))
    shares = tl.exp(scores - top[:, None])
    fade = tl.exp(best - top)
    value = tl.load(values + value_cells[:, None] + v[None, :], mask=value_mask, other=0.0)
    mixed = mixed * fade[:, None] + tl.dot(shares.to(value.dtype), value, input_precision="ieee")
    return top, total * fade + tl.sum(shares, 1), mixed


@triton.jit
def decode(
    queries, new_keys, new_values, places, seats, positions, rows, out, parts, slopes, sinks, scale,
    q_token, q_head, k_token, k_head, v_token, v_head,
    HEADS: tl.constexpr, KEY_HEADS: tl.constexpr, GROUP_P: tl.constexpr, SIZE: tl.constexpr,
    SIZE_P: tl.constexpr, VALUE: tl.constexpr, VALUE_P: tl.constexpr, CAP: tl.constexpr,
    WINDOW: tl.constexpr, COLUMNS: tl.constexpr, PAGE: tl.constexpr, BLOCK: tl.constexpr,
    SPLIT: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    """One query a row over its pages and its own new key, which it stores.

    A program for each (row, key head, piece of SPLIT keys). Slopes and sinks may be None.
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
        table = rows + tl.load(seats + row) * COLUMNS + PAGES
        keys = _at(places, 0, queries.dtype.element_ty)
        values = _at(places, 1, queries.dtype.element_ty)
        g = tl.arange(0, GROUP_P)
        d = tl.arange(0, SIZE_P)
        v = tl.arange(0, VALUE_P)
        n = tl.arange(0, BLOCK)
        is_own = d < SIZE
        is_value = v < VALUE
        is_query = (g[:, None] < group) & is_own[None, :]
        query = tl.load(
            queries + row * q_token + (head * group + g[:, None]) * q_head + d[None, :],
            mask=is_query,
            other=0.0,
        )
        key = tl.load(new_keys + row * k_token + head * k_head + d, mask=is_own, other=0.0)
        value = tl.load(new_values + row * v_token + head * v_head + v, mask=is_value, other=0.0)
        is_last = position < first + SPLIT
        if is_last:
            page = tl.load(table + position // PAGE).to(tl.int64)
            cell = (page * KEY_HEADS + head) * PAGE + position % PAGE
            tl.store(keys + cell * SIZE + d, key, mask=is_own)
            tl.store(values + cell * VALUE + v, value, mask=is_value)
        slope, slope_by_row = None, None
        if slopes is not None:
            slope = tl.load(slopes + head * group + g, mask=g < group, other=0.0).to(tl.float32)
            slope_by_row = slope[:, None]
        score = tl.sum(query.to(tl.float32) * key.to(tl.float32)[None, :], 1) * scale
        score = _adapted(score, slope, position, CAP)
        best = tl.where(is_last, score, NONE)
        total = tl.where(is_last, best * 0 + 1.0, 0.0)
        mixed = tl.where(is_last, value.to(tl.float32), 0.0)[None, :] + tl.zeros(
            (GROUP_P, VALUE_P), tl.float32
        )
        end = tl.minimum(first + SPLIT, position)
        for start in range(tl.maximum(first, lowest // BLOCK * BLOCK), end, BLOCK):
            where = start + n
            is_seen = (where < end) & (where >= lowest)
            cells = _cells(table, start, end, head, KEY_HEADS, SIZE, PAGE, BLOCK)
            value_cells = cells
            if VALUE != SIZE:
                value_cells = _cells(table, start, end, head, KEY_HEADS, VALUE, PAGE, BLOCK)
            best, total, mixed = _add(
                best, total, mixed, query, keys, values, cells, value_cells, is_seen, is_seen[None, :], scale,
                slope_by_row, where, SIZE, SIZE_P, VALUE, VALUE_P, CAP,
            )  # fmt: skip
        at = row * HEADS + head * group + g
        is_result = (g[:, None] < group) & is_value[None, :]
        if position < SPLIT:  # one piece is all
            if sinks is not None:
                sink = tl.load(sinks + head * group + g, mask=g < group, other=0.0).to(tl.float32)
                fade, total = _with_sink(best, total, sink)
                mixed *= fade[:, None]
            result = (mixed / total[:, None]).to(out.dtype.element_ty)
            tl.store(out + at[:, None] * VALUE + v[None, :], result, mask=is_result)
        else:
            part = parts + (at * SPLITS + piece) * (VALUE + 2)
            tl.store(part[:, None] + v[None, :], mixed, mask=is_result)
            tl.store(part + VALUE, best, mask=g < group)
            tl.store(part + VALUE + 1, total, mask=g < group)


@triton.jit
def join(
    parts, positions, out, sinks, HEADS: tl.constexpr, VALUE: tl.constexpr, VALUE_P: tl.constexpr,
    WINDOW: tl.constexpr, SPLIT: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    """Joins the pieces of a (row, head), first to last."""
    at = tl.program_id(0)
    d = tl.arange(0, VALUE_P)
    is_own = d < VALUE
    position = tl.load(positions + at // HEADS).to(tl.int32)
    if position >= SPLIT:
        first = 0
        if WINDOW > 0:
            first = tl.maximum(position + 1 - WINDOW, 0) // SPLIT
        part = parts + (at * SPLITS + first) * (VALUE + 2)
        mixed = tl.load(part + d, mask=is_own, other=0.0)
        best = tl.load(part + VALUE)
        total = tl.load(part + VALUE + 1)
        for _ in range(first, position // SPLIT):
            part += VALUE + 2
            mine = tl.load(part + VALUE)
            top = tl.maximum(best, mine)
            fade = tl.exp(best - top)
            weight = tl.exp(mine - top)
            mixed = mixed * fade + tl.load(part + d, mask=is_own, other=0.0) * weight
            total = total * fade + tl.load(part + VALUE + 1) * weight
            best = top
        if sinks is not None:
            fade, total = _with_sink(best, total, tl.load(sinks + at % HEADS).to(tl.float32))
            mixed *= fade
        tl.store(out + at * VALUE + d, (mixed / total).to(out.dtype.element_ty), mask=is_own)


@triton.jit(do_not_specialize=["num_rows", "num_prompt"])
def store_prompt(
    new_keys, new_values, places, prompt, rows, num_rows, num_prompt, k_token, k_head, v_token, v_head,
    KEY_HEADS: tl.constexpr, HEADS_P: tl.constexpr, SIZE: tl.constexpr, SIZE_P: tl.constexpr,
    VALUE: tl.constexpr, VALUE_P: tl.constexpr, COLUMNS: tl.constexpr, PAGE: tl.constexpr,
):  # fmt: skip
    """Puts the keys and values of a prompt token into its page."""
    keys = _at(places, 0, new_keys.dtype.element_ty)
    values = _at(places, 1, new_keys.dtype.element_ty)
    t = tl.program_id(0)
    h = tl.arange(0, HEADS_P)[:, None]
    d = tl.arange(0, SIZE_P)[None, :]
    v = tl.arange(0, VALUE_P)[None, :]
    is_own = (h < KEY_HEADS) & (d < SIZE)
    is_value = (h < KEY_HEADS) & (v < VALUE)
    seat = tl.load(prompt + num_prompt + t)
    position = tl.load(prompt + 2 * num_prompt + t)
    page = tl.load(rows + seat * COLUMNS + PAGES + position // PAGE).to(tl.int64)
    cell = (page * KEY_HEADS + h) * PAGE + position % PAGE
    key_cell, value_cell = cell * SIZE + d, cell * VALUE + v
    token = num_rows + t
    tl.store(keys + key_cell, tl.load(new_keys + token * k_token + h * k_head + d, mask=is_own), mask=is_own)
    value = tl.load(new_values + token * v_token + h * v_head + v, mask=is_value)
    tl.store(values + value_cell, value, mask=is_value)


@triton.jit(do_not_specialize=["num_rows", "num_blocks"])
def prefill(
    queries, places, blocks, rows, out, slopes, sinks, scale, num_rows, num_blocks, q_token, q_head,
    HEADS: tl.constexpr, KEY_HEADS: tl.constexpr, SIZE: tl.constexpr, SIZE_P: tl.constexpr,
    VALUE: tl.constexpr, VALUE_P: tl.constexpr, CAP: tl.constexpr, WINDOW: tl.constexpr,
    COLUMNS: tl.constexpr, PAGE: tl.constexpr, MOST: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Causal attention of prompt tokens over their pages, TILE queries of one prompt a program.

    Slopes and sinks may be None.
    """
    block = tl.program_id(0) // (MOST // TILE)
    skipped = tl.program_id(0) % (MOST // TILE) * TILE
    head = tl.program_id(1)
    count = tl.load(blocks + 3 * num_blocks + block) - skipped
    if count > 0:
        table = rows + tl.load(blocks + block) * COLUMNS + PAGES
        keys = _at(places, 0, queries.dtype.element_ty)
        values = _at(places, 1, queries.dtype.element_ty)
        token = num_rows + tl.load(blocks + num_blocks + block) + skipped
        position = tl.load(blocks + 2 * num_blocks + block) + skipped
        m = tl.arange(0, TILE)
        d = tl.arange(0, SIZE_P)
        v = tl.arange(0, VALUE_P)
        n = tl.arange(0, BLOCK)
        is_query = (m[:, None] < count) & (d[None, :] < SIZE)
        query = tl.load(
            queries + (token + m[:, None]) * q_token + head * q_head + d[None, :], mask=is_query, other=0.0
        )
        best = tl.full((TILE,), NONE, tl.float32)
        total = tl.zeros((TILE,), tl.float32)
        mixed = tl.zeros((TILE, VALUE_P), tl.float32)
        slope = None
        if slopes is not None:
            slope = tl.load(slopes + head).to(tl.float32)
        end = position + tl.minimum(count, TILE)
        lowest = 0
        if WINDOW > 0:
            lowest = tl.maximum(position + 1 - WINDOW, 0)
        for start in range(lowest // BLOCK * BLOCK, end, BLOCK):
            where = start + n
            is_seen = where < end
            is_visible = where[None, :] <= (position + m)[:, None]
            if WINDOW > 0:
                is_visible = is_visible & (where[None, :] > (position + m)[:, None] - WINDOW)
            key_head = head // (HEADS // KEY_HEADS)
            cells = _cells(table, start, end, key_head, KEY_HEADS, SIZE, PAGE, BLOCK)
            value_cells = cells
            if VALUE != SIZE:
                value_cells = _cells(table, start, end, key_head, KEY_HEADS, VALUE, PAGE, BLOCK)
            best, total, mixed = _add(
                best, total, mixed, query, keys, values, cells, value_cells, is_seen, is_visible, scale,
                slope, where, SIZE, SIZE_P, VALUE, VALUE_P, CAP,
            )  # fmt: skip
        if sinks is not None:
            fade, total = _with_sink(best, total, tl.load(sinks + head).to(tl.float32))
            mixed *= fade[:, None]
        at = (token + m[:, None]) * HEADS + head
        result = (mixed / total[:, None]).to(out.dtype.element_ty)
        is_result = (m[:, None] < count) & (v[None, :] < VALUE)
        tl.store(out + at * VALUE + v[None, :], result, mask=is_result)
