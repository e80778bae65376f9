"""A transaction that fails: when it is tried again, for how long, and what is told of it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from jobs.errors import ConfigurationError, StoreUnavailable
from jobs.store import database as module
from jobs.store.database import Database


class Driver(Exception):
    """What a driver raises."""

    def __init__(self, told: str = "broken", sqlstate: str | None = None) -> None:
        super().__init__(told)
        self.sqlstate = sqlstate


class Work:
    """Fails as it is told, as often as it is told, and counts."""

    def __init__(self, error: Exception, times: int = 100) -> None:
        self.error = error
        self.times = times
        self.calls = 0

    def __call__(self, _: object) -> str:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return "done"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was slept between two tries; nobody sleeps."""
    noted: list[float] = []
    monkeypatch.setattr(module.time, "sleep", noted.append)
    return noted


def wrapped(kind: type[DBAPIError], orig: Exception, *, is_cut: bool = False) -> DBAPIError:
    return kind("INSERT", {"text": "private"}, orig, connection_invalidated=is_cut)


PASSING = [
    wrapped(DBAPIError, Driver(sqlstate="40001")),
    wrapped(DBAPIError, Driver(sqlstate="40P01")),
    wrapped(DBAPIError, Driver(sqlstate="08006")),
    wrapped(DBAPIError, Driver(sqlstate="57P01")),
    wrapped(OperationalError, Driver()),
    wrapped(DBAPIError, Driver(), is_cut=True),
    PoolTimeout(),
]
STAYING = [
    wrapped(DataError, Driver(sqlstate="22003")),
    wrapped(DBAPIError, Driver(sqlstate="57014")),
    wrapped(DBAPIError, Driver()),
    sqlite3.OperationalError("database is locked"),  # out of our own BEGIN, which has waited
]


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
def test_what_may_pass_is_tried_four_times_with_growing_pauses(
    database: Database, pauses: list[float], error: Exception
) -> None:
    work = Work(error)
    with pytest.raises(StoreUnavailable):
        database.write(work)
    assert work.calls == 4
    assert pauses == pytest.approx([0.05, 0.2, 0.8])


@pytest.mark.parametrize("error", STAYING, ids=lambda error: type(error).__name__)
def test_what_stays_wrong_is_not_tried_again(
    database: Database, pauses: list[float], error: Exception
) -> None:
    work = Work(error)
    with pytest.raises(StoreUnavailable):
        database.read(work)
    assert (work.calls, pauses) == (1, [])


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_later_try_counts_like_the_first(database: Database, pauses: list[float], times: int) -> None:
    assert database.write(Work(PASSING[0], times)) == "done"
    assert len(pauses) == times


def test_a_fact_about_rows_goes_to_the_caller_as_it_is(database: Database, pauses: list[float]) -> None:
    work = Work(IntegrityError("INSERT", {}, Driver()))
    with pytest.raises(IntegrityError):
        database.write(work)
    assert work.calls == 1


def test_nobody_waits_beyond_the_time_that_is_given(
    database: Database, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now + sum(pauses))
    work = Work(PASSING[0])
    with pytest.raises(StoreUnavailable):
        database.write(work, within_seconds=0.25)
    assert pauses == [0.05]
    in_time = Work(PASSING[0], 2)
    pauses.clear()
    assert database.write(in_time, within_seconds=0.26) == "done"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (wrapped(DataError, Driver("out of range\nDETAIL: private")), "the database failed: out of range"),
        (wrapped(DataError, Driver("x" * 400)), "the database failed: " + "x" * 300),
        (wrapped(DataError, Driver("")), "the database failed: "),
        (PoolTimeout("private"), "the database failed: TimeoutError"),
    ],
)
def test_what_is_told_is_one_line_of_the_driver_without_anybodys_text(
    database: Database, pauses: list[float], error: Exception, told: str
) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        database.write(Work(error))
    assert str(caught.value) == told
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("no url", "TEXTMILL_DATABASE_URL cannot be read"),
        ("mysql://h/d", "TEXTMILL_DATABASE_URL: only sqlite:// and postgresql:// are supported"),
        ("oracle://h/d", "only sqlite:// and postgresql://"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_a_url_that_is_none_or_of_another_database_is_refused(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Database(url)


@pytest.mark.parametrize("url", ["postgres://u:p@127.0.0.1:1/d", "postgresql://u:p@127.0.0.1:1/d"])
def test_postgresql_is_spoken_by_its_own_driver_and_kept_from_hanging(url: str) -> None:
    database = Database(url)
    assert not database.is_sqlite
    assert database.engine.dialect.driver == "psycopg"
    assert database.engine.url.port == 1
    assert database.engine.hide_parameters
    database.close()


def test_sqlite_is_set_up_so_that_a_commit_stays_and_readers_wait_for_nobody(
    database: Database, tmp_path: Path
) -> None:
    settings = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "cache_size": -2048,
        "secure_delete": 1,
    }
    read = database.read(
        lambda c: {name: c.exec_driver_sql(f"PRAGMA {name}").scalar() for name in (*settings, "busy_timeout")}
    )
    assert read == {**settings, "busy_timeout": 30_000}
    database.write(lambda _: None)
    assert database.read(lambda c: c.exec_driver_sql("PRAGMA busy_timeout").scalar()) == 30_000
    assert database.engine.hide_parameters


def test_a_folder_for_a_ledger_is_made_and_is_its_owners_only(tmp_path: Path) -> None:
    Database(f"sqlite:///{tmp_path / 'a' / 'b' / 'ledger.db'}").close()
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_two_writers_come_one_after_the_other_and_a_reader_does_not_wait(database: Database) -> None:
    """Who waits in vain hears why ("OperationalError" was all that was told)."""

    def while_writing(_: object) -> tuple[int, float]:
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable, match="locked"):
            database.write(lambda _: None, within_seconds=0.03)
        return database.read(lambda c: c.exec_driver_sql("SELECT 7").scalar()), time.monotonic() - begun

    seven, seconds = database.write(while_writing)
    assert seven == 7
    assert seconds < 10


@pytest.mark.parametrize("ahead", [0.0, 3600.0])
def test_the_clock_is_seconds_since_1970_and_runs_ahead_as_it_is_told(tmp_path: Path, ahead: float) -> None:
    database = Database(f"sqlite:///{tmp_path / 'ledger.db'}", clock_offset=lambda: ahead)
    assert database.read(database.now) == pytest.approx(time.time() + ahead, abs=60)
    database.close()


def test_a_lock_of_another_kind_is_told_at_once(
    database: Database, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only "busy" is waited for: a database that is no database says so without 30 s of looking."""
    Path(str(database.engine.url.database)).write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreUnavailable):
        database.write(lambda _: None)
    assert 0.01 not in pauses


def test_a_connection_that_the_server_closed_is_found_out_before_it_is_used() -> None:
    database = Database("postgresql://u:p@127.0.0.1:1/d", pool_size=3)
    assert database.engine.pool._pre_ping
    assert database.engine.pool.size() == 3
    database.close()
