"""Finds the fastest way that gives a text the same scores in company as alone.

Convolutions, Fourier transforms and pooling see padding; some models pad on the left, or
look for another padding than their tokenizer's; windows and blocks change what a longer
text sees. So it is tried, when a model is loaded: rows of several lengths, each alone as
transformers would compute it, against the same rows in batches.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import count, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from models.engine.switches import find_switches
from models.registry import LoadedModel
from models.runners.encoder_forward import EncoderForward, Padding
from models.runners.framing import Tokens

logger = logging.getLogger(__name__)

Scores = list[NDArray[np.float32]]  #: of each row


class Way(StrEnum):
    """How rows are computed together, the fastest first."""

    BATCHES = "batches"
    EQUAL_LENGTHS = "batches of equal length"
    ALONE = "one at a time"


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was found out."""

    way: Way
    padding: Padding
    proven_tokens: int | None = None  #: longer rows are computed alone; None: the way holds for all
    draws: bool = False  #: the model draws random numbers
    why: str | None = None  #: why not by the fastest way

    def as_verdict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def of_verdict(cls, verdict: Mapping[str, Any]) -> Proof:
        """What was kept as a verdict."""
        values = {**verdict, "way": Way(verdict["way"]), "padding": Padding(**verdict["padding"])}
        return cls(**values)


#: Texts of so many tokens: enough to see a neighbour, a convolution, a pooling step.
_SHORT = (2, 5, 9, 17)
#: What a probe may compute, in products of a parameter and a token: about two seconds.
_CPU_WORK, _GPU_WORK = 2e11, 1e13
_MOST_TOKENS = 60_000  #: of all rows, however small the model
_MOST_IDS = 30_000  #: to draw from
_LONG_ROWS = 12  #: what long rows cost, alone and together, as if they were all as long as the longest
_RULED_OUT = 1e4  #: scores beyond are no scores: so a model says that a token cannot be it
#: How much scores may differ: beside their spread between texts, and beside their size (rounding).
_TOLERANCE = {
    "float32": (1e-3, 2e-5),
    "float16": (2e-2, 5e-3),
    "bfloat16": (6e-2, 3e-2),
    "int8": (1e-1, 6e-2),
}
#: Settings in which a model says that what is far apart is treated otherwise, and some that only sound so.
_BOUNDARY = re.compile(
    r"window|block|chunk|stride|local|segment|landmark|sparse|sliding|pool|axial|original_max"
)
_NO_BOUNDARY = re.compile(r"hidden|layer|expert|dim|feed_forward")
_LENGTH_DEPENDENT_ROPES = {"dynamic", "longrope"}


def prove(
    loaded: LoadedModel,
    forward: EncoderForward,
    *,
    row_of: Callable[[Sequence[int]], Tokens],
    scores_of: Callable[[Any, Sequence[Tokens]], Scores],
    max_tokens: int,
) -> Proof:
    """Tries the ways from the fastest on.

    Args:
        loaded: the model.
        forward: computes rows; its padding is changed while trying.
        row_of: a row around random tokens, as for a document.
        scores_of: the scores of each row in a pass's outputs.
        max_tokens: of the longest row.
    """
    return _Trial(loaded, forward, row_of, scores_of, max_tokens).prove()


