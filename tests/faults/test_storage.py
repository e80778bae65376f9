"""The database stopped, locked and full; the API killed around its COMMIT."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.faults.conftest import Profile
from tests.faults.test_workers import finished, submit
from tests.support.audit import audit
from tests.support.cluster import Cluster
from tests.support.postgres import PostgresServer, own_postgres
from tests.support.waiting import wait_until
from textmill.client import Textmill
from textmill.errors import RequestRefused, ServerUnreachable

MakeCluster = Callable[..., Cluster]


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    with own_postgres() as server:
        yield server


@pytest.mark.postgres
def test_postgresql_stopped_at_once_again_and_again(
    cluster: MakeCluster, profile: Profile, postgres: PostgresServer
) -> None:
    c = cluster(workers=2, database_url=postgres.url, TEXTMILL_FAULT_PACE_SECONDS="0.01")
    stops = profile.pick(2, 20)
    job = submit(c, profile.pick(600, 5000))
    for _ in range(stops):
        threading.Event().wait(profile.dice.uniform(1, profile.pick(2, 8)))
        postgres.stop()
        threading.Event().wait(profile.dice.uniform(0, 3))
        postgres.start()
    finished(job, c)
    profile.note(stops=stops)
    profile.settle(audit(c.database_url))


def test_sqlite_held_by_another_writer_for_a_while(cluster: MakeCluster, profile: Profile) -> None:
    c = cluster(workers=2, TEXTMILL_FAULT_PACE_SECONDS="0.005")
    held_seconds = profile.pick(4, 10)
    job = submit(c, 600)
    wait_until(lambda: job.status().counts.succeeded > 0, timeout_seconds=30, what="the job runs")
    other = sqlite3.connect(c.folder / "textmill.db", timeout=30, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    threading.Event().wait(held_seconds)
    other.execute("ROLLBACK")
    other.close()
    finished(job, c)
    profile.note(held_seconds=held_seconds)
    profile.settle(audit(c.database_url))


def test_an_api_killed_while_clients_submit_stores_each_submission_once(
    cluster: MakeCluster, profile: Profile
) -> None:
    c = cluster(workers=1)
    count = profile.pick(12, 200)
    done: dict[str, str] = {}

    def keep_submitting(number: int) -> None:
        key = f"key-{number}"
        for _ in range(50):
            try:
                with Textmill(c.url) as server:
                    texts = [f"{key} text {n}" for n in range(20)]
                    done[key] = server.submit(texts, task="sentiment", idempotency_key=key).id
                    return
            except (ServerUnreachable, RequestRefused):
                continue

    kills = 0
    for number in range(count):
        client = threading.Thread(target=keep_submitting, args=(number,))
        client.start()
        if number % 3 == 0:
            threading.Event().wait(profile.dice.uniform(0.0, 0.03))
            c.kill("api")
            kills += 1
            c.start_api()
        client.join(120)
    assert len(done) == len(set(done.values())) == count
    with c.client() as server:
        jobs = list(server.jobs())
        assert {job.id for job in jobs} == set(done.values())
        for job in jobs:
            finished(server.job(job.id), c)
    profile.note(submissions=count, kills=kills)
    profile.settle(audit(c.database_url))


def test_a_full_disk_refuses_submissions_and_marks_nothing_done(
    cluster: MakeCluster, profile: Profile, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        url = f"sqlite:///{disk / 'textmill.db'}"
        c = cluster(workers=1, database_url=url)
        first = submit(c, 50)
        filler = disk / "filler"
        with filler.open("wb") as file:
            try:
                while file.write(b"x" * 65536):
                    file.flush()
            except OSError:
                pass
        body = {"task": "sentiment", "documents": ["long text " * 1000] * 500}
        refused = httpx2.post(f"{c.url}/v1/jobs", json=body, trust_env=False, timeout=60)
        assert refused.status_code == 503, refused.text
        filler.unlink()
        finished(first, c)
        second = submit(c, 50)
        finished(second, c)
        profile.settle(audit(url))
    finally:
        for name in list(c.processes):
            c.kill(name)
        subprocess.run(["umount", str(disk)], check=False)
