"""Secrets of webhooks: made, checked, sealed for the database, and used to sign.

A receiver checks our signature with the same secret that we sign with, so it cannot be kept as a hash. The
database holds it sealed (Fernet: AES-128 and HMAC-SHA-256) with a key derived from the server's secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cached_property

from cryptography.fernet import Fernet, InvalidToken
from standardwebhooks import Webhook

from jobs.errors import ConfigurationError, RequestError

_PREFIX = "whsec_"
_RANDOM_BYTES = 32
#: As Standard Webhooks has it.
_LEAST_BYTES, _MOST_BYTES = 24, 64


class Sealer:
    """Seals and opens with the secret of one installation, which is asked for when it is first needed."""

    def __init__(self, server_secret: Callable[[], bytes]) -> None:
        self._server_secret = server_secret

    def seal(self, secret: str) -> str:
        """What the database may hold of it."""
        return self._fernet.encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> str:
        """The secret.

        Raises:
            ConfigurationError: it was sealed with another server secret.
        """
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise ConfigurationError(
                "a webhook's secret was sealed with another TEXTMILL_SECRET (or secret.key) than this "
                "server's: put that back, or rotate the webhook's secret"
            ) from None

    @cached_property
    def _fernet(self) -> Fernet:
        key = hmac.new(self._server_secret(), b"textmill: secrets of webhooks", hashlib.sha256).digest()
        return Fernet(base64.urlsafe_b64encode(key))


def make_secret() -> str:
    """A new secret of 256 random bits."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_RANDOM_BYTES)).decode()


def check_secret(secret: str) -> str:
    """A secret that a client chose.

    Raises:
        RequestError: it is none that every receiver reads in the same way.
    """
    try:
        raw = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not secret.startswith(_PREFIX) or not _LEAST_BYTES <= len(raw) <= _MOST_BYTES:
        raise RequestError(
            f"secret: must be {_PREFIX} and {_LEAST_BYTES} to {_MOST_BYTES} bytes in base64; "
            "leave it out to have one made"
        )
    return secret


def signed_headers(opened: Iterable[str], event_id: str, body: str, at: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks, with a signature by each secret.

    Args:
        opened: secrets, the current one first.
        event_id: the same in every try.
        body: exactly as it is sent.
        at: of this try; receivers refuse what is more than five minutes old.
    """
    moment = at.astimezone(UTC)
    signatures = [Webhook(each).sign(msg_id=event_id, timestamp=moment, data=body) for each in opened]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
