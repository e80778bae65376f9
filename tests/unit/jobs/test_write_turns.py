"""Whose turn it is to write, among the threads of a process and beside other processes."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from jobs.store import write_turns
from jobs.store.database import Database
from jobs.store.write_turns import WriteTurns
from tests.support.waiting import wait_until


@contextmanager
def standing_in_line(
    turns: WriteTurns, number: int, work: Callable[[int], None], *, blocks: int = 0
) -> Iterator[None]:
    """So many threads behind whoever writes now, blocks of long works first; at the end all have written."""

    def stand(index: int) -> None:
        with turns.turn(60, gives_way=index < blocks):
            work(index)

    threads = [threading.Thread(target=stand, args=(index,)) for index in range(number)]
    for number, thread in enumerate(threads, start=1):
        thread.start()
        wait_until(lambda number=number: turns.num_waiting == number)  # type: ignore[misc]
    yield
    for thread in threads:
        thread.join(60)
    assert not turns.num_waiting


def test_threads_write_in_the_order_in_which_they_came() -> None:
    """L4's kind: who only waited was passed over by busy writers, for 850 ms at a time."""
    turns, written = WriteTurns(), list[int]()
    with ExitStack() as stack, turns.turn(0):
        stack.enter_context(standing_in_line(turns, 12, written.append))
        assert not written
    assert written == list(range(12))


def test_who_waits_too_long_leaves_the_line_and_the_next_goes_on() -> None:
    turns, written = WriteTurns(), list[int]()
    with ExitStack() as stack, turns.turn(0):
        with pytest.raises(sqlite3.OperationalError, match="locked"), turns.turn(0.0):
            raise AssertionError("it was somebody else's turn")
        stack.enter_context(standing_in_line(turns, 2, written.append))
    assert written == [0, 1]
    with turns.turn(0.0):
        written.append(2)


def test_short_writes_pass_blocks_of_long_ones_but_not_for_ever() -> None:
    turns, written = WriteTurns(), list[int]()
    with ExitStack() as stack, turns.turn(0):
        stack.enter_context(standing_in_line(turns, 9, written.append, blocks=2))
    passes = write_turns._MOST_PASSES
    assert written == [*range(2, 2 + passes), 0, *range(2 + passes, 9), 1]


def test_a_write_that_fails_gives_its_turn_away(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")

    def fail(connection: Connection) -> None:
        raise LookupError

    for _ in range(3):
        with pytest.raises(LookupError):
            database.write(fail)
    database.write(lambda connection: connection.execute(text("CREATE TABLE t (n INTEGER)")))
    database.close()


def test_a_line_leaves_gaps_for_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as there is always somebody in line, another process must still find the lock free."""
    turns, steps = WriteTurns(), list[int | float]()
    monkeypatch.setattr("time.sleep", steps.append)
    with ExitStack() as stack, turns.turn(0):
        stack.enter_context(standing_in_line(turns, 8, steps.append))
    gap = write_turns.GAP_SECONDS
    assert gap > 2 * write_turns._LOOK_SECONDS
    assert steps == [0, 1, gap, 2, 3, 4, gap, 5, 6, 7]
