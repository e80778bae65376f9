"""S1, over real connections: what breaks half way looks broken to every client."""

from __future__ import annotations

import csv
import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from api.app import make_app
from jobs.errors import StoreUnavailable
from jobs.records import DocumentStatus, Outcome
from jobs.settings import Settings
from jobs.store.database import Database
from jobs.store.interface import Store
from jobs.store.migrate import migrate
from tests.support.waiting import wait_until
from textmill.client import Textmill
from textmill.errors import RequestRefused

MODELS = ("generation=noop:g", "translation=noop:t", "sentiment=noop:s", "qa=noop:q")


class Served:
    """An API in this process on a port of its own."""

    def __init__(self, url: str, store: Store) -> None:
        self.url = url
        self.store = store

    def finished_job(self, client: Textmill, count: int) -> str:
        """A job with all its results."""
        job = client.submit([f"text {n}" for n in range(count)], task="sentiment")
        for ticket in self.store.take_window(job_id=job.id, window=10_000, resend_after_seconds=0.0):
            lease = self.store.claim(ticket.key, worker_id="w", lease_seconds=30)
            assert lease is not None
            done = [
                Outcome(seq=d.seq, status=DocumentStatus.SUCCEEDED, output={"label": "X"})
                for d in lease.documents
            ]
            self.store.settle(lease.key, lease.attempt, done)
        return job.id


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr("api.result_reading._PAGE", 100)
    settings = Settings.load(data=tmp_path, redis_url="memory://", models=MODELS, config=tmp_path / "none")
    database = Database(settings.database)
    migrate(database)
    database.close()
    app = make_app(settings)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    wait_until(lambda: server.started, what="the API answers")
    yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", app.state.context.store)
    server.should_exit = True
    thread.join(20)
    listener.close()


def fail_from_the_third_page(served: Served, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Every reading's third page fails, so many times in all."""
    read = served.store.result_page
    failures = [0]

    def failing(job_id: str, *, after: int = -1, **options: Any) -> Any:
        if after >= 100 and failures[0] < times:
            failures[0] += 1
            raise StoreUnavailable("the database is away")
        return read(job_id, after=after, **options)

    monkeypatch.setattr(served.store, "result_page", failing)


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("query", ["", "?format=csv"])
def test_a_download_whose_store_fails_half_way_breaks_off(
    served: Served, monkeypatch: pytest.MonkeyPatch, query: str, coding: str
) -> None:
    """S1: it ended as a complete 200."""
    with Textmill(served.url) as client:
        job_id = served.finished_job(client, 500)
    fail_from_the_third_page(served, monkeypatch, times=99)
    with (
        pytest.raises(httpx2.RemoteProtocolError),
        httpx2.stream(
            "GET",
            f"{served.url}/v1/jobs/{job_id}/results{query}",
            trust_env=False,
            headers={"Accept-Encoding": coding},
        ) as answer,
    ):
        answer.read()
    assert answer.headers.get("content-encoding", "identity") == coding


def test_the_client_reads_on_behind_a_break_and_gives_up_on_what_stays_broken(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Textmill(served.url, retry_seconds=0.5) as client:
        job = client.job(served.finished_job(client, 500))
        fail_from_the_third_page(served, monkeypatch, times=1)
        assert [result.seq for result in job.results()] == list(range(500))
        fail_from_the_third_page(served, monkeypatch, times=10**6)
        with pytest.raises(RequestRefused, match="the database does not answer"):
            list(job.results(follow=False))


def test_a_job_deleted_while_it_is_downloaded_does_not_look_whole(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S1: 68,000 of 200,000 lines, and exit code 0."""
    with Textmill(served.url) as client:
        job_id = served.finished_job(client, 500)
        read = served.store.result_page

        def deleted_meanwhile(asked: str, *, after: int = -1, **options: Any) -> Any:
            if after >= 100:
                monkeypatch.undo()
                served.store.delete(job_id)
            return read(asked, after=after, **options)

        monkeypatch.setattr(served.store, "result_page", deleted_meanwhile)
        with (
            pytest.raises(httpx2.RemoteProtocolError),
            httpx2.stream("GET", f"{served.url}/v1/jobs/{job_id}/results", trust_env=False) as answer,
        ):
            answer.read()


def test_a_csv_is_fetched_whole_in_pages(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textmill.result_reader._CSV_PAGE", 70)
    with Textmill(served.url) as client:
        reader = client.job(served.finished_job(client, 500)).reader()
        for spreadsheet in (False, True):
            text = b"".join(reader.csv(follow=True, spreadsheet=spreadsheet)).decode("utf-8-sig")
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
            assert [row["seq"] for row in rows] == [str(n) for n in range(500)]
        assert reader.num_read == 1000
