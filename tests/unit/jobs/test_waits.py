"""How long blocks take, and until when a worker waits for the ledger."""

from __future__ import annotations

import pytest

from jobs.records import SliceKey
from jobs.store.lease_ends import LeaseEnds
from jobs.store.pacing import Pace
from tests.support.ledger import Clock

KEY = SliceKey(job_id="job_1", number=0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("jobs.store.pacing.time.monotonic", made)
    return made


def rows_after(
    clock: Clock, seconds_a_row: float, blocks: int, *, seconds_a_block: float = 0.0
) -> tuple[int, float]:
    """How many rows a block has in the end, and how long it takes."""
    pace = Pace()
    for _ in range(blocks):
        with pace.measured():
            clock.advance(seconds_a_block + pace.rows * seconds_a_row)
    return pace.rows, pace.rows * seconds_a_row


@pytest.mark.parametrize("seconds_a_row", [1e-5, 1e-4, 1e-3, 1e-2])
def test_a_block_has_as_many_rows_as_take_a_twentieth_of_a_second(clock: Clock, seconds_a_row: float) -> None:
    """L4's kind: a thousand rows of a word are nothing, a thousand of a megabyte keep others waiting."""
    _, seconds = rows_after(clock, seconds_a_row, blocks=20)
    assert 0.02 <= seconds <= 0.11


def test_a_block_is_bounded_however_fast_rows_go_and_never_empty(clock: Clock) -> None:
    assert rows_after(clock, 1e-9, blocks=30)[0] == 5_000
    assert rows_after(clock, 60.0, blocks=30)[0] == 1


@pytest.mark.parametrize("seconds_a_block", [0.2, 5.0])
@pytest.mark.parametrize("blocks", [19, 20])
def test_a_block_is_not_made_small_for_what_it_waits(
    clock: Clock, seconds_a_block: float, blocks: int
) -> None:
    """On a busy machine blocks went down to a row each, and what is removed in a second took minutes."""
    assert rows_after(clock, 1e-5, blocks, seconds_a_block=seconds_a_block)[0] >= 100


def test_a_wait_ends_with_its_lease() -> None:
    clock = Clock()
    ends = LeaseEnds(clock)
    assert ends.left_seconds(KEY) is None  # never held here: no lease to defend
    ends.renewed([KEY], 30.0)
    clock.advance(20)
    assert ends.left_seconds(KEY) == 10
    ends.renewed([KEY], 30.0)
    assert ends.left_seconds(KEY) == 30
    clock.advance(31)
    assert ends.left_seconds(KEY) == 0.5  # one look: the fence may still let it in
    clock.advance(3600)
    ends.renewed([SliceKey(job_id="job_2", number=0)], 30.0)
    assert ends.left_seconds(KEY) is None  # forgotten
