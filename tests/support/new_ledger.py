"""A SQLite ledger at the schema of this code: migrated once, and copied for each test."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from jobs.store.database import Database
from jobs.store.migrate import migrate


def new_ledger(path: Path) -> str:
    """Its URL; one that is there already stays as it is."""
    if not path.exists():
        path.write_bytes(_migrated())
    return f"sqlite:///{path}"


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        database = Database(f"sqlite:///{path}")
        migrate(database)
        database.close()  # the last connection: what its log holds goes into the file
        return path.read_bytes()
