"""Issue 21.4: the thread that delivers: tries by a clock that the test moves, kills, several processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.errors import StoreUnavailable
from jobs.records import NewJob
from jobs.store.database import Database
from jobs.store.sql import SqlStore
from jobs.store.webhook_book import WebhookBook
from jobs.webhooks.allow_list import AllowList
from jobs.webhooks.deliverer import Deliverer
from jobs.webhooks.posting import Poster
from jobs.webhooks.records import Answer, DeliveryState, Parcel
from jobs.webhooks.schedule import PAUSES_SECONDS
from jobs.webhooks.sealing import Sealer
from jobs.webhooks.targets import Targets
from tests.support.hooks import Receiver, add_hook, book_on
from tests.support.ledger import Clock, Ledger, documents
from tests.support.new_ledger import new_ledger
from tests.support.waiting import wait_until

Start = Callable[..., Deliverer]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    clock = Clock()
    database = Database(new_ledger(tmp_path / "ledger.db"), clock_offset=clock)
    yield Ledger(SqlStore(database, slice_tokens=10_000, slice_documents=4), clock)
    database.close()


@pytest.fixture
def book(ledger: Ledger) -> WebhookBook:
    return book_on(ledger.store.database, allow=["127.0.0.1"])


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[Deliverer] = []

    def begin(book: WebhookBook, *, deaths: list[str] | None = None) -> Deliverer:
        poster = Poster(Targets(AllowList(["127.0.0.1"])))
        die = (deaths if deaths is not None else []).append
        running.append(Deliverer(book, poster, on_death=lambda: die("x"), look_seconds=0.02))
        running[-1].start()
        return running[-1]

    yield begin
    for each in running:
        each.stop()


def end_jobs(ledger: Ledger, count: int = 1) -> list[str]:
    jobs = [ledger.store.submit(NewJob(), documents(1))[0] for _ in range(count)]
    for job in jobs:
        ledger.store.cancel(job.id)
    return [job.id for job in jobs]


def test_it_tries_seven_times_until_it_is_received(
    ledger: Ledger, book: WebhookBook, receiver: Receiver, start: Start
) -> None:
    hook = add_hook(book, url=receiver.url)
    receiver.statuses = [500, 302, 404, 429, 503, 400, 200]
    start(book)
    end_jobs(ledger)
    for tries, pause in enumerate([*PAUSES_SECONDS, 0.0], start=1):
        wait_until(
            lambda tries=tries: book.deliveries(hook.id, owner="")[0].tries == tries, what=f"try {tries}"
        )
        ledger.clock.advance(pause * 1.1 + 1)
    (delivery,) = book.deliveries(hook.id, owner="")
    assert (delivery.state, delivery.http_status) == (DeliveryState.DELIVERED, 200)
    assert len(receiver.got) == 7
    assert len({each.headers["webhook-id"] for each in receiver.got}) == 1
    assert len({each.body for each in receiver.got}) == 1


def test_several_processes_deliver_each_event_once(
    ledger: Ledger, book: WebhookBook, receiver: Receiver, start: Start
) -> None:
    hook = add_hook(book, url=receiver.url)
    for _ in range(3):
        start(book)
    jobs = end_jobs(ledger, 30)
    delivered = DeliveryState.DELIVERED
    wait_until(
        lambda: len(book.deliveries(hook.id, owner="", state=delivered, limit=100)) == 30, what="all are told"
    )
    assert sorted(each.event["data"]["id"] for each in receiver.got) == sorted(jobs)


class Dead(WebhookBook):
    """Of a process that is killed when it has sent, before it could write so."""

    def __init__(self, book: WebhookBook) -> None:
        self.__dict__ = book.__dict__
        self.sent = threading.Event()

    def settle(self, parcel: Parcel, answer: Answer, *, chance: float) -> bool:
        self.sent.set()
        return True


def test_a_process_that_is_killed_after_it_sent_loses_nothing(
    ledger: Ledger, book: WebhookBook, receiver: Receiver, start: Start
) -> None:
    """Sent twice with one id, rather than never."""
    hook = add_hook(book, url=receiver.url)
    dead = Dead(book)
    first = start(dead)
    end_jobs(ledger)
    assert dead.sent.wait(60)
    first.stop()
    start(book)
    ledger.clock.advance(61)
    wait_until(lambda: len(receiver.got) == 2, what="the next process sends it")
    wait_until(
        lambda: book.deliveries(hook.id, owner="")[0].state is DeliveryState.DELIVERED, what="it is settled"
    )
    assert len({each.headers["webhook-id"] for each in receiver.got}) == 1


def test_a_slow_receiver_keeps_no_other_waiting(
    ledger: Ledger, book: WebhookBook, receiver: Receiver, start: Start
) -> None:
    held = threading.Event()
    receiver.before_answer = lambda: held.wait(60) and None
    add_hook(book, url=receiver.url)
    end_jobs(ledger, 30)
    with Receiver() as quick:
        add_hook(book, url=quick.url)
        (job_id,) = end_jobs(ledger)
        start(book)
        wait_until(lambda: bool(quick.got), what="the quick one is told")
        assert [each.event["data"]["id"] for each in quick.got] == [job_id]
        assert len(receiver.got) <= 4
        held.set()


def test_a_secret_sealed_by_another_server_fails_the_try_and_not_the_process(
    ledger: Ledger, book: WebhookBook, receiver: Receiver, start: Start
) -> None:
    hook = add_hook(book, url=receiver.url)
    deaths: list[str] = []
    targets = Targets(AllowList(["127.0.0.1"]))
    start(WebhookBook(ledger.store.database, Sealer(lambda: b"other" * 8), targets), deaths=deaths)
    end_jobs(ledger)
    wait_until(lambda: book.deliveries(hook.id, owner="")[0].tries == 1, what="it is tried")
    assert "rotate the webhook's secret" in str(book.deliveries(hook.id, owner="")[0].error)
    assert (receiver.got, deaths) == ([], [])


class Failing(WebhookBook):
    """Its database fails as it is told."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.num_asked = 0

    def take(self, **_: object) -> list[Parcel]:  # type: ignore[override]
        self.num_asked += 1
        raise self.error


def test_a_database_that_is_away_is_asked_again(start: Start) -> None:
    book, deaths = Failing(StoreUnavailable("away")), []  # type: ignore[var-annotated]
    start(book, deaths=deaths)
    wait_until(lambda: book.num_asked > 2, what="it is asked again")
    assert deaths == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_no_time_mends_ends_the_process(start: Start) -> None:
    deaths: list[str] = []
    start(Failing(ZeroDivisionError("a bug")), deaths=deaths)
    wait_until(lambda: deaths == ["x"], what="the process is told")
