"""Sending slices and mending: hints go out in a window, and come back when Redis refuses them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kombu.exceptions import LimitExceeded, OperationalError

from jobs.broker import TASK_NAMES, celery_settings
from jobs.catalogue import Catalogue, ModelEntry
from jobs.dispatch import Dispatcher
from jobs.errors import BrokerUnavailable
from jobs.records import Priority, Task
from jobs.recovery import Sweeper
from jobs.sender import Sender
from jobs.settings import Settings
from jobs.store.database import Database
from jobs.store.sql import SqlStore
from tests.support.ledger import Clock, Ledger
from tests.support.new_ledger import new_ledger
from tests.support.waiting import wait_until

CATALOGUE = Catalogue(entries=(ModelEntry(name="m", task=Task.SENTIMENT, ref="noop:"),))


class FakeCelery:
    """Keeps what is sent; refuses everything after `room` messages."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.room = 1000
        self.producer_pool = self
        self.has_producers = True
        self.asked = threading.Event()
        self.answers = threading.Event()
        self.answers.set()
        self.producer = object()

    @contextmanager
    def acquire(self, *, block: bool, timeout: float) -> Iterator[object]:
        self.asked.set()
        assert self.answers.wait(30)
        if not self.has_producers:
            raise LimitExceeded(1)
        yield self.producer

    def send_task(self, name: str, **options: Any) -> None:
        if not self.room:
            raise OperationalError("refused")
        self.room -= 1
        self.sent.append({"name": name, **options})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path, window=3, resend_seconds=60)  # type: ignore[call-arg]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    clock = Clock()
    database = Database(new_ledger(tmp_path / "ledger.db"), clock_offset=clock)
    store = SqlStore(database, slice_tokens=10_000, slice_documents=8)  # one document a slice at first
    yield Ledger(store, clock)
    store.close()


@pytest.fixture
def celery() -> FakeCelery:
    return FakeCelery()


@pytest.fixture
def dispatcher(ledger: Ledger, celery: FakeCelery, settings: Settings) -> Dispatcher:
    return Dispatcher(ledger.store, celery, CATALOGUE, settings)  # type: ignore[arg-type]


def test_a_message_carries_a_slices_name_and_none_of_its_text(
    dispatcher: Dispatcher, ledger: Ledger, celery: FakeCelery
) -> None:
    job = ledger.submit(1)
    assert dispatcher.release(job.id) == 1
    (message,) = celery.sent
    assert message["name"] == TASK_NAMES[Task.SENTIMENT]
    assert message["args"] == [f"{job.id}.0"]
    assert message["queue"] == "model.m"
    assert "text 0" not in str(message)
    assert message["argsrepr"] == f"1 documents · m · slice 0 of {job.id}"
    assert message["kwargsrepr"] == "{}"
    assert message["ignore_result"] is True
    assert message["producer"] is celery.producer


@pytest.mark.parametrize("priority", list(Priority))
def test_a_message_has_its_jobs_priority(
    dispatcher: Dispatcher, ledger: Ledger, celery: FakeCelery, priority: Priority
) -> None:
    dispatcher.release(ledger.submit(1, priority=priority).id)
    assert [message["priority"] for message in celery.sent] == [int(priority)]


def test_a_slice_of_a_model_that_is_served_no_more_waits_in_its_queue(
    ledger: Ledger, celery: FakeCelery, settings: Settings
) -> None:
    ledger.submit(1)
    Dispatcher(ledger.store, celery, Catalogue(entries=()), settings).release()  # type: ignore[arg-type]
    assert [message["queue"] for message in celery.sent] == ["model.m"]


def test_a_job_that_is_named_is_sent_and_no_other(
    dispatcher: Dispatcher, ledger: Ledger, celery: FakeCelery
) -> None:
    _, mine = ledger.submit(1), ledger.submit(1)
    sender = Sender(dispatcher, on_death=lambda: None)
    sender.send_soon(mine.id)
    sender.start()
    wait_until(lambda: celery.sent)
    sender.stop()
    assert [message["args"] for message in celery.sent] == [[f"{mine.id}.0"]]


def test_only_a_window_of_a_job_is_out_and_each_settled_slice_lets_the_next_go(
    dispatcher: Dispatcher, ledger: Ledger, celery: FakeCelery
) -> None:
    job = ledger.submit(5)
    assert dispatcher.release() == 3
    assert dispatcher.release() == 0
    ledger.finish(ledger.claimed(_key(celery, 0)))
    assert dispatcher.release(job.id) == 1


