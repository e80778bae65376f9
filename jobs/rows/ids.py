"""The ids of one submission's rows: given or by number, each used once."""

from __future__ import annotations

import re
from array import array
from typing import Any

MAX_CHARACTERS = 512
_NUMBER = re.compile("0|[1-9][0-9]{0,17}", re.ASCII)


class Ids:
    """A row without an id has its number (from 0); no two rows share one.

    A given id keeps 8 bytes of hash instead of itself. Two ids of one hash in ten million
    rows have a chance of about 1 in 370,000 (birthday bound over 64 bits); the row is then
    refused, never mixed up.
    """

    def __init__(self) -> None:
        self._given: dict[int, int] = {}  # hash -> place
        self._unnamed = array("Q")  # by row number: the place of a row without an id, else 0

    def take(self, value: Any, *, seq: int, place: int, noun: str = "line") -> str:
        """The id of row `seq`, from what the row gives (None: nothing).

        Args:
            value: What the row gives.
            seq: The row's number.
            place: Where it is, from 1.
            noun: What is counted there: lines, documents.

        Raises:
            ValueError: it is no id, or another row has it; the message names its place.
        """
        self._unnamed.extend([0] * (seq - len(self._unnamed)))  # rows that were refused before
        self._unnamed.append(place if value is None else 0)
        if value is None:
            return self._by_number(seq, noun)
        return self._as_given(value, place, noun)

    def _by_number(self, seq: int, noun: str) -> str:
        number = str(seq)
        if (other := self._given.get(hash(number))) is not None:
            raise ValueError(
                f"none is given here, so the row would have its number {number!r}, "
                f"which {noun} {other} gives as its own; give every row an id, or none"
            )
        return number

    def _as_given(self, value: Any, place: int, noun: str) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not 0 < len(value) <= MAX_CHARACTERS:
            raise ValueError(f"must be a string of 1 to {MAX_CHARACTERS} characters, or an integer")
        if _NUMBER.fullmatch(value) and (number := int(value)) < len(self._unnamed) and self._unnamed[number]:
            raise ValueError(
                f"{value!r} is the number of the row of {noun} {self._unnamed[number]}, "
                "which gives no id and has its number instead; give every row an id, or none"
            )
        mark = hash(value)
        if (other := self._given.get(mark)) is not None:
            raise ValueError(f"{value!r} is used by an earlier row ({noun} {other}); ids must differ")
        self._given[mark] = place
        return value
