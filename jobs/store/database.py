"""Transactions on SQLite and PostgreSQL, and the only place where the two differ.

`write` and `read` run a function inside one transaction: it commits when the function
returns and rolls back whatever else happens. Errors of the driver become
`StoreUnavailable`; those that a second try may cure (a lock, a lost connection, a
serialization failure) are tried again first, the whole transaction from its start.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from jobs.errors import ConfigurationError, StoreUnavailable
from jobs.store.write_turns import GAP_SECONDS, WriteTurns, begin_to_write

T = TypeVar("T")
_log = logging.getLogger(__name__)
_BUSY_SECONDS = 30.0  # how long a SQLite connection waits for another writer
_BUSY_MILLISECONDS = int(_BUSY_SECONDS * 1000)
_TRACES_SECONDS = 0.05  # how long cutting SQLite's log waits for readers, and keeps writers out
_TRACES_TRIES = 5
#: Of each connection. What one transaction touches fits; after it, another connection's write empties
#: it anyway, and what is read again comes from the system's own cache. Large ones only add up.
_CACHE_KIBIBYTES = 2048
_TRIES = 4
_WRITE = "textmill_write"
_WITHIN = "textmill_within_seconds"


class Database:
    """An engine with our transaction rules."""

    def __init__(
        self, url: str, *, clock_offset: Callable[[], float] = lambda: 0.0, pool_size: int = 16
    ) -> None:
        """Builds the engine; connects to nothing yet.

        Args:
            url: of SQLAlchemy; `postgresql://` means psycopg 3.
            clock_offset: seconds added to the store's clock; for tests.
            pool_size: connections kept open.

        Raises:
            ConfigurationError: the URL cannot be read or names another database.
        """
        self.engine = _make_engine(url, pool_size)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._clock_offset = clock_offset
        self._turns = WriteTurns()  # of SQLite's writers
        #: SQLite's log still holds what was deleted
        self.has_traces = False

    def now(self, connection: Connection) -> float:
        """Seconds since 1970 by the clock all leases of this store are measured by."""
        if self.is_sqlite:  # one host by nature: its own clock
            return time.time() + self._clock_offset()
        stamp = connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())::float8"))
        return float(stamp or 0.0) + self._clock_offset()

    def insert(self, table: Any) -> Any:
        """An INSERT that knows ON CONFLICT."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    def write(
        self,
        work: Callable[[Connection], T],
        *,
        within_seconds: float | None = None,
        gives_way: bool = False,
    ) -> T:
        """Runs `work` in a transaction that may write.

        Args:
            work: may run several times, each in a transaction of its own.
            within_seconds: gives up waiting for other writers, and trying again, after so long.
            gives_way: it is a block of a long work: on SQLite short ones of this process pass it.

        Raises:
            StoreUnavailable: the database does not answer, or others keep it locked.
        """
        attempt = partial(self._in_turn, work, gives_way=gives_way)
        return self._run(attempt if self.is_sqlite else partial(self._once, work), within_seconds)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` in a transaction that sees one state of the ledger."""
        return self._run(partial(self._once, work, is_write=False), None)

    def give_way(self) -> None:
        """Lets other writers in, between two blocks of a long work (SQLite has one writer at a time)."""
        if self.is_sqlite:
            time.sleep(GAP_SECONDS)

    def forget_traces(self) -> bool:
        """Takes what was deleted out of SQLite's log as well; False: a reader still needs the log.

        The log is never cut while processes run, and would keep deleted texts for as long. On
        PostgreSQL this is the server's business.
        """
        if not self.is_sqlite:
            return True
        try:
            # Not by SQLAlchemy's connection: it begins a transaction, in which the log cannot be cut.
            with closing(self.engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
                self.has_traces = True
                for _ in range(_TRACES_TRIES):  # short ones: no writer gets in meanwhile
                    cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")  # most of it, beside writers
                    with self._turns.turn(_BUSY_SECONDS, gives_way=True):
                        is_cut = _cut_log(cursor)
                    if is_cut:
                        self.has_traces = False
                        break
                    self.give_way()
        except (SQLAlchemyError, sqlite3.Error) as error:
            _log.warning("traces_not_forgotten: %s", _first_line(error))
            self.has_traces = True
        return not self.has_traces

    def close(self) -> None:
        """Closes every connection."""
        self.engine.dispose()

    def _run(self, attempt: Callable[[float], T], within_seconds: float | None) -> T:
        give_up_at = math.inf if within_seconds is None else time.monotonic() + within_seconds
        for tries in range(1, _TRIES + 1):
            try:
                return attempt(give_up_at)
            except IntegrityError:
                raise  # a fact about the rows, not about the database; the caller knows which
            except (SQLAlchemyError, sqlite3.Error) as error:
                pause_seconds = 0.05 * 4 ** (tries - 1)
                is_late = time.monotonic() + pause_seconds >= give_up_at
                if tries == _TRIES or is_late or not _may_pass(error):
                    raise StoreUnavailable(f"the database failed: {_first_line(error)}") from error
                _log.warning("transaction_retried: %s", _first_line(error))
                time.sleep(pause_seconds)
        raise AssertionError("unreachable")

    def _in_turn(self, work: Callable[[Connection], T], give_up_at: float, *, gives_way: bool) -> T:
        give_up_at = min(give_up_at, time.monotonic() + _BUSY_SECONDS)
        with self._turns.turn(max(0.0, give_up_at - time.monotonic()), gives_way=gives_way):
            return self._once(work, give_up_at)

    def _once(self, work: Callable[[Connection], T], give_up_at: float, *, is_write: bool = True) -> T:
        with self.engine.connect() as connection:
            left_seconds = max(0.0, give_up_at - time.monotonic())
            connection.execution_options(**{_WRITE: is_write, _WITHIN: left_seconds})
            if not (is_write or self.is_sqlite):
                # PostgreSQL's default lets every statement see a newer state.
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                return work(connection)


def _cut_log(cursor: DBAPICursor) -> bool:
    """Whether SQLite's log could be emptied."""
    cursor.execute(f"PRAGMA busy_timeout={int(_TRACES_SECONDS * 1000)}")
    try:
        is_busy, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not is_busy
    finally:  # the connection goes back to the pool
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")


def _may_pass(error: Exception) -> bool:
    if isinstance(error, PoolTimeout):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    state = str(getattr(getattr(error, "orig", None), "sqlstate", "") or "")
    # 40: serialization failure and deadlock; 57P: shutdown, starting up; 08: connection.
    # SQLite's lock was waited for as long as it may be: `begin_to_write`.
    return state[:2] in {"40", "08"} or state[:3] == "57P" or isinstance(error, OperationalError)


def _first_line(error: Exception) -> str:
    # The driver's own words only: SQLAlchemy's message would quote parameters, which hold users' text.
    told = error if isinstance(error, sqlite3.Error) else getattr(error, "orig", None)
    return str(told or type(error).__name__).split("\n", 1)[0][:300]


def _make_engine(url: str, pool_size: int) -> Engine:
    try:
        parsed = make_url(url)
    except SQLAlchemyError as error:
        raise ConfigurationError(f"TEXTMILL_DATABASE_URL cannot be read: {error}") from error
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise ConfigurationError("TEXTMILL_DATABASE_URL: only sqlite:// and postgresql:// are supported")
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engine(parsed, pool_size)
    try:
        engine = create_engine(
            parsed, pool_size=pool_size, max_overflow=16, pool_pre_ping=True, pool_timeout=10,
            hide_parameters=True, connect_args={"connect_timeout": 5},
        )  # fmt: skip
    except ModuleNotFoundError as error:
        raise ConfigurationError("PostgreSQL needs its driver: pip install 'textmill[postgres]'") from error

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        within_seconds = connection.get_execution_options().get(_WITHIN, math.inf)
        if within_seconds < math.inf:
            milliseconds = max(1, int(within_seconds * 1000))
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {milliseconds}")

    return engine


def _sqlite_engine(url: Any, pool_size: int) -> Engine:
    if url.database in {None, "", ":memory:"}:
        raise ConfigurationError(
            "TEXTMILL_DATABASE_URL names no file, and a ledger outlives its processes: "
            "write sqlite:////path/to/ledger.db"
        )
    Path(url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = create_engine(
        url, pool_size=pool_size, max_overflow=16, pool_timeout=10, hide_parameters=True,
        pool_use_lifo=True,  # as few as are needed at a time, each with its cache
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
    )  # fmt: skip

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        # We send BEGIN ourselves (below): the driver's own would always be a deferred one.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")  # readers do not wait for the writer
        cursor.execute("PRAGMA synchronous=FULL")  # a COMMIT survives power loss
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA cache_size=-{_CACHE_KIBIBYTES}")
        cursor.execute("PRAGMA secure_delete=ON")  # not every build overwrites what is deleted
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A deferred transaction that turns into a writer fails at once when another
        # writer was there first, whatever the busy timeout; IMMEDIATE waits its turn.
        options = connection.get_execution_options()
        if options.get(_WRITE, True):
            driver: Any = connection.connection.driver_connection
            within_seconds = min(_BUSY_SECONDS, options.get(_WITHIN, math.inf))
            begin_to_write(driver, within_seconds, busy_milliseconds=_BUSY_MILLISECONDS)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine
