"""Beam search on the device by Triton, in three kernels.

`look_over` reads all scores once: of each chunk of tokens their largest and the sum of their
exponentials, of each group of tokens the largest that is allowed. `best_of_row` finds a row's
best continuations, which lie in the groups whose largest are largest. `search` joins the rows of
a document as `_beam_search` of transformers does, and lets rows inherit what their parents saw.
"""

from __future__ import annotations

import triton
import triton.language as tl

from models.decoding.scheduling import group_layout, layout

POSITION = tl.constexpr(layout.POSITION)
IS_DONE = tl.constexpr(layout.IS_DONE)
TOKEN = tl.constexpr(layout.TOKEN)
LAST_POSITION = tl.constexpr(layout.LAST_POSITION)
MIN_POSITION = tl.constexpr(layout.MIN_POSITION)
FORCED_LAST = tl.constexpr(layout.FORCED_LAST)
IDS = tl.constexpr(layout.IDS)
NUM_END_IDS = tl.constexpr(layout.NUM_END_IDS)
NUM_IDS = tl.constexpr(layout.PAGES - layout.IDS)
NOTHING = tl.constexpr(layout.NOTHING)
NOT_FINITE = tl.constexpr(layout.NOT_FINITE)
BEAM = tl.constexpr(group_layout.BEAM)
WIDTH = tl.constexpr(group_layout.WIDTH)
FIRST_POSITION = tl.constexpr(group_layout.FIRST_POSITION)
FORCED_FIRST = tl.constexpr(group_layout.FORCED_FIRST)
NUM_CANDIDATES = tl.constexpr(group_layout.NUM_CANDIDATES)
LENGTH_PENALTY = tl.constexpr(group_layout.LENGTH_PENALTY)
EARLY = tl.constexpr(group_layout.EARLY)
SCORE = tl.constexpr(group_layout.SCORE)
FINISHED_SCORE = tl.constexpr(group_layout.FINISHED_SCORE)
FINISHED_LENGTH = tl.constexpr(group_layout.FINISHED_LENGTH)
FINISHED_PARENT = tl.constexpr(group_layout.FINISHED_PARENT)
FINISHED_TOKEN = tl.constexpr(group_layout.FINISHED_TOKEN)
NUM_SAID = tl.constexpr(group_layout.NUM_SAID)
SAID_PARENT = tl.constexpr(group_layout.SAID_PARENT)
SAID_LENGTH = tl.constexpr(group_layout.SAID_LENGTH)
SAID_DONE = tl.constexpr(group_layout.SAID_DONE)
SAID_FINISHED = tl.constexpr(group_layout.SAID_FINISHED)
NEVER = tl.constexpr(group_layout.NEVER)
INFINITY = tl.constexpr(float("inf"))
MANY = tl.constexpr(2**30)


@triton.jit
def _is_allowed(state, ids, VOCABULARY: tl.constexpr):
    """Tokens that are neither banned nor end a sequence too early."""
    is_too_short = tl.load(state + POSITION) < tl.load(state + MIN_POSITION)
    is_on = ids < VOCABULARY
    for i in tl.static_range(NUM_IDS):
        token = tl.load(state + IDS + i)
        if i < NUM_END_IDS:
            token = tl.where(is_too_short, token, -1)
        is_on = is_on & (ids != token)
    return is_on


