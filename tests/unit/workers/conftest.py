"""A worker without Celery and without a model: real ledger, real device loop, fake engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import StoreUnavailable
from jobs.records import Job
from jobs.store.database import Database
from jobs.store.sql import SqlStore
from models.engine import Engine
from models.errors import ModelError
from models.loop.device_loop import DeviceLoop
from models.loop.pool import WarmPool
from models.records import ModelSpec
from tests.support.engines import FakeEngine
from tests.support.ledger import Clock, Ledger
from tests.support.new_ledger import new_ledger
from workers.slice_run import SliceRun

LEASE_SECONDS = 30.0


class FlakyStore:
    """The real store, away for the next `num_failures` settlements."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self.num_failures = 0
        self.settled_groups: list[int] = []
        self.named: list[int] = []  # who had the device alone

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def suspect(self, key: Any, attempt: int, seq: int) -> bool:
        self.named.append(seq)
        return self._store.suspect(key, attempt, seq)

    def settle(self, key: Any, attempt: int, outcomes: Any) -> Any:
        if self.num_failures:
            self.num_failures -= 1
            raise StoreUnavailable("away")
        self.settled_groups.append(len(outcomes))
        return self._store.settle(key, attempt, outcomes)


@dataclass
class Bench:
    """Everything a slice run needs, and what came of it."""

    ledger: Ledger
    store: FlakyStore
    engine: Engine
    build_error: ModelError | None = None
    loop: DeviceLoop = field(init=False)
    deaths: list[str] = field(default_factory=list)
    #: how far the pool's clock runs ahead
    pool_clock: Clock = field(default_factory=Clock)

    def start(self) -> Bench:
        pool = WarmPool(
            [ModelSpec(name="m", task="sentiment", ref="noop:")], build=self._build, budget_bytes=10,
            clock=lambda: time.monotonic() + self.pool_clock(),
        )  # fmt: skip
        self.loop = DeviceLoop(pool, on_death=lambda error: self.deaths.append(f"loop: {error}"))
        self.loop.start()
        return self

    def run_of(self, job: Job, *, number: int = 0, lease_seconds: float = LEASE_SECONDS) -> SliceRun:
        lease = self.ledger.claimed(self.ledger.keys(job)[number])
        return SliceRun(
            lease,
            store=self.store,  # type: ignore[arg-type]
            loop=self.loop,
            lease_seconds=lease_seconds,
            on_progress=lambda settled, total: None,
            on_death=lambda: self.deaths.append("asked to die"),
        )

    def statuses(self, job: Job) -> list[str]:
        return [str(row.status) for row in self.ledger.store.results(job.id)]

    def _build(self, spec: ModelSpec) -> Engine:
        if self.build_error is not None:
            raise self.build_error
        return self.engine


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    clock = Clock()
    database = Database(new_ledger(tmp_path / "ledger.db"), clock_offset=clock)
    store = SqlStore(database, slice_tokens=10_000, slice_documents=48)  # the first slice: 6 documents
    yield Ledger(store, clock)
    store.close()


@pytest.fixture
def bench(ledger: Ledger) -> Iterator[Bench]:
    made = Bench(ledger, FlakyStore(ledger.store), FakeEngine(per_step=2))
    yield made
    if hasattr(made, "loop"):
        made.loop.stop(0)
