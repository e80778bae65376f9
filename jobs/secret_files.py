"""Settings that are secrets, from files: `TEXTMILL_DATABASE_URL_FILE=/run/secrets/...`."""

from __future__ import annotations

import os
from pathlib import Path

from dotenv import dotenv_values

from jobs.errors import ConfigurationError

PREFIX = "TEXTMILL_"
ENV_FILE = ".env"
_FILE_SUFFIX = "_FILE"
_FROM_FILES = ("DATABASE_URL", "REDIS_URL", "API_KEYS", "ADMIN_KEY", "SECRET")


def secrets_from_files() -> dict[str, object]:
    """What `TEXTMILL_<NAME>_FILE` names, in the environment or `.env`; in any case of letters."""
    given = {**dotenv_values(ENV_FILE), **os.environ}
    paths = {name.upper(): value or "" for name, value in given.items()}
    found: dict[str, object] = {}
    for name in _FROM_FILES:
        variable = f"{PREFIX}{name}{_FILE_SUFFIX}"
        if variable in paths:
            found[name.lower()] = _secret_in(paths[variable], variable)
    return found


def _secret_in(path: str, variable: str) -> str:
    if not path.strip():  # whoever sets it means a file: without it a door would stay open
        raise ConfigurationError(f"{variable} is set, and names no file: leave it out, or name one")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"{variable}: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{variable}: {path} is no text in UTF-8") from error
