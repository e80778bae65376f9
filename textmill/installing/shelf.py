"""The models of a data folder: each is complete or not there, however a change of them ends.

A model is made in a draft beside the others and renamed when it is whole. Changes are made
one at a time, under a lock that ends with its process; so a draft found by the next change
is one that was broken off, and is removed.
"""

from __future__ import annotations

import errno
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.errors import ConfigurationError
from jobs.installed import ENTRY, FILES, InstalledModel, models_folder
from jobs.privacy import make_private
from textmill.errors import NameTaken, NotAModel, NotInstalled
from textmill.terminal.words import size

_DRAFT, _LOCK = ".draft-", ".lock"
#: Kept free: the database lives on the same disk.
_SPARE_BYTES = 200_000_000


class Shelf:
    """The models of one data folder, while they are changed."""

    def __init__(self, data: Path) -> None:
        self._folder = models_folder(data)

    @contextmanager
    def draft(self, num_bytes: int) -> Iterator[Path]:
        """A folder to make a model in; what is left of it at the end is removed.

        Args:
            num_bytes: the most it will take.

        Raises:
            NotInstalled: there is no room for it.
        """
        free_bytes = shutil.disk_usage(self._folder).free
        if num_bytes + _SPARE_BYTES > free_bytes:
            raise NotInstalled(
                f"it takes up to {size(num_bytes)} while it is installed, and {self._folder} has "
                f"{size(free_bytes)} free: make room, or name another folder with --data"
            )
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=self._folder))
        try:
            (draft / FILES).mkdir()
            yield draft
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise NotInstalled(
                f"there is no space left in {self._folder}: make room, and try again"
            ) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def keep(self, draft: Path, model: InstalledModel) -> None:
        """Puts a model that is whole under its name.

        Raises:
            NameTaken: there is one of that name.
        """
        for path in draft.iterdir():
            if path.name != FILES:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        (draft / ENTRY).write_text(model.model_dump_json(indent=1), encoding="utf-8")
        try:
            draft.rename(self._folder / model.name)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            raise NameTaken(f"a model named {model.name!r} is there already") from error

    def remove(self, name: str) -> None:
        """Takes a model away.

        Raises:
            NotAModel: none of that name is installed.
        """
        folder = self._folder / name
        if name.startswith(".") or Path(name).name != name or not folder.is_dir():
            there = sorted(each.name for each in self._folder.glob("[!.]*"))
            raise NotAModel(
                f"no model named {name!r} is installed here; installed: {', '.join(there) or 'none'}"
            )
        gone = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=self._folder))
        folder.rename(gone / FILES)
        shutil.rmtree(gone)

    def clear(self) -> None:
        """Removes what changes left behind that were broken off."""
        for draft in self._folder.glob(f"{_DRAFT}*"):
            shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def changing(data: Path) -> Iterator[Shelf]:
    """The shelf of a data folder, for whoever changes it; nobody else does meanwhile.

    Raises:
        NotInstalled: somebody else changes it, or the folder cannot be written.
    """
    folder = models_folder(data)
    try:
        make_private(data.absolute())
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = (folder / _LOCK).open("w")
    except ConfigurationError as error:
        raise NotInstalled(str(error)) from error
    except OSError as error:
        raise NotInstalled(f"cannot use {folder}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise NotInstalled(f"another command changes the models in {folder}: wait for its end") from error
        shelf = Shelf(data)
        shelf.clear()
        yield shelf
