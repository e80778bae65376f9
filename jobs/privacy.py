"""What our programs write is its owner's only: databases, logs, spooled uploads, sockets."""

from __future__ import annotations

import os

_NOT_FOR_OTHERS = 0o077


def keep_files_private() -> None:
    """For the beginning of every program: new files and folders get no rights for group and others.

    Children inherit it, the embedded broker's and Flower's processes as well.
    """
    os.umask(_NOT_FOR_OTHERS)
