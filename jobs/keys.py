"""Projects and API keys: who a caller is, how a key is made, and what is kept of it.

A project owns jobs; it has any number of keys. Of a key the database holds a prefix to
know it by and an HMAC under the server's secret, so that neither a copy of the database
nor a list of likely keys tells one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

#: Of a key that an operator chooses. 16 characters of hex digits are 64 bits.
MIN_KEY_CHARACTERS = 16
MIN_SECRET_CHARACTERS = 32
#: What a job belongs to that was submitted without a key.
NO_PROJECT = ""
DEFAULT_PROJECT = "default"
#: How a project may be called.
PROJECT_NAME = "^[a-z0-9][a-z0-9._-]{0,62}$"

_MADE_KEY = re.compile(r"tm_[A-Za-z0-9_-]{43}")
_SENDABLE = re.compile(r"[!-~]*")
_SHOWN_OF_MADE, _SHOWN_OF_GIVEN = 11, 4  # characters: 48 of 256 bits, and a quarter at most


class Origin(StrEnum):
    """Where a key comes from."""

    MADE = "made"  #: by an administrator, through the API
    SETTINGS = "settings"  #: TEXTMILL_API_KEYS or TEXTMILL_ADMIN_KEY; holds where it is set


@dataclass(frozen=True, kw_only=True)
class Project:
    """Owns jobs. Its name is for ever: jobs hold it."""

    name: str
    created_at: datetime
    limits: Mapping[str, int] = field(default_factory=dict)  #: over the settings' own, by name


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """What is known of a key; never the key itself."""

    id: str
    name: str
    prefix: str  #: its first characters
    project: str | None  #: None: an administrator's, which sees every project
    origin: Origin
    digest: str = field(repr=False)
    created_at: datetime
    ends_at: datetime | None = None  #: when it was revoked, or will end
    is_live: bool = True
    limits: Mapping[str, int] = field(default_factory=dict)  #: of its project, over the settings' own

    @property
    def is_admin(self) -> bool:
        """Whether it sees every project."""
        return self.project is None


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key to be stored."""

    name: str
    project: str | None
    digest: str
    secret_id: str
    prefix: str
    origin: Origin = Origin.MADE
    fingerprint: str | None = None  #: of the same key in 0.1.0, for the jobs it left


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks."""

    project: str | None  #: None: an administrator
    key_id: str | None = None  #: None: keys are off
    limits: Mapping[str, int] = field(default_factory=dict)  #: by name; administrators have none

    @property
    def is_admin(self) -> bool:
        """Whether every project is open to it."""
        return self.project is None

    @property
    def owner(self) -> str:
        """What its own submissions belong to."""
        return NO_PROJECT if self.project is None else self.project


class KeyHasher:
    """The one-way road from a key to what the database holds."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        #: tells secrets apart without telling them
        self.secret_id = self._hmac(b"textmill: which secret is this")[:16]

    def digest(self, key: str) -> str:
        """HMAC-SHA-256 of the key, in hex."""
        return self._hmac(b"textmill key:" + key.encode())

    def new(self, key: str, *, name: str, project: str | None, origin: Origin = Origin.MADE) -> NewKey:
        """The key as it may be stored."""
        return NewKey(
            name=name,
            project=project,
            digest=self.digest(key),
            secret_id=self.secret_id,
            prefix=shown_prefix(key),
            origin=origin,
            fingerprint=fingerprint(key) if origin is Origin.SETTINGS and project is not None else None,
        )

    def _hmac(self, message: bytes) -> str:
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()


def make_key() -> str:
    """A new key of 256 random bits."""
    return f"tm_{secrets.token_urlsafe(32)}"


def shown_prefix(key: str) -> str:
    """What may be shown of a key, to know it by."""
    return key[: _SHOWN_OF_MADE if _MADE_KEY.fullmatch(key) else _SHOWN_OF_GIVEN]


def fingerprint(key: str) -> str:
    """The owner that Textmill 0.1.0 wrote into jobs submitted with this key."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def why_not_a_key(key: str) -> str | None:
    """What is wrong with a key that somebody chose; the key is not in the answer."""
    if not _SENDABLE.fullmatch(key):
        return "holds a key with characters that a header cannot carry: use letters, digits and - _ . ~"
    if len(key) < MIN_KEY_CHARACTERS:
        return (
            f"holds a key of {len(key)} characters, which can be guessed: "
            f"use at least {MIN_KEY_CHARACTERS}, such as those of `openssl rand -hex 24`"
        )
    return None


def project_of(name: str) -> str:
    """The owner of jobs that a project's name means."""
    return NO_PROJECT if name == DEFAULT_PROJECT else name


def shown_project(owner: str) -> str:
    """The name of the project that a job's owner means."""
    return owner or DEFAULT_PROJECT