@triton.jit(do_not_specialize=["nobody"])
def look_over(
    scores, seats, rows, tops, sums, maxima, stride, nobody, VOCABULARY: tl.constexpr, GROUPS: tl.constexpr,
    GROUP: tl.constexpr, CHUNKS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The only pass over all scores: a program for each (row, chunk of GROUPS groups of GROUP tokens)."""
    row = tl.program_id(0)
    chunk = tl.program_id(1)
    seat = tl.load(seats + row)
    if seat != nobody:
        g = chunk * GROUPS + tl.arange(0, GROUPS)
        ids = g[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
        x = tl.load(scores + row.to(tl.int64) * stride + ids, mask=ids < VOCABULARY, other=-INFINITY)
        x = x.to(tl.float32)
        top = tl.max(tl.max(x, 1), 0)
        base = tl.where(top == -INFINITY, 0.0, top)
        tl.store(tops + row * CHUNKS + chunk, base)
        tl.store(sums + row * CHUNKS + chunk, tl.sum(tl.sum(tl.exp(x - base), 1), 0))
        is_on = _is_allowed(rows + seat * COLUMNS, ids, VOCABULARY)
        tl.store(maxima + row * CHUNKS * GROUPS + g, tl.max(tl.where(is_on, x, -INFINITY), 1))


@triton.jit(do_not_specialize=["nobody", "num_candidates"])
def best_of_row(
    scores, seats, rows, tops, sums, maxima, found_scores, found_tokens, stride, nobody, num_candidates,
    VOCABULARY: tl.constexpr, GROUP: tl.constexpr, CHUNKS: tl.constexpr, CHUNKS_P: tl.constexpr,
    NUM_GROUPS: tl.constexpr, NUM_GROUPS_P: tl.constexpr, MOST: tl.constexpr, FIRST: tl.constexpr,
    COLUMNS: tl.constexpr,
):  # fmt: skip
    """The best continuations of a row with their sums of log probabilities, best first.

    MOST: places for candidates, a power of two. FIRST: the column where those of groups begin.
    A row whose scores are no numbers says so by a first candidate of infinity.
    """
    row = tl.program_id(0)
    seat = tl.load(seats + row)
    if seat != nobody:
        state = rows + seat * COLUMNS
        own = state + FIRST
        c = tl.arange(0, CHUNKS_P)
        g = tl.arange(0, NUM_GROUPS_P)
        j = tl.arange(0, MOST)
        top_of = tl.load(tops + row * CHUNKS + c, mask=c < CHUNKS, other=-INFINITY)
        sum_of = tl.load(sums + row * CHUNKS + c, mask=c < CHUNKS, other=0.0)
        top = tl.max(top_of, 0)
        all_of_it = top + tl.log(tl.sum(sum_of * tl.exp(top_of - top), 0))
        largest = tl.load(maxima + row * NUM_GROUPS + g, mask=g < NUM_GROUPS, other=-INFINITY)
        group = tl.zeros((MOST,), tl.int32) + NUM_GROUPS
        for i in range(num_candidates):
            best = tl.max(largest, 0)
            at = tl.min(tl.where(largest == best, g, NUM_GROUPS_P), 0)
            group = tl.where(j == i, tl.where(best > -INFINITY, at, NUM_GROUPS), group)
            largest = tl.where(g == at, -INFINITY, largest)
        ids = group[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
        is_on = _is_allowed(state, ids, VOCABULARY)
        x = tl.load(scores + row.to(tl.int64) * stride + ids, mask=is_on, other=-INFINITY).to(tl.float32)
        score = tl.zeros((MOST,), tl.float32) - INFINITY
        token = tl.zeros((MOST,), tl.int32)
        for i in range(num_candidates):
            best = tl.max(tl.max(x, 1), 0)
            at = tl.min(tl.min(tl.where(x == best, ids, MANY), 1), 0)
            score = tl.where(j == i, best - all_of_it, score)
            token = tl.where(j == i, tl.minimum(at, VOCABULARY - 1), token)
            x = tl.where(ids == at, -INFINITY, x)
        position = tl.load(state + POSITION)
        forced = tl.where(position == tl.load(own + FIRST_POSITION), tl.load(own + FORCED_FIRST), -1)
        forced_last = tl.load(state + FORCED_LAST)
        is_last = position + 1 >= tl.load(state + LAST_POSITION)
        forced = tl.where(is_last & (forced_last >= 0), forced_last, forced)
        if forced >= 0:  # no choice, for nothing
            score = tl.where(j == 0, 0.0, -INFINITY)
            token = token * 0 + forced
        score += tl.load(own + SCORE).to(tl.float32, bitcast=True)
        is_bad = (all_of_it != all_of_it) | (all_of_it == INFINITY)
        score = tl.where(is_bad, INFINITY, score)
        tl.store(found_scores + row * MOST + j, score)
        tl.store(found_tokens + row * MOST + j, token)


@triton.jit
def _penalty(exponent, length):
    """What the score of a sequence of this length is divided by."""
    return tl.exp(exponent.to(tl.float64) * tl.log(length.to(tl.float64))).to(tl.float32)


@triton.jit
def _pick(values, places, at):
    """The one value at a place."""
    return tl.sum(tl.where(places == at, values, tl.zeros_like(values)), 0)


@triton.jit
def _insert(old, k, place, new):
    """A new value at a place; those behind move on by one."""
    before = tl.sum(tl.where(k[None, :] == k[:, None] - 1, old[None, :], tl.zeros_like(old)[None, :]), 1)
    return tl.where(k < place, old, tl.where(k == place, new, before))


@triton.jit(do_not_specialize=["nobody", "num_candidates"])
def search(
    found_scores, found_tokens, seats, rows, ancestry, said, nobody, num_candidates, WIDE: tl.constexpr,
    MOST: tl.constexpr, FIRST: tl.constexpr, COLUMNS: tl.constexpr, ENTRIES: tl.constexpr,
    TABLE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The beams that go on and the sequences that are finished: a program for each leader.

    WIDE: beams of the largest group, a power of two.
    """
    row = tl.program_id(0)
    seat = tl.load(seats + row)
    if seat == nobody:
        tl.store(said + row * NUM_SAID, NOTHING)
        tl.store(said + row * NUM_SAID + SAID_DONE, 0)
    elif tl.load(rows + seat * COLUMNS + FIRST + BEAM) == 0:
        state = rows + seat * COLUMNS
        own = state + FIRST
        width = tl.load(own + WIDTH)
        count = tl.load(own + NUM_CANDIDATES)
        early = tl.load(own + EARLY)
        exponent = tl.load(own + LENGTH_PENALTY).to(tl.float32, bitcast=True)
        position = tl.load(state + POSITION)
        last = tl.load(state + LAST_POSITION)
        first = tl.load(own + FIRST_POSITION)
        length = position - first + 1
        k = tl.arange(0, WIDE)
        j = tl.arange(0, MOST)
        i = tl.arange(0, WIDE * MOST)
        is_beam = k < width
        # The best of all beams, best first.
        at_beam = row + i // MOST
        is_there = (i // MOST < width) & (i % MOST < num_candidates)
        all_scores = tl.load(found_scores + at_beam * MOST + i % MOST, mask=is_there, other=-INFINITY)
        all_tokens = tl.load(found_tokens + at_beam * MOST + i % MOST, mask=is_there, other=0)
        is_bad = tl.max(all_scores, 0) == INFINITY
        score = tl.zeros((MOST,), tl.float32) - INFINITY
        token = tl.zeros((MOST,), tl.int32)
        beam = tl.zeros((MOST,), tl.int32)
        for c in range(count):
            best = tl.max(all_scores, 0)
            at = tl.min(tl.where(all_scores == best, i, WIDE * MOST - 1), 0)
            score = tl.where(j == c, best, score)
            beam = tl.where(j == c, tl.minimum(at // MOST, width - 1), beam)
            token = tl.where(j == c, _pick(all_tokens, i, at), token)
            all_scores = tl.where(i == at, -INFINITY, all_scores)
        ended = tl.where(position + 1 >= last, 1, (j >= count).to(tl.int32))
        for e in tl.static_range(NUM_END_IDS):
            ended = ended | (token == tl.load(state + IDS + e)).to(tl.int32)
        # As many candidates as there are beams may finish.
        seat_of = tl.load(seats + row + k, mask=is_beam, other=nobody)
        state_of = rows + seat_of * COLUMNS
        own_of = state_of + FIRST
        kept_length = tl.load(own_of + FINISHED_LENGTH, mask=is_beam, other=0)
        kept_parent = tl.load(own_of + FINISHED_PARENT, mask=is_beam, other=0)
        kept_token = tl.load(own_of + FINISHED_TOKEN, mask=is_beam, other=0)
        kept = tl.load(own_of + FINISHED_SCORE, mask=is_beam, other=0).to(tl.float32, bitcast=True)
        kept = tl.where(kept_length > 0, kept, NEVER * 1e20)
        was_full = tl.min(tl.where(is_beam, kept_length, 1), 0) > 0
        penalty = _penalty(exponent, length)
        for c in range(width):
            may = _pick(ended, j, c) > 0
            if may & ((early != 1) | (was_full == 0)):
                mine = tl.maximum(_pick(score, j, c) / penalty, NEVER * 1e10)
                place = tl.sum(((kept >= mine) & is_beam).to(tl.int32), 0)
                kept = _insert(kept, k, place, mine)
                kept_length = _insert(kept_length, k, place, length)
                kept_parent = _insert(kept_parent, k, place, _pick(beam, j, c))
                kept_token = _insert(kept_token, k, place, _pick(token, j, c))
        # The best that have not ended go on; when too few are left, ended ones fill the rows.
        rank = tl.where(j < num_candidates, j + ended * MOST, MANY)
        running = tl.zeros((WIDE,), tl.float32)
        parent = tl.zeros((WIDE,), tl.int32)
        following = tl.zeros((WIDE,), tl.int32)
        for w in range(width):
            least = tl.min(rank, 0)
            at = least % MOST
            rank = tl.where(j == at, MANY, rank)
            mine = tl.where(least >= MOST, NEVER, _pick(score, j, at))
            running = tl.where(k == w, mine, running)
            parent = tl.where(k == w, _pick(beam, j, at), parent)
            following = tl.where(k == w, _pick(token, j, at), following)
        # Is the search over?
        is_full = tl.min(tl.where(is_beam, kept_length, 1), 0) > 0
        reach = tl.where((early == 2) & (exponent > 0), last - first, length)
        possible = _pick(running, k, 0) / _penalty(exponent, reach)
        worst = tl.min(tl.where(is_beam, kept, INFINITY), 0)
        is_over = (tl.min(ended, 0) > 0) | (is_full & ((early == 1) | (possible <= worst))) | is_bad
        done = is_over.to(tl.int32)
        # What each row knows from now on, and what it says.
        kept_bits = kept.to(tl.int32, bitcast=True)
        tl.store(state_of + TOKEN, following, mask=is_beam)
        tl.store(state_of + POSITION, position + 1 + k * 0, mask=is_beam)
        tl.store(state_of + IS_DONE, done + k * 0, mask=is_beam)
        tl.store(own_of + SCORE, running.to(tl.int32, bitcast=True), mask=is_beam)
        tl.store(own_of + FINISHED_SCORE, kept_bits, mask=is_beam)
        tl.store(own_of + FINISHED_LENGTH, kept_length, mask=is_beam)
        tl.store(own_of + FINISHED_PARENT, kept_parent, mask=is_beam)
        tl.store(own_of + FINISHED_TOKEN, kept_token, mask=is_beam)
        line = said + (row + k) * NUM_SAID
        tl.store(line, tl.where(is_bad, NOT_FINITE, following), mask=is_beam)
        tl.store(line + SAID_PARENT, parent, mask=is_beam)
        tl.store(line + SAID_LENGTH, length + k * 0, mask=is_beam)
        tl.store(line + SAID_DONE, tl.where(k == 0, done, 0), mask=is_beam)
        tl.store(line + SAID_FINISHED, kept_bits, mask=is_beam)
        tl.store(line + SAID_FINISHED + 1, kept_length, mask=is_beam)
        tl.store(line + SAID_FINISHED + 2, kept_parent, mask=is_beam)
        tl.store(line + SAID_FINISHED + 3, kept_token, mask=is_beam)
        # A row sees what its parent saw, and what its parent wrote here.
        parent_seat = tl.load(seats + row + parent, mask=is_beam, other=nobody)
        old = ancestry + (position & 1) * TABLE + parent_seat * ENTRIES
        new = ancestry + ((position + 1) & 1) * TABLE + seat_of * ENTRIES
        n = tl.arange(0, BLOCK)
        for start in range(0, position + 1, BLOCK):
            where = start + n
            is_read = is_beam[:, None] & (where < position)[None, :]
            who = tl.load(old[:, None] + where[None, :], mask=is_read, other=0).to(tl.int32)
            who = tl.where((where == position)[None, :], parent_seat[:, None], who)
            is_written = is_beam[:, None] & (where <= position)[None, :]
            tl.store(new[:, None] + where[None, :], who.to(tl.int16), mask=is_written)
