"""Rows as raw fields: JSON lines, text, objects. What the fields mean is not known here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from jobs import jsontext
from jobs.rows.encoding import NAME_THE_ENCODING
from jobs.rows.lines import split_lines

_NOT_UTF8 = "not valid UTF-8"
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class RawRow(NamedTuple):
    """The fields of one row, or what is wrong with it."""

    line: int
    fields: dict[str, Any] | None
    problem: str | None = None
    #: which field the problem is about
    problem_field: str | None = None
    #: in an array of documents: which, from 1
    position: int | None = None
    #: fields that a column offers by its name alone: taken by the tasks that need them, else metadata
    offered: Mapping[str, Any] = _NOTHING
    #: what the caller calls a field, where that is not the field's own name
    columns: Mapping[str, str] = _NOTHING
    #: a word for programs of what the problem is
    problem_code: str | None = None
    #: how the caller's own format writes a field of ours
    names: Mapping[str, str] = _NOTHING


def read_lines(chunks: Iterable[bytes], *, max_line_bytes: int) -> Iterator[RawRow]:
    """One JSON object a line; empty lines are skipped."""
    for number, line in split_lines(chunks, max_line_bytes=max_line_bytes):
        if line.strip():
            row = _object(number, line)
            yield row
            if row.problem and row.problem.startswith(_NOT_UTF8):
                return  # a file in another encoding would have the same said of each of its lines


def read_txt(chunks: Iterable[bytes], *, max_line_bytes: int) -> Iterator[RawRow]:
    r"""One document a line; blank lines are skipped, and each row's metadata names its line.

    Only \n and \r\n end a line. A line that is not UTF-8 ends the reading.
    """
    for number, line in split_lines(chunks, max_line_bytes=max_line_bytes):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            yield RawRow(number, None, _not_utf8(error))
            return
        if text.strip():
            yield RawRow(number, {"text": text, "metadata": {"line": number}})


def as_document(line: int, value: Any, *, position: int | None = None) -> RawRow:
    """A document of an array: an object, or a string that is its text."""
    if isinstance(value, str):
        return RawRow(line, {"text": value}, position=position)
    if isinstance(value, dict):
        return RawRow(line, value, position=position)
    return RawRow(line, None, "a document must be an object or a string", position=position)


def _object(number: int, line: bytes) -> RawRow:
    try:
        value = jsontext.loads(line)
    except jsontext.JSONDecodeError as error:
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as wrong:
            return RawRow(number, None, _not_utf8(wrong))
        return RawRow(number, None, f"not valid JSON: {error.msg} at column {error.colno}")
    if not isinstance(value, dict):
        return RawRow(number, None, "a line must be a JSON object")
    return RawRow(number, value)


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"{_NOT_UTF8} at byte {error.start} of the line; {NAME_THE_ENCODING}"
