"""Who holds which slices, straight from the database."""

from __future__ import annotations

from types import TracebackType
from typing import NamedTuple, Self

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

_LOCKED_SECONDS = 2.0  #: nobody's transaction takes so long while its process runs


class HeldSlice(NamedTuple):
    """One lease."""

    job: int
    number: int
    attempt: int


class LeaseBook:
    """Reads the leases; a context manager."""

    def __init__(self, database_url: str) -> None:
        is_sqlite = database_url.startswith("sqlite")
        self._engine = create_engine(
            database_url, connect_args={"timeout": _LOCKED_SECONDS} if is_sqlite else {}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.dispose()

    def held_by(self, worker: str) -> list[HeldSlice]:
        """The slices leased to any process that went by this name."""
        return self._select("WHERE state = 'leased' AND lease_owner LIKE :owner", owner=f"{worker}@%")

    def all_slices(self) -> list[HeldSlice]:
        """Every slice."""
        return self._select("")

    def is_taken_over(self, slice_: HeldSlice) -> bool:
        """Whether another attempt has begun, or nothing is left to do."""
        [now] = self._select("WHERE job = :job AND number = :number", job=slice_.job, number=slice_.number)
        return now.attempt > slice_.attempt

    def can_be_written(self) -> bool:
        """Whether nobody keeps SQLite's only write lock, as a process frozen in a transaction does."""
        if self._engine.dialect.name != "sqlite":
            return True
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
        except OperationalError:
            return False
        return True

    def _select(self, where: str, **values: object) -> list[HeldSlice]:
        statement = text(f"SELECT job, number, attempt FROM slice {where}")  # our own words
        with self._engine.connect() as connection:
            return [HeldSlice(*row) for row in connection.execute(statement, values)]
