"""From scores to next tokens by Triton, in four kernels.

`forbid` writes minus infinity where a row must not go. `best_of_groups` reads all scores once
and keeps the largest of each group of tokens. `list_groups` finds the groups that can hold a
row's top-k, those that reach the k-th largest of these maxima. `choose` bounds the set among
them and draws; a row without top-k, or with more ties than fit a list, is gone over whole.
Thresholds are exact, found by bisection over the bits of the scores: 16 of them where scores
are bfloat16. Scores equal to a threshold stay together, as in transformers' top-k.
"""

from __future__ import annotations

import triton
import triton.language as tl

from models.decoding.scheduling import layout

POSITION = tl.constexpr(layout.POSITION)
IS_DONE = tl.constexpr(layout.IS_DONE)
TOKEN = tl.constexpr(layout.TOKEN)
LAST_POSITION = tl.constexpr(layout.LAST_POSITION)
MIN_POSITION = tl.constexpr(layout.MIN_POSITION)
SEED_LOW = tl.constexpr(layout.SEED_LOW)
SEED_HIGH = tl.constexpr(layout.SEED_HIGH)
TEMPERATURE = tl.constexpr(layout.TEMPERATURE)
TOP_K = tl.constexpr(layout.TOP_K)
TOP_P = tl.constexpr(layout.TOP_P)
PENALTY = tl.constexpr(layout.PENALTY)
FORCED_LAST = tl.constexpr(layout.FORCED_LAST)
IDS = tl.constexpr(layout.IDS)
NUM_END_IDS = tl.constexpr(layout.NUM_END_IDS)
NUM_IDS = tl.constexpr(layout.PAGES - layout.IDS)
NOTHING = tl.constexpr(layout.NOTHING)
NOT_FINITE = tl.constexpr(layout.NOT_FINITE)
LEAST = tl.constexpr(-(2**31))  # below every key


@triton.jit
def forbid(scores, seats, rows, stride, COLUMNS: tl.constexpr):
    """Banned tokens, and tokens that end below the minimum length: minus infinity, in place."""
    row = tl.program_id(0)
    j = tl.arange(0, NUM_IDS)
    state = rows + tl.load(seats + row) * COLUMNS
    token = tl.load(state + IDS + j)
    is_too_short = tl.load(state + POSITION) < tl.load(state + MIN_POSITION)
    is_off = (token >= 0) & ((j >= NUM_END_IDS) | is_too_short)
    nothing = tl.full((NUM_IDS,), float("-inf"), tl.float32).to(scores.dtype.element_ty)
    tl.store(scores + row.to(tl.int64) * stride + token, nothing, mask=is_off)


@triton.jit
def _float(state, column):
    return tl.load(state + column).to(tl.float32, bitcast=True)


@triton.jit
def _scores_of(scores, seen, row, seat, ids, is_there, penalty, stride, VOCABULARY: tl.constexpr,
               WIDTH: tl.constexpr):  # fmt: skip
    """Scores of tokens, the repetition penalty applied; minus infinity for what is no token."""
    x = tl.load(scores + row.to(tl.int64) * stride + ids, mask=is_there, other=0.0).to(tl.float32)
    if penalty != 1.0:  # a branch: loads that are masked away cost half of the kernel
        factor = penalty + tl.zeros_like(x)
        is_seen = tl.load(seen + seat.to(tl.int64) * WIDTH + ids, mask=is_there, other=0)
        x = tl.where(is_seen != 0, tl.where(x < 0, x * factor, tl.div_rn(x, factor)), x)
    return tl.where(is_there & (ids < VOCABULARY), x, float("-inf"))


@triton.jit
def _keys(x):
    """Numbers that order as the floats do."""
    bits = x.to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def _num_bits(penalty, BITS: tl.constexpr):
    """Bits in which scores may differ, but for the sign: those of their type, all once they are changed."""
    return tl.where(penalty != 1.0, 31, BITS - 1)


