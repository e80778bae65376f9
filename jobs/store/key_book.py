"""Who may enter: the keys of the settings and those in SQL, looked up anew for every request."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping

from jobs.errors import ConfigurationError, KeyNotFound
from jobs.keys import (
    NO_PROJECT,
    ApiKey,
    Caller,
    KeyHasher,
    NewKey,
    Origin,
    Project,
    make_key,
    project_of,
    shown_prefix,
)
from jobs.secret import server_secret
from jobs.settings import Settings
from jobs.store import keys, projects
from jobs.store.database import Database

_log = logging.getLogger(__name__)
_MOST_KEY_CHARACTERS = 1024


class KeyBook:
    """Projects and keys of one installation."""

    def __init__(self, database: Database, hasher: KeyHasher, settings: Settings) -> None:
        self._database = database
        self._hasher = hasher
        self._limits = settings.limits
        self._of_settings = {new.digest: new for new in _settings_keys(hasher, settings)}

    def identify(self, key: str | None) -> Caller | None:
        """Who has this key; None: nobody who may enter.

        Asks the database every time, so that a key ends at once in every process.
        """
        if not key or len(key) > _MOST_KEY_CHARACTERS:
            return None
        digest = self._hasher.digest(key)
        found = keys.find_key(self._database, digest)
        if found is None and digest in self._of_settings:  # the database was away when this process began
            found = keys.adopt_key(self._database, self._of_settings[digest])
        return None if found is None else self._caller(found)

    def caller_of(self, key_id: str) -> Caller | None:
        """Who has the key of this id, for a browser that has shown it; None: it is no longer good."""
        try:
            return self._caller(keys.key_by_id(self._database, key_id))
        except KeyNotFound:
            return None

    def holds(self, caller: Caller) -> bool:
        """Whether the key by which somebody was let in is still good, for what goes on for long."""
        found = None if caller.key_id is None else keys.key_by_id(self._database, caller.key_id)
        return found is not None and self._as_here(found).is_live

    def open(self) -> str:
        """For the start: adopts the keys of the settings, and says in words who may enter.

        Raises:
            ConfigurationError: the keys there are were hashed with another secret, or a key
                of the settings was another kind of key before.
            StoreUnavailable: they are adopted when they are used.
        """
        for new in self._of_settings.values():
            known = keys.adopt_key(self._database, new)
            if not known.is_live:
                _log.warning("key_of_settings_is_revoked: %s... (%s): take it out", new.prefix, new.name)
            elif known.is_admin != (new.project is None):
                raise ConfigurationError(
                    f"the key {new.prefix}... was {'an administrator' if known.is_admin else 'a project'}'s "
                    "before, and stays so: take a new one for "
                    f"{'TEXTMILL_ADMIN_KEY' if new.project is None else 'TEXTMILL_API_KEYS'}"
                )
        usable = [key for key in self.all_keys() if key.is_live]
        admins = sum(key.is_admin for key in usable)
        num_projects = len({key.project for key in usable if not key.is_admin})
        return f"keys: {len(usable)} ({admins} of administrators, the others of {num_projects} project(s))"

    def all_keys(self, *, project: str | None = None) -> list[ApiKey]:
        """Every key, or those of a project; ended ones as well."""
        return [self._as_here(key) for key in keys.list_keys(self._database, project=project)]

    def add(self, name: str, *, project: str | None) -> tuple[ApiKey, str]:
        """Makes a key for a project, or for an administrator; the key itself is told this once."""
        key = make_key()
        return keys.add_key(self._database, self._hasher.new(key, name=name, project=project)), key

    def rotate(self, key_id: str, *, overlap_seconds: float) -> tuple[ApiKey, str]:
        """A new key for an old one; the key itself is told this once."""
        key = make_key()
        rotated = keys.rotate_key(
            self._database,
            key_id,
            digest=self._hasher.digest(key),
            prefix=shown_prefix(key),
            secret_id=self._hasher.secret_id,
            overlap_seconds=overlap_seconds,
        )
        return rotated, key

    def revoke(self, key_id: str) -> ApiKey:
        """Ends a key, now and in every process."""
        return keys.revoke_key(self._database, key_id)

    def all_projects(self) -> list[Project]:
        """Every project by name."""
        return projects.list_projects(self._database)

    def project(self, name: str) -> Project:
        """One by its name."""
        return projects.get_project(self._database, name)

    def add_project(self, name: str, *, limits: Mapping[str, int]) -> Project:
        """A new project."""
        return projects.add_project(self._database, name, limits=dict(limits))

    def limit_project(self, name: str, *, limits: Mapping[str, int]) -> Project:
        """Other limits for a project."""
        return projects.limit_project(self._database, name, limits=dict(limits))

    def _caller(self, key: ApiKey) -> Caller | None:
        if not self._as_here(key).is_live:
            return None
        if key.project is None:
            return Caller(project=None, key_id=key.id)
        limits = {**self._limits, **key.limits}
        return Caller(project=project_of(key.project), key_id=key.id, limits=limits)

    def _as_here(self, key: ApiKey) -> ApiKey:
        """A key of the settings holds in processes whose settings have it."""
        if key.origin is Origin.MADE:
            return key
        here = self._of_settings.get(key.digest)
        is_same = here is not None and key.is_admin == (here.project is None)
        return key if is_same else dataclasses.replace(key, is_live=False)


class OpenHouse:
    """A server that asks for no key: everybody who reaches it is of the default project."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def identify(self, key: str | None) -> Caller | None:
        """Whoever it is."""
        return Caller(project=NO_PROJECT)

    def caller_of(self, key_id: str) -> Caller | None:
        """Whoever it is."""
        return Caller(project=NO_PROJECT)

    def holds(self, caller: Caller) -> bool:
        """There is no key that could end."""
        return True

    def open(self) -> str:
        """For the start: who may enter, in words.

        Raises:
            ConfigurationError: there are keys that were made. They shut the door, and
                forgetting a setting must not open it.
        """
        made = [key for key in keys.list_keys(self._database) if key.is_live and key.origin is Origin.MADE]
        if made:
            raise ConfigurationError(
                f"the database has {len(made)} key(s), and this server would ask for none: "
                "set TEXTMILL_ADMIN_KEY, or revoke them first"
            )
        return "no keys: open to everybody on this host"


def open_key_book(settings: Settings, database: Database) -> KeyBook | OpenHouse:
    """Who may enter an installation of these settings; the database is asked later."""
    if not settings.has_keys:
        return OpenHouse(database)
    return KeyBook(database, KeyHasher(server_secret(settings)), settings)


def _settings_keys(hasher: KeyHasher, settings: Settings) -> list[NewKey]:
    found = [
        # Each was an owner of its own in 0.1.0, and none may see another's jobs.
        hasher.new(key.get_secret_value(), name="settings", project=NO_PROJECT, origin=Origin.SETTINGS)
        for key in settings.api_keys
    ]
    if settings.admin_key is not None:
        key = settings.admin_key.get_secret_value()
        admin = hasher.new(key, name="settings", project=None, origin=Origin.SETTINGS)
        found.append(admin)
    return found
