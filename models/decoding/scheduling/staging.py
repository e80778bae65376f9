"""Writes what the host knows of the next step into the inbox. No torch here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.decoding.scheduling import layout
from models.decoding.scheduling.layout import BLOCK_TOKENS, Shape
from models.decoding.scheduling.pages import Pages
from models.decoding.scheduling.request import Request
from models.decoding.scheduling.scheduler import Chunk

Ints = NDArray[np.int32]


def stage_rows(inbox: Ints, shape: Shape, seats: Ints, growth: tuple[Ints, Pages], nobody: int) -> None:
    """Who decodes, and who gets which page for it."""
    count = len(seats)
    inbox[:count] = seats
    inbox[count : shape.num_rows] = nobody
    pages = inbox[nobody : nobody + shape.num_rows]
    pages[:] = 0
    places, taken = growth
    pages[places] = taken


def num_blocks_of(chunk: Chunk) -> int:
    """Blocks that a part of a prompt is attended to by."""
    return -(-chunk.num_tokens // BLOCK_TOKENS)


def stage_chunks(inbox: Ints, shape: Shape, chunks: Sequence[Chunk], nobody: int) -> None:
    """Prompt tokens with their seats and positions, and the blocks they are attended to by."""
    count = shape.num_blocks
    split = layout.PROMPT_PARTS * shape.num_prompt
    part = inbox[2 * nobody : 2 * nobody + shape.prompt_ints]
    ids, seats, positions = part[:split].reshape(layout.PROMPT_PARTS, shape.num_prompt)
    block_seats, firsts, starts, counts = part[split:].reshape(layout.BLOCK_PARTS, count)
    ids[:] = positions[:] = counts[:] = 0
    seats[:] = nobody
    at = block = 0
    for chunk in chunks:
        request, num = chunk.request, chunk.num_tokens
        ids[at : at + num] = request.input_ids[chunk.start : chunk.start + num]
        seats[at : at + num] = request.seat
        positions[at : at + num] = np.arange(chunk.start, chunk.start + num)
        offsets = np.arange(0, num, BLOCK_TOKENS)
        here = slice(block, block + len(offsets))
        block_seats[here] = request.seat
        firsts[here] = at + offsets
        starts[here] = chunk.start + offsets
        counts[here] = np.minimum(num - offsets, BLOCK_TOKENS)
        at += num
        block = here.stop


def stage_record(record: Ints, request: Request, pages: Pages) -> None:
    """The row of a request that enters: its last prompt token is fed first."""
    sampling = request.sampling
    last = len(request.input_ids) - 1
    floats = record.view(np.float32)
    record[:] = 0
    record[layout.POSITION] = last
    record[layout.TOKEN] = request.input_ids[-1]
    record[layout.LAST_POSITION] = last + request.max_new_tokens
    record[layout.MIN_POSITION] = request.min_length - 1
    record[layout.SEED_LOW : layout.SEED_HIGH + 1] = np.array([request.seed], np.int64).view(np.int32)
    floats[layout.TEMPERATURE] = sampling.temperature
    record[layout.TOP_K] = sampling.top_k
    floats[layout.TOP_P] = sampling.top_p
    floats[layout.PENALTY] = sampling.repetition_penalty
    record[layout.FORCED_LAST] = sampling.forced_last_id
    ids = record[layout.IDS : layout.PAGES]
    ids[:] = -1
    ids[: len(sampling.end_ids)] = sampling.end_ids
    ids[layout.NUM_END_IDS : layout.NUM_END_IDS + len(sampling.banned_ids)] = sampling.banned_ids
    record[layout.PAGES : layout.PAGES + len(pages)] = pages