class _Trial:
    def __init__(
        self,
        loaded: LoadedModel,
        forward: EncoderForward,
        row_of: Callable[[Sequence[int]], Tokens],
        scores_of: Callable[[Any, Sequence[Tokens]], Scores],
        max_tokens: int,
    ) -> None:
        self._loaded = loaded
        self._forward = forward
        self._scores_of = scores_of
        self._random = random.Random(0)
        self._ids = ordinary_ids(loaded)
        self._row_of = row_of
        self._num_special = len(row_of([]).ids)
        self._max_tokens = max_tokens
        self._tolerance = _TOLERANCE[loaded.dtype]
        self._scale = (0.0, 0.0)
        self._boundaries = boundaries(loaded.config.to_dict())

    def prove(self) -> Proof:
        rows, alone = self._computable(self._rows())
        self._scale = _scales(alone)
        longest = len(rows[-1].ids)
        limit = longest if self._lies_beyond(longest) and longest < self._max_tokens else None
        for padding in self._paddings():
            self._forward.padding = padding
            if all(self._is_right_together(company, rows, alone) for company in _companies(len(rows))):
                return Proof(way=Way.BATCHES, padding=padding, proven_tokens=limit, why=_why(None, limit))
        return self._without_padding(rows, alone, limit)

    def _lies_beyond(self, longest: int) -> bool:
        """Whether something changes at a length that no row has."""
        switches = [switch.length for switch in find_switches(self._loaded.config.to_dict())]
        return any(one + 2 >= longest for one in (*self._boundaries, *switches))

    def _without_padding(self, rows: Sequence[Tokens], alone: Scores, limit: int | None) -> Proof:
        for padding in self._paddings():
            self._forward.padding = padding
            if self._is_right_at_equal_lengths(rows, alone):
                why = _why("its scores change with padding", limit)
                return Proof(way=Way.EQUAL_LENGTHS, padding=padding, proven_tokens=limit, why=why)
        draws = not self._same(alone, [self._alone(row) for row in rows])
        return Proof(
            way=Way.ALONE,
            padding=Padding(side="right", token_id=0),
            draws=draws,
            why="it draws random numbers as it computes: every text gets the same ones"
            if draws
            else "its scores change with the texts beside it",
        )

    def _is_right_together(self, company: Sequence[int], rows: Sequence[Tokens], alone: Scores) -> bool:
        return self._same([alone[n] for n in company], self._together([rows[n] for n in company]))

    def _is_right_at_equal_lengths(self, rows: Sequence[Tokens], alone: Scores) -> bool:
        for row, scores in zip(rows, alone, strict=True):
            first, last = (self._row(len(row.ids) - self._num_special) for _ in range(2))
            if not self._same([scores], self._together([first, row, last])[1:2]):
                return False
        return True

    # Rows.

    def _rows(self) -> list[Tokens]:
        """The shortest first: a few short ones, and beyond the boundaries as far as can be paid for."""
        most = self._max_tokens - self._num_special
        lengths = {min(length, most) for length in _SHORT}
        reach = min(most, self._affordable_tokens())
        if self._boundaries and reach > max(_SHORT):
            within = [one + 3 for one in self._boundaries if max(_SHORT) < one + 3 < reach]
            doubled = takewhile(lambda one: one < reach, (max(_SHORT) * 2**n for n in count(1)))
            lengths |= {reach, *within[:1], *within[-1:], *doubled}
        return [self._row(length) for length in sorted(lengths)]

    def _computable(self, rows: Sequence[Tokens]) -> tuple[list[Tokens], Scores]:
        """The rows that the model computes, with their scores; some refuse texts of a few tokens."""
        computed: list[tuple[Tokens, NDArray[np.float32]]] = []
        for row in rows:
            try:
                computed.append((row, self._alone(row)))
            except Exception as error:
                if row is rows[-1] and not computed:
                    raise
                logger.info("probe refused", extra={"action": "probe_refused", "reason": repr(error)})
        return [row for row, _ in computed], [scores for _, scores in computed]

    def _affordable_tokens(self) -> int:
        work = _CPU_WORK if self._loaded.device.is_cpu else _GPU_WORK
        tables = (one for one in self._loaded.model.modules() if isinstance(one, nn.Embedding))
        num_computing = self._loaded.num_parameters - sum(table.weight.numel() for table in tables)
        return int(min(_MOST_TOKENS, work / max(1, num_computing)) / _LONG_ROWS)

    def _paddings(self) -> Iterator[Padding]:
        return paddings(self._loaded, self._forward.own_pad_id)

    def _row(self, length: int) -> Tokens:
        return self._row_of(self._random.choices(self._ids, k=length))

    # Computing and comparing.

    def _alone(self, row: Tokens) -> NDArray[np.float32]:
        return self._scores([row])[0]

    def _scores(self, rows: Sequence[Tokens]) -> Scores:
        scores = self._scores_of(self._forward(rows), rows)
        return [np.clip(one, -_RULED_OUT, _RULED_OUT) for one in scores]

    def _together(self, rows: Sequence[Tokens]) -> Scores:
        try:
            return self._scores(rows)
        except Exception as error:  # whatever a model says of batches: it is not computed this way
            logger.info("probe refused", extra={"action": "probe_refused", "reason": repr(error)})
            return []

    def _same(self, one: Scores, other: Scores) -> bool:
        """Whether scores are the same but for rounding."""
        spread, size = self._scale
        allowed = max(self._tolerance[0] * spread, self._tolerance[1] * size)
        return len(one) == len(other) and all(
            bool(np.isfinite(b).all()) and float(np.abs(a - b).max(initial=0.0)) <= allowed
            for a, b in zip(one, other, strict=True)
        )


