"""Models that could not be loaded: told, tried again, and served once they are repaired."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from models.errors import CannotLoad
from tests.support.ledger import Clock
from tests.support.waiting import wait_until
from tests.unit.workers.conftest import Bench
from tests.unit.workers.test_worker import LONG, MODEL
from workers.retries import LoadRetries
from workers.signs import SignsOfLife


class FailingLoop:
    """Stands for a device loop: notes what is asked of it, and answers when told to."""

    def __init__(self) -> None:
        self.failures: dict[str, CannotLoad] = {"m": CannotLoad("no weights")}
        self.tries: list[Future[None]] = []

    def warm(self, model: str) -> Future[None]:
        self.tries.append(Future())
        return self.tries[-1]


def test_a_failed_model_is_tried_again_and_the_longer_a_try_the_longer_the_rest() -> None:
    loop, clock = FailingLoop(), Clock()
    retries = LoadRetries(loop, clock=clock)  # type: ignore[arg-type]
    retries.look()
    assert loop.tries == []  # it has just failed
    clock.advance(31)
    retries.look()
    clock.advance(10)
    retries.look()
    assert len(loop.tries) == 1  # one at a time
    loop.tries[0].set_exception(CannotLoad("still none"))
    retries.look()
    clock.advance(299)
    retries.look()
    assert len(loop.tries) == 1
    clock.advance(2)
    retries.look()
    assert len(loop.tries) == 2


def test_a_model_that_loads_is_left_alone() -> None:
    loop, clock = FailingLoop(), Clock()
    retries = LoadRetries(loop, clock=clock)  # type: ignore[arg-type]
    retries.look()
    loop.failures = {}
    clock.advance(100)
    retries.look()
    assert loop.tries == []


@pytest.mark.parametrize("error", [CannotLoad("convert the weights"), RuntimeError("an odd file")])
def test_h15_a_sign_of_life_says_why_a_model_cannot_be_loaded_and_forgets_it_when_it_can(
    bench: Bench, error: Exception
) -> None:
    """H15: the worker wrote it to its log, and everybody else said that all was well."""
    bench.build_error = error  # type: ignore[assignment]
    bench.start()
    with pytest.raises(CannotLoad):
        bench.loop.warm("m").result(LONG)
    store = bench.ledger.store
    signs = SignsOfLife(
        store, bench.loop, worker_id="w", device="cuda:1", models=[MODEL], slots=2,
        on_death=lambda: None,
    )  # fmt: skip
    signs._beat()
    (sign,) = store.workers(max_age_seconds=30)
    told = sign.details["models"]["m"]
    assert told["error"] == "cannot_load"
    assert str(error) in told["message"]
    assert sign.warm_models == ()
    assert sign.device == "cuda:1"
    bench.build_error = None
    bench.pool_clock.advance(31)
    bench.loop.warm("m").result(LONG)
    wait_until(lambda: not bench.loop.failures, what="the failure is forgotten")
    signs._beat()
    (sign,) = store.workers(max_age_seconds=30)
    assert "error" not in sign.details["models"]["m"]
    assert bench.deaths == []


def test_facts_are_kept_once_and_without_counters(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.engine, "describe", lambda: {"dtype": "float32", "steps": 3})
    bench.start()
    bench.loop.warm("m").result(LONG)
    kept = []
    monkeypatch.setattr(bench.ledger.store, "keep_facts", kept.append)
    signs = SignsOfLife(
        bench.ledger.store, bench.loop, worker_id="w", device="cpu", models=[MODEL], slots=2,
        on_death=lambda: None,
    )  # fmt: skip
    signs._beat()
    signs._beat()
    assert [(each.name, each.ref, dict(each.facts)) for each in kept] == [
        ("m", "noop:m", {"dtype": "float32"})
    ]
