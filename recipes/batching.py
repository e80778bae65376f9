"""Batches of like length, shuffled, as a function of the step alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache


class BucketedBatches:
    """Index batches bounded by padded tokens; a new shuffle every epoch.

    Rows are shuffled, cut into pools, sorted by length inside a pool, packed until
    `max_tokens` padded tokens are reached, and the batches shuffled again.
    """

    def __init__(self, lengths: Sequence[int], *, max_tokens: int, seed: int, pool: int = 4096) -> None:
        self._lengths = lengths
        self._max_tokens = max_tokens
        self._seed = seed
        self._pool = pool
        self._epoch = lru_cache(maxsize=1)(self._make_epoch)
        self._sizes: list[int] = []  # of the epochs so far: no step makes a past one again

    def at(self, step: int) -> list[int]:
        """The rows of one step."""
        epoch = 0
        while step >= (size := self._size_of(epoch)):
            step -= size
            epoch += 1
        return self._epoch(epoch)[step]

    @property
    def steps_per_epoch(self) -> int:
        """Steps of the first epoch; the others differ by a few."""
        return self._size_of(0)

    def _size_of(self, epoch: int) -> int:
        if epoch == len(self._sizes):
            self._sizes.append(len(self._epoch(epoch)))
        return self._sizes[epoch]

    def _make_epoch(self, epoch: int) -> list[list[int]]:
        shuffler = random.Random(f"{self._seed}:{epoch}")
        rows = list(range(len(self._lengths)))
        shuffler.shuffle(rows)
        batches: list[list[int]] = []
        for start in range(0, len(rows), self._pool):
            batches += self._pack(sorted(rows[start : start + self._pool], key=self._lengths.__getitem__))
        shuffler.shuffle(batches)
        return batches

    def _pack(self, rows: list[int]) -> list[list[int]]:
        batches: list[list[int]] = []
        batch: list[int] = []
        for row in rows:
            if batch and (len(batch) + 1) * self._lengths[row] > self._max_tokens:
                batches.append(batch)
                batch = []
            batch.append(row)
        return [*batches, batch] if batch else batches
