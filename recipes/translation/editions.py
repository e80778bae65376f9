"""Editions of the training set, made ahead by other processes: each epoch reads another one.

Numbers, names and forms are drawn anew, and in half of the rows some pieces are cut in two (as in
Provilkov et al. 2020, "BPE-Dropout"; SentencePiece's own sampling cannot be seeded again in a
process). What is in an edition depends on the seed and its number alone, however many processes
there are.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipes.translation.augmentation import Pair, augmented
from recipes.translation.tokenizer import END_ID, read_pieces

_CHUNKS = 16  # of an edition, each made by one process
_AHEAD = 2  # editions
_CUT_ROWS_SHARE, _CUT_PIECES_SHARE = 0.5, 0.1
_LONGEST_TOKENS = 160


@dataclass(frozen=True)
class Side:
    """The sentences of one language as one array of tokens."""

    tokens: NDArray[np.uint16]
    lengths: NDArray[np.int32]

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Side:
        """From rows of tokens."""
        return cls(
            np.fromiter((token for row in rows for token in row), np.uint16),
            np.fromiter(map(len, rows), np.int32),
        )

    @classmethod
    def joined(cls, sides: Sequence[Side]) -> Side:
        """One behind the other."""
        return cls(
            np.concatenate([side.tokens for side in sides]), np.concatenate([side.lengths for side in sides])
        )


Edition = tuple[Side, Side]  # sources, targets


class EditionMaker:
    """Makes chunks of editions; a process has one."""

    def __init__(self, pairs: Sequence[Pair], tokenizer: Path, seed: int) -> None:
        self._pairs = pairs
        self._pieces = read_pieces(tokenizer)
        self._halves = halves_of([self._pieces.id_to_piece(n) for n in range(len(self._pieces))])
        self._seed = seed

    def chunk(self, edition: int, number: int) -> Edition:
        """Every sixteenth pair, and what is made of them."""
        random = Random(f"{self._seed}:{edition}:{number}")
        sources, targets = [], []
        for english, german in augmented(self._pairs[number::_CHUNKS], random):
            share = _CUT_PIECES_SHARE if random.random() < _CUT_ROWS_SHARE else 0
            source, target = (self._tokens(text, random, share) for text in (english, german))
            if max(len(source), len(target)) <= _LONGEST_TOKENS:
                sources.append(source)
                targets.append(target)
        return Side.of(sources), Side.of(targets)

    def _tokens(self, text: str, random: Random, share: float) -> list[int]:
        tokens: list[int] = []
        for token in self._pieces.encode(text):
            halves = self._halves[token]
            if halves and share and random.random() < share:
                tokens += random.choice(halves)
            else:
                tokens.append(token)
        return [*tokens, END_ID]


def halves_of(pieces: Sequence[str]) -> list[list[tuple[int, int]]]:
    """For each piece, the pairs of pieces that it can be cut into; none for "<0x0A>" and the like."""
    ids = {piece: n for n, piece in enumerate(pieces) if not piece.startswith("<")}
    return [
        [
            (ids[piece[:place]], ids[piece[place:]])
            for place in range(1, len(piece))
            if piece in ids and piece[:place] in ids and piece[place:] in ids
        ]
        for piece in pieces
    ]


def editions(
    pairs: Sequence[Pair], tokenizer: Path, *, seed: int, processes: int, first: int = 0
) -> Generator[Edition]:
    """Edition after edition, without end; some are made ahead.

    Args:
        pairs: of the training set.
        tokenizer: the folder of its pieces.
        seed: of everything that is drawn.
        processes: that make them; forked, so take the first before anything starts threads of its own.
        first: edition that is wanted.
    """
    context = multiprocessing.get_context("fork")
    with context.Pool(processes, _start, (pairs, tokenizer, seed)) as pool:
        waiting: deque[Any] = deque()
        for number in count(first):
            waiting.append(
                pool.starmap_async(_chunk, [(number, chunk) for chunk in range(_CHUNKS)], chunksize=1)
            )
            if len(waiting) > _AHEAD:
                yield _whole(waiting.popleft().get())


def _whole(chunks: Sequence[Edition]) -> Edition:
    return Side.joined([source for source, _ in chunks]), Side.joined([target for _, target in chunks])


_maker: EditionMaker  # of this process


def _start(pairs: Sequence[Pair], tokenizer: Path, seed: int) -> None:
    global _maker  # noqa: PLW0603  # what a pool's processes are given once
    _maker = EditionMaker(pairs, tokenizer, seed)


def _chunk(edition: int, number: int) -> Edition:
    return _maker.chunk(edition, number)
