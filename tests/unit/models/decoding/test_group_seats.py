"""Groups of rows under random histories: who sits where, with which pages; without a model."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from models.decoding.scheduling.group import BeamParameters, Group
from models.decoding.scheduling.group_seats import GroupSeats, own_pages
from models.decoding.scheduling.pages import PAGE_TOKENS, num_pages_for
from models.decoding.scheduling.request import Request
from models.decoding.scheduling.scheduler import Limits, Scheduler
from tests.support.launches import Launches

_LIMITS = Limits(max_rows=9, num_pages=41, max_entries=160, chunk_sizes=(16, 48), max_begun=5)


def _group(
    key: int, *, prompt: int = 5, new: int = 8, beams: int = 3, source: int = 0, priority: float = 6
) -> Group:
    return Group(
        key=key,
        input_ids=np.ones(prompt, np.int32),
        source_ids=np.ones(source, np.int32),
        max_new_tokens=new,
        beams=BeamParameters(num_beams=beams, num_candidates=2 * beams),
        priority=priority,
    )


def _step(scheduler: Scheduler, launches: Launches) -> list[Request]:
    """What the core does in a step; the groups that ended."""
    before = scheduler.num_to_fill
    entered = scheduler.admit()
    budget = 2 * _LIMITS.chunk_sizes[-1]
    begun = [group.num_to_begin for group in entered]
    assert not entered or before + sum(begun[:-1]) < budget, "only the last may pass the budget of a step"
    chunks, size = scheduler.fill()
    assert sum(chunk.num_tokens for chunk in chunks) <= size
    return launches.step()


class Histories(RuleBasedStateMachine):
    """Groups come, are computed, end and are dropped in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.seats = GroupSeats(
            _LIMITS.max_rows, num_pages_for(_LIMITS.max_entries), _LIMITS.num_pages, has_sources=True
        )
        self.scheduler = Scheduler(_LIMITS, self.seats)
        self.launches = Launches(self.scheduler, self.seats, _LIMITS.max_entries)
        self.inside: dict[int, Group] = {}
        self.num_made = 0

    @rule(
        prompt=st.integers(1, 60),
        new=st.integers(1, 40),
        beams=st.integers(1, 5),
        source=st.integers(0, 150),
        priority=st.sampled_from([0, 3, 6]),
    )
    def add(self, prompt: int, new: int, beams: int, source: int, priority: int) -> None:
        group = _group(self.num_made, prompt=prompt, new=new, beams=beams, source=source, priority=priority)
        if own_pages(group) >= _LIMITS.num_pages:
            return  # as the core does: it is not served here
        self.num_made += 1
        self.inside[group.key] = group  # type: ignore[index]
        self.scheduler.add(group)

    @rule(count=st.integers(1, 8))
    def step(self, count: int) -> None:
        for _ in range(count):
            for group in _step(self.scheduler, self.launches):
                del self.inside[group.key]  # type: ignore[arg-type]

    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        keys = data.draw(st.sets(st.sampled_from([*self.inside, -1])))
        self.scheduler.discard(keys)
        for key in keys - {-1}:
            del self.inside[key]

    @rule(data=st.data())
    def begin_again(self, data: st.DataObject) -> None:
        """After a step that failed."""
        for group in list(self.scheduler.running.values())[: data.draw(st.integers(0, 3))]:
            self.scheduler.leave(group)
            group.begin_again()
            del self.launches.counts[group.key]
            self.scheduler.add(group)

    def _running(self) -> list[Group]:
        return [group for group in self.scheduler.running.values() if isinstance(group, Group)]

    @invariant()
    def no_page_is_lost(self) -> None:
        pages, groups = self.seats.pages, self._running()
        held = [
            page for group in groups for seat in group.seats for page in self.seats.own_table(seat).tolist()
        ]
        assert len(set(held)) == len(held), "a page that is somebody's own is nobody else's"
        assert 0 not in held
        assert len(held) + pages.num_free == pages.capacity
        assert pages.num_promised == sum(map(own_pages, groups)) <= pages.capacity
        assert len(held) <= pages.num_promised
        sources = [page for group in groups for page in group.source_pages.tolist()]
        assert len(set(sources)) == len(sources)
        assert len(sources) + self.seats.sources.num_free == self.seats.sources.capacity
        assert self.seats.sources.num_promised == len(sources)

    @invariant()
    def pages_are_shared_within_a_group_and_only_where_its_prompt_fills_them(self) -> None:
        holders: dict[int, set[object]] = {}
        for group in self._running():
            num_shared = (len(group.input_ids) - 1) // PAGE_TOKENS
            tables = [self.seats.table(seat).tolist() for seat in group.seats]
            counts = Counter(page for table in tables for page in table)
            shared = {page for page, count in counts.items() if count > 1}
            assert shared == (set(tables[0][:num_shared]) if len(tables) > 1 else set())
            for page in counts:
                holders.setdefault(page, set()).add(group.key)
        assert all(len(keys) == 1 for keys in holders.values())

    @invariant()
    def every_seat_is_free_or_one_groups(self) -> None:
        taken = [seat for group in self._running() for seat in group.seats.tolist()]
        assert len(set(taken)) == len(taken)
        assert len(taken) + self.seats.num_free == self.seats.num_seats
        assert all(group.seat == group.seats[0] for group in self._running())

    @invariant()
    def whoever_decodes_has_a_page_for_each_token_of_each_beam(self) -> None:
        for group in self.scheduler.decoding.values():
            assert isinstance(group, Group)
            entries = len(group.input_ids) - 1 + self.launches.counts[group.key]
            for seat in group.seats:
                assert len(self.seats.table(seat)) * PAGE_TOKENS >= entries

    def teardown(self) -> None:
        """Nobody starves: whatever is inside ends within the steps that all need one after another."""
        most = sum(len(g.input_ids) // 16 + g.max_new_tokens + 2 for g in self.inside.values())
        for _ in range(most):
            for group in _step(self.scheduler, self.launches):
                del self.inside[group.key]  # type: ignore[arg-type]
        assert not self.inside
        assert not self.scheduler.num_waiting


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_a_group_that_needs_all_seats_waits_until_they_are_free_and_is_not_overtaken() -> None:
    seats = GroupSeats(_LIMITS.max_rows, num_pages_for(_LIMITS.max_entries), _LIMITS.num_pages)
    scheduler = Scheduler(_LIMITS, seats)
    launches = Launches(scheduler, seats, _LIMITS.max_entries)
    for group in (_group(1, beams=2), _group(2, beams=9), _group(3, beams=1)):
        scheduler.add(group)
    order = [group.key for _ in range(60) for group in _step(scheduler, launches)]
    assert order == [1, 2, 3]
