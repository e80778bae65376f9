"""A whole request as JSON (`{"task": ..., "documents": [...]}` or an array), read while it streams.

It is read twice, first for its fields and then for its documents, which may stand in any
order. Memory holds one value at a time, and no single call computes over the whole body.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from jobs.errors import MalformedBody, RequestError
from jobs.rows.formats import RawRow, as_document
from jobs.rows.json_values import BrokenJson, JsonText, elements

_ROW_FIELDS = ("text", "messages", "context", "custom_id")
_ONE_OF = 'give either "documents": [...] or one "text", or one chat as "messages"'


def request_fields(chunks: Iterable[bytes], *, max_value_bytes: int) -> dict[str, Any] | None:
    """The fields of the request apart from its documents; None: it is an array, which has none.

    Raises:
        MalformedBody: not JSON, or neither object nor array.
        RequestError: no documents, or documents in more than one way.
        PayloadTooLarge: a document or field is larger than allowed.
    """
    text = JsonText(chunks, max_value_bytes)
    try:
        if text.next_character() == "[":
            for _ in elements(text):
                pass
            end(text)
            return None
        return _fields(text)
    except BrokenJson as broken:
        raise MalformedBody(
            f"line {broken.line}: {broken} (objects one a line are sent as application/x-ndjson)"
        ) from None


def request_rows(chunks: Iterable[bytes], *, max_value_bytes: int) -> Iterator[RawRow]:
    """The documents of a request that `request_fields` found good; the line is the position, from 1."""
    text = JsonText(chunks, max_value_bytes)
    if text.next_character() == "[":
        yield from _documents(text)
        return
    row: dict[str, Any] = {}
    for name in names(text):
        if name == "documents":
            yield from _documents(text)
        elif name in _ROW_FIELDS:
            row[name] = text.value()
        else:
            text.value()
    if row:
        yield as_document(1, row)


def _documents(text: JsonText) -> Iterator[RawRow]:
    for position, (_, value) in enumerate(elements(text), start=1):
        yield as_document(position, value)


def _fields(text: JsonText) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    given = set()
    for name in names(text):
        if name == "documents":
            if name in given:
                raise RequestError('"documents" stands twice in the body')
            if text.next_character() != "[":
                raise RequestError('"documents" must be an array')
            for _ in elements(text):
                pass
        elif name in _ROW_FIELDS:
            text.value()
        else:
            fields[name] = text.value()
        given.add(name)
    end(text)
    if len(given & {"documents", "text", "messages"}) != 1:
        raise RequestError(_ONE_OF)
    if "documents" in given and (stray := given & {"context", "custom_id"}):
        raise RequestError(f"{min(stray)} belongs into a document of the array")
    return fields


def names(text: JsonText) -> Iterator[str]:
    """The names of an object; whoever iterates reads the value of each."""
    if text.next_character() != "{":
        raise BrokenJson(text.line, "the body must be a JSON object, or an array of documents")
    text.advance(1)
    character = text.next_character()
    while character != "}":
        if character != '"':
            raise BrokenJson(text.line, "not valid JSON: a name in double quotes is expected")
        name = text.value()
        if text.next_character() != ":":
            raise BrokenJson(text.line, "not valid JSON: a colon is expected behind a name")
        text.advance(1)
        text.next_character()
        yield name
        character = text.next_character()
        if character == ",":
            text.advance(1)
            character = text.next_character()
            if character == "}":
                raise BrokenJson(text.line, "not valid JSON: a comma before the end of the object")
        elif character != "}":
            what = "the object is not closed" if not character else f"expected , or }}, found {character!r}"
            raise BrokenJson(text.line, f"not valid JSON: {what}")
    text.advance(1)


def end(text: JsonText) -> None:
    """Refuses whatever follows the value."""
    if character := text.next_character():
        raise BrokenJson(text.line, f"not valid JSON: {character!r} follows the end")
