"""What our programs write is its owner's only: databases, logs, spooled uploads, sockets."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from pathlib import Path

from jobs.errors import ConfigurationError

_log = logging.getLogger(__name__)
_NOT_FOR_OTHERS = 0o077
_TO_WRITE = stat.S_IWGRP | stat.S_IWOTH


def keep_files_private() -> None:
    """For the beginning of every program: new files and folders get no rights for group and others.

    Children inherit it, the embedded broker's and Flower's processes as well.
    """
    os.umask(_NOT_FOR_OTHERS)


def is_own(path: Path, *, rights: int = _TO_WRITE) -> bool:
    """Whether it is there, this user's, and nobody else has these rights (to write it)."""
    try:
        facts = path.stat()
    except OSError:
        return False
    return facts.st_uid == os.geteuid() and not facts.st_mode & rights


def refuse_foreign(folder: Path) -> None:
    """For whoever finds files in a data folder: what others may write there, they may have written.

    Raises:
        ConfigurationError: the folder, or a file in it, is somebody else's, or others may write the folder.
        OSError: it cannot be looked at.
    """
    if not folder.exists():
        return
    if not is_own(folder):
        raise ConfigurationError(
            f"the data folder {folder} belongs to somebody else, or others may write it; "
            "choose another (TEXTMILL_DATA, --data), or take their rights away (chmod go-w)"
        )
    for path in folder.iterdir():
        if _owner(path) not in (None, os.geteuid()):
            raise ConfigurationError(
                f"in the data folder {folder} somebody else owns {path.name}: "
                "look where it comes from, and remove it or choose another folder (TEXTMILL_DATA, --data)"
            )


def make_private(folder: Path) -> None:
    """Makes the data folder, or closes it to others if it is there: the texts in it are its owner's only.

    Raises:
        ConfigurationError: as `refuse_foreign`.
        OSError: it cannot be made or closed.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    refuse_foreign(folder)
    if stat.S_IMODE(folder.stat().st_mode) & _NOT_FOR_OTHERS:
        folder.chmod(0o700)
        _log.warning("data_folder_closed: others could read %s; now only its owner can", folder)
    for file in folder.iterdir():  # of earlier versions, which left them readable
        with contextlib.suppress(FileNotFoundError):  # a draft of another process
            if file.is_file() and not file.is_symlink():
                file.chmod(stat.S_IMODE(file.stat().st_mode) & 0o700)


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except FileNotFoundError:  # it went meanwhile
        return None
