"""What a worker tells those who watch a job: never at the expense of the job."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from jobs.records import Job
from jobs.settings import Settings
from jobs.watching import Channels, Told
from models.records import DocumentInput, DocumentOutput
from tests.support.engines import GatedEngine
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from tests.support.watching import FakeRedis, teller_on
from tests.unit.workers.conftest import Bench
from workers import telling
from workers.watched import Watched


class SpeakingEngine(GatedEngine):
    """Says the document's words one by one, each time the gate opens, and ends with the last."""

    def step(self) -> list[DocumentOutput]:
        self.entered.set()
        self.gate.wait(30)
        self.gate.clear()
        done = []
        for key, document in list(self.waiting.items()):
            said, _, rest = document.text.partition(" ")
            if document.on_text is not None:
                document.on_text(f"{said} ")
            self.waiting[key] = DocumentInput(key=key, text=rest, on_text=document.on_text)
            if not rest:
                done.append(DocumentOutput(key=key, output={"text": "all"}))
                del self.waiting[key]
        return done


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(telling, "_AWAY_SECONDS", 0.02)


@pytest.fixture
def redis() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
def engine(bench: Bench) -> Iterator[SpeakingEngine]:
    bench.engine = made = SpeakingEngine()
    bench.start()
    yield made
    made.gate.set()


def channels(job: Job) -> Channels:
    return Channels.of(Settings(), job.id)


def started(bench: Bench, redis: FakeRedis, job: Job) -> threading.Thread:
    run = bench.run_of(job)
    thread = threading.Thread(target=run.run, args=(teller_on(redis).watched(job.id, run.lease.attempt),))
    thread.start()
    return thread


def test_who_listens_hears_the_text_while_it_is_made_and_then_that_it_is_settled(
    bench: Bench, engine: SpeakingEngine, redis: FakeRedis
) -> None:
    job = bench.ledger.submit(1)  # "text 0": two words
    redis.listeners[channels(job).text] = 1
    thread = started(bench, redis, job)
    engine.gate.set()
    wait_until(lambda: redis.text == "text ", what="the first piece was heard")
    assert bench.statuses(job) == []
    engine.gate.set()
    thread.join(PATIENCE_SECONDS)
    wait_until(lambda: any(told.is_settled for _, told in redis.heard), what="the end was heard")
    assert (redis.text, bench.statuses(job)) == ("text 0 ", ["succeeded"])
    assert {told.attempt for _, told in redis.heard} == {1}


def test_nothing_is_published_for_whom_nobody_watches(
    bench: Bench, engine: SpeakingEngine, redis: FakeRedis
) -> None:
    job = bench.ledger.submit(1)
    thread = started(bench, redis, job)
    for _ in range(2):
        engine.gate.set()
        wait_until(lambda: not engine.gate.is_set(), what="a step was done")
    thread.join(PATIENCE_SECONDS)
    assert bench.statuses(job) == ["succeeded"]
    assert redis.num_asked == 1  # who listens


def test_who_waits_for_the_end_alone_hears_no_text(
    bench: Bench, engine: SpeakingEngine, redis: FakeRedis
) -> None:
    job = bench.ledger.submit(1)
    redis.listeners[channels(job).end] = 1
    thread = started(bench, redis, job)
    for _ in range(2):
        engine.gate.set()
        wait_until(lambda: not engine.gate.is_set(), what="a step was done")
    thread.join(PATIENCE_SECONDS)
    wait_until(lambda: redis.heard != [], what="the end was heard")
    assert [(told.text, told.is_settled) for _, told in redis.heard] == [("", True)]


def test_a_cancelled_job_that_nobody_listens_to_frees_the_engine_before_the_next_heartbeat(
    bench: Bench, engine: SpeakingEngine, redis: FakeRedis
) -> None:
    """No heartbeat beats here at all."""
    job = bench.ledger.submit(1)
    redis.listeners[channels(job).text] = 1
    thread = started(bench, redis, job)
    assert engine.entered.wait(PATIENCE_SECONDS)
    bench.ledger.store.cancel(job.id)
    redis.listeners.clear()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    engine.gate.set()
    wait_until(lambda: not engine.has_work, what="the engine forgot the document")
    assert bench.statuses(job) == ["cancelled"]


def test_a_job_whose_watcher_went_away_but_that_was_not_cancelled_goes_on(
    bench: Bench, engine: SpeakingEngine, redis: FakeRedis
) -> None:
    job = bench.ledger.submit(1)
    redis.listeners[channels(job).text] = 1
    thread = started(bench, redis, job)
    redis.listeners.clear()
    num_asked = redis.num_asked
    wait_until(lambda: redis.num_asked > num_asked + 3, what="the teller has noticed")
    for _ in range(2):
        engine.gate.set()
        wait_until(lambda: not engine.gate.is_set(), what="a step was done")
    thread.join(PATIENCE_SECONDS)
    assert bench.statuses(job) == ["succeeded"]


def test_what_redis_did_not_take_is_said_once_it_is_back(redis: FakeRedis) -> None:
    names = Channels.of(Settings(), "job_1")
    redis.listeners[names.text] = 1
    watched = teller_on(redis).watched("job_1", 2)
    assert watched is not None
    watched.hear("one ")
    wait_until(lambda: redis.text == "one ", what="it was heard")
    redis.is_away = True
    num_asked = redis.num_asked
    watched.hear("two ")
    watched.hear("three ")
    wait_until(lambda: redis.num_asked > num_asked, what="Redis was asked in vain")
    redis.is_away = False
    wait_until(lambda: redis.text == "one two three ", what="the rest was heard")
    starts = [told.start for _, told in redis.heard]
    lengths = [len(told.text) for _, told in redis.heard]
    assert starts == [sum(lengths[:n]) for n in range(len(lengths))]  # nothing is missing


def test_a_redis_that_is_away_keeps_no_slice_waiting_more_than_once(redis: FakeRedis) -> None:
    redis.is_away = True
    teller = teller_on(redis)
    assert teller.watched("job_1", 1) is None
    assert teller.watched("job_2", 1) is None
    assert redis.num_asked == 1


def test_pieces_that_nobody_has_taken_are_one_message() -> None:
    announced: list[Watched] = []
    watched = Watched("c", 3, wants_text=True, on_news=announced.append)
    for piece in ("a", "b", "c"):
        watched.hear(piece)
    watched.settled()
    assert len(announced) == 1
    assert watched.take() == Told(attempt=3, start=0, text="abc", is_settled=True)
    assert watched.take() is None
    watched.hear("d")
    assert watched.take() == Told(attempt=3, start=3, text="d")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"3", b'["a",0,"x",false]', b"[1,0,2,false]", b"null"])
def test_a_message_that_is_none_is_told_from_one(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Told.decode(data)