def test_what_redis_refuses_is_sent_at_the_next_occasion(
    dispatcher: Dispatcher, ledger: Ledger, celery: FakeCelery
) -> None:
    ledger.submit(3)
    celery.room = 1
    with pytest.raises(BrokerUnavailable):
        dispatcher.release()
    celery.room = 1000
    assert dispatcher.release() == 2
    assert len({message["args"][0] for message in celery.sent}) == 3


def test_with_every_producer_waiting_for_redis_it_is_away_like_any_other(
    dispatcher: Dispatcher, ledger: Ledger, celery: FakeCelery, settings: Settings
) -> None:
    """L8: kombu's `LimitExceeded` became a 500 after COMMIT, and ended a process by its sweeper."""
    ledger.submit(1)
    celery.has_producers = False
    Sweeper(ledger.store, dispatcher, settings, on_death=lambda: None).sweep()
    celery.has_producers = True
    assert dispatcher.release() == 1


def test_whoever_asks_the_sender_does_not_wait_for_redis(
    dispatcher: Dispatcher, ledger: Ledger, celery: FakeCelery
) -> None:
    """L8: with a Redis that accepts and never answers, sixty submits took 25 s."""
    celery.answers.clear()
    sender = Sender(dispatcher, on_death=lambda: None)
    sender.start()
    for number in range(60):
        sender.send_soon(ledger.submit(1, owner=str(number)).id)
    assert celery.asked.wait(30)
    assert celery.sent == []
    celery.answers.set()
    wait_until(lambda: len(celery.sent) == 60)
    sender.stop()


def test_a_sender_goes_on_after_what_redis_refused(
    dispatcher: Dispatcher, ledger: Ledger, celery: FakeCelery
) -> None:
    first, second = ledger.submit(1), ledger.submit(1)
    sender = Sender(dispatcher, on_death=lambda: None)
    celery.room = 0
    sender.send_soon(first.id)
    sender.start()
    assert celery.asked.wait(30)
    celery.room = 1000
    sender.send_soon(second.id)
    sender.send_soon(first.id)
    wait_until(lambda: len(celery.sent) == 2)
    sender.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_sender_that_dies_takes_its_process_with_it() -> None:
    class Broken:
        def release(self, job_id: str | None = None) -> int:
            raise ZeroDivisionError

    dead = threading.Event()
    sender = Sender(Broken(), on_death=dead.set)  # type: ignore[arg-type]
    sender.start()
    sender.send_soon("job")
    assert dead.wait(30)
    sender.stop()


def test_a_slice_whose_message_was_lost_is_sent_again_after_a_while(
    dispatcher: Dispatcher, ledger: Ledger, celery: FakeCelery
) -> None:
    ledger.submit(1)
    dispatcher.release()
    ledger.clock.advance(59)
    assert dispatcher.release() == 0
    ledger.clock.advance(2)
    assert dispatcher.release() == 1


def test_a_sweep_reopens_what_a_dead_worker_held_and_sends_it_at_once(
    dispatcher: Dispatcher, ledger: Ledger, celery: FakeCelery, settings: Settings
) -> None:
    ledger.submit(1)
    dispatcher.release()
    ledger.claimed(_key(celery, 0))
    ledger.clock.advance(31)
    Sweeper(ledger.store, dispatcher, settings, on_death=lambda: None).sweep()
    assert len(celery.sent) == 2
    assert ledger.claimed(_key(celery, 0)).isolation


def test_a_sweep_without_redis_mends_the_ledger_all_the_same(
    dispatcher: Dispatcher, ledger: Ledger, celery: FakeCelery, settings: Settings
) -> None:
    job = ledger.submit(1)
    dispatcher.release()
    ledger.claimed(_key(celery, 0))
    ledger.clock.advance(31)
    celery.room = 0
    Sweeper(ledger.store, dispatcher, settings, on_death=lambda: None).sweep()
    celery.room = 1000
    assert dispatcher.release(job.id) == 1


def test_a_sweeper_that_dies_takes_its_process_with_it(ledger: Ledger, settings: Settings) -> None:
    class Broken:
        def release(self, job_id: str | None = None) -> int:
            raise ZeroDivisionError

    deaths: list[str] = []
    sweeper = Sweeper(ledger.store, Broken(), settings, on_death=lambda: deaths.append("dead"))  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        sweeper._run()
    assert deaths == ["dead"]


def test_celery_is_told_never_to_unpickle_and_to_keep_no_results(settings: Settings) -> None:
    told = celery_settings(settings, CATALOGUE)
    assert told["accept_content"] == ["json"]
    assert told["task_ignore_result"]
    assert not told["task_reject_on_worker_lost"]


def _key(celery: FakeCelery, number: int) -> Any:
    from jobs.records import SliceKey

    return SliceKey.parse(celery.sent[number]["args"][0])
