"""How many rows each transaction of a store touches, and databases that fail between two of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, event

from jobs.store.database import Database

T = TypeVar("T")


class Killed(BaseException):
    """The process ends here."""


class DyingDatabase(Database):
    """Does so many transactions, and then nothing any more, as a process that was killed."""

    def __init__(self, url: str, *, num_writes: int, **options: Any) -> None:
        super().__init__(url, **options)
        self.num_writes_left = num_writes

    def write(self, work: Callable[[Connection], T], **options: Any) -> T:
        if not self.num_writes_left:
            raise Killed
        self.num_writes_left -= 1
        return super().write(work, **options)


class DeafDatabase(Database):
    """Loses the connection with every COMMIT, after the server has done it; so all is done twice."""

    def write(self, work: Callable[[Connection], T], **options: Any) -> T:
        super().write(work, **options)
        return super().write(work, **options)


class RowsPerTransaction:
    """Counts what is inserted, changed and deleted between a BEGIN and its COMMIT."""

    def __init__(self, database: Database) -> None:
        self.counts: list[int] = []
        self._now = 0
        event.listen(database.engine, "begin", self._begun)
        event.listen(database.engine, "after_cursor_execute", self._executed)
        event.listen(database.engine, "commit", self._committed)

    def most_of(self, work: Callable[[], object]) -> int:
        """The largest transaction of `work`."""
        self.counts.clear()
        work()
        return max(self.counts)

    def _begun(self, _: Connection) -> None:
        self._now = 0

    def _executed(  # as SQLAlchemy calls it
        self, _: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        if not statement.startswith(("INSERT", "UPDATE", "DELETE")):
            return
        self._now += len(parameters) if executemany else max(1, cursor.rowcount)

    def _committed(self, _: Connection) -> None:
        self.counts.append(self._now)
