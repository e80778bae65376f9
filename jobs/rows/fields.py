"""The fields of one row: what each must be, and what cannot be stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from unicodedata import category

from jobs import jsontext
from jobs.echo import echoed
from jobs.records import Task
from jobs.rows.formats import RawRow

FIELDS = frozenset({"custom_id", "task", "model", "text", "context", "messages", "params", "metadata"})
#: NUL cannot be stored by PostgreSQL; a lone surrogate cannot be written as UTF-8.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
#: Their models read what can be seen; one that writes may be given anything.
_READS = frozenset({Task.SENTIMENT, Task.QA})
#: Control and format characters, spaces; what has no category yet may be an emoji of next year.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"})


class FieldProblem(Exception):
    """What is wrong with a row, and with which field of it."""

    def __init__(self, field: str | None, message: str, *, code: str | None = None) -> None:
        self.field = field
        self.message = message
        self.code = code
        super().__init__(message)


def check_names(fields: Mapping[str, Any]) -> None:
    """Refuses fields that no row has.

    Raises:
        FieldProblem: with those that are allowed.
    """
    if not fields.keys() <= FIELDS:
        unknown = min(fields.keys() - FIELDS)
        raise FieldProblem(
            unknown,
            f"unknown field {echoed(unknown)}; allowed: {', '.join(sorted(FIELDS))} "
            "(with text_column, other keys are carried as metadata)",
        )


def with_offers(row: RawRow, task: Task) -> dict[str, Any]:
    """The row's fields with what columns offer by name: to questions a field, else metadata."""
    fields = dict(row.fields or {})
    if task is Task.QA:
        return {**fields, **{name: value for name, value in row.offered.items() if value not in (None, "")}}
    return {**fields, "metadata": {**row.offered, **fields.get("metadata", {})}}


def text_of(fields: Mapping[str, Any], name: str, task: Task) -> str:
    """A field that must be a text with something in it; exactly as it was sent.

    Raises:
        FieldProblem: it is none.
    """
    value = fields.get(name)
    if value is None:
        raise FieldProblem(name, f"{name} is missing; give a string")
    if not isinstance(value, str):
        raise FieldProblem(name, f"must be a string, not {type(value).__name__}")
    if not value.strip():
        raise FieldProblem(name, f"{name} is empty")
    refuse_unstorable(name, value)
    if task in _READS and not any(map(_is_seen, value)):
        raise FieldProblem(name, f"{name} has nothing to read: only control or invisible characters")
    return value


def context_of(fields: Mapping[str, Any], task: Task) -> str | None:
    """The text that holds the answer to a question; nothing else has one.

    Raises:
        FieldProblem: a question without one, or one that nobody would read.
    """
    if task is Task.QA:
        if fields.get("context") is None:
            raise FieldProblem("context", "a question needs a context: the text that holds the answer")
        return text_of(fields, "context", task)
    if fields.get("context") is not None:
        raise FieldProblem(
            "context", f"context is for qa, and {task} would not read it: leave it out, or put it in metadata"
        )
    return None


def refuse_unstorable(name: str, value: str) -> None:
    """Refuses what no database takes.

    Raises:
        FieldProblem: with the place.
    """
    if found := _UNSTORABLE.search(value):
        what = "a NUL character" if found.group() == "\x00" else "a lone surrogate"
        raise FieldProblem(name, f"holds {what} at position {found.start()}")


def metadata_of(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the row carries along, or None.

    Raises:
        FieldProblem: it is no object that can be stored.
    """
    value = fields.get("metadata")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise FieldProblem("metadata", "must be an object")
    try:
        encoded = jsontext.dumps(value).decode()
    except (TypeError, ValueError):
        raise FieldProblem("metadata", "cannot be stored") from None
    if encoded.count("[") + encoded.count("{") > jsontext.MAX_NESTING and jsontext.is_nested_too_deep(value):
        raise FieldProblem("metadata", f"is nested more than {jsontext.MAX_NESTING} deep")
    if "\\u0000" in encoded:
        raise FieldProblem("metadata", "holds a NUL character")
    return value


def _is_seen(character: str) -> bool:
    return category(character) not in _UNSEEN
