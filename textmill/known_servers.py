"""The servers that this user logged in to, each with its key: a file for its owner only."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jobs.errors import ConfigurationError

_DEFAULT_PORTS = {"http": 80, "https": 443}


class KnownServers:
    """`textmill/servers.json` under `XDG_CONFIG_HOME`, by default `~/.config`.

    A key is kept with the address it was given for, and found for no other.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or _folder() / "servers.json"

    @property
    def default(self) -> str | None:
        """The server of the last login."""
        default = self._read().get("default")
        return default if isinstance(default, str) else None

    def key_for(self, url: str) -> str | None:
        """The key given for this server, if there was one."""
        key = self._servers(self._read()).get(one_spelling(url), {}).get("api_key")
        return key if isinstance(key, str) else None

    def remember(self, url: str, key: str | None) -> None:
        """Keeps a server with its key, and takes it for the default."""
        content = self._read()
        servers = {**self._servers(content), one_spelling(url): {"api_key": key}}
        self._write({"default": one_spelling(url), "servers": servers})

    def forget(self, url: str) -> bool:
        """Forgets a server and its key; whether it was known."""
        content = self._read()
        servers = self._servers(content)
        if servers.pop(one_spelling(url), None) is None:
            return False
        default = content.get("default")
        self._write({"default": default if default != one_spelling(url) else None, "servers": servers})
        return True

    @staticmethod
    def _servers(content: dict[str, Any]) -> dict[str, Any]:
        servers = content.get("servers")
        return {k: v for k, v in servers.items() if isinstance(v, dict)} if isinstance(servers, dict) else {}

    def _read(self) -> dict[str, Any]:
        try:
            facts = self.path.stat()
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigurationError(f"cannot read {self.path}: {error.strerror}") from error
        if facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o077:
            raise ConfigurationError(
                f"{self.path} holds keys, and others may read or write it: chmod 600 {self.path}, "
                "and rotate the keys in it"
            )
        try:
            content = json.loads(text)
        except ValueError as error:
            raise ConfigurationError(f"{self.path} cannot be read: {error}; remove it and log in") from error
        return content if isinstance(content, dict) else {}

    def _write(self, content: dict[str, Any]) -> None:
        draft = self.path.with_name(f"{self.path.name}.{secrets.token_hex(8)}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump(content, file, indent=2)
                draft.replace(self.path)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    draft.unlink()
        except OSError as error:
            raise ConfigurationError(f"cannot write {self.path}: {error.strerror}") from error


def one_spelling(url: str) -> str:
    """The address in the one form that keys are kept under.

    Raises:
        ConfigurationError: it is no address of a server.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"{url!r} is no address of a server: {error}") from error
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if scheme not in _DEFAULT_PORTS or not host or parts.username is not None:
        raise ConfigurationError(f"{url!r} is no address of a server: write https://HOST or http://HOST:PORT")
    shown = f"[{host}]" if ":" in host else host
    suffix = f":{port}" if port not in (None, _DEFAULT_PORTS[scheme]) else ""
    return f"{scheme}://{shown}{suffix}{parts.path.rstrip('/')}"


def _folder() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME", "")
    # The specification: a path that is not absolute does not count.
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "textmill"
