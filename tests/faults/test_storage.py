"""The database stopped, locked and full; the API killed around its COMMIT."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
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
    wait_until(lambda: job.status().counts.succeeded > 0, what="the job runs")
    with writer(c):
        threading.Event().wait(held_seconds)
    finished(job, c)
    profile.note(held_seconds=held_seconds)
    profile.settle(audit(c.database_url))
    assert num_crashes(c) == 0  # L4: the leases ran out meanwhile, but nobody died


def test_an_api_killed_around_its_commit_stores_each_submission_once(
    cluster: MakeCluster, profile: Profile
) -> None:
    c = cluster(workers=1)
    kill_at = (kill_before_commit, kill_before_dispatch, kill_at_random)
    count = profile.pick(6, 201)
    done: dict[str, str] = {}
    tally: Counter[str] = Counter()
    for number in range(count):
        client = threading.Thread(target=keep_submitting, args=(c.url, f"key-{number}", done))
        kill = kill_at[number % len(kill_at)]
        kill(c, client, profile)
        stored = num_jobs(c) > number  # without the client having heard of it
        tally[f"{kill.__name__.removeprefix('kill_')}, {'stored' if stored else 'not stored'}"] += 1
        c.start_api()
        client.join(120)
    assert len(done) == len(set(done.values())) == count
    with c.client() as server:
        jobs = list(server.jobs())
        assert {job.id for job in jobs} == set(done.values())
        for job in jobs:
            finished(server.job(job.id), c)
    profile.note(submissions=count, kills=dict(sorted(tally.items())))
    profile.settle(audit(c.database_url))
    assert tally["before_commit, stored"] == 0
    assert tally["before_dispatch, not stored"] == 0


def keep_submitting(url: str, key: str, done: dict[str, str]) -> None:
    """A client that repeats its submission until it is answered."""
    for _ in range(200):
        try:
            with Textmill(url) as server:
                texts = [f"{key} text {n}" for n in range(20)]
                done[key] = server.submit(texts, task="sentiment", idempotency_key=key).id
                return
        except (ServerUnreachable, RequestRefused):
            continue


def kill_before_commit(c: Cluster, client: threading.Thread, profile: Profile) -> None:
    """Another writer holds the database while the API dies in front of it."""
    with writer(c):
        client.start()
        threading.Event().wait(profile.dice.uniform(0.05, 0.2))
        c.kill("api")


def kill_before_dispatch(c: Cluster, client: threading.Thread, profile: Profile) -> None:
    """The broker is frozen: the job is stored, and the API dies while it tells Redis."""
    before = num_jobs(c)
    c.freeze("broker")
    client.start()
    wait_until(lambda: num_jobs(c) > before, what="the job is stored")
    c.kill("api")
    c.thaw("broker")


def kill_at_random(c: Cluster, client: threading.Thread, profile: Profile) -> None:
    client.start()
    threading.Event().wait(profile.dice.uniform(0.0, 0.03))
    c.kill("api")


@contextmanager
def writer(c: Cluster) -> Iterator[None]:
    """Another process' transaction on the SQLite file."""
    other = sqlite3.connect(c.folder / "textmill.db", timeout=30, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


def num_crashes(c: Cluster) -> int:
    with closing(sqlite3.connect(c.folder / "textmill.db", timeout=30)) as connection:
        return int(connection.execute("SELECT sum(crash_count) + sum(isolate) FROM slice").fetchone()[0])


def num_jobs(c: Cluster) -> int:
    with closing(sqlite3.connect(c.folder / "textmill.db", timeout=30)) as connection:
        return int(connection.execute("SELECT count(*) FROM job").fetchone()[0])


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
