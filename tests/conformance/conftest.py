"""The same suite on every database: SQLite in a file, and a real PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from jobs.store.database import Database
from jobs.store.migrate import migrate
from jobs.store.sql import SqlStore
from tests.support.ledger import Clock, Ledger
from tests.support.new_ledger import new_ledger
from tests.support.postgres import postgres_url


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server, with a migrated database to copy from."""
    with postgres_url() as url:
        _admin(url, "CREATE DATABASE textmill_template")
        template = Database(_named(url, "textmill_template"))
        migrate(template)
        template.close()
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty ledger at the schema of this code."""
    if request.param == "sqlite":
        yield new_ledger(tmp_path / "ledger.db")
        return
    url = request.getfixturevalue("postgres")
    name = f"t_{secrets.token_hex(6)}"
    _admin(url, f"CREATE DATABASE {name} TEMPLATE textmill_template")
    yield _named(url, name)
    _admin(url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Another database, without a table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    url = request.getfixturevalue("postgres")
    name = f"t_{secrets.token_hex(6)}"
    _admin(url, f"CREATE DATABASE {name}")
    yield _named(url, name)
    _admin(url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    clock = Clock()
    database = Database(database_url, clock_offset=clock)
    store = SqlStore(database, slice_tokens=10_000, slice_documents=4)
    yield Ledger(store, clock)
    store.close()


def _admin(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def _named(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)
