"""Where what lies in the tensors of a step; host and kernels read it from here. No torch here.

A row of the batch state describes one sequence by 32-bit numbers: these columns, then its end
tokens, its banned tokens, and its page table. The inbox is what the host sends for a step, in
one copy: rows, their new pages, prompt tokens, blocks of prompt tokens, records of who enters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Columns. Floats are kept by their bits.
POSITION = 0  #: of the token that is fed next
IS_DONE = 1  #: ended, whether or not the host has heard
TOKEN = 2  #: fed next
LAST_POSITION = 3  #: position of the last token that the limit allows
MIN_POSITION = 4  #: from this position on a token may end the sequence
SEED_LOW = 5
SEED_HIGH = 6
TEMPERATURE = 7
TOP_K = 8
TOP_P = 9
PENALTY = 10
FORCED_LAST = 11  #: the last token; -1: none is forced
NUM_DRAWN = 12  #: tokens drawn so far, where a row goes through a stream of numbers in order
IDS = 13
NUM_END_IDS = 8
NUM_BANNED_IDS = 8
PAGES = IDS + NUM_END_IDS + NUM_BANNED_IDS

# What a step says of a row: a token that goes on, or -1 - the token that ends it, or:
NOTHING = -(2**31)  #: nobody sits there, or it had ended before
NOT_FINITE = NOTHING + 1  #: its scores hold NaN or infinity

#: Columns of a prompt token: token, seat, position.
PROMPT_PARTS = 3
#: Columns of a block of prompt tokens: seat, first token, its position, how many.
BLOCK_PARTS = 4
#: Tokens of one prompt that a block holds at most.
BLOCK_TOKENS = 64


def padded(vocabulary: int) -> int:
    """Columns of the scores: rows begin where wide loads can.

    A head of GPT-2's 50,257 tokens takes six times as long as one of 50,304.
    """
    return -(-vocabulary // 64) * 64


def max_prompts(num_tokens: int) -> int:
    """Prompts that may have a part in a chunk."""
    return max(4, num_tokens // 32)


def num_blocks(num_tokens: int) -> int:
    """Blocks of a chunk: each prompt may begin one of its own."""
    return -(-num_tokens // BLOCK_TOKENS) + max_prompts(num_tokens)


@dataclass(frozen=True)
class Shape:
    """What a step is made for: rows that decode, and prompt tokens beside them; both padded."""

    num_rows: int
    num_prompt: int
    num_keys: int = 0  #: keys that no row of the step has more of; 0: as many as a row can have
    own_blocks: int = 0  #: blocks of prompt tokens; 0: as many as such a chunk may need

    @property
    def num_tokens(self) -> int:
        """Tokens that go through the model."""
        return self.num_rows + self.num_prompt

    @property
    def prompt_ints(self) -> int:
        """Numbers in the inbox for prompt tokens and their blocks."""
        return PROMPT_PARTS * self.num_prompt + (BLOCK_PARTS * self.num_blocks if self.num_prompt else 0)

    @property
    def num_blocks(self) -> int:
        """Blocks of prompt tokens."""
        return self.own_blocks or num_blocks(self.num_prompt)


#: Rows that steps are made for, alone and beside prompts (each pair is a graph of its own).
_ROWS = (
    *(1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576),
    *(640, 704, 768, 896, 1024, 1152, 1280, 1536, 1792, 2048, 2304),
)
_ROWS_BESIDE_PROMPTS = (16, 64, 128, 192, 256, 384, 512, 576)
#: Keys of the longest row: attention is launched for so many, and programs without keys cost time.
_KEYS = (512, 2048, 8192)


def shape_for(num_rows: int, num_prompt: int, max_rows: int, *, longest: int) -> Shape:
    """The smallest shape that holds so many rows of so many keys, beside a chunk of this very size."""
    sizes = _ROWS_BESIDE_PROMPTS if num_prompt else _ROWS
    rows = next((size for size in sizes if num_rows <= size <= max_rows), max_rows)
    return Shape(rows, num_prompt, next((size for size in _KEYS if longest <= size), 0))


def popular_shapes(max_rows: int, chunk_sizes: Sequence[int], max_entries: int) -> list[Shape]:
    """All that steps can have: those of short rows first, and large ones before small ones."""
    beside = [(rows, chunk) for rows in _ROWS_BESIDE_PROMPTS for chunk in chunk_sizes]
    pairs = sorted([*((rows, 0) for rows in _ROWS), *beside], key=sum, reverse=True)
    found = {
        shape_for(min(rows, max_rows), num_prompt, max_rows, longest=min(keys, max_entries)): None
        for keys in _KEYS
        for rows, num_prompt in pairs
    }
    return list(found)
