"""`python -m jobs.migrate`: brings the configured database to this code's schema."""

from __future__ import annotations

import argparse
import sys

from jobs.errors import TextmillError
from jobs.privacy import keep_files_private, refuse_foreign
from jobs.settings import Settings
from jobs.store.database import Database
from jobs.store.migrate import head_revision, migrate


def main() -> int:
    """Migrates; returns the exit code."""
    argparse.ArgumentParser(prog="python -m jobs.migrate", description=__doc__).parse_args()
    keep_files_private()
    try:
        settings = Settings.load()
        refuse_foreign(settings.data)
        database = Database(settings.database)
        migrate(database)
    except (TextmillError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    database.close()
    sys.stderr.write(f"the database is at schema {head_revision()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
