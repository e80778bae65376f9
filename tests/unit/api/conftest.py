"""The API in process: a real ledger on SQLite, Celery's in-memory transport, no worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import make_app
from jobs.records import DocumentStatus, LeasedDocument, Outcome, WorkerBeat
from jobs.settings import Settings
from jobs.store.interface import Store
from tests.support.hooks import Receiver
from tests.support.new_ledger import new_ledger

SENTIMENT_FACTS = {"noop:s": {"dtype": "float32", "decoded_by": "somebody", "steps": 3}}
MODELS = ("generation=noop:g", "translation=noop:t", "sentiment=noop:s", "qa=noop:q")


BASE_URL = "http://127.0.0.1:8000"


class Api:
    """A client, and the hands of a worker behind the API's back."""

    def __init__(self, client: TestClient, store: Store) -> None:
        self.http = client
        self.store = store

    def submit(self, *texts: str, **fields: Any) -> str:
        """Submits texts for sentiment; the job's id."""
        body = {"task": "sentiment", "documents": list(texts), **fields}
        answer = self.http.post("/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def work_off(
        self,
        job_id: str,
        *,
        failing: tuple[int, ...] = (),
        leaving: tuple[int, ...] = (),
        output: Callable[[LeasedDocument], Mapping[str, Any]] = lambda d: {"label": d.text.upper()},
    ) -> None:
        """Does what workers would: every open document gets an outcome, but for those left open."""
        for ticket in self.store.take_window(job_id=job_id, window=1000, resend_after_seconds=0.0):
            lease = self.store.claim(ticket.key, worker_id="w", lease_seconds=30)
            assert lease is not None
            outcomes = [
                Outcome(seq=d.seq, status=DocumentStatus.FAILED, error_code="too_long", error_message="no")
                if d.seq in failing
                else Outcome(seq=d.seq, status=DocumentStatus.SUCCEEDED, output=output(d))
                for d in lease.documents
                if d.seq not in leaving
            ]
            self.store.settle(lease.key, lease.attempt, outcomes)
            if len(outcomes) < len(lease.documents):
                self.store.release(lease.key, lease.attempt)

    def sign_of_life(
        self,
        worker: str = "cpu@here",
        *,
        loop_age_seconds: float = 0.0,
        models: Sequence[str] = ("noop:s",),
        told: Mapping[str, Mapping[str, Any]] = SENTIMENT_FACTS,
    ) -> None:
        """A worker says that it is there, and what it knows of its models."""
        self.store.beat(
            WorkerBeat(
                worker_id=worker, device="cpu", models=tuple(models),
                warm_models=tuple(name for name, facts in told.items() if "error" not in facts),
                loop_age_seconds=loop_age_seconds, details={"models": told},
            )
        )  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Takes webhooks in, on this host."""
    with Receiver() as running:
        yield running


@pytest.fixture
def make_api(tmp_path: Path) -> Iterator[Callable[..., Api]]:
    opened: list[TestClient] = []

    def make(**settings: Any) -> Api:
        loaded = Settings.load(
            **{
                "data": tmp_path,
                "redis_url": "memory://",
                "models": MODELS,
                "config": tmp_path / "x",
                **settings,
            }
        )
        new_ledger(tmp_path / "textmill.db")
        app = make_app(loaded)
        client = TestClient(app, base_url=BASE_URL, raise_server_exceptions=False)
        client.__enter__()
        opened.append(client)
        return Api(client, app.state.context.store)

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()
