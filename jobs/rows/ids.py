"""The ids of one submission's rows: given or by number, each used once."""

from __future__ import annotations

import re
from array import array
from typing import Any

from jobs.echo import echoed

MAX_CHARACTERS = 512
_NUMBER = re.compile("0|[1-9][0-9]{0,17}", re.ASCII)


class Ids:
    """A row without an id has its number (from 0); no two rows share one.

    A given id keeps 8 bytes of hash and 8 of its place instead of itself. Two ids of one hash in ten million
    rows have a chance of about 1 in 370,000 (birthday bound over 64 bits); the row is then
    refused, never mixed up.
    """

    def __init__(self) -> None:
        self._given = _Places()
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
        if (other := self._given.of(hash(number))) is not None:
            raise ValueError(
                f"none is given here, so the row would have its number {number!r}, "
                f"which {noun} {other} gives as its own; give every row an id, or none"
            )
        return number

    def _as_given(self, value: Any, place: int, noun: str) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not 0 < len(value) <= MAX_CHARACTERS:
            found = "" if isinstance(value, str) else f", not {type(value).__name__}"
            raise ValueError(f"must be a string of 1 to {MAX_CHARACTERS} characters, or an integer{found}")
        if _NUMBER.fullmatch(value) and (number := int(value)) < len(self._unnamed) and self._unnamed[number]:
            raise ValueError(
                f"{echoed(value)} is the number of the row of {noun} {self._unnamed[number]}, "
                "which gives no id and has its number instead; give every row an id, or none"
            )
        mark = hash(value)
        if (other := self._given.of(mark)) is not None:
            raise ValueError(f"{echoed(value)} is used by an earlier row ({noun} {other}); ids must differ")
        self._given.add(mark, place)
        return value


class _Places:
    """Places by hash, in arrays: a dictionary of integers takes five times the memory."""

    _NUM_BUCKETS = 1 << 16  # ten million hashes are 150 in each, found in two microseconds

    def __init__(self) -> None:
        self._marks: dict[int, array[int]] = {}
        self._places: dict[int, array[int]] = {}

    def of(self, mark: int) -> int | None:
        bucket = mark % self._NUM_BUCKETS
        marks = self._marks.get(bucket)
        if marks is None or mark not in marks:
            return None
        return self._places[bucket][marks.index(mark)]

    def add(self, mark: int, place: int) -> None:
        bucket = mark % self._NUM_BUCKETS
        self._marks.setdefault(bucket, array("q")).append(mark)
        self._places.setdefault(bucket, array("Q")).append(place)
