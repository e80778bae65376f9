"""Which column is which field: by the role the caller gives, or by a few safe names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.echo import echoed
from jobs.errors import RequestError
from jobs.rows.formats import RawRow

#: Roles as callers name them, and the fields of a row they stand for.
ROLES = {
    "text": "text",
    "id": "custom_id",
    "context": "context",
    "model": "model",
    "task": "task",
    "params": "params",
}
#: A column of this name is a field only where the table itself must say it.
_ROUTING = ("task", "model", "params")


@dataclass(frozen=True)
class Columns:
    """What a caller said of the columns.

    Without a word, `text` and `custom_id` are taken by their names, and `context` by the
    documents that need one. `task`, `model` and `params` are ordinary names in a table (of
    cars, say): they count only with a role, or where the job names neither task nor model
    and the table has a column `task`, so that nothing else could say the task.
    """

    #: role -> column
    given: Mapping[str, str] = field(default_factory=dict)
    #: whether the job leaves task and model to its rows
    is_mixed: bool = False

    def __post_init__(self) -> None:
        for role, name in self.given.items():
            if not name:
                raise RequestError(f"{role}_column is empty; give the name of a column")
        twice = {name for name in self.given.values() if list(self.given.values()).count(name) > 1}
        if twice:
            raise RequestError(f"column {echoed(min(twice))} is given more than one role")

    @property
    def text(self) -> str:
        """The column that holds the text."""
        return self.given.get("text", "text")

    def stripped(self) -> Columns:
        """The same for a header, whose names are read without spaces around them."""
        return Columns({role: name.strip() for role, name in self.given.items()}, is_mixed=self.is_mixed)

    def missing(self, names: Collection[str]) -> list[str]:
        """The columns asked for that are not among these names; `text` is always asked for."""
        wanted = [self.text, *self.given.values()]
        return [name for name in dict.fromkeys(wanted) if name not in names]

    def layout(self, names: Sequence[str]) -> Layout:
        """What each of these columns is."""
        fields = {name: ROLES[role] for role, name in self.given.items()}
        by_name = ["text", "custom_id"]
        if self.is_mixed and "task" in names:
            by_name += _ROUTING
        for name in by_name:
            if name not in fields.values():
                fields.setdefault(name, name)
        offered = None if "context" in fields.values() or "context" in fields else "context"
        carried = [name for name in _ROUTING if name in names and name not in fields]
        renamed = {target: name for name, target in fields.items() if name != target}
        return Layout(fields=fields, offered=offered, carried=tuple(carried), renamed=renamed)


@dataclass(frozen=True)
class Layout:
    """The columns of one table, sorted out."""

    #: column -> field
    fields: Mapping[str, str]
    #: the column that a document may take as its context
    offered: str | None
    #: columns named as a field of ours that are metadata here
    carried: tuple[str, ...]
    #: field -> column, where the names differ
    renamed: Mapping[str, str]

    def row(self, line: int, cells: Iterable[tuple[str, Any]], *, position: int | None = None) -> RawRow:
        """The cells of one row as its fields, its offers and its metadata.

        An empty cell of a field means that the row does not give it; an empty text is one.
        """
        fields: dict[str, Any] = {}
        offered: dict[str, Any] = {}
        metadata: dict[str, Any] = {}
        for name, value in cells:
            target = self.fields.get(name)
            if target is None:
                (offered if name == self.offered else metadata)[name] = value
            elif value is not None and (value != "" or target == "text"):
                fields[target] = value
        if metadata:
            fields["metadata"] = metadata
        return RawRow(line, fields, position=position, offered=offered, columns=self.renamed)

    @property
    def note(self) -> str | None:
        """What a caller may want to know, or None."""
        if not self.carried:
            return None
        names = ", ".join(echoed(name) for name in self.carried)
        return f"carried as metadata, not read as a field: column {names} (a role would change that)"


def as_table(rows: Iterable[RawRow], columns: Columns, note: Callable[[str], None]) -> Iterable[RawRow]:
    """JSON objects as rows of a table whose columns are their keys.

    Args:
        rows: as they were read.
        columns: what the caller said of them.
        note: called once with each thing that the caller may want to know.
    """
    layouts: dict[tuple[str, ...], Layout] = {}
    said: set[str] = set()  # of three names at most
    for row in rows:
        if row.fields is None:
            yield row
            continue
        names = tuple(row.fields)
        layout = layouts.get(names)
        if layout is None:
            if len(layouts) > 256:  # rows of ever new keys
                layouts.clear()
            layout = layouts[names] = columns.layout(names)
            if layout.note and layout.note not in said:
                said.add(layout.note)
                note(layout.note)
        yield layout.row(row.line, row.fields.items(), position=row.position)
