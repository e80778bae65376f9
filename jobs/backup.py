"""`python -m jobs.backup save|restore FILE`: the configured database into one file, and back."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jobs.errors import TextmillError
from jobs.privacy import keep_files_private, refuse_foreign
from jobs.settings import Settings
from jobs.store.backup import restore, save
from jobs.store.database import Database


def main() -> int:
    """Does it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m jobs.backup", description=__doc__)
    parser.add_argument("verb", choices=("save", "restore"))
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    keep_files_private()
    try:
        settings = Settings.load()
        refuse_foreign(settings.data)
        database = Database(settings.database)
        (save if options.verb == "save" else restore)(database, options.file.absolute())
        database.close()
    except (TextmillError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    told = "saved to" if options.verb == "save" else "restored from"
    sys.stderr.write(f"the ledger is {told} {options.file}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