def _companies(num_rows: int) -> Iterator[Sequence[int]]:
    """Which rows are computed together.

    The short ones first: they cost little, and mostly decide. Then the long ones beside the
    shortest, which is padded most.
    """
    yield range(min(num_rows, len(_SHORT)))
    if num_rows > len(_SHORT):
        yield [0, *range(len(_SHORT), num_rows)]


def paddings(loaded: LoadedModel, own_id: int | None) -> Iterator[Padding]:
    """Ways to pad, the likeliest first: the tokenizer's side, and the id that the model looks for."""
    tokenizer = loaded.tokenizer
    num_ids = _num_ids(loaded)
    is_named = own_id is not None and 0 <= own_id < num_ids
    others = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id)
    candidates = dict.fromkeys((own_id, tokenizer.pad_token_id) if is_named else (*others, 0))
    sides = ("left", "right") if tokenizer.padding_side == "left" else ("right", "left")
    for side in sides:
        for token_id in candidates:
            if token_id is not None and 0 <= token_id < num_ids:
                yield Padding(
                    side=side, token_id=token_id, type_id=tokenizer.pad_token_type_id, is_ours=not is_named
                )


def boundaries(config: Mapping[str, Any]) -> list[int]:
    """Lengths at which a configuration says that something changes."""
    return sorted(set(_boundaries(config)))


def ordinary_ids(loaded: LoadedModel) -> list[int]:
    """Ids of tokens that may stand in a text."""
    special = set(loaded.tokenizer.all_special_ids)
    # A tokenizer may count more tokens than the model has rows for, and the other way round.
    num_ids = min(len(loaded.tokenizer), _num_ids(loaded), _MOST_IDS)
    return [number for number in range(num_ids) if number not in special]


def _num_ids(loaded: LoadedModel) -> int:
    """Rows of the model's table of tokens; what has no vocabulary (CANINE) takes any of the tokenizer's."""
    return getattr(loaded.config.get_text_config(), "vocab_size", None) or len(loaded.tokenizer)


def _boundaries(config: Mapping[str, Any]) -> Iterator[int]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _boundaries(value)
            if value.get("rope_type") in _LENGTH_DEPENDENT_ROPES:
                yield int(config.get("max_position_embeddings") or 0)
        elif _BOUNDARY.search(str(name)) and not _NO_BOUNDARY.search(str(name)):
            values = value if isinstance(value, list | tuple) else [value]
            yield from (
                one for one in values if isinstance(one, int) and not isinstance(one, bool) and one > 1
            )


def _scales(scores: Scores) -> tuple[float, float]:
    """How much scores differ between texts (or tokens), and how large they are."""
    rows = np.concatenate([one if one.ndim > 1 else one[None] for one in scores])
    told = rows[(np.abs(rows) < _RULED_OUT).all(axis=1)]
    if not len(told):
        return 0.0, 0.0
    return float(np.std(told, axis=0).max()), float(np.abs(told).max())


def _why(seen: str | None, limit: int | None) -> str | None:
    beyond = f"texts of more than {limit} tokens are computed alone: beyond, nothing was tried"
    if limit is None:
        return seen
    return f"{seen}; {beyond}" if seen else beyond
