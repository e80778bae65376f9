"""Slices are sent by turns of owners, then of jobs."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import event, select

from jobs.quota import Queued
from jobs.records import DocumentStatus, NewDocument, NewJob, Outcome, Priority, SliceKey, Task
from jobs.shares import Pool, Slots
from jobs.store import tables as t
from tests.support.ledger import Ledger, documents, succeeded

SLOTS = Slots([Pool(models=frozenset({"m", "n"}), slots=16)])


def submit(ledger: Ledger, owner: str, count: int = 40, *, model: str = "m", **job: object) -> str:
    rows: list[NewDocument] = documents(count, model=model)
    return ledger.store.submit(NewJob(owner=owner, task=Task.SENTIMENT, **job), rows)[0].id  # type: ignore[arg-type]


def take(ledger: Ledger) -> list[str]:
    """The jobs whose slices are sent now."""
    tickets = ledger.store.take_window(window=32, resend_after_seconds=60, slots=SLOTS)
    return [ticket.key.job_id for ticket in tickets]


def out(ledger: Ledger) -> list[SliceKey]:
    """What was sent and is not claimed, in order."""
    query = (
        select(t.job.c.public_id, t.slice_.c.number)
        .join_from(t.slice_, t.job)
        .where(t.is_waiting(), t.slice_.c.sent_at > 0)
        .order_by(t.slice_.c.sent_at, t.slice_.c.job, t.slice_.c.number)
    )
    rows = ledger.store._database.read(lambda connection: connection.execute(query).all())
    return [SliceKey(job_id=row.public_id, number=row.number) for row in rows]


def test_a_single_document_of_another_owner_is_sent_at_once(ledger: Ledger) -> None:
    """S2: the window was each job's, so that 60 jobs of one key stood before everybody's documents."""
    for priority in (Priority.BULK, Priority.INTERACTIVE):
        for _ in range(30):
            submit(ledger, "a", priority=priority)
    assert len(take(ledger)) < 16
    for model in ("m", "n"):
        job = submit(ledger, "b", 1, model=model)
        assert take(ledger) == [job]


def test_another_model_of_the_same_owner_is_sent_at_once(ledger: Ledger) -> None:
    """S2, without keys: a document for another model stood behind everybody's for the first."""
    for _ in range(60):
        submit(ledger, "", model="m")
    take(ledger)
    job = submit(ledger, "", 1, model="n")
    assert take(ledger) == [job]


def test_a_finished_slice_makes_room_for_whoever_has_least(ledger: Ledger) -> None:
    submit(ledger, "a")
    tickets = ledger.store.take_window(window=32, resend_after_seconds=60, slots=SLOTS)
    assert len(tickets) == 12
    second = [submit(ledger, "b"), submit(ledger, "b")]
    sent = take(ledger)
    assert len(sent) == 1
    for ticket in tickets[:6]:
        ledger.finish(ledger.claimed(ticket.key))
        sent += take(ledger)
    assert len(sent) == 6
    assert set(sent) == set(second)


def test_jobs_of_one_owner_take_turns_and_the_oldest_gets_on(ledger: Ledger) -> None:
    old = submit(ledger, "a", 200)
    take(ledger)
    for _ in range(60):
        submit(ledger, "a", 1)
    sent: Counter[bool] = Counter()
    for _ in range(60):
        ledger.finish(ledger.claimed(out(ledger)[0]))
        sent.update(job == old for job in take(ledger))
    assert sent[True] >= 15
    assert sent[False] >= 15


def test_a_small_job_is_not_behind_all_that_the_oldest_may_have_out(ledger: Ledger) -> None:
    submit(ledger, "a", 200)
    take(ledger)
    small = submit(ledger, "a", 1)
    ledger.finish(ledger.claimed(out(ledger)[0]))
    assert take(ledger) == [small]


def test_cancelled_and_delayed_slices_are_not_sent(ledger: Ledger) -> None:
    cancelled, other = submit(ledger, "a"), submit(ledger, "a", 1)
    ledger.store.cancel(cancelled, owner="a")
    assert take(ledger) == [other]
    (key,) = out(ledger)
    ledger.store.release(key, ledger.claimed(key).attempt, delay_seconds=60)
    assert take(ledger) == []
    ledger.clock.advance(61)
    assert take(ledger) == [other]


def test_a_turn_costs_the_same_however_much_waits(ledger: Ledger) -> None:
    """A pass reads heads of lanes; it never counts or sorts what waits."""
    statements: list[str] = []
    event.listen(
        ledger.store._database.engine, "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: statements.append(statement),
    )  # fmt: skip
    for count in (40, 2000):
        submit(ledger, "a", count)
        take(ledger)
        statements.clear()
        take(ledger)
        assert len(statements) < 10


def test_what_an_owner_has_queued_is_what_his_open_jobs_still_have_to_do(ledger: Ledger) -> None:
    submit(ledger, "b", 7)
    job = submit(ledger, "a", 4, estimated_tokens=400)
    submit(ledger, "a", 2, estimated_tokens=20, priority=Priority.INTERACTIVE)
    assert ledger.store.queued(owner="a") == Queued(documents=6, tokens=420, interactive_documents=2)
    lease = ledger.claimed(SliceKey(job_id=job, number=0))
    ledger.store.settle(lease.key, lease.attempt, succeeded([lease.documents[0].seq]))
    assert ledger.store.queued(owner="a") == Queued(documents=5, tokens=320, interactive_documents=2)
    lease = ledger.claimed(SliceKey(job_id=job, number=1))
    broken = Outcome(
        seq=lease.documents[0].seq, status=DocumentStatus.FAILED, error_code="x", error_message="y"
    )
    ledger.store.settle(lease.key, lease.attempt, [broken])
    assert ledger.store.queued(owner="a") == Queued(documents=4, tokens=220, interactive_documents=2)
    ledger.store.cancel(job, owner="a")
    assert ledger.store.queued(owner="a") == Queued(documents=2, tokens=20, interactive_documents=2)
    assert ledger.store.queued(owner="nobody") == Queued()
