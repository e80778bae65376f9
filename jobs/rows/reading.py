"""From the bytes of a body to raw rows: unpack, decode, tell the layout, read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from jobs import jsontext
from jobs.errors import MalformedBody, RequestError
from jobs.rows.columns import Columns, as_table
from jobs.rows.compression import gunzip
from jobs.rows.content import GZIP_MAGIC, HEAD_BYTES, refuse_binary
from jobs.rows.encoding import to_utf8
from jobs.rows.formats import RawRow, read_lines, read_txt
from jobs.rows.json_values import WHOLE_REQUEST, read_values
from jobs.rows.lines import peek, peek_bytes
from jobs.rows.tables import column_names, delimiter_of, read_table

JSON, TABLE, TEXT = "json", "table", "text"
_ROWS_FOR_NAMES = 20  # of JSON, whose rows may each have other keys


@dataclass(frozen=True, kw_only=True)
class RowReader:
    """How one body is to be read."""

    kind: str  #: JSON, TABLE or TEXT
    columns: Columns = field(default_factory=Columns)
    delimiter: str | None = None  #: as the caller names it
    encoding: str | None = None  #: as the caller names it
    charset: str | None = None  #: as the Content-Type names it
    is_gzip: bool = False  #: whether Content-Encoding says so; gzip bytes are known without
    max_line_bytes: int
    max_body_bytes: int  #: also of what gzip bytes become
    #: called with what the caller may want to know
    note: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        if self.delimiter is not None:
            if self.kind != TABLE:
                raise RequestError("delimiter is for tables (CSV, TSV), and this is none")
            object.__setattr__(self, "delimiter", delimiter_of(self.delimiter))
        if self.columns.given and self.kind == TEXT:
            raise RequestError("lines of text have no columns; send a table as text/csv")

    def rows(self, chunks: Iterable[bytes]) -> Iterable[RawRow]:
        """The rows of the body.

        Raises:
            RequestError: it is not what it is said to be; the message says what it is.
        """
        text = self.text(chunks)
        if self.kind == TEXT:
            return read_txt(text, max_line_bytes=self.max_line_bytes)
        if self.kind == TABLE:
            return read_table(
                text,
                columns=self.columns,
                max_row_bytes=self.max_line_bytes,
                delimiter=self.delimiter,
                note=self.note,
            )
        rows = read_json(text, max_line_bytes=self.max_line_bytes)
        return as_table(rows, self.columns, self.note) if self.columns.given else rows

    def column_names(self, chunks: Iterable[bytes]) -> list[str]:
        """What its columns are called: of a table its header, of JSON the keys of the first rows.

        Raises:
            RequestError: it is not what it is said to be.
        """
        if self.kind == TEXT:
            return []
        text = self.text(chunks)
        if self.kind == TABLE:
            return column_names(text, max_row_bytes=self.max_line_bytes, delimiter=self.delimiter)
        rows = islice(read_json(text, max_line_bytes=self.max_line_bytes), _ROWS_FOR_NAMES)
        return list(dict.fromkeys(name for row in rows for name in row.fields or ()))

    def text(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The body without compression, as UTF-8."""
        head, chunks = peek_bytes(chunks, HEAD_BYTES)
        if self.is_gzip and not head.startswith(GZIP_MAGIC):
            raise MalformedBody("Content-Encoding says gzip, but the body is not gzip data")
        if head.startswith(GZIP_MAGIC):
            head, chunks = peek_bytes(gunzip(chunks, max_bytes=self.max_body_bytes), HEAD_BYTES)
        refuse_binary(head)
        return to_utf8(chunks, encoding=self.encoding, charset=self.charset)


def table_of_tabs(reader: RowReader) -> RowReader:
    """The same reader with tabs, unless the caller names another delimiter."""
    return reader if reader.delimiter else dataclasses.replace(reader, delimiter="\t")


def read_json(chunks: Iterable[bytes], *, max_line_bytes: int) -> Iterator[RawRow]:
    """JSON lines; or, told by the first line, an array of documents or objects over many lines.

    What does not begin as JSON at all is refused once, not once a line.
    """
    head, chunks = peek(chunks, lambda head: b"\n" in head.lstrip() or len(head) > max_line_bytes)
    stripped = head.lstrip()
    number = 1 + head[: len(head) - len(stripped)].count(b"\n")
    line = stripped.partition(b"\n")[0].rstrip()
    first = _object(line)
    spans_lines = first is None and line.endswith((b"{", b"[", b","))
    if stripped.startswith(b"[") or (stripped.startswith(b"{") and spans_lines):
        yield from read_values(chunks, max_value_bytes=max_line_bytes)
    elif stripped and not stripped.startswith(b"{"):
        shown = line[:40].decode("utf-8", errors="replace")
        yield RawRow(
            number,
            None,
            f"these are no JSON lines: it begins with {shown!r}, and each line holds one object "
            "(a table is sent as text/csv, lines of text as text/plain)",
        )
    elif first is not None and isinstance(first.get("documents"), list):
        yield RawRow(number, None, WHOLE_REQUEST)
    else:
        yield from read_lines(chunks, max_line_bytes=max_line_bytes)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = jsontext.loads(line)
    except jsontext.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
