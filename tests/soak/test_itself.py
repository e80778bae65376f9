"""The soak's own promises: that what goes wrong is noticed."""

from __future__ import annotations

import random

import pytest

from tests.soak.breaking import planned
from tests.soak.findings import Latency
from tests.soak.memory import Life
from tests.soak.orders import LABELS, Order
from tests.soak.probe import Try
from tests.soak.singles import Single, apart
from textmill.views import Result

ORDER = Order(model=LABELS, first=3, count=3)
REFERENCE = {LABELS: {ORDER.text(seq): {"label": f"L{seq}", "score": 0.25} for seq in range(3)}}


def result(seq: int, *, label: str | None = None, status: str = "succeeded", custom_id: str = "") -> Result:
    output = {"label": label or f"L{seq}", "score": 0.25} if status == "succeeded" else None
    line = {"custom_id": custom_id or f"{ORDER.name}-{seq}", "seq": seq, "status": status, "output": output}
    return Result.parse({**line, "task": ORDER.task, "model": ORDER.model})


def test_right_results_have_no_faults_and_a_job_says_itself_what_is_right() -> None:
    found = Order.of(ORDER.metadata)
    assert found == ORDER
    assert found.faults_of(map(result, range(3)), REFERENCE) == []


@pytest.mark.parametrize(
    "results",
    [
        [result(0), result(1)],
        [result(0), result(1), result(1), result(2)],
        [result(0), result(2), result(1)],
        [result(0), result(1, label="L2"), result(2)],
        [result(0), result(1, status="failed"), result(2)],
        [result(0), result(1, status="cancelled"), result(2)],
        [result(0), result(1, custom_id="another"), result(2)],
    ],
    ids=["lost", "doubled", "out of order", "another's value", "failed", "cancelled", "another's id"],
)
def test_what_is_not_right_is_a_fault(results: list[Result]) -> None:
    assert len(ORDER.faults_of(results, REFERENCE)) == 1


def test_a_job_that_may_be_cut_may_have_cancelled_documents_but_none_missing() -> None:
    cut = Order(model=LABELS, first=3, count=3, may_be_cut=True, name=ORDER.name)
    assert cut.faults_of([result(0), result(1, status="cancelled"), result(2)], REFERENCE) == []
    assert len(cut.faults_of([result(0), result(2)], REFERENCE)) == 1


def test_memory_is_compared_after_it_has_settled() -> None:
    """A climb at the beginning is no growth; one that goes on is."""
    settling_seconds = 100.0
    flat = Life("api", [(float(at), 50 + min(at, 50)) for at in range(0, 400, 5)])
    growth = flat.settled(settling_seconds)
    assert growth is not None
    assert growth.share == 0.0
    leaking = Life("api", [(float(at), 100 + at) for at in range(0, 400, 5)]).settled(settling_seconds)
    assert leaking is not None
    assert leaking.share > 0.5
    assert Life("api", [(float(at), 100) for at in range(0, 120, 5)]).settled(settling_seconds) is None


def test_latency_counts_what_was_accepted_in_its_stretch_of_time() -> None:
    tries = [Try(at=float(at), seconds=at / 1000, status=202, job_id="j", order="o") for at in range(1, 101)]
    unheard = Try(at=50.0, seconds=60.0, status=0, job_id=None, order="o")
    assert Latency.between([*tries, unheard], 0.0, 101.0) == Latency(100, 0.05, 0.099, 0.1)
    assert Latency.between(tries, 11.0, 21.0).number == 10
    assert Latency.outside([*tries, unheard], 11.0, 100.0) == Latency(11, 0.006, 0.1, 0.1)
    assert Latency.of([]).number == 0


def test_documents_that_met_a_fault_are_counted_apart() -> None:
    """It may come before, while a dead worker's lease runs, or on the way; never behind."""
    singles = [
        Single(begun, 2.0, waiting_seconds=1.0, working_seconds=0.5) for begun in (0.0, 99.0, 140.0, 150.0)
    ]
    spared, met = apart(singles, [100.0])
    assert [single.begun for single in spared] == [0.0, 150.0]
    assert sorted(single.begun for single in met) == [99.0, 140.0]


def test_the_plan_leaves_the_api_alone_in_the_middle() -> None:
    faults = planned(random.Random(1), 60)
    assert [fault.at_share for fault in faults] == sorted(fault.at_share for fault in faults)
    kills_of_api = [fault.at_share for fault in faults if fault.kind == "kill the API"]
    assert not [share for share in kills_of_api if 0.1 < share < 0.9]
    assert sum(fault.kind == "kill Redis" for fault in faults) == 10
