"""Keys in SQL: a key holds from the COMMIT that made it to the one that ended it, in every process."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from jobs.errors import ConfigurationError, KeyConflict, KeyNotFound
from jobs.keys import ApiKey, NewKey, Origin, project_of, shown_project
from jobs.store import tables as t
from jobs.store.codec import from_json, to_time
from jobs.store.database import Database
from jobs.store.projects import find_project, project_for_fingerprint


def find_key(database: Database, digest: str) -> ApiKey | None:
    """The key of this digest, ended or not."""

    def work(connection: Connection) -> ApiKey | None:
        row = _by_digest(connection, digest)
        return None if row is None else _read(database, connection, row)

    return database.read(work)


def key_by_id(database: Database, key_id: str) -> ApiKey:
    """One by its id, ended or not.

    Raises:
        KeyNotFound: there is no such key.
    """
    return database.read(lambda connection: _read(database, connection, _by_id(connection, key_id)))


def list_keys(database: Database, *, project: str | None = None) -> list[ApiKey]:
    """Keys of one project, or all with the administrators', oldest first; ended ones as well."""

    def work(connection: Connection) -> list[ApiKey]:
        wanted = _keys().order_by(t.api_key.c.created_at, t.api_key.c.id)
        if project is not None:
            wanted = wanted.where(t.api_key.c.project == find_project(connection, project).name)
        return [_read(database, connection, row) for row in connection.execute(wanted)]

    return database.read(work)


def add_key(database: Database, new: NewKey) -> ApiKey:
    """Stores a key that was just made.

    Raises:
        ProjectNotFound: its project does not exist.
        KeyConflict: the project has a key of that name that is still good.
        ConfigurationError: the keys there are were hashed with another secret.
    """

    def work(connection: Connection) -> ApiKey:
        if (known := _by_digest(connection, new.digest)) is not None:
            return _read(database, connection, known)  # the COMMIT nobody heard went through
        _check_secret(database, connection, new.secret_id)
        owner = None if new.project is None else find_project(connection, new.project).name
        _check_name(database, connection, new.name, owner)
        return _insert(database, connection, new, owner)

    return database.write(work)


def adopt_key(database: Database, new: NewKey) -> ApiKey:
    """Has a key of the settings among the others; its jobs of 0.1.0 come with it.

    Raises:
        ConfigurationError: the keys there are were hashed with another secret.
    """

    def work(connection: Connection) -> ApiKey:
        if (known := _by_digest(connection, new.digest)) is not None:
            return _read(database, connection, known)
        _check_secret(database, connection, new.secret_id)
        owner = new.project
        if new.fingerprint is not None:
            owner = project_for_fingerprint(connection, new.fingerprint, database.now(connection))
        return _insert(database, connection, new, owner)

    try:
        return database.write(work)
    except IntegrityError:  # on PostgreSQL another process may adopt it at the same time
        known = find_key(database, new.digest)
        if known is None:
            raise
        return known


def rotate_key(
    database: Database, key_id: str, *, digest: str, prefix: str, secret_id: str, overlap_seconds: float
) -> ApiKey:
    """Puts a new key in the place of one: same name, same project; the old one ends after the overlap.

    Raises:
        KeyNotFound: there is no such key.
        KeyConflict: the key has ended already.
    """

    def work(connection: Connection) -> ApiKey:
        if (known := _by_digest(connection, digest)) is not None:
            return _read(database, connection, known)  # the COMMIT nobody heard went through
        old = _read(database, connection, _by_id(connection, key_id))
        if not old.is_live:
            raise KeyConflict(f"key {key_id} has ended: create a new one for its project")
        _check_secret(database, connection, secret_id)
        _end(connection, old.id, database.now(connection) + overlap_seconds)
        owner = None if old.project is None else project_of(old.project)
        new = NewKey(name=old.name, project=owner, digest=digest, secret_id=secret_id, prefix=prefix)
        return _insert(database, connection, new, owner)

    return database.write(work)


