"""Who is computed next, without a model."""

from __future__ import annotations

from collections import Counter

import pytest

from models.decoding.first.scheduler import Limits, Request, Scheduler
from models.records import DocumentInput
from models.tasks.documents.waiting import WaitingDocuments

_LIMITS = Limits(max_rows=4, max_entries=1000, max_chunk_tokens=10)
_WITH_ROOM = Limits(max_rows=4, max_entries=10_000, max_chunk_tokens=10)


def _request(key: str, *, prompt: int = 3, width: int = 1, priority: float = 6, new: int = 20) -> Request:
    return Request(key=key, prompt_tokens=prompt, max_new_tokens=new, width=width, priority=priority)


def _scheduler(*requests: Request, limits: Limits = _LIMITS) -> Scheduler:
    scheduler = Scheduler(limits)
    for request in requests:
        scheduler.add(request)
    return scheduler


def _keys(requests: list[Request]) -> list[object]:
    return [request.key for request in requests]


def test_requests_are_admitted_in_order_while_there_are_rows() -> None:
    scheduler = _scheduler(*(_request(name) for name in "abcdef"))
    assert _keys(scheduler.admit()) == ["a", "b", "c", "d"]
    assert scheduler.admit() == []
    scheduler.discard(["b"])
    assert _keys(scheduler.admit()) == ["e"]


def test_a_wide_request_waits_for_its_rows_and_is_not_overtaken() -> None:
    scheduler = _scheduler(_request("a"), _request("wide", width=4), _request("b"))
    assert _keys(scheduler.admit()) == ["a"]
    scheduler.discard(["a"])
    assert _keys(scheduler.admit()) == ["wide"]


def test_a_request_wider_than_the_device_runs_alone() -> None:
    scheduler = _scheduler(_request("huge", width=9), _request("b"))
    assert _keys(scheduler.admit()) == ["huge"]
    assert scheduler.admit() == []


def test_an_urgent_request_begins_at_once_beside_a_full_batch() -> None:
    scheduler = _scheduler(*(_request(f"bulk-{number}") for number in range(100)))
    scheduler.admit()
    scheduler.add(_request("urgent", priority=0))
    assert _keys(scheduler.admit()) == ["urgent"]
    assert scheduler.chunks()[0].request.key == "urgent"


def test_long_prompts_are_cut_and_share_the_budget_of_a_step() -> None:
    first, second = _request("a", prompt=14), _request("b", prompt=5)
    scheduler = _scheduler(first, second)
    scheduler.admit()
    assert [(c.request.key, c.start, c.num_tokens, c.is_last) for c in scheduler.chunks()] == [
        ("a", 0, 10, False)
    ]
    first.prefilled_tokens = 10
    assert [(c.request.key, c.start, c.num_tokens, c.is_last) for c in scheduler.chunks()] == [
        ("a", 10, 4, True),
        ("b", 0, 5, True),
    ]


def test_the_last_to_come_is_sent_back_when_the_cache_is_full_and_then_reserves_all_it_may_need() -> None:
    first, second = _request("a", new=900), _request("b", new=900)
    scheduler = _scheduler(first, second)
    assert len(scheduler.admit()) == 2
    first.new_tokens = second.new_tokens = 600
    assert _keys(scheduler.preempt()) == ["b"]
    assert scheduler.admit() == []
    scheduler.discard(["a"])
    assert _keys(scheduler.admit()) == ["b"]
    assert second.reserved_entries == 903


def test_a_lone_request_is_never_sent_back() -> None:
    request = _request("a", new=5000)
    scheduler = _scheduler(request)
    scheduler.admit()
    request.new_tokens = 2000
    assert scheduler.preempt() == []


def test_newcomers_of_an_encoder_wait_until_several_can_be_encoded_together() -> None:
    limits = Limits(max_rows=8, max_entries=1000, max_chunk_tokens=10, min_free_rows=4)
    scheduler = _scheduler(*(_request(name) for name in "abcdefghijkl"), limits=limits)
    assert len(scheduler.admit()) == 8
    scheduler.discard(["a", "b"])
    assert scheduler.admit() == []
    scheduler.discard(["c", "d"])
    assert len(scheduler.admit()) == 4


@pytest.mark.parametrize("budget", [1, 12, 100])
def test_prompts_are_encoded_with_others_of_like_length(budget: int) -> None:
    requests = [_request(str(length), prompt=length) for length in (3, 9, 4, 10, 5)]
    groups = _scheduler().alike(requests, budget)
    assert sorted(request.prompt_tokens for group in groups for request in group) == [3, 4, 5, 9, 10]
    for group in groups:
        assert len(group) == 1 or len(group) * max(r.prompt_tokens for r in group) <= budget


def test_a_request_wider_than_the_device_keeps_no_urgent_one_waiting() -> None:
    """S22's kind: one document of 64 sequences had every row, and the urgent ones beyond the limit."""
    scheduler = _scheduler(_request("wide", width=64), limits=_WITH_ROOM)
    assert _keys(scheduler.admit()) == ["wide"]
    scheduler.add(_request("urgent", priority=5.5))
    assert _keys(scheduler.admit()) == ["urgent"]
    scheduler.add(_request("another", priority=5.5))
    assert scheduler.admit() == []  # so many rows are not kept


def test_a_stream_of_urgent_requests_does_not_keep_a_wide_one_waiting_for_ever() -> None:
    scheduler = _scheduler(_request("urgent 0", priority=0), _request("wide", width=64), limits=_WITH_ROOM)
    scheduler.admit()
    for number in range(1, 3):
        scheduler.add(_request(f"urgent {number}", priority=0))
        scheduler.discard([f"urgent {number - 1}"])
        scheduler.admit()
    assert {"wide", "urgent 2"} <= set(scheduler.running)


def _document(key: int, *, group: str = "", priority: int = 6) -> DocumentInput:
    return DocumentInput(key=key, text="x", group=group, priority=priority)


def test_jobs_of_equal_priority_take_turns_however_large_they_are() -> None:
    waiting = WaitingDocuments()
    for key in range(1000):
        waiting.add(_document(key, group="large"))
    waiting.add(_document(1000, group="small"))
    taken = waiting.take(max_documents=2, max_characters=100)
    assert Counter(document.group for document in taken) == {"large": 1, "small": 1}


def test_documents_passed_over_for_long_come_before_more_urgent_ones() -> None:
    now = 0.0
    waiting = WaitingDocuments(clock=lambda: now)
    waiting.add(_document(0, priority=6))
    for key in range(1, 100):
        now += 2.0
        waiting.add(_document(key, priority=3))
        if waiting.take(max_documents=1, max_characters=100)[0].key == 0:
            break
    else:
        pytest.fail("the document of low priority starved")
    assert now > 30.0
