"""Which windows share a batch, how long a batch's rows are, and whether that keeps a window's bytes.

A sum's last bits depend on the order of its terms, and processors choose the order by the
shape of a product. Where scores are promised to the byte, a window's length in a batch
therefore follows from the window alone, and only windows of one length share a batch; that
the number of rows then changes nothing is tried when the model is loaded.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from models.batching.plan import Piece, stepped_length
from models.encoders.framing import Tokens
from models.encoders.likeness import Scores
from models.encoders.proof import Proof, Way
from models.encoders.trial import Subject

logger = logging.getLogger(__name__)

#: Of the rows tried: tokens of text, and how many rows share the batch. Few and many: a processor takes
#: other kernels up to a dozen rows or so.
_TRIED = ((9, (2, 17)), (37, (3,)))
#: What the trial may cost, in products of a parameter and a token; 3e10 for a model of 85 M. One that
#: pads every row to a window of hundreds by itself is beyond.
_WORK = 1.5e11


@dataclass(frozen=True, kw_only=True)
class Company:
    """Who is computed with whom, by what is proven of a model."""

    proof: Proof
    max_tokens: int  #: that the model reads at once
    is_stepped: bool  #: whether a window's length in a batch follows from the window alone

    def goes_alone(self, tokens: Tokens) -> bool:
        """Whether a row is computed by itself, as transformers would."""
        proof = self.proof
        if proof.way is Way.ALONE or (
            proof.proven_tokens is not None and len(tokens.ids) > proof.proven_tokens
        ):
            return True
        return proof.padding.is_ours and proof.padding.token_id in tokens.ids

    def length(self, tokens: Tokens) -> int:
        """How long a row is in a batch, padding and all, unless longer ones are in it."""
        own = len(tokens.ids)
        if not self.is_stepped or self.proof.way is not Way.BATCHES or self.goes_alone(tokens):
            return own
        return min(stepped_length(own), self.proof.proven_tokens or self.max_tokens)

    def key(self, piece: Piece) -> Hashable:
        """Only pieces of equal ones share a batch."""
        if self.goes_alone(piece.data.tokens):
            return piece.key, piece.index
        return piece.num_tokens if self.is_stepped or self.proof.way is Way.EQUAL_LENGTHS else None


def keeps_bytes(company: Company, subject: Subject) -> bool:
    """Whether rows have the same scores to the byte in batches of several sizes.

    Args:
        company: who may share a batch.
        subject: the model, computed by the way that is proven.
    """
    if not company.is_stepped or company.proof.way is Way.ALONE:
        return company.proof.way is Way.ALONE
    if _cost(subject) > _WORK:
        return False  # nothing is known
    draw = random.Random(1)

    def scores(rows: Sequence[Tokens]) -> Scores:
        return subject.scores_of(subject.forward(rows, company.length(rows[0])), rows)

    def holds(num_tokens: int, num_rows: int) -> bool:
        rows = [subject.row_of(draw.choices(subject.ids, k=num_tokens)) for _ in range(num_rows)]
        place = num_rows // 2
        own = rows[place]
        return company.goes_alone(own) or scores([own])[0].tobytes() == scores(rows)[place].tobytes()

    try:
        return all(holds(num_tokens, count) for num_tokens, counts in _TRIED for count in counts)
    except Exception as error:  # a model that refuses such rows keeps nothing that is known
        logger.info("probe refused", extra={"action": "probe_refused", "reason": repr(error)})
        return False


def _cost(subject: Subject) -> int:
    num_tokens = sum(
        max(length + subject.num_special, subject.computed_tokens) * (1 + num_rows)
        for length, counts in _TRIED
        for num_rows in counts
    )
    return num_tokens * subject.num_computing
