"""What an input is, told by how it begins, for inputs whose name does not say it."""

from __future__ import annotations

import csv
import re
import zlib

from jobs.errors import UnsupportedMediaType
from jobs.rows.content import GZIP_MAGIC, refuse_binary
from jobs.rows.encoding import decoded_head
from textmill.errors import UnreadableInput

JSONL, JSON, CSV, TSV, TXT = "jsonl", "json", "csv", "tsv", "txt"
FORMS = (JSONL, JSON, CSV, TSV, TXT)
SNIFF_BYTES = 1 << 16

_JSON_START = re.compile(r'\{\s*["}]|\[\s*[\[{"\]]')
_SEP_LINE = re.compile(r'"?sep=.', re.IGNORECASE)
_DELIMITERS = (",", ";", "\t", "|")
_LOOKED_AT_LINES = 20
_LONGEST_NAME = 40


def unpacked_head(head: bytes) -> bytes:
    """The beginning of what is inside, if it is gzip data.

    Raises:
        UnreadableInput: it is no text; the message says what it is and what to do.
    """
    if head.startswith(GZIP_MAGIC):
        try:
            head = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(head, SNIFF_BYTES)
        except zlib.error as error:
            raise UnreadableInput(f"the gzip data is damaged: {error}") from None
    try:
        refuse_binary(head)
    except UnsupportedMediaType as error:
        raise UnreadableInput(str(error)) from None
    return head


def looks_like_json(head: bytes) -> bool:
    """Whether it begins as JSON documents do, and hardly any prose."""
    return _JSON_START.match(decoded_head(unpacked_head(head)).lstrip()) is not None


def sniff(head: bytes, *, is_table: bool = False) -> str:
    """The format of a nameless input.

    Args:
        head: How it begins.
        is_table: Whether the caller speaks of columns.

    Raises:
        UnreadableInput: it looks like a table, but which column is the text is not known.
    """
    if looks_like_json(head):
        return JSON
    text = decoded_head(unpacked_head(head)).lstrip()
    if is_table or _SEP_LINE.match(text):
        return CSV
    lines = text.split("\n")
    lines = lines[: min(_LOOKED_AT_LINES, max(1, len(lines) - 1))]  # the last one may be cut off
    for delimiter in _DELIMITERS:
        if "text" in [name.strip() for name in _cells(lines[0], delimiter)]:
            return CSV
    for delimiter in _DELIMITERS:
        if names := _table_names(lines, delimiter):
            raise UnreadableInput(
                f"this looks like a table with the columns {', '.join(names[:10])}: name the one that holds "
                "the text with --text-column, or say --input-format txt to send it line by line"
            )
    return TXT


def _table_names(lines: list[str], delimiter: str) -> list[str]:
    """The header, if these lines are a table beyond doubt: tidy names, and as many cells in each row."""
    names = _cells(lines[0], delimiter)
    is_tidy = all(0 < len(name) <= _LONGEST_NAME and name == name.strip(" .!?") for name in names)
    if len(names) < 2 or len(lines) < 2 or not is_tidy or len(set(names)) < len(names):
        return []
    return names if all(len(_cells(line, delimiter)) == len(names) for line in lines if line.strip()) else []


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line.rstrip("\r")], delimiter=delimiter), [])
