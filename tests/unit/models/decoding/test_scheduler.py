"""Who is computed next, and who has which pages: without a model, under random histories."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from models.decoding.scheduling.layout import max_prompts
from models.decoding.scheduling.pages import PAGE_TOKENS, num_pages_for
from models.decoding.scheduling.request import Request
from models.decoding.scheduling.scheduler import Limits, Scheduler
from models.decoding.scheduling.seats import Seats
from tests.support.launches import Launches

_LIMITS = Limits(max_rows=9, num_pages=21, max_entries=160, chunk_sizes=(16, 48), max_begun=5)


def _request(key: int, prompt: int = 5, new: int = 8, priority: float = 6) -> Request:
    return Request(key=key, input_ids=np.ones(prompt, np.int32), max_new_tokens=new, priority=priority)


def _scheduler(limits: Limits = _LIMITS) -> tuple[Scheduler, Seats, Launches]:
    seats = Seats(limits.max_rows, num_pages_for(limits.max_entries), limits.num_pages)
    scheduler = Scheduler(limits, seats)
    return scheduler, seats, Launches(scheduler, seats, limits.max_entries)


def _step(scheduler: Scheduler, launches: Launches) -> tuple[list[Request], int]:
    """What the core does in a step; the requests that ended, and the size of the chunk."""
    scheduler.admit()
    chunks, size = scheduler.fill()
    assert sum(chunk.num_tokens for chunk in chunks) <= size
    assert len(chunks) <= max_prompts(size)
    return launches.step(), size


class Histories(RuleBasedStateMachine):
    """Requests come, are computed, end and are dropped in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler, self.seats, self.launches = _scheduler()
        self.inside: dict[int, Request] = {}
        self.num_made = 0

    @rule(prompt=st.integers(1, 120), new=st.integers(1, 40), priority=st.sampled_from([0, 3, 6]))
    def add(self, prompt: int, new: int, priority: int) -> None:
        request = _request(self.num_made, prompt, new, priority)
        self.num_made += 1
        self.inside[request.key] = request  # type: ignore[index]
        self.scheduler.add(request)

    @rule(count=st.integers(1, 8))
    def step(self, count: int) -> None:
        for _ in range(count):
            for request in _step(self.scheduler, self.launches)[0]:
                del self.inside[request.key]  # type: ignore[arg-type]

    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        keys = data.draw(st.sets(st.sampled_from([*self.inside, -1])))
        self.scheduler.discard(keys)
        for key in keys - {-1}:
            del self.inside[key]

    @rule(data=st.data())
    def begin_again(self, data: st.DataObject) -> None:
        """After a step that failed."""
        for request in list(self.scheduler.running.values())[: data.draw(st.integers(0, 3))]:
            self.scheduler.leave(request)
            request.begin_again()
            del self.launches.counts[request.key]
            self.scheduler.add(request)

    @invariant()
    def no_page_is_lost_or_shared(self) -> None:
        pages = self.seats.pages
        running = self.scheduler.running.values()
        held = [page for request in running for page in self.seats.table(request.seat).tolist()]
        assert len(set(held)) == len(held)
        assert 0 not in held
        assert len(held) + pages.num_free == pages.capacity
        assert pages.num_promised == sum(num_pages_for(request.max_entries) for request in running)
        assert len(held) <= pages.num_promised <= pages.capacity
        assert self.seats.num_free == self.seats.num_seats - len(running)

    @invariant()
    def the_most_urgent_of_those_inside_is_known(self) -> None:
        running = self.scheduler.running.values()
        best = min((request.priority for request in running), default=None)
        assert self.scheduler.best_running_priority == best

    @invariant()
    def whoever_decodes_has_a_page_for_each_token(self) -> None:
        for request in self.scheduler.decoding.values():
            entries = len(request.input_ids) - 1 + self.launches.counts[request.key]
            assert len(self.seats.table(request.seat)) * PAGE_TOKENS >= entries

    def teardown(self) -> None:
        """Nobody starves: whatever is inside ends within the steps that all need one after another."""
        most = sum(len(r.input_ids) // 16 + r.max_new_tokens + 2 for r in self.inside.values())
        for _ in range(most):
            for request in _step(self.scheduler, self.launches)[0]:
                del self.inside[request.key]  # type: ignore[arg-type]
        assert not self.inside
        assert not self.scheduler.num_waiting


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_an_urgent_request_is_seated_beside_a_full_batch_and_filled_first() -> None:
    scheduler, _, launches = _scheduler(
        Limits(max_rows=16, num_pages=400, max_entries=160, chunk_sizes=(16, 48))
    )
    for number in range(40):
        scheduler.add(_request(number, prompt=30))
    for _ in range(12):
        _step(scheduler, launches)
        if len(scheduler.running) == 14:
            break
    assert len(scheduler.running) == 14, "an eighth of the seats is kept"
    scheduler.add(_request(99, prompt=30, priority=0))
    assert [request.key for request in scheduler.admit()] == [99]
    chunks, _ = scheduler.fill()
    assert chunks[0].request.key == 99


def test_a_request_that_needs_all_pages_waits_until_it_is_alone_and_is_not_overtaken() -> None:
    large = Limits(max_rows=9, num_pages=11, max_entries=160, chunk_sizes=(16, 48))
    scheduler, _, launches = _scheduler(large)
    scheduler.add(_request(1, prompt=5, new=8))
    scheduler.add(_request(2, prompt=150, new=11))
    scheduler.add(_request(3, prompt=5, new=8))
    order = [request.key for _ in range(60) for request in _step(scheduler, launches)[0]]
    assert order == [1, 2, 3]


def test_a_chunk_is_the_largest_size_that_prompts_fill_and_a_prompt_is_cut_to_it() -> None:
    scheduler, _, _ = _scheduler()
    scheduler.add(_request(1, prompt=101))
    scheduler.admit()
    parts = [scheduler.fill() for _ in range(4)]
    assert [size for _, size in parts] == [48, 48, 16, 0]
    assert [(chunk.start, chunk.num_tokens) for chunks, _ in parts for chunk in chunks] == [
        (0, 48),
        (48, 48),
        (96, 4),
    ]