@triton.jit(do_not_specialize=["nobody"])
def best_of_groups(
    scores, seen, seats, rows, best, stride, nobody, VOCABULARY: tl.constexpr, WIDTH: tl.constexpr,
    GROUPS: tl.constexpr, GROUP: tl.constexpr, NUM_GROUPS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The largest score of each GROUP of tokens; infinity where one is no number."""
    row = tl.program_id(0)
    seat = tl.load(seats + row)
    if seat != nobody:
        g = tl.program_id(1) * GROUPS + tl.arange(0, GROUPS)
        ids = g[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
        penalty = _float(rows + seat * COLUMNS, PENALTY)
        x = _scores_of(scores, seen, row, seat, ids, ids < WIDTH, penalty, stride, VOCABULARY, WIDTH)
        x = tl.where(x != x, float("inf"), x)
        tl.store(best + row * NUM_GROUPS + g, tl.max(x, 1))


@triton.jit(do_not_specialize=["nobody"])
def list_groups(
    seats, rows, best, lists, nobody, NUM_GROUPS: tl.constexpr, NUM_GROUPS_P: tl.constexpr,
    LISTED: tl.constexpr, COLUMNS: tl.constexpr, BITS: tl.constexpr,
):  # fmt: skip
    """The groups among which a row chooses: how many (-1: the whole row), the best score, which."""
    row = tl.program_id(0)
    seat = tl.load(seats + row)
    if seat != nobody:
        state = rows + seat * COLUMNS
        listed = lists + row * (LISTED + 2)
        k = tl.load(state + TOP_K)
        g = tl.arange(0, NUM_GROUPS_P)
        maxima = tl.load(best + row * NUM_GROUPS + g, mask=g < NUM_GROUPS, other=float("-inf"))
        top = tl.max(maxima, 0)
        count = k * 0 - 1
        if _float(state, TEMPERATURE) <= 0:
            tl.store(listed + 2, tl.min(tl.where(maxima == top, g, NUM_GROUPS - 1), 0))
            count = k * 0 + 1
        elif (k > 0) & (k <= LISTED):
            keys = tl.where(g < NUM_GROUPS, _keys(maxima), LEAST)
            low = tl.where(tl.sum((keys >= 0).to(tl.int32), 0) >= k, 0, LEAST)
            for i in range(_num_bits(_float(state, PENALTY), BITS)):
                probe = low + (1 << (30 - i))
                low = tl.where(tl.sum((keys >= probe).to(tl.int32), 0) >= k, probe, low)
            is_in = (keys >= low) & (g < NUM_GROUPS)
            found = tl.sum(is_in.to(tl.int32), 0)
            if found <= LISTED:
                tl.store(listed + 1 + tl.cumsum(is_in.to(tl.int32), 0), g, mask=is_in)
                count = found
        tl.store(listed, count)
        tl.store(listed + 1, top.to(tl.int32, bitcast=True))


@triton.jit
def _noise(seed, position, ids):
    """Minus the logarithm of an exponential variable, keyed by (seed, position, token)."""
    bits, _, _, _ = tl.philox(seed, ids, ids * 0 + position, ids * 0, ids * 0)
    u = tl.minimum((bits.to(tl.float32) + 0.5) * 2.3283064365386963e-10, 0.99999994)
    # The logarithm of 1 - u, by its series where u is small and 1 - u has lost it.
    return -tl.log(tl.where(u < 0.004, u * (1 + u * (0.5 + u * 0.33333333)), -tl.log(1 - u)))


@triton.jit
def _least_of_few(x, is_there, k, share, top, inverse, bits):
    """The key that bounds the set, of scores that are all at hand: by top-k, then by top-p."""
    keys = tl.where(is_there, _keys(x), LEAST)
    low = tl.where(tl.sum(tl.sum((keys >= 0).to(tl.int32), 1), 0) >= k, 0, LEAST)
    for i in range(bits):
        probe = low + (1 << (30 - i))
        low = tl.where(tl.sum(tl.sum((keys >= probe).to(tl.int32), 1), 0) >= k, probe, low)
    if share < 1:
        weights = tl.where(is_there & (keys >= low), tl.exp((x - top) * inverse), 0.0)
        wanted = tl.sum(tl.sum(weights, 1), 0) * share
        by_k = low
        low = tl.where(tl.sum(tl.sum(tl.where(keys >= 0, weights, 0.0), 1), 0) >= wanted, 0, LEAST)
        for i in range(bits):
            probe = low + (1 << (30 - i))
            low = tl.where(tl.sum(tl.sum(tl.where(keys >= probe, weights, 0.0), 1), 0) >= wanted, probe, low)
        low = tl.maximum(low, by_k)
    return low


@triton.jit
def _amount(scores, seen, row, seat, probe, least, top, inverse, penalty, stride, IS_MASS: tl.constexpr,
            VOCABULARY: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """Of a whole row: how many tokens reach the key `probe`, or the mass of those that reach `least` too."""
    total = tl.zeros((BLOCK,), tl.float32)
    n = tl.arange(0, BLOCK)
    for start in range(0, VOCABULARY, BLOCK):
        ids = start + n
        x = _scores_of(scores, seen, row, seat, ids, ids < WIDTH, penalty, stride, VOCABULARY, WIDTH)
        keys = _keys(x)
        weight = keys * 0 + 1.0
        if IS_MASS:
            weight = tl.exp((x - top) * inverse)
        total += tl.where((keys >= probe) & (keys >= least) & (ids < VOCABULARY), weight, 0.0)
    return tl.sum(total, 0)


@triton.jit
def _least_of_row(scores, seen, row, seat, least, wanted, top, inverse, penalty, stride, bits,
                  IS_MASS: tl.constexpr, VOCABULARY: tl.constexpr, WIDTH: tl.constexpr,
                  BLOCK: tl.constexpr):  # fmt: skip
    """The largest key that as many tokens reach, or as much mass, as is wanted."""
    amount = _amount(scores, seen, row, seat, 0, least, top, inverse, penalty, stride, IS_MASS,
                     VOCABULARY, WIDTH, BLOCK)  # fmt: skip
    low = tl.where(amount >= wanted, 0, LEAST)
    for i in range(bits):
        probe = low + (1 << (30 - i))
        amount = _amount(scores, seen, row, seat, probe, least, top, inverse, penalty, stride, IS_MASS,
                         VOCABULARY, WIDTH, BLOCK)  # fmt: skip
        low = tl.where(amount >= wanted, probe, low)
    return tl.maximum(low, least)


@triton.jit
def _among_groups(scores, seen, row, seat, state, listed, count, top, inverse, penalty, seed, position,
                  stride, VOCABULARY: tl.constexpr, WIDTH: tl.constexpr, GROUP: tl.constexpr,
                  LISTED: tl.constexpr, BITS: tl.constexpr):  # fmt: skip
    """The token of a row that chooses among listed groups."""
    j = tl.arange(0, LISTED)
    group = tl.load(listed + 2 + j, mask=j < count, other=0)
    ids = group[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
    is_there = (j < count)[:, None] & (ids < WIDTH)
    x = _scores_of(scores, seen, row, seat, ids, is_there, penalty, stride, VOCABULARY, WIDTH)
    is_there = is_there & (ids < VOCABULARY)
    if _float(state, TEMPERATURE) > 0:
        bits = _num_bits(penalty, BITS)
        low = _least_of_few(x, is_there, tl.load(state + TOP_K), _float(state, TOP_P), top, inverse, bits)
        is_kept = is_there & (_keys(x) >= low)
        x = tl.where(is_kept, (x - top) * inverse + _noise(seed, position, ids), float("-inf"))
    winner = tl.max(tl.max(x, 1), 0)
    return tl.min(tl.min(tl.where((x == winner) & is_there, ids, VOCABULARY - 1), 1), 0)


@triton.jit
def _of_whole_row(scores, seen, row, seat, state, top, inverse, penalty, seed, position, stride,
                  VOCABULARY: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
                  BITS: tl.constexpr):  # fmt: skip
    """The token of a sampled row whose groups are not listed."""
    k = tl.load(state + TOP_K)
    share = _float(state, TOP_P)
    bits = _num_bits(penalty, BITS)
    low = k * 0 + LEAST
    if k > 0:
        low = _least_of_row(scores, seen, row, seat, low, k.to(tl.float32), top, inverse, penalty, stride,
                            bits, False, VOCABULARY, WIDTH, BLOCK)  # fmt: skip
    if share < 1:
        wanted = share * _amount(scores, seen, row, seat, low, low, top, inverse, penalty, stride, True,
                                 VOCABULARY, WIDTH, BLOCK)  # fmt: skip
        low = _least_of_row(scores, seen, row, seat, low, wanted, top, inverse, penalty, stride, bits,
                            True, VOCABULARY, WIDTH, BLOCK)  # fmt: skip
    n = tl.arange(0, BLOCK)
    winner = tl.full((BLOCK,), float("-inf"), tl.float32)
    token = tl.full((BLOCK,), VOCABULARY - 1, tl.int32)
    for start in range(0, VOCABULARY, BLOCK):
        ids = start + n
        x = _scores_of(scores, seen, row, seat, ids, ids < WIDTH, penalty, stride, VOCABULARY, WIDTH)
        is_kept = (_keys(x) >= low) & (ids < VOCABULARY)
        x = tl.where(is_kept, (x - top) * inverse + _noise(seed, position, ids), float("-inf"))
        token = tl.where(x > winner, ids, token)
        winner = tl.maximum(x, winner)
    return tl.min(tl.where(winner == tl.max(winner, 0), token, VOCABULARY - 1), 0)


@triton.jit(do_not_specialize=["nobody"])
def choose(
    scores, seen, seats, rows, lists, chosen, stride, nobody, VOCABULARY: tl.constexpr, WIDTH: tl.constexpr,
    GROUP: tl.constexpr, LISTED: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr, BITS: tl.constexpr,
):  # fmt: skip
    """A row's next token and its new state."""
    row = tl.program_id(0)
    seat = tl.load(seats + row)
    if seat == nobody:
        tl.store(chosen + row, NOTHING)
    else:
        state = rows + seat * COLUMNS
        listed = lists + row * (LISTED + 2)
        position = tl.load(state + POSITION)
        penalty = _float(state, PENALTY)
        low, high = tl.load(state + SEED_LOW).to(tl.int64), tl.load(state + SEED_HIGH).to(tl.int64)
        seed = (high << 32) | (low & 0xFFFFFFFF)
        count = tl.load(listed)
        top = _float(listed, 1)
        inverse = 1.0 / tl.maximum(_float(state, TEMPERATURE), 1e-6)
        token = position * 0
        if count >= 0:
            token = _among_groups(scores, seen, row, seat, state, listed, count, top, inverse, penalty, seed,
                                  position, stride, VOCABULARY, WIDTH, GROUP, LISTED, BITS)  # fmt: skip
        else:
            token = _of_whole_row(scores, seen, row, seat, state, top, inverse, penalty, seed, position,
                                  stride, VOCABULARY, WIDTH, BLOCK, BITS)  # fmt: skip
        is_last = position + 1 >= tl.load(state + LAST_POSITION)
        forced = tl.load(state + FORCED_LAST)
        token = tl.where(is_last & (forced >= 0), forced, token)
        ends = tl.load(state + IDS + tl.arange(0, NUM_END_IDS))
        is_bad = top == float("inf")
        is_end = (tl.sum((ends == token).to(tl.int32), 0) > 0) | is_last | is_bad
        tl.store(state + TOKEN, token)
        tl.store(state + POSITION, position + 1)
        tl.store(state + IS_DONE, is_end.to(tl.int32))
        tl.store(chosen + row, tl.where(is_bad, NOT_FINITE, tl.where(is_end, -1 - token, token)))
