"""Bringing a database to the schema of this code."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from jobs.errors import ConfigurationError, StoreUnavailable
from jobs.store.database import Database

_SCRIPTS = Path(__file__).with_name("migrations")
_LOCK = 0x7E87_3111  # any constant: the name of our advisory lock


def migrate(database: Database, revision: str = "head") -> None:
    """Upgrades to the newest revision (or the one named); does nothing when it is there already.

    Several processes may start at once: SQLite's write transaction and PostgreSQL's
    advisory lock let one work while the others wait and then find it done.

    Raises:
        ConfigurationError: a newer release has been here.
    """

    def work(connection: Connection) -> None:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config = _config()
        config.attributes["connection"] = connection
        if (found := current_revision(connection)) is not None and not knows(found):
            raise ConfigurationError(_made_by_a_newer_release(found))
        command.upgrade(config, revision)

    database.write(work)


def check_schema(database: Database) -> None:
    """Looks whether the database is at the schema of this code.

    Raises:
        StoreUnavailable: it is not, or does not answer.
    """
    found, wanted = database.read(current_revision), head_revision()
    if found is not None and not knows(found):
        raise StoreUnavailable(_made_by_a_newer_release(found))
    if found != wanted:
        raise StoreUnavailable(
            f"the database is at schema {found or 'none'}, this code needs {wanted}: "
            "run `python -m jobs.migrate`"
        )


def _made_by_a_newer_release(found: str) -> str:
    return (
        f"the database is at schema {found}, which a newer release made; this one knows up to "
        f"{head_revision()}: start that release, or restore a backup made before"
    )


def current_revision(connection: Connection) -> str | None:
    """The revision the database is at, or None before the first migration."""
    return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str | None:
    """The revision this code needs."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def knows(revision: str) -> bool:
    """Whether this code can bring a ledger of that revision up to date."""
    try:
        return ScriptDirectory.from_config(_config()).get_revision(revision) is not None
    except CommandError:
        return False


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    return config
