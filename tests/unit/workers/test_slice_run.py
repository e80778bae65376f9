"""One leased slice, from its documents to its settled outcomes."""

from __future__ import annotations

import threading

import pytest

from jobs.isolation import WHOLE_SLICE
from jobs.records import Job, LeaseState
from models.errors import CannotLoad, CannotLoadNow
from models.records import DocumentInput, DocumentOutput
from tests.support.engines import FakeEngine, GatedEngine, documents
from tests.support.ledger import crash, crash_on
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from tests.unit.workers.conftest import Bench
from workers.slice_run import SliceRun

LONG = PATIENCE_SECONDS


def isolated(bench: Bench, count: int) -> Job:
    """A job whose documents run alone, since they killed processes in company and together."""
    job = bench.ledger.submit(count)
    (key,) = bench.ledger.keys(job)
    bench.ledger.claimed(key)
    crash(bench.ledger)
    crash_on(bench.ledger, key)
    return job


def started(run: SliceRun) -> threading.Thread:
    thread = threading.Thread(target=run.run)
    thread.start()
    return thread


def test_every_document_of_the_slice_is_settled_with_its_own_output(bench: Bench) -> None:
    bench.start()
    job = bench.ledger.submit(6)
    assert bench.run_of(job).run()["succeeded"] == 6
    rows = bench.ledger.store.results(job.id)
    assert [row.output for row in rows] == [{"text": f"TEXT {seq}"} for seq in range(6)]
    assert bench.ledger.store.get_job(job.id).status == "completed"


def test_what_is_done_is_settled_while_the_rest_is_being_computed(bench: Bench) -> None:
    class LastDocumentHangs(GatedEngine):
        def step(self) -> list[DocumentOutput]:
            return FakeEngine.step(self) if len(self.waiting) > 1 else super().step()

    bench.engine = engine = LastDocumentHangs()
    bench.start()
    job = bench.ledger.submit(6)
    thread = started(bench.run_of(job))
    wait_until(lambda: len(bench.statuses(job)) == 5, what="five are settled")
    engine.gate.set()
    thread.join(LONG)
    assert bench.statuses(job) == ["succeeded"] * 6


def test_a_failed_document_is_settled_as_failed_with_its_reason(bench: Bench) -> None:
    class ThirdFails(FakeEngine):
        def answer(self, document: DocumentInput) -> DocumentOutput:
            if document.text == "text 2":
                return DocumentOutput(key=document.key, error_code="too_long", error_message="too long")
            return super().answer(document)

    bench.engine = ThirdFails()
    bench.start()
    job = bench.ledger.submit(6)
    assert bench.run_of(job).run() | {"slice": ""} == {"slice": "", "succeeded": 5, "failed": 1}
    row = bench.ledger.store.results(job.id)[2]
    assert (row.status, row.error_code, row.error_message) == ("failed", "too_long", "too long")


def test_after_a_cancel_the_run_ends_and_the_engine_is_freed(bench: Bench) -> None:
    bench.engine = engine = GatedEngine()
    bench.start()
    job = bench.ledger.submit(6)
    run = bench.run_of(job)
    thread = started(run)
    assert engine.entered.wait(LONG)
    bench.ledger.store.cancel(job.id)
    run.heard(LeaseState.LOST)
    engine.gate.set()
    thread.join(LONG)
    assert bench.statuses(job) == ["cancelled"] * 6
    wait_until(lambda: not engine.has_work, what="the engine forgot the documents")


def test_a_late_settlement_after_the_lease_was_lost_changes_nothing(bench: Bench) -> None:
    bench.engine = engine = GatedEngine()
    bench.start()
    job = bench.ledger.submit(6)
    thread = started(bench.run_of(job))
    assert engine.entered.wait(LONG)
    crash(bench.ledger)  # it was frozen, say: its lease ran out, and another worker has the slice now
    other = bench.ledger.claimed(bench.ledger.keys(job)[0])
    engine.gate.set()
    thread.join(LONG)
    assert bench.statuses(job) == []
    bench.ledger.finish(other)
    assert bench.statuses(job) == ["succeeded"] * 6


def test_outcomes_are_kept_while_the_store_is_away(bench: Bench) -> None:
    bench.start()
    job = bench.ledger.submit(2)
    run = bench.run_of(job)
    bench.store.num_failures = 2
    assert run.run()["succeeded"] == 2
    assert bench.statuses(job) == ["succeeded"] * 2


def test_a_slice_whose_process_died_is_computed_together_with_the_device_to_itself(bench: Bench) -> None:
    bench.start()
    job = bench.ledger.submit(4)
    bench.ledger.claimed(bench.ledger.keys(job)[0])
    crash(bench.ledger)
    assert bench.run_of(job).run()["succeeded"] == 4
    assert bench.store.named == [WHOLE_SLICE]


