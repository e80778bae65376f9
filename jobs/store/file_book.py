"""Files in SQL: their bytes in blocks, each a short transaction, so that others write in between.

Nobody sees a file before its last block is in; what never comes so far is removed, by this
process or, when it has died, by a sweep.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, tuple_, update

from jobs.blocks import knowing_the_last
from jobs.errors import EmptySubmission, StoreUnavailable
from jobs.files import BLOCK_BYTES, FileNotFound, NewFile, Place, StoredFile, new_file_id
from jobs.store import tables as t
from jobs.store.codec import to_time
from jobs.store.database import Database

_log = logging.getLogger(__name__)
#: An arrival that brought nothing for so long is dead: its process was killed.
_DEAD_SECONDS = 120.0
_SOON_SECONDS = 2.0  #: how long whoever deletes waits for the bytes to go; sweeps go on with the rest
_REMOVED_BLOCKS = 16  #: in one transaction
_MOST_FILES = 100  #: looked at in one sweep; the next goes on


class FileStage(StrEnum):
    """What a file's row says of it."""

    ARRIVING = "arriving"
    HERE = "here"
    LEAVING = "leaving"


class FileBook:
    """The files of all owners."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new: NewFile, blocks: Iterable[bytes]) -> StoredFile:
        """Stores a file, or nothing.

        Args:
            new: What is known of it.
            blocks: Its bytes, in pieces of any size.

        Raises:
            EmptySubmission: there was no byte.
            StoreUnavailable: also when a sweep took this arrival for dead.
        """
        file_id, number = new_file_id(), -1
        try:
            for number, (block, is_last) in enumerate(knowing_the_last(_even(blocks))):
                work = partial(self._store, new, file_id, number, block, is_last)
                self._database.write(work, gives_way=True)
                if not is_last:
                    self._database.give_way()
        except BaseException:
            self._give_up(file_id)
            raise
        if number < 0:
            raise EmptySubmission("the file is empty")
        return self.get(file_id, owner=new.owner)

    def get(self, file_id: str, *, owner: str) -> StoredFile:
        """One file of this owner. Raises FileNotFound for unknown and foreign files alike."""
        return _stored(self._database.read(lambda connection: self._find(connection, file_id, owner)))

    def page(
        self, *, owner: str, purpose: str | None, behind: Place | None, is_descending: bool, limit: int
    ) -> list[tuple[Place, StoredFile]]:
        """Files in the order of their times."""

        def work(connection: Connection) -> list[tuple[Place, StoredFile]]:
            c = t.file.c
            found = select(t.file).where(c.owner == owner, *self._is_here(connection))
            if purpose is not None:
                found = found.where(c.purpose == purpose)
            if behind is not None:
                place, here = (behind.seconds, behind.file_id), tuple_(c.created_at, c.public_id)
                found = found.where(here < place if is_descending else here > place)
            order = (c.created_at, c.public_id)
            found = found.order_by(*((each.desc() if is_descending else each) for each in order)).limit(limit)
            return [(_place(row), _stored(row)) for row in connection.execute(found)]

        return self._database.read(work)

    def place_of(self, file_id: str, *, owner: str) -> Place:
        """Where a file stands in lists. Raises FileNotFound."""
        return _place(self._database.read(lambda connection: self._find(connection, file_id, owner)))

    def read(self, file_id: str, *, owner: str) -> Iterator[bytes]:
        """The bytes of a file, a block at a time.

        Raises:
            FileNotFound: there is none, or it was deleted meanwhile.
        """
        row = self._database.read(lambda connection: self._find(connection, file_id, owner))
        b = t.file_block.c
        for number in range(row.num_blocks):
            wanted = select(b.data).where(b.file == row.id, b.number == number)
            block = self._database.read(partial(Connection.scalar, statement=wanted))
            if block is None:
                raise FileNotFound(f"the file {file_id!r} was deleted while it was read")
            yield bytes(block)

    def delete(self, file_id: str, *, owner: str) -> None:
        """Removes a file: at once from sight, then its bytes. Raises FileNotFound."""

        def work(connection: Connection) -> int:
            row = self._find(connection, file_id, owner)
            connection.execute(update(t.file).where(t.file.c.id == row.id).values(stage=FileStage.LEAVING))
            return int(row.id)

        row_id = self._database.write(work)
        if self._remove(row_id, until=time.monotonic() + _SOON_SECONDS):
            self._database.forget_traces()

    def sweep(self, *, until: float) -> int:
        """Removes what expired, what never came in whole, and the rest of what is going; how many went."""
        if self._database.read(lambda connection: connection.scalar(self._to_hide(connection).limit(1))):
            self._database.write(self._hide)
        removed = 0
        for row_id in self._database.read(_leaving):
            removed += self._remove(row_id, until=until)
            if time.monotonic() >= until:
                break
        if removed:
            self._database.forget_traces()
        return removed

    def _store(
        self, new: NewFile, file_id: str, number: int, block: bytes, is_last: bool, connection: Connection
    ) -> None:
        c, now = t.file.c, self._database.now(connection)
        row = connection.execute(select(t.file).where(c.public_id == file_id).with_for_update()).first()
        if row is None and number == 0:
            row_id = _insert(connection, new, file_id, now)
        elif row is None or row.stage == FileStage.LEAVING:
            raise StoreUnavailable("the upload took so long that it was given up: send the file again")
        elif row.num_blocks > number:
            return  # the COMMIT nobody heard went through
        else:
            row_id = int(row.id)
        connection.execute(insert(t.file_block).values(file=row_id, number=number, data=block))
        expires = now + new.expires_in_seconds if new.expires_in_seconds is not None else None
        connection.execute(
            update(t.file)
            .where(c.id == row_id)
            .values(
                num_blocks=number + 1, num_bytes=c.num_bytes + len(block), created_at=now, expires_at=expires,
                stage=FileStage.HERE if is_last else FileStage.ARRIVING,
            )
        )  # fmt: skip

    def _give_up(self, file_id: str) -> None:
        """Hides what has come in; what this cannot do, a sweep will."""
        c = t.file.c
        going = (
            update(t.file)
            .where(c.public_id == file_id, c.stage == FileStage.ARRIVING)
            .values(stage=FileStage.LEAVING)
        )
        try:
            self._database.write(lambda connection: connection.execute(going) and None)
        except StoreUnavailable as error:
            _log.warning("upload_left_to_the_sweep: %s", error)

    def _find(self, connection: Connection, file_id: str, owner: str) -> Row[Any]:
        c = t.file.c
        wanted = select(t.file).where(c.public_id == file_id, c.owner == owner, *self._is_here(connection))
        row = None
        if "\0" not in file_id:  # PostgreSQL would take the question itself for an error
            row = connection.execute(wanted).first()
        if row is None:
            raise FileNotFound(f"there is no file {file_id[:80]!r}")
        return row

    def _is_here(self, connection: Connection) -> list[ColumnElement[bool]]:
        """Whether a file is one that its owner sees."""
        c = t.file.c
        is_kept = or_(c.expires_at.is_(None), c.expires_at > self._database.now(connection))
        return [c.stage == FileStage.HERE, is_kept]

    def _to_hide(self, connection: Connection) -> Any:
        c, now = t.file.c, self._database.now(connection)
        is_dead = (c.stage == FileStage.ARRIVING) & t.is_not_here() & (c.created_at < now - _DEAD_SECONDS)
        is_over = (c.stage == FileStage.HERE) & (c.expires_at < now)
        return select(c.id).where(or_(is_dead, is_over))

    def _hide(self, connection: Connection) -> None:
        found = list(connection.scalars(self._to_hide(connection).limit(_MOST_FILES).with_for_update()))
        connection.execute(update(t.file).where(t.file.c.id.in_(found)).values(stage=FileStage.LEAVING))

    def _remove(self, row_id: int, *, until: float) -> bool:
        """Whether all of a hidden file is gone."""
        while not self._database.write(partial(_remove_blocks, row_id=row_id), gives_way=True):
            if time.monotonic() >= until:
                return False
            self._database.give_way()
        return True


def _insert(connection: Connection, new: NewFile, file_id: str, now: float) -> int:
    values = {
        "public_id": file_id, "owner": new.owner, "api_key": new.api_key, "filename": new.filename,
        "purpose": new.purpose, "stage": FileStage.ARRIVING, "num_bytes": 0, "num_blocks": 0,
        "created_at": now,
    }  # fmt: skip
    key = connection.execute(insert(t.file).values(values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def _leaving(connection: Connection) -> list[int]:
    going = select(t.file.c.id).where(t.file.c.stage == FileStage.LEAVING, t.is_not_here())
    return list(connection.scalars(going.limit(_MOST_FILES)))


def _remove_blocks(connection: Connection, *, row_id: int) -> bool:
    b = t.file_block.c
    first = connection.scalar(select(func.min(b.number)).where(b.file == row_id))
    if first is not None:
        connection.execute(delete(t.file_block).where(b.file == row_id, b.number < first + _REMOVED_BLOCKS))
        return False
    connection.execute(delete(t.file).where(t.file.c.id == row_id, t.file.c.stage == FileStage.LEAVING))
    return True


def _even(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks of one size; the last may be shorter."""
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= BLOCK_BYTES:
            yield bytes(held[:BLOCK_BYTES])
            del held[:BLOCK_BYTES]
    if held:
        yield bytes(held)


def _place(row: Row[Any]) -> Place:
    return Place(seconds=row.created_at, file_id=row.public_id)


def _stored(row: Row[Any]) -> StoredFile:
    created_at = to_time(row.created_at)
    assert created_at is not None  # the column is NOT NULL
    return StoredFile(
        id=row.public_id, owner=row.owner, filename=row.filename, purpose=row.purpose,
        num_bytes=row.num_bytes, created_at=created_at, expires_at=to_time(row.expires_at),
    )  # fmt: skip
