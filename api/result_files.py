"""Results as files: JSON lines and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from api.schemas import result_line
from jobs import jsontext
from jobs.records import ResultRow

_COLUMNS = (
    "custom_id", "seq", "status", "task", "model", "output", "error_code", "error_message", "input_tokens",
    "output_tokens", "truncated", "details", "metadata",
)  # fmt: skip
#: A spreadsheet would run these as formulas (OWASP ASVS 5.0, 1.2.10); the last four are the
#: full-width forms of the first four, which some programs read alike.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_BOM = b"\xef\xbb\xbf"

#: In a locale whose delimiter is another one, a program splits a cell there, quotes or not.
_FORMULA_INSIDE = re.compile(r"""([;,|\t\r\n])(["'\s]{0,100})(?=[=+\-@\0\uff1d\uff0b\uff0d\uff20])""")

#: JSON may hold them, and `str.splitlines`, which readers of lines are made with, ends lines at them:
#: U+0085, U+2028 and U+2029.
_LINE_ENDS = re.compile(rb"\xc2\x85|\xe2\x80[\xa8\xa9]")

#: Pages of results to the bytes of a file.
Writer = Callable[[Iterable[list[ResultRow]]], Iterator[bytes]]


def as_jsonl(pages: Iterable[list[ResultRow]]) -> Iterator[bytes]:
    """One JSON object a line, whatever a reader takes for the end of one."""
    for page in pages:
        yield b"".join(one_line(result_line(row)) for row in page)


def one_line(value: Any) -> bytes:
    """A value as a line of JSON, whatever a reader takes for the end of one."""
    return _LINE_ENDS.sub(_escaped, jsontext.dumps(value)) + b"\n"


def as_csv(pages: Iterable[list[ResultRow]]) -> Iterator[bytes]:
    """A header, then a row each (RFC 4180), every cell exactly as it is."""
    yield _rows([_COLUMNS])
    for page in pages:
        yield _rows([_cells(row) for row in page])


def as_spreadsheet(pages: Iterable[list[ResultRow]]) -> Iterator[bytes]:
    """CSV to be opened in a spreadsheet.

    It begins with a byte order mark, by which Excel knows UTF-8; every cell is quoted, and
    an apostrophe stands before text that would be a formula, also behind what is the
    delimiter in other locales.
    """
    yield _BOM + _rows([_COLUMNS], quoting=csv.QUOTE_ALL)
    for page in pages:
        yield _rows([[_harmless(cell) for cell in _cells(row)] for row in page], quoting=csv.QUOTE_ALL)


def _cells(row: ResultRow) -> tuple[Any, ...]:
    output = dict(row.output or {})
    main = next((output.pop(name) for name in ("text", "label", "answer") if name in output), "")
    return (
        row.custom_id, row.seq, row.status, row.task, row.model, main, row.error_code or "",
        row.error_message or "", row.input_tokens, row.output_tokens, str(row.truncated).lower(),
        jsontext.dumps(output).decode() if output else "",
        jsontext.dumps(row.metadata).decode() if row.metadata else "",
    )  # fmt: skip


def _rows(rows: Iterable[Iterable[Any]], *, quoting: Any = csv.QUOTE_MINIMAL) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=quoting).writerows(rows)
    return buffer.getvalue().encode()


def _harmless(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    cell = _FORMULA_INSIDE.sub(r"\1\2'", cell)
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[0].decode())
