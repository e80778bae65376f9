"""Signing in: a key is exchanged for a signed cookie, and every form carries a token of its session.

The cookie names the key by its id and holds for `SESSION_SECONDS`; whether the key holds is looked up for
every request, so that revoking a key ends its sessions at once, in every process.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass

from itsdangerous import BadData, URLSafeSerializer, URLSafeTimedSerializer

from jobs.secret import server_secret
from jobs.settings import Settings

COOKIE = "textmill_session"
SESSION_SECONDS = 12 * 3600


@dataclass(frozen=True)
class Session:
    """A browser that has shown a key."""

    id: str
    key_id: str


class Sessions:
    """Makes and reads what browsers keep. What is altered or made by others counts as nothing."""

    def __init__(self, secret: bytes) -> None:
        self._cookies = URLSafeTimedSerializer(secret, salt="textmill console session")
        self._tokens = URLSafeSerializer(secret, salt="textmill console form")

    def begin(self, key_id: str) -> str:
        """The cookie of a new session."""
        return self._cookies.dumps({"id": secrets.token_hex(16), "key": key_id})

    def read(self, cookie: str | None) -> Session | None:
        """The session of a cookie; None: it is none, or its time is over."""
        try:
            found = self._cookies.loads(cookie or "", max_age=SESSION_SECONDS)
        except BadData:
            return None
        return Session(id=found["id"], key_id=found["key"])

    def token(self, session: Session) -> str:
        """What the forms of a session carry: a page of another site cannot know it."""
        return self._tokens.dumps(session.id)

    def is_token(self, session: Session, given: str) -> bool:
        """Whether a form is one of this session's."""
        return hmac.compare_digest(self.token(session).encode(), given.encode())


def open_sessions(settings: Settings) -> Sessions | None:
    """Those of a server that asks for keys; None: there is nothing to sign in to."""
    return Sessions(server_secret(settings)) if settings.has_keys else None
