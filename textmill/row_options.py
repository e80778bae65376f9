"""How the rows of an input are to be read, as callers say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobs.rows.columns import ROLES
from textmill.errors import UnreadableInput


@dataclass(frozen=True, kw_only=True)
class RowOptions:
    """Which column is which field, and what the bytes are."""

    #: role (`text`, `id`, `context`, `model`, `task`, `params`) -> column
    columns: Mapping[str, str] = field(default_factory=dict)
    delimiter: str | None = None
    encoding: str | None = None

    @classmethod
    def of(
        cls,
        columns: Mapping[str, str] | None = None,
        *,
        delimiter: str | None = None,
        encoding: str | None = None,
        **named: str | None,
    ) -> RowOptions:
        """From roles given together and one by one (`text=`, `id=`, `context=`).

        Raises:
            UnreadableInput: there is no such role, or one is given two columns.
        """
        roles = dict(columns or {})
        if unknown := roles.keys() - ROLES:
            raise UnreadableInput(f"unknown role {min(unknown)!r} of a column; roles: {', '.join(ROLES)}")
        for role, name in named.items():
            if name is None:
                continue
            if roles.setdefault(role, name) != name:
                raise UnreadableInput(f"the role {role} is given two columns: {roles[role]!r} and {name!r}")
        return cls(columns=roles, delimiter=delimiter, encoding=encoding)

    @property
    def is_table(self) -> bool:
        """Whether they speak of columns."""
        return bool(self.columns) or self.delimiter is not None

    def for_table(self, names: Sequence[str]) -> RowOptions:
        """The options for a table of these columns: its text always has its role.

        Raises:
            UnreadableInput: a column that is asked for is not there.
        """
        columns = {"text": "text", **self.columns}
        for role, name in columns.items():
            if name not in names:
                raise UnreadableInput(
                    f"the table has no column {name!r} (columns: {', '.join(names[:20])}); "
                    f"name one with {role}_column"
                )
        return RowOptions(columns=columns)

    def for_own_lines(self) -> RowOptions:
        """The options for lines that this side wrote: in UTF-8."""
        return RowOptions(columns=self.columns, delimiter=self.delimiter)

    def query(self) -> dict[str, str | None]:
        """The query parameters that say the same."""
        named = {f"{role}_column": name for role, name in self.columns.items()}
        return {**named, "delimiter": self.delimiter, "encoding": self.encoding}
