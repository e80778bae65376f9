"""A ledger in one file, saved while everything runs, and brought back into an empty database.

The file is an SQLite ledger, whatever database it came from: anything that reads SQLite can
look at it, and it is restored into either database.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Boolean, Connection, MetaData, Table, delete, insert, select, text

from jobs.errors import ConfigurationError
from jobs.store.database import Database
from jobs.store.migrate import current_revision, knows, migrate

#: Parents first, as foreign keys want it; tables that nothing refers to follow.
_FIRST = ("job", "slice", "document", "result")
_NOT_COPIED = ("alembic_version", "sqlite_sequence", *_FIRST)
#: Whose rows have numbers of the database's own.
_NUMBERED = ("job", "file", "batch", "webhook", "webhook_delivery")
_BLOCK_ROWS = 1000
#: Of tables whose rows hold a megabyte.
_FEW_ROWS = {"file_block": 16}


def save(database: Database, file: Path) -> None:
    """Writes one state of the ledger to a new file; nobody waits for it.

    Raises:
        ConfigurationError: the file exists, or the database holds no ledger.
        StoreUnavailable: the database does not answer.
        OSError: the file cannot be written.
    """
    if file.exists():
        raise ConfigurationError(f"{file} exists: name a new file")
    revision = database.read(current_revision)
    if revision is None:
        raise ConfigurationError("the database holds no ledger: is TEXTMILL_DATABASE_URL or --data right?")
    unfinished = file.with_name(f"{file.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    try:
        if database.is_sqlite:
            _copy_pages(database, unfinished)
        else:
            with closing(Database(f"sqlite:///{unfinished}")) as target:
                migrate(target, revision)
                database.read(lambda source: target.write(lambda connection: _copy_rows(source, connection)))
        _make_one_file(unfinished)
        unfinished.rename(file)
    finally:
        unfinished.unlink(missing_ok=True)


def restore(database: Database, file: Path) -> None:
    """Fills an empty database from such a file, and brings it to this code's schema.

    Raises:
        ConfigurationError: it is no such file, it is of a later release, or the database is not empty.
        StoreUnavailable: the database does not answer.
    """
    revision = _revision_of(file)
    present = database.read(current_revision)
    if present is None:
        migrate(database, revision)
    elif present != revision or database.read(_has_jobs):
        raise ConfigurationError("the database is in use: restore into an empty one")
    with closing(Database(f"sqlite:///{file}")) as source:
        database.write(lambda target: source.read(lambda connection: _copy_rows(connection, target)))
    migrate(database)


def _revision_of(file: Path) -> str:
    if not file.is_file():
        raise ConfigurationError(f"{file} is not there")
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, TypeError) as error:
        raise ConfigurationError(f"{file} is no backup of a ledger: {error}") from error
    if not knows(revision):
        raise ConfigurationError(f"{file} is of a later release: its schema is {revision}")
    return str(revision)


def _has_jobs(connection: Connection) -> bool:
    return connection.execute(text("SELECT 1 FROM job LIMIT 1")).first() is not None


def _copy_pages(database: Database, file: Path) -> None:
    """SQLite's own online backup, in one step: writers go on, and would make it begin anew otherwise."""
    with (
        closing(database.engine.raw_connection()) as source,
        closing(sqlite3.connect(file)) as target,
    ):
        driver: Any = source.driver_connection
        driver.backup(target, pages=-1)


def _make_one_file(file: Path) -> None:
    """Without a log beside it, so that the file can be carried away."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


def _copy_rows(source: Connection, target: Connection) -> None:
    tables = MetaData()
    tables.reflect(bind=target)
    others = [table.name for table in tables.sorted_tables if table.name not in _NOT_COPIED]
    for name in reversed(others):
        target.execute(delete(tables.tables[name]))  # what a migration wrote there is in the copy as well
    for name in (*_FIRST, *others):
        _copy_table(source, target, tables.tables[name])
    if target.dialect.name == "postgresql":
        for name in _NUMBERED:
            if name in tables.tables:  # in this revision
                last = f"SELECT COALESCE(max(id), 1) FROM {name}"  # noqa: S608  # a name of ours
                target.execute(text(f"SELECT setval('{name}_id_seq', ({last}))"))


def _copy_table(source: Connection, target: Connection, table: Table) -> None:
    switches = [column.name for column in table.c if isinstance(column.type, Boolean)]
    columns = [text(column.name) for column in table.c]
    rows = source.execution_options(yield_per=_FEW_ROWS.get(table.name, _BLOCK_ROWS)).execute(
        select(*columns).select_from(text(table.name))
    )
    for block in rows.partitions():
        values = [{**row._mapping, **{name: bool(row._mapping[name]) for name in switches}} for row in block]
        target.execute(insert(table), values)
