"""Inputs that are read whole: one text, or the object of a request with its documents."""

from __future__ import annotations

import json
from typing import IO, Any

from jobs.errors import RequestError
from jobs.rows.reading import TEXT, RowReader
from textmill.errors import UnreadableInput

_CHUNK_BYTES = 1 << 18
_MOST_BYTES = 4 << 30  # unpacked


def read_text(stream: IO[bytes], *, encoding: str | None = None) -> str:
    """All of a stream as text, whatever its encoding.

    Raises:
        UnreadableInput: it is no text.
    """
    reader = RowReader(kind=TEXT, encoding=encoding, max_line_bytes=_MOST_BYTES, max_body_bytes=_MOST_BYTES)
    try:
        return b"".join(reader.text(iter(lambda: stream.read(_CHUNK_BYTES), b""))).decode()
    except UnicodeDecodeError as error:
        raise UnreadableInput(f"not valid UTF-8 at byte {error.start}; save it as UTF-8") from None
    except RequestError as error:
        raise UnreadableInput(str(error)) from None


def read_piped_text(stream: IO[bytes]) -> str:
    """One text from a pipe, without the one line end that the shell puts behind it."""
    text = read_text(stream)
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def may_be_request(head: str) -> bool:
    """Whether this may begin the object of a request, `{"documents": [...], ...}`."""
    first = head.lstrip().partition("\n")[0]
    try:
        value = json.loads(first)
    except ValueError:
        return first.startswith("{") and '"documents"' in head
    return isinstance(value, dict) and "documents" in value


def read_request(
    stream: IO[bytes], *, encoding: str | None = None
) -> tuple[list[Any], dict[str, Any]] | None:
    """The documents of a request and the other fields of the job; None: it is something else.

    Raises:
        UnreadableInput: its documents are no array.
    """
    try:
        value = json.loads(read_text(stream, encoding=encoding))
    except (ValueError, RecursionError):  # the server says where it is no JSON
        return None
    if not isinstance(value, dict) or "documents" not in value:
        return None
    documents = value.pop("documents")
    if not isinstance(documents, list):
        raise UnreadableInput('"documents" must be an array of documents')
    return documents, value