def revoke_key(database: Database, key_id: str) -> ApiKey:
    """Ends a key now; it does not hold again, not even where the settings name it.

    Raises:
        KeyNotFound: there is no such key.
        KeyConflict: no administrator's key would be left.
    """

    def work(connection: Connection) -> ApiKey:
        key = _read(database, connection, _by_id(connection, key_id))
        if key.is_live:
            now = database.now(connection)
            if key.is_admin and not _others(connection, key.id, now):
                raise KeyConflict("this is the last administrator's key: make another before it is revoked")
            _end(connection, key.id, now)
        return _read(database, connection, _by_id(connection, key_id))

    return database.write(work)


def _others(connection: Connection, key_id: str, now: float) -> bool:
    c = t.api_key.c
    other = select(c.id).where(c.project.is_(None), c.id != key_id, _is_live(now)).limit(1)
    return connection.scalar(other) is not None


def _is_live(now: float) -> ColumnElement[bool]:
    c = t.api_key.c
    return or_(c.ends_at.is_(None), c.ends_at > now)


def _end(connection: Connection, key_id: str, at: float) -> None:
    c = t.api_key.c
    connection.execute(update(t.api_key).where(c.id == key_id).values(ends_at=at))


def _insert(database: Database, connection: Connection, new: NewKey, owner: str | None) -> ApiKey:
    key_id = f"key_{secrets.token_hex(8)}"
    connection.execute(
        insert(t.api_key).values(
            id=key_id, project=owner, name=new.name, prefix=new.prefix, digest=new.digest,
            secret_id=new.secret_id, origin=new.origin, created_at=database.now(connection),
        )
    )  # fmt: skip
    return _read(database, connection, _by_id(connection, key_id))


def _check_secret(database: Database, connection: Connection, secret_id: str) -> None:
    """A key of the settings that an unknown secret hides would be taken for a new one, without its jobs."""
    c = t.api_key.c
    now = database.now(connection)
    strange = select(c.id).where(c.secret_id != secret_id, _is_live(now)).limit(1)
    if connection.scalar(strange) is not None:
        raise ConfigurationError(
            "the keys in the database were hashed with another secret than this server's: give every API "
            "process the same TEXTMILL_SECRET (or TEXTMILL_SECRET_FILE), or put secret.key of the data "
            "folder back from a copy"
        )


def _check_name(database: Database, connection: Connection, name: str, owner: str | None) -> None:
    c = t.api_key.c
    of_owner = c.project.is_(None) if owner is None else c.project == owner
    taken = select(c.id).where(of_owner, c.name == name, _is_live(database.now(connection))).limit(1)
    if connection.scalar(taken) is not None:
        of_whom = "an administrator" if owner is None else f"project {shown_project(owner)!r}"
        raise KeyConflict(f"{of_whom} has a key {name!r} already: rotate it, or take another name")


def _keys() -> Select[Any]:
    """Keys, each with the limits of its project."""
    return select(t.api_key, t.project.c.limits).outerjoin(t.project, t.project.c.name == t.api_key.c.project)


def _by_digest(connection: Connection, digest: str) -> Row[Any] | None:
    return connection.execute(_keys().where(t.api_key.c.digest == digest)).first()


def _by_id(connection: Connection, key_id: str) -> Row[Any]:
    row = connection.execute(_keys().where(t.api_key.c.id == key_id)).first()
    if row is None:
        raise KeyNotFound(f"there is no key {key_id[:80]!r}")
    return row


def _read(database: Database, connection: Connection, row: Row[Any]) -> ApiKey:
    created_at = to_time(row.created_at)
    assert created_at is not None  # the column is NOT NULL
    return ApiKey(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        project=None if row.project is None else shown_project(row.project),
        origin=Origin(row.origin),
        digest=row.digest,
        created_at=created_at,
        ends_at=to_time(row.ends_at),
        limits=from_json(row.limits) or {},
        is_live=row.ends_at is None or row.ends_at > database.now(connection),
    )
