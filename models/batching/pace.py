"""How much of a batch is computed at once, so that urgent work and a cancel soon get in between.

A batch is not interrupted. What a device computes in 20 ms may take a processor a quarter
of a minute; how long is learned from the batches before. Pure policy, no torch.
"""

from __future__ import annotations

from models.batching.plan import Batch, padded_tokens

#: At two, CTranslate2 has too few rows of long texts at once and loses a seventh (docs/LOG.md).
_MAX_SECONDS = 3.0
_FIRST_SHARE = 1 / 8  #: of the budget, as long as nothing is known


class Pace:
    """How many padded tokens are computed at once, by what the last batch took."""

    def __init__(self, max_tokens: int) -> None:
        """Sets up; `max_tokens` is what a batch may have at most."""
        self._tokens_at_once = max_tokens * _FIRST_SHARE

    def note(self, batch: Batch, seconds: float) -> None:
        """A batch took so long."""
        self._tokens_at_once = padded_tokens(batch) * _MAX_SECONDS / max(seconds, 1e-6)

    def cut(self, batch: Batch) -> tuple[Batch, Batch]:
        """What is computed now, one piece at least, and what comes next."""
        longest, num_rows = 0, 0
        for count, piece in enumerate(batch):
            longest, num_rows = max(longest, piece.num_tokens), num_rows + piece.num_rows
            if count and longest * num_rows > self._tokens_at_once:
                return batch[:count], batch[count:]
        return batch, []
