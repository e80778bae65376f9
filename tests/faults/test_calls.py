"""Single calls whose worker, broker or client goes away in the middle of the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx2
import pytest
from openai import Stream
from openai.types import Completion

from tests.faults.conftest import Profile
from tests.support.audit import audit
from tests.support.cluster import Cluster
from tests.support.leases import LeaseBook
from tests.support.openai_client import stock_client
from tests.support.talking_engine import LEFT, words_of
from tests.support.waiting import wait_until

_PACE = {"TEXTMILL_FAULT_PACE_SECONDS": "0.1", "TEXTMILL_MAX_CRASHES": "9"}


def say(cluster: Cluster, count: int) -> Stream[Completion]:
    return stock_client(cluster.url).completions.create(
        model="noop:g", prompt=f"say {count}", max_tokens=1000, stream=True
    )


def texts(stream: Stream[Completion]) -> Iterator[str]:
    for chunk in stream:
        yield from (choice.text for choice in chunk.choices)


def heard(parts: Iterator[str], *, until: int) -> str:
    """What was heard once there are so many words."""
    text = ""
    while text.count(" ") < until:
        text += next(parts)
    return text


def job_of(completion_id: str) -> str:
    return completion_id.replace("cmpl-", "job_")


def has_settled(cluster: Cluster) -> bool:
    jobs = httpx2.get(f"{cluster.url}/v1/jobs", trust_env=False).json()["data"]
    return all(job["finished_at"] for job in jobs)


def test_a_worker_killed_in_the_middle_of_a_stream_is_heard_of_by_nobody(
    cluster: Callable[..., Cluster], profile: Profile
) -> None:
    """The second attempt begins anew: no word is shown twice, and none is missing."""
    c = cluster(workers=2, **_PACE)
    holder: str | None = None
    for _ in range(profile.pick(1, 10)):
        if holder is not None:
            c.start_worker(holder)
            c.wait_ready()
        parts = texts(say(c, 40))
        text = heard(parts, until=5)
        with LeaseBook(c.database_url) as leases:
            holder = wait_until(lambda: next(filter(leases.held_by, c.workers), None))
        assert holder is not None
        c.kill(holder)
        text += heard(parts, until=20)  # of the other worker, while it goes on
        assert not has_settled(c), "nothing was heard before the end"
        text += "".join(parts)
        assert text == "".join(words_of("say 40"))
    profile.settle(audit(c.database_url))


def test_a_broker_killed_in_the_middle_of_a_stream_costs_no_word(
    cluster: Callable[..., Cluster], profile: Profile
) -> None:
    c = cluster(workers=1, **_PACE)
    parts = texts(say(c, 40))
    text = heard(parts, until=5)
    c.kill("broker")
    text += "".join(parts)
    assert text == "".join(words_of("say 40"))
    c.start_broker()
    profile.settle(audit(c.database_url))


def test_who_leaves_in_the_middle_cancels_and_the_worker_is_free_at_once(
    cluster: Callable[..., Cluster], profile: Profile
) -> None:
    """The lease's heartbeats beat every 200 seconds here: they tell nobody."""
    c = cluster(workers=1, TEXTMILL_LEASE_SECONDS="600", **_PACE)
    log = c.folder / "w0.log"

    def is_free(num_left: int) -> bool:
        return has_settled(c) and log.read_text().count(LEFT) == num_left

    stream = say(c, 10_000)
    heard(texts(stream), until=3)
    stream.close()
    wait_until(lambda: is_free(1), timeout_seconds=60, what="it is cancelled, and gone from the engine")
    with pytest.raises(httpx2.TimeoutException):
        httpx2.post(
            f"{c.url}/v1/completions", json={"prompt": "say 10000", "model": "noop:g"},
            timeout=3, trust_env=False,
        )  # fmt: skip
    wait_until(lambda: is_free(2), timeout_seconds=60, what="it is cancelled, and gone from the engine")
    jobs = httpx2.get(f"{c.url}/v1/jobs", trust_env=False).json()["data"]
    assert [job["status"] for job in jobs] == ["cancelled"] * 2
    profile.settle(audit(c.database_url))
