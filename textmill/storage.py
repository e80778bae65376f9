"""Whether the data folder and the database can be used: read, and really written."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import sqlite3
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from jobs.settings import Settings
from textmill.findings import Check, missing, note, ok

_LITTLE_SPACE_BYTES = 2 << 30
_OTHER_FOLDER = "give its owner the right to write, or name another folder: TEXTMILL_DATA"
#: What is written to inside the data folder, when it is there.
_WRITTEN = ("logs", "uploads", "up.lock", "up.json", "textmill.db", "textmill.db-wal", "textmill.db-shm")


def data_folder(settings: Settings) -> Check:
    """The folder, or the place where it is going to be."""
    folder = settings.data.absolute()
    problem = _unwritable(folder)
    if problem:
        return missing("data", problem, _OTHER_FOLDER)
    there = _nearest(folder)
    free_bytes = shutil.disk_usage(there).free
    text = f"{folder}, {free_bytes / 1e9:.0f} GB free"
    if free_bytes < _LITTLE_SPACE_BYTES:
        return note("data", text, "make room, or name another folder: TEXTMILL_DATA")
    return ok("data", text)


def database(settings: Settings) -> Check:
    """The one that the settings name."""
    parts = urlsplit(settings.database)
    if parts.scheme.startswith("sqlite"):
        return _sqlite(Path(settings.database.partition(":///")[2]).absolute())
    place = f"{parts.hostname}:{parts.port or 5432}"
    try:
        socket.create_connection((parts.hostname or "localhost", parts.port or 5432), timeout=3).close()
    except OSError as error:
        text = f"{parts.scheme} at {place}: {error.strerror or error}"
        return missing("database", text, "start it, or correct TEXTMILL_DATABASE_URL")
    if "psycopg" in parts.scheme and importlib.util.find_spec("psycopg") is None:
        text = "TEXTMILL_DATABASE_URL names PostgreSQL, but its driver is not installed"
        return missing("database", text, "pip install 'textmill[postgres]'")
    return ok("database", f"{parts.scheme} listens at {place}")


def _sqlite(path: Path) -> Check:
    problem = _unwritable(path.parent)
    if problem is None and path.exists() and not os.access(path, os.R_OK | os.W_OK):
        problem = f"{path} cannot be read and written by this user"
    if problem:
        return missing("database", f"SQLite: {problem}", _OTHER_FOLDER)
    if not path.exists():
        return ok("database", f"SQLite; {path} is made by the first `textmill up`")
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5) as connection:
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, TypeError) as error:
        remedy = "python -m jobs.migrate brings it up to date; a damaged file must be replaced"
        return missing("database", f"SQLite {path}: {error}", remedy)
    megabytes = path.stat().st_size / 1e6
    return ok("database", f"SQLite {path}, {megabytes:.1f} MB, schema {revision}")


def _unwritable(folder: Path) -> str | None:
    """Why nothing can be written there. Tries it: neither modes nor mounts tell everything."""
    there = _nearest(folder)
    if not there.is_dir():
        return f"{there} is a file, not a folder"
    try:
        with tempfile.TemporaryDirectory(prefix=".textmill-doctor-", dir=there):
            pass
    except OSError as error:
        what = f"{folder} cannot be written" if there == folder else f"{folder} cannot be made in {there}"
        return f"{what}: {error.strerror or error}"
    closed = [name for name in _WRITTEN if (folder / name).exists() and not os.access(folder / name, os.W_OK)]
    return f"{folder / closed[0]} cannot be written by this user" if closed else None


def _nearest(path: Path) -> Path:
    """The path itself, or the nearest thing above it that exists."""
    return next(each for each in (path, *path.parents) if os.path.lexists(each))
