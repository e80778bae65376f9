"""What the database looks at to answer: steps of SQLite's machine, rows that PostgreSQL fetched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, event, text

from jobs.store.database import Database

_EVERY = 10  # steps between two looks at SQLite's counter
_FETCHED = text(
    "SELECT COALESCE(sum(seq_tup_read), 0) + COALESCE(sum(idx_tup_fetch), 0) FROM pg_stat_xact_user_tables"
)


class Visited:
    """Counts what a store's calls cost, in whatever unit its database has; independent of the clock."""

    def __init__(self, database: Database) -> None:
        self._is_sqlite = database.is_sqlite
        self._total = self._before = 0
        if self._is_sqlite:
            event.listen(database.engine, "checkout", self._watch)
        else:
            event.listen(database.engine, "begin", self._begun)
            event.listen(database.engine, "commit", self._committed)

    def by(self, call: Callable[[], object]) -> int:
        """What this call looks at."""
        self._total = 0
        call()
        return self._total

    def _watch(self, connection: Any, *_: Any) -> None:
        connection.set_progress_handler(self._stepped, _EVERY)

    def _stepped(self) -> int:
        self._total += _EVERY
        return 0

    def _begun(self, connection: Connection) -> None:
        self._before = int(connection.execute(_FETCHED).scalar_one())  # of transactions not yet added up

    def _committed(self, connection: Connection) -> None:
        self._total += int(connection.execute(_FETCHED).scalar_one()) - self._before
