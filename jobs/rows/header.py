"""The header of a table: names, and what is wrong with them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jobs.echo import echoed
from jobs.errors import MalformedBody, RequestError
from jobs.rows.columns import Columns

_USUAL_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
_SHOWN_COLUMNS, _SHOWN_CHARACTERS = 20, 60


@dataclass(frozen=True)
class Header:
    """The names of a table's columns; one without a name is called by its position."""

    names: tuple[str, ...]
    #: by column: whether the header leaves it without a name (as Excel's empty columns are)
    is_nameless: tuple[bool, ...]

    def misfit(self, cells: Sequence[str]) -> str | None:
        """What is wrong with the number of a row's cells; empty ones too many are no matter."""
        if len(cells) == len(self.names):
            return None
        missing = self.is_nameless[len(cells) :]
        counts = f"{len(cells)} fields, but the header has {len(self.names)}"
        if any(cells[len(self.names) :]):
            return f"{counts}; a text that holds the delimiter needs quotes"
        if not all(missing):
            return counts
        return None

    def pairs(self, cells: Sequence[str]) -> Iterable[tuple[str, str]]:
        """(name, cell) for a row; a nameless column only where its cell is not empty."""
        named = zip(self.names, cells, strict=False)
        if not any(self.is_nameless):
            return named
        return [
            pair
            for pair, is_nameless in zip(named, self.is_nameless, strict=False)
            if pair[1] or not is_nameless
        ]


def read_header(cells: Sequence[str], *, first_line: str, columns: Columns, delimiter: str) -> Header:
    """The header from the cells of the first row.

    Raises:
        MalformedBody: a name stands twice.
        RequestError: a column that is asked for is missing; the message says what may help.
    """
    given = [cell.strip() for cell in cells]
    _refuse_twice(given)
    if missing := columns.missing(given):
        raise RequestError(_explained(missing, given, first_line, columns, delimiter))
    taken = set(given)
    names = [name or _free_name(f"column_{place}", taken) for place, name in enumerate(given, start=1)]
    return Header(tuple(names), tuple(not name for name in given))


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _refuse_twice(names: Sequence[str]) -> None:
    places: dict[str, list[str]] = {}
    for place, name in enumerate(names, start=1):
        places.setdefault(name, []).append(str(place))
    twice = [
        f"{echoed(name)} (columns {', '.join(found[:10])})"
        for name, found in places.items()
        if name and found[1:]
    ]
    if twice:
        raise MalformedBody(f"the header names a column twice: {'; '.join(twice[:10])}; rename one")


def _explained(
    missing: Sequence[str], given: Sequence[str], first_line: str, columns: Columns, delimiter: str
) -> str:
    shown = ", ".join(name[:_SHOWN_CHARACTERS] for name in given[:_SHOWN_COLUMNS] if name)
    found = f"no column {echoed(missing[0])} in the table (columns: {shown})"
    if first_line.lstrip().startswith(("{", "[")):
        return f"{found}; it looks like JSON: send it as JSON lines (application/x-ndjson)"
    if other := _other_delimiter(missing, first_line, delimiter):
        word = _USUAL_DELIMITERS[other]
        return f"{found}; its columns are divided by {other!r}: say so with delimiter={word}"
    role = next((role for role, name in columns.given.items() if name == missing[0]), "text")
    return f"{found}; name one of them with {role}_column"


def _other_delimiter(missing: Sequence[str], first_line: str, delimiter: str) -> str | None:
    """The delimiter by which the header has the columns that are missing, or many columns."""
    for other in _USUAL_DELIMITERS:
        if other == delimiter:
            continue
        names = {name.strip() for name in next(csv.reader([first_line], delimiter=other), [])}
        if names.issuperset(missing) or (first_line.count(other) > 0 == first_line.count(delimiter)):
            return other
    return None
