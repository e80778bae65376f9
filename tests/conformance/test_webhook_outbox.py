"""Issue 21.4: deliveries are taken by one process at a time, tried seven times, given up, and sent again."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from jobs.errors import RequestError
from jobs.store.webhook_book import WebhookBook
from jobs.webhooks.records import (
    MOST_WEBHOOKS,
    Answer,
    DeliveryState,
    Disabled,
    WebhookConflict,
    WebhookNotFound,
)
from jobs.webhooks.schedule import KEPT_SECONDS, PATIENCE_SECONDS, PAUSES_SECONDS
from tests.support.block_sizes import DeafDatabase
from tests.support.hooks import add_hook, book_on, fail, num_rows, take
from tests.support.ledger import Ledger, in_threads

DELIVERED = Answer(http_status=200)


@pytest.fixture
def book(ledger: Ledger) -> WebhookBook:
    return book_on(ledger.store.database)


def end_jobs(ledger: Ledger, count: int = 1, **job: object) -> None:
    """So many events."""
    for _ in range(count):
        ledger.store.cancel(ledger.submit(1, **job).id, owner=str(job.get("owner", "")))


def test_what_was_taken_is_nobody_elses_until_its_process_is_dead(ledger: Ledger, book: WebhookBook) -> None:
    add_hook(book)
    end_jobs(ledger)
    (parcel,) = take(book)
    assert take(book) == []
    ledger.clock.advance(59)
    assert take(book) == []
    ledger.clock.advance(2)
    (again,) = take(book)
    assert again.event_id == parcel.event_id
    assert not book.settle(parcel, DELIVERED, chance=0.0), "the fence holds"
    assert book.settle(again, DELIVERED, chance=0.0)
    ledger.clock.advance(10**6)
    assert take(book) == []


def test_a_process_that_dies_takes_no_try_away(ledger: Ledger, book: WebhookBook) -> None:
    hook = add_hook(book)
    end_jobs(ledger)
    for _ in range(20):  # a host that restarts all the time
        assert take(book)
        ledger.clock.advance(61)
    (delivery,) = book.deliveries(hook.id, owner="")
    assert (delivery.state, delivery.tries) == (DeliveryState.WAITING, 0)


def test_several_processes_take_each_delivery_once(ledger: Ledger, database_url: str) -> None:
    add_hook(book_on(ledger.store.database))
    end_jobs(ledger, 40)
    taken: list[str] = []
    lock = threading.Lock()

    def work() -> None:
        book = book_on(ledger.store.database)
        while parcels := take(book, limit=3):
            with lock:
                taken.extend(parcel.event_id for parcel in parcels)

    in_threads(work, 4)
    while parcels := take(book_on(ledger.store.database)):  # whom another had locked
        taken.extend(parcel.event_id for parcel in parcels)
    assert len(taken) == len(set(taken)) == 40


def test_a_delivery_is_tried_seven_times_over_41_hours(ledger: Ledger, book: WebhookBook) -> None:
    hook = add_hook(book)
    end_jobs(ledger)
    events = set()
    waited = 0.0
    for tries, pause in enumerate([*PAUSES_SECONDS, None], start=1):
        (parcel,) = take(book)
        events.add(parcel.event_id)
        fail(book, parcel)
        (delivery,) = book.deliveries(hook.id, owner="")
        assert (delivery.tries, delivery.http_status, delivery.error) == (tries, 500, "no")
        if pause is None:
            break
        assert take(book) == []
        ledger.clock.advance(pause - 5)
        assert take(book) == []
        ledger.clock.advance(6)
        waited += pause + 1
    assert tries == 7
    assert 40.5 < waited / 3600 < 41.5
    assert (delivery.state, delivery.next_try_at) == (DeliveryState.FAILED, None)
    assert len(events) == 1, "the event's id is the same in every try"
    ledger.clock.advance(10**6)
    assert take(book) == []
    assert book.get(hook.id, owner="").disabled_at is None, "it has failed for two days, not for five"


def give_up(ledger: Ledger, book: WebhookBook) -> None:
    """Every try of the one delivery fails."""
    for pause in [*PAUSES_SECONDS, 0.0]:
        (parcel,) = take(book)
        fail(book, parcel)
        ledger.clock.advance(pause * 1.1 + 1)


def test_a_webhook_that_fails_for_days_is_disabled_and_can_be_enabled(
    ledger: Ledger, book: WebhookBook
) -> None:
    hook = add_hook(book)
    end_jobs(ledger)
    give_up(ledger, book)
    ledger.clock.advance(PATIENCE_SECONDS)
    end_jobs(ledger)
    give_up(ledger, book)
    found = book.get(hook.id, owner="")
    assert found.disabled_for is Disabled.FAILING
    with pytest.raises(WebhookConflict, match="enable it first"):
        book.replay_failed(hook.id, owner="", since=None)
    enabled = book.change(hook.id, owner="", url=None, events=None, is_enabled=True)
    assert (enabled.disabled_at, enabled.disabled_for, enabled.failing_since) == (None, None, None)
    assert book.replay_failed(hook.id, owner="", since=None) == 2
    assert len(take(book)) == 2


def test_one_success_in_between_keeps_a_webhook(ledger: Ledger, book: WebhookBook) -> None:
    hook = add_hook(book)
    end_jobs(ledger)
    give_up(ledger, book)
    ledger.clock.advance(PATIENCE_SECONDS)
    end_jobs(ledger)
    (parcel,) = take(book)
    book.settle(parcel, DELIVERED, chance=0.0)
    assert book.get(hook.id, owner="").failing_since is None
    end_jobs(ledger)
    give_up(ledger, book)
    assert book.get(hook.id, owner="").disabled_at is None


def test_one_that_is_gone_is_disabled_at_once_with_all_that_waits(ledger: Ledger, book: WebhookBook) -> None:
    hook, other = add_hook(book), add_hook(book, url="https://hooks.example/other")
    end_jobs(ledger, 3)
    first = next(parcel for parcel in take(book) if parcel.url == hook.url)
    fail(book, first, 410)
    assert book.get(hook.id, owner="").disabled_for is Disabled.GONE
    ledger.clock.advance(61)
    assert {parcel.url for parcel in take(book)} == {other.url}
    assert {each.state for each in book.deliveries(hook.id, owner="")} == {DeliveryState.FAILED}


def test_a_slow_receiver_leaves_places_to_others(ledger: Ledger, book: WebhookBook) -> None:
    add_hook(book)
    end_jobs(ledger, 20)
    add_hook(book, owner="b", url="https://hooks.example/b")
    end_jobs(ledger, 1, owner="b")
    parcels = take(book, most=4)
    assert len([parcel for parcel in parcels if parcel.url.endswith("/textmill")]) == 4
    busy = [parcels[0].webhook]
    assert all(parcel.webhook not in busy for parcel in take(book, busy=busy))


def test_a_delivery_is_sent_again_with_its_id(ledger: Ledger, book: WebhookBook) -> None:
    hook = add_hook(book)
    end_jobs(ledger, 2)
    parcels = take(book)
    for parcel in parcels:
        book.settle(parcel, DELIVERED, chance=0.0)
    newest, _ = book.deliveries(hook.id, owner="")
    again = book.replay(hook.id, newest.id, owner="")
    assert (again.state, again.tries) == (DeliveryState.WAITING, 0)
    assert [(parcel.event_id, parcel.body) for parcel in take(book)] == [
        (parcel.event_id, parcel.body) for parcel in parcels if parcel.event_id == newest.event_id
    ]
    for wrong in ("whd_unknown", "a" * 200):
        with pytest.raises(WebhookNotFound):
            book.replay(hook.id, wrong, owner="")


def test_only_what_failed_since_a_time_is_sent_again(ledger: Ledger, book: WebhookBook) -> None:
    hook = add_hook(book)
    for _ in range(3):
        end_jobs(ledger)
        (parcel,) = take(book)
        fail(book, parcel, 410)
        book.change(hook.id, owner="", url=None, events=None, is_enabled=True)
        ledger.clock.advance(100)
    middle = book.deliveries(hook.id, owner="")[1].created_at
    assert book.replay_failed(hook.id, owner="", since=middle - timedelta(seconds=1)) == 2
    assert len(take(book)) == 2


def test_replaying_very_many_goes_in_blocks(
    ledger: Ledger, book: WebhookBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.store.deliveries._MOST_ROWS", 2)
    hook = add_hook(book)
    book.change(hook.id, owner="", url=None, events=None, is_enabled=False)
    end_jobs(ledger, 5)
    book.change(hook.id, owner="", url=None, events=None, is_enabled=True)
    assert book.replay_failed(hook.id, owner="", since=None) == 5
    assert len(take(book)) == 5


def test_two_secrets_sign_while_one_takes_the_place_of_the_other(ledger: Ledger, book: WebhookBook) -> None:
    hook = add_hook(book)
    end_jobs(ledger)
    old = book.secret_of(hook)
    rotated = book.rotate(hook.id, owner="", secret=None, overlap_seconds=100)
    new = book.secret_of(rotated)
    assert new != old
    (parcel,) = take(book)
    assert book.open_secrets(parcel) == [new, old]
    ledger.clock.advance(101)
    (parcel,) = take(book)
    assert book.open_secrets(parcel) == [new]
    book.rotate(hook.id, owner="", secret=None, overlap_seconds=0)
    ledger.clock.advance(61)
    (parcel,) = take(book)
    (only,) = book.open_secrets(parcel)
    assert only not in (old, new)


def test_the_database_holds_no_secret_in_the_clear(ledger: Ledger, book: WebhookBook) -> None:
    given = "whsec_" + "QUJD" * 10
    hook = book.add(book.new("https://hooks.example/", events=(), secret=given), owner="")
    assert book.secret_of(hook) == given
    assert given not in repr(hook)
    assert "QUJD" not in hook.secret
    assert hook.secret not in repr(hook)


@pytest.mark.parametrize(
    "secret",
    ["", "hunter2", "whsec_", "whsec_QUJD", "QUJD" * 10, "whsec_" + "QUJD" * 30, "whsec_" + "%" * 40],
)
def test_a_secret_that_receivers_would_read_in_two_ways_is_refused(book: WebhookBook, secret: str) -> None:
    with pytest.raises(RequestError, match="whsec_ and 24 to 64 bytes"):
        book.new("https://hooks.example/", events=(), secret=secret)


def test_a_project_has_a_bounded_number_of_webhooks(book: WebhookBook) -> None:
    for _ in range(MOST_WEBHOOKS):
        add_hook(book)
    add_hook(book, owner="other")
    with pytest.raises(WebhookConflict, match="32 webhooks"):
        add_hook(book)


def test_deliveries_are_paged_and_chosen_by_state(ledger: Ledger, book: WebhookBook) -> None:
    hook = add_hook(book)
    end_jobs(ledger, 5)
    book.settle(take(book)[0], DELIVERED, chance=0.0)
    page = book.deliveries(hook.id, owner="", limit=3)
    rest = book.deliveries(hook.id, owner="", limit=3, after=page[-1].id)
    assert len({each.id for each in page + rest}) == 5
    assert [each.state for each in book.deliveries(hook.id, owner="", state=DeliveryState.DELIVERED)] == [
        DeliveryState.DELIVERED
    ]
    with pytest.raises(RequestError, match="no delivery of this list"):
        book.deliveries(hook.id, owner="", after="whd_x")


def test_what_was_settled_is_kept_for_a_month(ledger: Ledger, book: WebhookBook) -> None:
    add_hook(book)
    end_jobs(ledger, 2)
    book.settle(take(book)[0], DELIVERED, chance=0.0)
    ledger.clock.advance(KEPT_SECONDS + 1)
    ledger.store.sweep(max_crashes=3)
    assert num_rows(ledger.store.database, "webhook_delivery") == 1, "what waits is never too old"


def test_a_try_that_was_settled_unheard_counts_once(
    ledger: Ledger, database_url: str, book: WebhookBook
) -> None:
    hook = add_hook(book)
    end_jobs(ledger)
    database = DeafDatabase(database_url, clock_offset=ledger.clock)
    (parcel,) = take(book)
    book_on(database).settle(parcel, Answer(error="no"), chance=0.0)
    (delivery,) = book.deliveries(hook.id, owner="")
    assert delivery.tries == 1
    assert delivery.state is DeliveryState.WAITING
    database.close()
