"""Rows of several lengths, each alone as transformers would compute it, against the same rows together.

In the model as it is, or with one of its windows made small so that short rows cross it.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import nn

from models.encoders.forward import EncoderForward, Padding
from models.encoders.framing import Tokens
from models.encoders.likeness import Likeness, Scores, clipped
from models.encoders.rounding import shaken
from models.encoders.vocabulary import ordinary_ids
from models.loading.registry import LoadedModel
from models.proving.reference import forgetting
from models.proving.shrinking import Shrinking
from models.proving.switches import Switch

logger = logging.getLogger(__name__)

#: Texts of so many tokens: enough to see a neighbour, a convolution, a pooling step.
SHORT = (2, 5, 9, 17)
#: How often rounding is tried. Of 15 models of real size with random weights in bfloat16 to which padding
#: is nothing, none moved more than 0.75 times the largest of three; of 9 that see it, none less than 1.3.
_NUM_SHAKEN = 3


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model on trial."""

    loaded: LoadedModel
    forward: EncoderForward  #: its padding is changed while trying
    row_of: Callable[[Sequence[int]], Tokens]  #: a row around random tokens, as for a document
    scores_of: Callable[[Any, Sequence[Tokens]], Scores]  #: of each row in a pass's outputs
    max_tokens: int  #: of the longest row
    computed_tokens: int = 0  #: to which some models pad every row by themselves

    @cached_property
    def ids(self) -> list[int]:
        """Of ordinary tokens."""
        return ordinary_ids(self.loaded)

    @cached_property
    def num_special(self) -> int:
        """Tokens around those of a text."""
        return len(self.row_of([]).ids)

    @cached_property
    def num_computing(self) -> int:
        """Parameters that every token is multiplied with."""
        tables = (one for one in self.loaded.model.modules() if isinstance(one, nn.Embedding))
        return max(1, self.loaded.num_parameters - sum(table.weight.numel() for table in tables))

    def num_products(self, lengths: Sequence[int]) -> int:
        """About the multiplications of a trial of rows of these lengths, alone and together."""
        tokens = [max(length + self.num_special, self.computed_tokens) for length in lengths]
        return (sum(tokens) + len(tokens) * max(tokens)) * self.num_computing


def same_without_asking(subject: Subject) -> bool:
    """Whether a row alone, and rows together, have the same scores when masks are made without looking."""
    draw = random.Random(0)
    rows = [subject.row_of(draw.choices(subject.ids, k=length)) for length in SHORT]

    def scores() -> Scores:
        batches = (rows[:1], rows)
        found = [subject.scores_of(subject.forward(batch), batch) for batch in batches]
        return clipped([one for each in found for one in each])

    right = scores()
    subject.forward.is_unasked = True
    try:
        return Likeness(right, subject.loaded.dtype).holds(right, scores())
    except Exception as error:
        _log_refusal(error)
        return False
    finally:
        subject.forward.is_unasked = False


class EncoderTrial:
    """The rows of one trial and what the model says of each alone."""

    def __init__(
        self, subject: Subject, lengths: Sequence[int], switch: Switch | None = None, setting: int = 0
    ) -> None:
        """Computes each row alone.

        Args:
            subject: the model.
            lengths: tokens of the texts; those that the model has no room for are cut.
            switch: which window is made small; None: the model as it is.
            setting: how small.

        Raises:
            Exception: the model does not compute the longest row, and says why.
        """
        self._subject = subject
        subject.forward.renew()  # what a short text has switched off must be seen, too
        self._shrinking = Shrinking(subject.loaded.model, switch, setting) if switch else None
        room = subject.max_tokens - subject.num_special
        # The same texts in every trial, so that the scores of two trials can be compared.
        rows = [self._row(length, seed=0) for length in sorted({min(length, room) for length in lengths})]
        with self._setting():
            self._rows, self._alone = self._computable(rows)
        self._likeness = Likeness(self._alone, subject.loaded.dtype)
        self._knows_rounding = False

    @property
    def longest_alone(self) -> Any:
        """The scores of the longest row."""
        return self._alone[-1]

    def is_right_together(self, padding: Padding) -> bool:
        """Whether rows of different lengths, padded, have the scores that they have alone."""
        with self._setting(padding):
            return self._is_same(self._alone, self._together(self._rows))

    def is_right_at_equal_lengths(self, padding: Padding) -> bool:
        """Whether rows have the scores that they have alone, beside others of their length."""
        with self._setting(padding):
            for row, scores in zip(self._rows, self._alone, strict=True):
                other = self._row(len(row.ids) - self._subject.num_special, seed=1)
                if not self._is_same([scores], self._together([other, row])[1:]):
                    return False
        return True

    def draws(self) -> bool:
        """Whether a row alone has other scores the second time."""
        with self._setting():
            return not self._likeness.holds(self._alone, self._each_alone())

    @contextmanager
    def _setting(self, padding: Padding | None = None) -> Iterator[None]:
        forward = self._subject.forward
        forward.renew()
        if padding is not None:
            forward.padding = padding
        small = self._shrinking.in_force() if self._shrinking else nullcontext()
        with forgetting(self._subject.loaded.model), small:
            forward.renew()
            yield
        forward.renew()

    def _is_same(self, alone: Scores, other: Scores) -> bool:
        """Whether they differ by rounding alone; how much that is is found out when they seem to differ."""
        if self._likeness.holds(alone, other):
            return True
        if not other or self._knows_rounding:
            return False
        self._knows_rounding = True
        for seed in range(_NUM_SHAKEN):
            with shaken(self._subject.loaded.model, seed=seed):
                self._likeness.learn_rounding(self._each_alone())
        return self._likeness.holds(alone, other)

    def _each_alone(self) -> Scores:
        return [self._scores([row])[0] for row in self._rows]

    def _computable(self, rows: Sequence[Tokens]) -> tuple[list[Tokens], Scores]:
        """The rows that the model computes, with their scores; some refuse texts of a few tokens."""
        computed = []
        for row in rows:
            try:
                computed.append((row, self._scores([row])[0]))
            except Exception as error:
                if row is rows[-1]:
                    raise
                _log_refusal(error)
        return [row for row, _ in computed], [scores for _, scores in computed]

    def _together(self, rows: Sequence[Tokens]) -> Scores:
        try:
            return self._scores(rows)
        except Exception as error:  # whatever a model says of batches: it is not computed this way
            _log_refusal(error)
            return []

    def _scores(self, rows: Sequence[Tokens]) -> Scores:
        return clipped(self._subject.scores_of(self._subject.forward(rows), rows))

    def _row(self, length: int, *, seed: int) -> Tokens:
        return self._subject.row_of(random.Random(seed).choices(self._subject.ids, k=length))


def _log_refusal(error: Exception) -> None:
    logger.info("probe refused", extra={"action": "probe_refused", "reason": repr(error)})
