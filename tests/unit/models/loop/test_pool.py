"""The warm pool: what stays loaded, what goes, what is refused."""

from __future__ import annotations

import pytest

from models.errors import CannotLoad, CannotLoadNow
from models.loop.pool import WarmPool
from models.records import ModelSpec
from tests.support.engines import FakeEngine, documents, specs


class Builder:
    """Builds fake engines of ten bytes and remembers them."""

    def __init__(self) -> None:
        self.built: dict[str, FakeEngine] = {}
        self.error: Exception | None = None

    def __call__(self, spec: ModelSpec) -> FakeEngine:
        if self.error:
            raise self.error
        self.built[spec.name] = FakeEngine(memory_bytes=10)
        return self.built[spec.name]


@pytest.fixture
def builder() -> Builder:
    return Builder()


def make_pool(builder: Builder, *, budget_bytes: int = 20, pinned: tuple[str, ...] = ()) -> WarmPool:
    return WarmPool(
        specs("a", "b", "c", pinned=pinned),
        build=builder,
        budget_bytes=budget_bytes,
        estimate=lambda _: 10,
    )


def load(pool: WarmPool, *names: str) -> None:
    for name in names:
        assert pool.make_room(name)
        pool.load(name)


def test_the_least_recently_used_model_makes_room(builder: Builder) -> None:
    pool = make_pool(builder)
    load(pool, "a", "b")
    pool.get("a")
    load(pool, "c")
    assert pool.warm == ("a", "c")
    assert builder.built["b"].is_closed


def test_pinned_models_stay(builder: Builder) -> None:
    pool = make_pool(builder, pinned=("a",))
    load(pool, "a", "b", "c")
    assert pool.warm == ("a", "c")


def test_an_engine_with_work_is_never_evicted_and_the_newcomer_waits(builder: Builder) -> None:
    pool = make_pool(builder)
    load(pool, "a", "b")
    for engine in builder.built.values():
        engine.submit(documents("x"))
    assert not pool.make_room("c")
    builder.built["b"].step()
    assert pool.make_room("c")
    assert pool.warm == ("a",)


def test_a_model_that_never_fits_is_refused_with_the_figures(builder: Builder) -> None:
    pool = make_pool(builder, budget_bytes=15, pinned=("a",))
    load(pool, "a")
    with pytest.raises(CannotLoad, match=r"10 bytes beside 10 bytes of pinned.*15 bytes"):
        pool.make_room("b")


def test_a_final_refusal_is_remembered_for_a_while(builder: Builder) -> None:
    now = [0.0]
    pool = WarmPool(specs("a"), build=builder, budget_bytes=20, clock=lambda: now[0])
    builder.error = CannotLoad("no such folder")
    with pytest.raises(CannotLoad):
        pool.load("a")
    builder.error = None
    with pytest.raises(CannotLoad, match="no such folder"):
        pool.make_room("a")
    now[0] += 31
    assert pool.make_room("a")


def test_a_passing_failure_is_tried_again_at_once(builder: Builder) -> None:
    pool = make_pool(builder)
    builder.error = CannotLoadNow("the hub is away")
    with pytest.raises(CannotLoadNow):
        pool.load("a")
    builder.error = None
    load(pool, "a")
    assert pool.warm == ("a",)


def test_a_model_that_is_not_served_is_named_with_those_that_are(builder: Builder) -> None:
    with pytest.raises(CannotLoad, match="'z' is not served by this worker; served: a, b, c"):
        make_pool(builder).make_room("z")


def test_loads_are_counted(builder: Builder) -> None:
    pool = make_pool(builder, budget_bytes=10)
    load(pool, "a", "b", "a")
    assert pool.num_loads == 3
    assert pool.used_bytes == 10


def test_why_a_model_is_not_loaded_is_told_until_it_is(builder: Builder) -> None:
    now = [0.0]
    pool = WarmPool(specs("a", "b"), build=builder, budget_bytes=20, clock=lambda: now[0])
    builder.error = CannotLoad("no weights")
    with pytest.raises(CannotLoad):
        pool.load("a")
    assert {name: str(error) for name, error in pool.failures.items()} == {"a": "no weights"}
    builder.error = None
    now[0] += 31
    load(pool, "a", "b")
    assert pool.failures == {}


@pytest.mark.parametrize(
    ("raised", "kind"), [(KeyError("head_dim"), CannotLoad), (MemoryError(), CannotLoadNow)]
)
def test_whatever_a_model_raises_while_it_loads_concerns_it_alone(
    builder: Builder, raised: Exception, kind: type[CannotLoad]
) -> None:
    """A probe that raised over an odd configuration ended the process, again and again."""
    pool = make_pool(builder)
    builder.error = raised
    with pytest.raises(kind, match=f"model 'a': {type(raised).__name__}"):
        pool.load("a")
    assert pool.failures["a"].is_retryable == (kind is CannotLoadNow)
    builder.error = None
    load(pool, "b")


def test_a_model_that_turns_out_larger_than_estimated_makes_room_when_it_is_loaded(builder: Builder) -> None:
    pool = WarmPool(specs("a", "b", "c"), build=builder, budget_bytes=25, estimate=lambda _: 1)
    load(pool, "a", "b", "c")
    assert pool.warm == ("b", "c")
    assert builder.built["a"].is_closed
    assert pool.used_bytes == 20


def test_what_a_model_took_is_remembered_when_it_comes_again(builder: Builder) -> None:
    """An estimate of one byte let it in beside others that it then had no room beside."""
    pool = WarmPool(specs("a", "b"), build=builder, budget_bytes=10, estimate=lambda _: 1)
    load(pool, "a", "b")
    builder.built["b"].submit(documents("x"))
    assert pool.warm == ("b",)
    assert not pool.make_room("a")


def test_a_refusal_for_want_of_room_is_told_too(builder: Builder) -> None:
    pool = make_pool(builder, budget_bytes=9)
    with pytest.raises(CannotLoad):
        pool.make_room("a")
    assert "10 bytes" in str(pool.failures["a"])


def test_a_refusal_is_forgotten_after_half_a_minute_and_not_before(builder: Builder) -> None:
    now = [100.0]
    pool = WarmPool(specs("a"), build=builder, budget_bytes=20, clock=lambda: now[0])
    builder.error = CannotLoad("no such folder")
    with pytest.raises(CannotLoad):
        pool.load("a")
    now[0] += 29.9
    with pytest.raises(CannotLoad):
        pool.make_room("a")
    now[0] += 0.1
    assert pool.make_room("a")


def test_a_closed_pool_has_closed_every_engine(builder: Builder) -> None:
    pool = make_pool(builder)
    load(pool, "a", "b")
    assert {name: told["memory_bytes"] for name, told in pool.describe().items()} == {"a": 10, "b": 10}
    pool.close()
    assert pool.warm == ()
    assert all(engine.is_closed for engine in builder.built.values())


def test_a_worker_that_serves_nothing_says_so() -> None:
    with pytest.raises(CannotLoad, match="'z' is not served by this worker; served: none"):
        WarmPool([], build=lambda _: FakeEngine(), budget_bytes=1).make_room("z")
