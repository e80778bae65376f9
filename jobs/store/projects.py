"""Projects in SQL."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from jobs.errors import KeyConflict, ProjectNotFound
from jobs.keys import DEFAULT_PROJECT, Project, project_of, shown_project
from jobs.store import tables as t
from jobs.store.codec import from_json, to_json, to_time
from jobs.store.database import Database


def list_projects(database: Database) -> list[Project]:
    """All of them, by name."""
    rows = database.read(
        lambda connection: connection.execute(select(t.project).order_by(t.project.c.name)).all()
    )
    return [_project(row) for row in rows]


def get_project(database: Database, name: str) -> Project:
    """One by its name.

    Raises:
        ProjectNotFound: there is none of that name.
    """
    return _project(database.read(lambda connection: find_project(connection, name)))


def add_project(database: Database, name: str, *, limits: dict[str, int]) -> Project:
    """A new one.

    Raises:
        KeyConflict: the name is taken.
    """
    was_made = False

    def work(connection: Connection) -> Row[Any]:
        nonlocal was_made
        is_known = connection.scalar(select(t.project.c.name).where(t.project.c.name == name)) is not None
        if (is_known and not was_made) or name == DEFAULT_PROJECT:
            raise KeyConflict(f"there is a project {name!r} already")
        if not is_known:
            connection.execute(
                insert(t.project).values(
                    name=name, limits=to_json(limits), created_at=database.now(connection)
                )
            )
            was_made = True  # should nobody hear of the COMMIT, the next try finds it
        return find_project(connection, name)

    return _project(database.write(work))


def limit_project(database: Database, name: str, *, limits: dict[str, int]) -> Project:
    """Gives a project limits of its own, in place of those it had.

    Raises:
        ProjectNotFound: there is none of that name.
    """

    def work(connection: Connection) -> Row[Any]:
        find_project(connection, name)
        connection.execute(
            update(t.project).where(t.project.c.name == project_of(name)).values(limits=to_json(limits))
        )
        return find_project(connection, name)

    return _project(database.write(work))


def find_project(connection: Connection, name: str) -> Row[Any]:
    """Its row.

    Raises:
        ProjectNotFound: there is none of that name.
    """
    row = connection.execute(select(t.project).where(t.project.c.name == project_of(name))).first()
    if row is None:
        raise ProjectNotFound(f"there is no project {name[:80]!r}")
    return row


def project_for_fingerprint(connection: Connection, fingerprint: str, now: float) -> str:
    """The project that waits for this key of 0.1.0, which it now has; else a new one of a made-up name.

    The fingerprint goes: it is a plain hash, from which a weak key could be found.
    """
    c = t.project.c
    name = connection.scalar(select(c.name).where(c.fingerprint == fingerprint))
    if name is not None:
        connection.execute(update(t.project).where(c.name == name).values(fingerprint=None))
        return str(name)
    name = f"key-{secrets.token_hex(4)}"
    connection.execute(insert(t.project).values(name=name, limits="{}", created_at=now))
    return name


def _project(row: Row[Any]) -> Project:
    created_at = to_time(row.created_at)
    assert created_at is not None  # the column is NOT NULL
    return Project(name=shown_project(row.name), created_at=created_at, limits=from_json(row.limits))
