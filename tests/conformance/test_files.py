"""Files are there whole or not at all, and only for their owner."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select

from jobs.errors import EmptySubmission, StoreUnavailable
from jobs.files import BLOCK_BYTES, FileNotFound, NewFile, StoredFile
from jobs.store import backup, tables
from jobs.store.database import Database
from jobs.store.file_book import FileBook
from tests.support.ledger import Ledger

DAY_SECONDS = 86_400.0


def add(
    book: FileBook, *pieces: bytes, owner: str = "", name: str = "rows.jsonl", **more: object
) -> StoredFile:
    return book.add(NewFile(owner=owner, filename=name, purpose="batch", **more), pieces)  # type: ignore[arg-type]


@pytest.fixture
def book(ledger: Ledger) -> FileBook:
    return FileBook(ledger.store.database)


def rows(ledger: Ledger) -> tuple[int, int]:
    """Rows of files, and of their bytes."""
    count = [select(func.count()).select_from(table) for table in (tables.file, tables.file_block)]
    return ledger.store.database.read(lambda c: (c.scalar(count[0]) or 0, c.scalar(count[1]) or 0))


def test_the_bytes_come_back_as_they_were_sent(book: FileBook) -> None:
    pieces = [bytes([n % 251]) * 70_001 for n in range(50)]
    sent = b"".join(pieces)
    file = add(book, *pieces)
    assert file.num_bytes == len(sent) > 3 * BLOCK_BYTES
    assert b"".join(book.read(file.id, owner="")) == sent
    assert book.get(file.id, owner="") == file
    assert (file.filename, file.purpose, file.expires_at) == ("rows.jsonl", "batch", None)


def test_others_find_no_file(book: FileBook) -> None:
    file = add(book, b"{}", owner="ada")
    for call in (
        lambda: book.get(file.id, owner="bob"),
        lambda: list(book.read(file.id, owner="bob")),
        lambda: book.delete(file.id, owner="bob"),
        lambda: book.place_of(file.id, owner="bob"),
        lambda: book.get("file-\0", owner="ada"),
    ):
        with pytest.raises(FileNotFound):
            call()
    assert book.page(owner="bob", purpose=None, behind=None, is_descending=True, limit=9) == []
    assert book.get(file.id, owner="ada") == file


def test_a_page_follows_the_one_before_in_either_order(book: FileBook) -> None:
    ids = [add(book, b"x", name=f"{n}").id for n in range(5)]
    for is_descending, wanted in ((False, ids), (True, ids[::-1])):
        seen: list[str] = []
        behind = None
        while found := book.page(
            owner="", purpose="batch", behind=behind, is_descending=is_descending, limit=2
        ):
            seen += [file.id for _, file in found]
            behind = book.place_of(seen[-1], owner="")
        assert seen == wanted
    assert book.page(owner="", purpose="vision", behind=None, is_descending=True, limit=2) == []


def test_a_file_that_never_came_in_whole_is_seen_by_nobody_and_swept(ledger: Ledger, book: FileBook) -> None:
    """The process dies between two blocks: nothing but time tells."""

    class _Died(BaseException):
        pass

    def dying() -> Iterator[bytes]:
        yield b"a" * BLOCK_BYTES * 2
        raise _Died

    book._give_up = lambda file_id: None  # type: ignore[method-assign]  # a dead process gives nothing up
    with pytest.raises(_Died):
        book.add(NewFile(filename="half", purpose="batch"), dying())
    assert rows(ledger)[0] == 1
    assert book.page(owner="", purpose=None, behind=None, is_descending=True, limit=9) == []
    ledger.store.sweep(max_crashes=3)
    assert rows(ledger)[0] == 1  # it may still be on its way
    ledger.clock.advance(121)
    ledger.store.sweep(max_crashes=3)
    assert rows(ledger) == (0, 0)


def test_an_upload_that_fails_leaves_nothing(ledger: Ledger, book: FileBook) -> None:
    def broken() -> Iterator[bytes]:
        yield b"a" * BLOCK_BYTES * 3
        raise OSError("the client left")

    with pytest.raises(OSError, match="left"):
        book.add(NewFile(filename="half", purpose="batch"), broken())
    ledger.store.sweep(max_crashes=3)
    assert rows(ledger) == (0, 0)
    with pytest.raises(EmptySubmission):
        add(book)
    assert rows(ledger) == (0, 0)


def test_an_upload_that_was_taken_for_dead_says_so(ledger: Ledger, book: FileBook) -> None:
    def slow() -> Iterator[bytes]:
        yield b"a" * BLOCK_BYTES * 2
        ledger.clock.advance(121)
        ledger.store.sweep(max_crashes=3)
        yield b"b" * BLOCK_BYTES

    with pytest.raises(StoreUnavailable, match="send the file again"):
        book.add(NewFile(filename="slow", purpose="batch"), slow())


def test_a_deleted_file_is_gone_with_its_bytes(ledger: Ledger, book: FileBook) -> None:
    file = add(book, b"x" * BLOCK_BYTES * 40)
    reading = book.read(file.id, owner="")
    next(reading)
    book.delete(file.id, owner="")
    assert rows(ledger) == (0, 0)
    with pytest.raises(FileNotFound, match="deleted while it was read"):
        list(reading)
    with pytest.raises(FileNotFound):
        book.delete(file.id, owner="")


def test_a_file_ends_at_its_time(ledger: Ledger, book: FileBook) -> None:
    file = add(book, b"x", expires_in_seconds=3600.0)
    assert file.expires_at is not None
    assert (file.expires_at - file.created_at).total_seconds() == pytest.approx(3600)
    ledger.clock.advance(3599)
    assert book.get(file.id, owner="") == file
    ledger.clock.advance(2)
    with pytest.raises(FileNotFound):  # before any sweep
        book.get(file.id, owner="")
    ledger.store.sweep(max_crashes=3)
    assert rows(ledger) == (0, 0)


def test_files_count_among_what_an_owner_stores(ledger: Ledger, book: FileBook) -> None:
    file = add(book, b"x" * 1000, owner="ada")
    assert ledger.store.stored_bytes(owner="ada") == 1000
    book.delete(file.id, owner="ada")
    assert ledger.store.stored_bytes(owner="ada") == 0


def test_others_write_while_a_large_file_comes_in(ledger: Ledger, book: FileBook) -> None:
    seen = []

    def large() -> Iterator[bytes]:
        for n in range(6):
            yield bytes([n]) * BLOCK_BYTES
            if n == 4:
                thread = threading.Thread(target=lambda: seen.append(ledger.submit(3).counts.total))
                thread.start()
                thread.join(20)

    file = book.add(NewFile(filename="large", purpose="batch"), large())
    assert seen == [3]
    assert file.num_bytes == 6 * BLOCK_BYTES


def test_a_backup_holds_files_and_batches(
    ledger: Ledger, book: FileBook, empty_url: str, tmp_path: Path
) -> None:
    sent = bytes(range(256)) * 4096 * 3
    file = add(book, sent)
    saved = tmp_path / "saved.db"
    backup.save(ledger.store.database, saved)
    with closing(Database(empty_url)) as other:
        backup.restore(other, saved)
        found = FileBook(other)
        assert found.get(file.id, owner="") == file
        digest = hashlib.sha256(b"".join(found.read(file.id, owner=""))).hexdigest()
        assert digest == hashlib.sha256(sent).hexdigest()
        added = found.add(NewFile(filename="next", purpose="batch"), [b"y"])  # ids of rows go on
        assert b"".join(found.read(added.id, owner="")) == b"y"
