"""The three row formats as raw fields; what the fields mean is not known here."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from jobs import jsontext
from jobs.errors import MalformedBody, RequestError
from jobs.rows.lines import split_lines

_BOM = b"\xef\xbb\xbf"
_OWN_COLUMNS = ("custom_id", "task", "model", "text", "context", "params")


@dataclass(frozen=True)
class RawRow:
    """The fields of one row, or what is wrong with it."""

    line: int
    fields: dict[str, Any] | None
    problem: str | None = None


def read_jsonl(chunks: Iterable[bytes], *, max_line_bytes: int) -> Iterator[RawRow]:
    """One JSON object a line; empty lines are skipped."""
    for number, line in _without_bom(split_lines(chunks, max_line_bytes=max_line_bytes)):
        if line.strip():
            yield _object(number, line)


def read_txt(chunks: Iterable[bytes], *, max_line_bytes: int) -> Iterator[RawRow]:
    """One document a line; empty lines are skipped."""
    for number, line in _without_bom(split_lines(chunks, max_line_bytes=max_line_bytes)):
        if line.strip():
            try:
                yield RawRow(number, {"text": line.decode("utf-8")})
            except UnicodeDecodeError as error:
                yield RawRow(number, None, f"not valid UTF-8 at byte {error.start} of the line")


def read_csv(chunks: Iterable[bytes], *, max_line_bytes: int, text_column: str | None) -> Iterator[RawRow]:
    """A header, then rows (RFC 4180: quoted fields may hold line ends).

    Columns named as our fields are those fields; `text_column` is the text; every
    other column goes into the row's metadata.
    """
    decoded = _csv_lines(chunks, max_line_bytes)
    # The limit of the csv module is per process; our own per line is checked before it.
    csv.field_size_limit(max(csv.field_size_limit(), max_line_bytes))
    reader = csv.reader(decoded, strict=True)
    try:
        header = next(reader, None)
        if header is None:
            return
        assign = _columns(header, text_column)
        line = reader.line_num + 1
        for values in reader:
            if values:
                yield _csv_row(line, header, values, assign)
            line = reader.line_num + 1
    except csv.Error as error:
        yield RawRow(reader.line_num, None, f"not valid CSV: {error}")


def read_objects(objects: Iterable[Any]) -> Iterator[RawRow]:
    """The `documents` of a JSON body; the line is the position, from 1."""
    for number, value in enumerate(objects, start=1):
        if isinstance(value, str):
            yield RawRow(number, {"text": value})
        elif isinstance(value, dict):
            yield RawRow(number, value)
        else:
            yield RawRow(number, None, "a document must be an object or a string")


def _object(number: int, line: bytes) -> RawRow:
    try:
        value = jsontext.loads(line)
    except jsontext.JSONDecodeError as error:
        return RawRow(number, None, f"not valid JSON: {error.msg} at column {error.colno}")
    if not isinstance(value, dict):
        return RawRow(number, None, "a line must be a JSON object")
    return RawRow(number, value)


def _without_bom(lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    for number, line in lines:
        yield number, line.removeprefix(_BOM) if number == 1 else line


def _csv_lines(chunks: Iterable[bytes], max_line_bytes: int) -> Iterator[str]:
    for number, line in _without_bom(split_lines(chunks, max_line_bytes=max_line_bytes)):
        try:
            yield line.decode("utf-8") + "\n"
        except UnicodeDecodeError as error:
            # A broken byte may hide a quote, so the rows after it cannot be trusted either.
            raise MalformedBody(f"line {number}: not valid UTF-8 at byte {error.start}") from None


def _columns(header: list[str], text_column: str | None) -> list[tuple[str, str]]:
    """For each column: ("field" or "metadata", name)."""
    if len(set(header)) < len(header):
        raise MalformedBody("the CSV header names a column twice")
    wanted = text_column or "text"
    if wanted not in header:
        raise RequestError(
            f"the CSV has no column {wanted!r} (columns: {', '.join(header[:20])}); name one with text_column"
        )
    roles = []
    for name in header:
        if name == wanted:
            roles.append(("field", "text"))
        elif name in _OWN_COLUMNS and name != "text":
            roles.append(("field", name))
        else:
            roles.append(("metadata", name))
    return roles


def _csv_row(line: int, header: list[str], values: list[str], roles: list[tuple[str, str]]) -> RawRow:
    if len(values) != len(header):
        return RawRow(line, None, f"{len(values)} fields, but the header has {len(header)}")
    fields: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    for (role, name), value in zip(roles, values, strict=True):
        if role == "metadata":
            metadata[name] = value
        elif value or name == "text":  # an empty cell of ours means "not given"
            fields[name] = value
    if "params" in fields:
        try:
            fields["params"] = jsontext.loads(fields["params"])
        except jsontext.JSONDecodeError:
            return RawRow(line, None, "the column params must hold a JSON object")
    if metadata:
        fields["metadata"] = metadata
    return RawRow(line, fields)
