"""How much of a batch is computed at once, so that urgent work and a cancel soon get in between.

A batch is not interrupted. What a device computes in 20 ms may take a processor a quarter
of a minute; how long is learned from the batches before. Pure policy, no torch.
"""

from __future__ import annotations

from models.batching.plan import Batch, padded_tokens

_FIRST_SHARE = 1 / 8  #: of the budget, as long as nothing is known


class Pace:
    """How many padded tokens are computed at once, by what the last batch took."""

    def __init__(self, max_tokens: int, max_seconds: float) -> None:
        """Sets up; a batch may have `max_tokens` at most, and take about `max_seconds`."""
        self._max_seconds = max_seconds
        self._tokens_at_once = max_tokens * _FIRST_SHARE

    def note(self, batch: Batch, seconds: float) -> None:
        """A batch took so long; that a few tokens took theirs does not say that more would be slow."""
        affordable = padded_tokens(batch) * self._max_seconds / max(seconds, 1e-6)
        if seconds > self._max_seconds or affordable > self._tokens_at_once:
            self._tokens_at_once = affordable

    def cut(self, batch: Batch) -> tuple[Batch, Batch]:
        """What is computed now, one piece at least, and what comes next."""
        longest, num_rows = 0, 0
        for count, piece in enumerate(batch):
            longest, num_rows = max(longest, piece.num_tokens), num_rows + piece.num_rows
            if count and longest * num_rows > self._tokens_at_once:
                return batch[:count], batch[count:]
        return batch, []
