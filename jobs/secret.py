"""The server's secret: given by a setting, or made once and kept in the data folder."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from jobs.errors import ConfigurationError
from jobs.settings import Settings

_NAME = "secret.key"
_RANDOM_BYTES = 32


def server_secret(settings: Settings) -> bytes:
    """What keys are hashed with.

    Raises:
        ConfigurationError: the file cannot be made or read, or is not its owner's only.
    """
    if settings.secret is not None:
        return settings.secret.get_secret_value().encode()
    path = settings.data / _NAME
    try:
        if not path.exists():
            _make(path)
        return _read(path)
    except OSError as error:
        raise ConfigurationError(f"cannot keep the server's secret in {path}: {error.strerror}") from error


def _make(path: Path) -> None:
    """Whole and private from its first moment; of two processes that make one, both find the first."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{_NAME}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_RANDOM_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _read(path: Path) -> bytes:
    facts = path.stat()
    if facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o077:
        raise ConfigurationError(
            f"{path} must belong to this user and be readable by nobody else: chmod 600 {path}"
        )
    secret = path.read_bytes().strip()
    if len(secret) < _RANDOM_BYTES:
        raise ConfigurationError(f"{path} holds no secret: put the file back from a copy")
    return secret
