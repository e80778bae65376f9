"""Logs of programs that run for months: what grew too long is set aside, once."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

MOST_BYTES = 16 << 20


def keep_short(log: Path, *, most_bytes: int = MOST_BYTES) -> bool:
    """Moves what a log holds to `NAME.log.1` when it is longer than that; whether it did.

    The program keeps the file open for appending, so the file stays and is emptied: what
    is written between the copy's end and that is lost, which a log can bear.
    """
    with contextlib.suppress(OSError):  # no room for the copy: the next look tries again
        if log.stat().st_size <= most_bytes:
            return False
        draft = log.with_name(f"{log.name}.new")
        shutil.copyfile(log, draft)
        os.truncate(log, 0)
        draft.replace(log.with_name(f"{log.name}.1"))
        return True
    return False
