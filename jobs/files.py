"""Files that clients send to be made into batches: what is known of one, apart from its bytes."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from jobs.errors import RequestError

#: Bytes that one row of the database holds of a file.
BLOCK_BYTES = 1 << 20


class FileNotFound(RequestError):
    """There is no such file."""

    http_status = 404
    code = "file_not_found"


@dataclass(frozen=True, kw_only=True)
class NewFile:
    """A file that comes in."""

    owner: str = ""  #: the project's name; empty: sent without a key
    api_key: str | None = None  #: id of the key it is sent with
    filename: str
    purpose: str
    expires_in_seconds: float | None = None  #: None: it stays until it is deleted


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file that is there whole."""

    id: str
    owner: str
    filename: str
    purpose: str
    num_bytes: int
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, kw_only=True, order=True)
class Place:
    """Where a file stands in lists: by its time, and by its id where times are equal."""

    seconds: float  #: since 1970
    file_id: str


def new_file_id() -> str:
    """A new id, in the form that OpenAI's have."""
    return f"file-{secrets.token_hex(12)}"
