"""JSON documents however they are laid out: one array, or objects one after the other."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from jobs import jsontext
from jobs.errors import PayloadTooLarge
from jobs.rows.encoding import NAME_THE_ENCODING
from jobs.rows.formats import RawRow, as_document

WHOLE_REQUEST = (
    'this is a whole request ({"documents": [...]}); send it as application/json, or its array alone'
)
_WHITE = " \t\r\n"
_LONGEST_TOKEN = 16  # that json may see only the beginning of: -Infinity, an escaped pair of surrogates


def read_values(chunks: Iterable[bytes], *, max_value_bytes: int) -> Iterator[RawRow]:
    """One row for each element of an array, or for each object of a sequence of them.

    Memory holds one value and one chunk. The line of a row is the one it begins on; the
    first thing that is not JSON ends the reading, because what follows it cannot be told.
    """
    text = JsonText(chunks, max_value_bytes)
    try:
        yield from _array(text) if text.next_character() == "[" else _sequence(text)
    except BrokenJson as broken:
        yield RawRow(broken.line, None, str(broken))


class BrokenJson(Exception):
    """What is wrong with a text that should be JSON, at a line."""

    def __init__(self, line: int, message: str) -> None:
        self.line = line
        super().__init__(message)


def _array(text: JsonText) -> Iterator[RawRow]:
    for position, (line, value) in enumerate(elements(text), start=1):
        yield as_document(line, value, position=position)
    if character := text.next_character():
        raise BrokenJson(
            text.line, f"{character!r} follows the end of the array; send one array, or one object a line"
        )


def elements(text: JsonText) -> Iterator[tuple[int, Any]]:
    """(line, value) for each element of the array that begins here; afterwards the place is behind it.

    Raises:
        BrokenJson: it is no array.
    """
    text.advance(1)
    position = 0
    character = text.next_character()
    while character != "]":
        position += 1
        line = text.line
        yield line, text.value()
        character = text.next_character()
        if character == ",":
            text.advance(1)
            if text.next_character() == "]":
                raise BrokenJson(text.line, "not valid JSON: a comma before the end of the array")
        elif character != "]":
            what = "the array is not closed" if not character else f"expected , or ], found {character!r}"
            raise BrokenJson(text.line, f"not valid JSON: after document {position} {what}")
    text.advance(1)


def _sequence(text: JsonText) -> Iterator[RawRow]:
    while character := text.next_character():
        if character == ",":
            raise BrokenJson(text.line, "a comma between objects; send JSON lines, or one array in [ ]")
        line = text.line
        value = text.value()
        if isinstance(value, dict) and isinstance(value.get("documents"), list):
            raise BrokenJson(line, WHOLE_REQUEST)
        if not isinstance(value, dict):
            raise BrokenJson(line, "expected a JSON object with the fields of one document")
        yield RawRow(line, value)


class JsonText:
    """The text of a stream, from a place in it that moves on; holds one value and one chunk.

    Args:
        chunks: UTF-8.
        max_value_bytes: Of one value.
    """

    def __init__(self, chunks: Iterable[bytes], max_value_bytes: int) -> None:
        self._chunks = iter(chunks)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._max_value_bytes = max_value_bytes
        self._text = ""
        self._place = 0
        self._num_gone = 0  # characters before `_text` on its first line
        self._json = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant)
        #: the line of the place, from 1
        self.line = 1

    def next_character(self) -> str:
        """Steps over white space; the character there, or nothing at the end."""
        while True:
            start, length = self._place, len(self._text)
            while start < length and self._text[start] in _WHITE:
                start += 1
            self.advance(start - self._place)
            if start < length:
                return self._text[start]
            if not self._more():
                return ""

    def advance(self, num_characters: int) -> None:
        """Moves on."""
        end = self._place + num_characters
        self.line += self._text.count("\n", self._place, end)
        self._place = end

    def value(self) -> Any:
        """The JSON value that begins here; afterwards the place is behind it."""
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._place)
            except RecursionError:
                raise BrokenJson(self.line, "not valid JSON: nested too deeply") from None
            except ValueError as error:
                self._need_more(error)
                continue
            if end == len(self._text) and isinstance(value, int | float) and self._more():
                continue  # a number may go on
            self._check(value, end)
            self.advance(end - self._place)
            return value

    def _check(self, value: Any, end: int) -> None:
        """Refuses what is too large, or cannot be written as UTF-8."""
        num_characters = end - self._place
        if 4 * num_characters > self._max_value_bytes:
            num_bytes = len(self._text[self._place : end].encode())
            if num_bytes > self._max_value_bytes:
                raise self._too_large()
        if self._text.find("\\u", self._place, end) >= 0:
            try:
                jsontext.dumps(value)
            except TypeError:
                raise BrokenJson(self.line, "not valid JSON: a lone surrogate") from None

    def _too_large(self, more: str = "") -> PayloadTooLarge:
        return PayloadTooLarge(
            f"what begins on line {self.line} is longer than the {self._max_value_bytes} bytes "
            f"that a document may have{more}"
        )

    def _need_more(self, error: ValueError) -> None:
        """Reads on, in growing steps, in case the value is only cut off; raises when it is wrong."""
        line, what = self._line_of(error), self._described(error)  # before the text moves
        if self._is_certain(error):
            raise BrokenJson(line, f"not valid JSON: {what}")
        rest = len(self._text) - self._place
        if rest > self._max_value_bytes:
            raise self._too_large(f", or is no JSON: {what}")
        wanted = min(2 * rest, self._max_value_bytes + 1)
        has_more = False
        while len(self._text) - self._place < wanted and self._more():
            has_more = True
        if not has_more:
            raise BrokenJson(line, f"not valid JSON: {what}")

    def _is_certain(self, error: ValueError) -> bool:
        """Whether more text cannot mend it: a string goes on to its end, anything else is short."""
        if not isinstance(error, json.JSONDecodeError):
            return True
        return not error.msg.startswith("Unterminated") and error.pos < len(self._text) - _LONGEST_TOKEN

    def _described(self, error: ValueError) -> str:
        if not isinstance(error, json.JSONDecodeError):
            return str(error)
        line_end = self._text.rfind("\n", 0, error.pos)
        column = error.pos - line_end + (self._num_gone if line_end < 0 else 0)
        return f"{error.msg} at line {self._line_of(error)}, column {column}"

    def _line_of(self, error: ValueError) -> int:
        if not isinstance(error, json.JSONDecodeError):
            return self.line
        return self.line + self._text.count("\n", self._place, error.pos)

    def _more(self) -> bool:
        chunk = next(self._chunks, None)
        try:
            new = self._decoder.decode(chunk or b"", chunk is None)
        except UnicodeDecodeError:
            line = self.line + self._text.count("\n", self._place)
            raise BrokenJson(line, f"not valid UTF-8 from about this line on; {NAME_THE_ENCODING}") from None
        line_end = self._text.rfind("\n", 0, self._place)
        self._num_gone = self._place - line_end - 1 + (self._num_gone if line_end < 0 else 0)
        self._text = self._text[self._place :] + new
        self._place = 0
        return chunk is not None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is too large for a number")
    return value