def test_a_slice_that_killed_its_process_too_is_computed_one_by_one_and_each_is_named_first(
    bench: Bench,
) -> None:
    bench.start()
    job = isolated(bench, 4)
    assert bench.run_of(job).run()["succeeded"] == 4
    assert bench.store.named == [0, 1, 2, 3]
    assert bench.store.settled_groups == [1, 1, 1, 1]


def test_others_have_the_device_between_the_documents_of_an_isolated_slice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One slice's share of the device: it had it alone to its end, and all others waited."""

    class Notes(GatedEngine):
        texts: list[str] = []  # noqa: RUF012

        def answer(self, document: DocumentInput) -> DocumentOutput:
            self.texts.append(document.text)
            return super().answer(document)

    monkeypatch.setattr("workers.slice_run._ALONE_SECONDS", 0.0)
    bench.engine = engine = Notes()
    bench.start()
    job = isolated(bench, 4)
    thread = started(bench.run_of(job))
    assert engine.entered.wait(LONG)
    other = bench.loop.submit("m", documents("other"))
    engine.gate.set()
    assert other.outcomes(LONG)
    thread.join(LONG)
    assert engine.texts == ["text 0", "other", "text 1", "text 2", "text 3"]


def test_given_back_in_the_middle_a_slice_keeps_what_is_settled_and_costs_no_crash(bench: Bench) -> None:
    class StopsAfterTwo(GatedEngine):
        def step(self) -> list[DocumentOutput]:
            return FakeEngine.step(self) if len(self.waiting) > 4 else super().step()

    bench.engine = engine = StopsAfterTwo()
    bench.start()
    job = bench.ledger.submit(6)
    run = bench.run_of(job)
    thread = started(run)
    assert engine.entered.wait(LONG)
    run.give_back()
    thread.join(LONG)
    assert bench.statuses(job) == ["succeeded"] * 2
    again = bench.ledger.claimed(bench.ledger.keys(job)[0])
    assert not again.isolation
    assert [document.seq for document in again.documents] == [2, 3, 4, 5]
    engine.gate.set()


def test_a_loop_that_dies_gives_the_slice_back_and_ends_the_process(bench: Bench) -> None:
    class Dies(FakeEngine):
        def step(self) -> list[DocumentOutput]:
            raise SystemError("the device is gone")

    bench.engine = Dies()
    bench.start()
    job = bench.ledger.submit(2)
    bench.run_of(job).run()
    assert "asked to die" in bench.deaths
    assert not bench.ledger.claimed(bench.ledger.keys(job)[0]).isolation


def test_a_loop_that_is_stopped_gives_the_slice_back_and_nobody_dies(bench: Bench) -> None:
    bench.engine = engine = GatedEngine()
    bench.start()
    job = bench.ledger.submit(2)
    thread = started(bench.run_of(job))
    assert engine.entered.wait(LONG)
    stopper = threading.Thread(target=bench.loop.stop, args=(0,))
    stopper.start()
    engine.gate.set()
    stopper.join(LONG)
    thread.join(LONG)
    assert bench.deaths == []


@pytest.mark.parametrize(
    ("error", "status", "statuses"),
    [
        (CannotLoad("no config.json"), "failed", ["failed"] * 2),
        (CannotLoadNow("the hub is away"), "running", []),
    ],
    ids=["for-good", "for-now"],
)
def test_a_model_that_cannot_be_loaded_fails_its_documents_unless_later_it_may(
    bench: Bench, error: CannotLoad, status: str, statuses: list[str]
) -> None:
    bench.build_error = error
    bench.start()
    job = bench.ledger.submit(2)
    bench.run_of(job).run()
    assert bench.ledger.store.get_job(job.id).status == status
    assert bench.statuses(job) == statuses
    bench.ledger.clock.advance(20)
    assert bool(bench.ledger.keys(job)) == (not statuses)


def test_a_run_whose_lease_is_lost_ends_though_the_engine_is_still_computing(bench: Bench) -> None:
    """A run that ignored the loss of its lease was noticed by no test."""
    bench.engine = engine = GatedEngine()
    bench.start()
    run = bench.run_of(bench.ledger.submit(6))
    thread = started(run)
    assert engine.entered.wait(LONG)
    run.heard(LeaseState.LOST)
    thread.join(LONG)
    is_alive = thread.is_alive()
    engine.gate.set()
    assert not is_alive


def test_what_cannot_be_settled_is_not_kept_beyond_the_lease(bench: Bench) -> None:
    """Settling beyond the lease was noticed by no test: another worker computes them by then."""
    bench.start()
    job = bench.ledger.submit(6)
    bench.store.num_failures = 10**9
    run = bench.run_of(job, lease_seconds=0.05)
    thread = started(run)
    thread.join(LONG)
    assert not thread.is_alive()
    assert bench.statuses(job) == []
