"""Limits of keys and projects: calls in a minute, queued documents, stored bytes; and what was used."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from limits.storage import MemoryStorage
from redis.exceptions import ConnectionError as RedisAway

from api.request_limits import RequestLimits, headers_of, open_request_limits
from jobs.keys import Caller
from jobs.limits import parse_limits
from jobs.settings import Settings
from tests.unit.api.conftest import Api
from tests.unit.api.test_keys import ADMIN, ALPHA, BETA, bearer, created, submit

CALLER = Caller(project="reviews", key_id="key_1")


class AwayStorage(MemoryStorage):
    """A Redis that goes away and comes back."""

    def __init__(self) -> None:
        super().__init__(wrap_exceptions=True)
        self.is_away = False
        self.num_asked = 0

    @property
    def base_exceptions(self) -> type[Exception]:
        return RedisAway

    def acquire_sliding_window_entry(self, *arguments: Any, **options: Any) -> bool:
        self.num_asked += 1
        if self.is_away:
            raise RedisAway("gone")
        return super().acquire_sliding_window_entry(*arguments, **options)


def test_calls_are_counted_by_key_and_by_project() -> None:
    counter = RequestLimits(MemoryStorage())
    limits = {"requests_per_minute": 3, "key_requests_per_minute": 2}
    other = Caller(project="reviews", key_id="key_2")
    stranger = Caller(project="others", key_id="key_3")

    def is_kept(caller: Caller) -> bool:
        return counter.count(caller, limits)[0].is_kept

    assert [is_kept(CALLER) for _ in range(3)] == [True, True, False]  # its key's two
    assert [is_kept(other) for _ in range(2)] == [
        True,
        False,
    ]  # the project's third; what was refused is not counted
    assert is_kept(stranger)
    assert counter.count(CALLER, {}) == []


def test_while_redis_is_away_a_process_counts_by_itself_and_asks_it_seldom() -> None:
    now = [0.0]
    storage = AwayStorage()
    counter = RequestLimits(storage, clock=lambda: now[0])
    limits = {"requests_per_minute": 3}

    def kept(calls: int) -> list[bool]:
        return [counter.count(CALLER, limits)[0].is_kept for _ in range(calls)]

    assert kept(2) == [True, True]
    storage.is_away = True
    assert kept(5) == [True, True, True, False, False]
    assert storage.num_asked == 3
    now[0] = 6.0
    assert kept(1) == [False]
    assert storage.num_asked == 4
    storage.is_away = False
    now[0] = 12.0
    assert kept(2) == [True, False]  # the third and fourth that Redis counts


def test_the_headers_are_those_of_the_draft() -> None:
    counter = RequestLimits(MemoryStorage())
    headers = headers_of(counter.count(CALLER, {"requests_per_minute": 5}))
    assert headers["RateLimit-Policy"] == '"requests_per_minute";q=5;w=60'
    assert re.fullmatch(r'"requests_per_minute";r=4;t=([1-9]|[1-5]\d|60)', headers["RateLimit"])
    assert headers_of([]) == {}


@pytest.mark.parametrize(
    "url", ["redis+socket:///nowhere/broker.sock?virtual_host=0", "redis://127.0.0.1:1/0"]
)
def test_a_redis_that_was_never_there_keeps_nobody_waiting(url: str, tmp_path: Any) -> None:
    counter = open_request_limits(Settings.load(data=tmp_path, redis_url=url))
    windows = [counter.count(CALLER, {"requests_per_minute": 1})[0] for _ in range(2)]
    assert [window.is_kept for window in windows] == [True, False]


@pytest.mark.parametrize(
    "text", ["requests=5", "requests_per_minute", "requests_per_minute=0", "stored_bytes=-1"]
)
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"requests_per_minute|stored_bytes"):
        parse_limits(text)


def test_one_call_too_many_is_429_with_the_time_to_wait(make_api: Callable[..., Api]) -> None:
    api = make_api(api_keys=f"{ALPHA} {BETA}", admin_key=ADMIN, limits="requests_per_minute=2")
    answers = [api.http.get("/v1/jobs", headers=bearer(ALPHA)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["ratelimit"].partition(";t=")[0] for answer in answers] == [
        f'"requests_per_minute";r={remaining}' for remaining in (1, 0, 0)
    ]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 60
    assert "requests_per_minute" in answers[2].json()["detail"]
    assert api.http.get("/v1/jobs", headers=bearer(BETA)).status_code == 200
    for _ in range(3):
        unlimited = api.http.get("/v1/jobs", headers=bearer(ADMIN))
        assert unlimited.status_code == 200
        assert "ratelimit" not in unlimited.headers


def test_without_keys_nothing_is_limited(make_api: Callable[..., Api]) -> None:
    api = make_api(limits="requests_per_minute=1 queued_documents=1 stored_bytes=1")
    for _ in range(3):
        assert "ratelimit" not in api.http.get("/v1/jobs").headers
        api.submit("good", "bad")


def test_a_project_has_its_own_limits_from_the_next_call_on(make_api: Callable[..., Api]) -> None:
    api = make_api(admin_key=ADMIN, limits="requests_per_minute=100")
    created(api, "/v1/projects", name="reviews", limits={"queued_documents": 3})
    key = created(api, name="ci", project="reviews")["key"]
    first = submit_many(api, key, 2)
    assert first.status_code == 202
    full = submit_many(api, key, 2)
    assert full.status_code == 429
    assert "may have 3" in full.json()["detail"]
    assert submit_many(api, key, 4).status_code == 413  # would never fit
    api.work_off(first.json()["id"])
    assert submit_many(api, key, 2).status_code == 202
    few_tokens = {"limits": {"queued_tokens": 10}}  # each document has some 26
    assert api.http.patch("/v1/projects/reviews", json=few_tokens, headers=bearer(ADMIN)).status_code == 200
    assert "queued_tokens" in submit_many(api, key, 1).json()["detail"]
    answer = api.http.patch(
        "/v1/projects/reviews", json={"limits": {"key_requests_per_minute": 1}}, headers=bearer(ADMIN)
    )
    assert answer.json()["limits"] == {"key_requests_per_minute": 1}
    assert submit_many(api, key, 4).status_code == 202
    assert submit_many(api, key, 1).status_code == 429
    for limits in ({"colour": 1}, {"stored_bytes": 0}):
        answer = api.http.patch("/v1/projects/reviews", json={"limits": limits}, headers=bearer(ADMIN))
        assert answer.status_code == 422
    nowhere = api.http.patch("/v1/projects/nowhere", json={"limits": {}}, headers=bearer(ADMIN))
    assert nowhere.status_code == 404


def test_usage_and_console_say_what_a_project_holds_of_its_limits(make_api: Callable[..., Api]) -> None:
    """Limits that nobody could see: the console had none, `usage` only those that were named."""
    api = make_api(admin_key=ADMIN, limits="key_requests_per_minute=100", max_owner_documents=5000)
    created(api, "/v1/projects", name="reviews", limits={"queued_tokens": 1000, "interactive_documents": 0})
    key = created(api, name="ci", project="reviews")["key"]
    taken = api.http.post(
        "/v1/jobs",
        json={"task": "sentiment", "documents": ["x" * 100] * 3, "priority": "interactive"},
        headers=bearer(key),
    )
    assert taken.json()["priority"] == "bulk"
    assert "interactive_documents of the project" in taken.headers["textmill-note"]
    found = api.http.get("/v1/usage", headers=bearer(key)).json()
    assert found["limits"] == {
        "key_requests_per_minute": 100, "queued_documents": 5000, "queued_tokens": 1000, "interactive_documents": 0,
    }  # fmt: skip
    assert found["now"]["queued_documents"] == 3
    assert found["now"]["interactive_documents"] == 0
    page = api.http.get("/", headers=bearer(key)).text
    rows = dict(re.findall(r'<tr data-limit="(\w+)">(.*?)</tr>', page, re.DOTALL))
    cells = {name: re.findall(r"<td[^>]*>([^<]*)</td>", row) for name, row in rows.items()}
    tokens = f"{found['now']['queued_tokens']:,}"
    assert cells["queued_documents"][1:3] == ["3", "5,000"]
    assert cells["queued_tokens"][1:3] == [tokens, "1,000"]
    assert cells["key_requests_per_minute"][1:3] == ["", "100"]
    assert cells["stored_bytes"][2] == "no limit"
    assert "data-limit" not in api.http.get("/", headers=bearer(ADMIN)).text, (
        "of all projects together there is none"
    )


def submit_many(api: Api, key: str, count: int, **headers: str) -> Any:
    body = {"task": "sentiment", "documents": ["x" * 100] * count}
    return api.http.post("/v1/jobs", json=body, headers=bearer(key) | headers)


def test_stored_bytes_are_free_again_when_jobs_are_deleted(make_api: Callable[..., Api]) -> None:
    api = make_api(api_keys=ALPHA, limits="stored_bytes=1000")
    first = submit_many(api, ALPHA, 5, **{"Idempotency-Key": "a"})
    assert first.status_code == 202
    refused = submit_many(api, ALPHA, 5)
    assert refused.status_code == 403
    assert "delete finished jobs" in refused.json()["detail"]
    assert submit_many(api, ALPHA, 20).status_code == 413
    again = submit_many(api, ALPHA, 5, **{"Idempotency-Key": "a"})  # brings nothing new
    assert again.json()["id"] == first.json()["id"]
    api.work_off(first.json()["id"])
    api.http.delete(f"/v1/jobs/{first.json()['id']}", headers=bearer(ALPHA))
    assert submit_many(api, ALPHA, 5).status_code == 202


def test_usage_is_summed_by_day_project_and_key(make_api: Callable[..., Api]) -> None:
    api = make_api(api_keys=f"{ALPHA} {BETA}", admin_key=ADMIN, limits="queued_documents=9")
    project = submit(api, ALPHA)["project"]
    api.work_off(submit(api, ALPHA)["id"], failing=(0,))
    submit(api, BETA)

    def usage(key: str, **query: str) -> dict[str, Any]:
        answer = api.http.get("/v1/usage", headers=bearer(key), params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    own = usage(ALPHA)
    (line,) = own["data"]
    assert (line["project"], line["jobs"], line["documents"], line["failed"]) == (project, 2, 2, 1)
    assert own["project"] == project
    assert own["now"]["queued_documents"] == 1
    assert own["now"]["stored_bytes"] == line["stored_bytes"] > 0
    assert own["limits"]["queued_documents"] == 9
    assert {(line["jobs"], line["project"]) for line in usage(ADMIN)["data"]} >= {(2, project)}
    assert len(usage(ADMIN, by="day,project,key")["data"]) == 2
    assert usage(ADMIN, project=project)["data"] == own["data"]
    day = usage(ADMIN, by="day")["data"][0]["day"]
    assert usage(ADMIN, by="day", **{"from": day, "to": day})["data"][0]["jobs"] == 3
    assert usage(ADMIN, to="2001-01-01")["data"] == []
    keys = [line["key"] for line in usage(ALPHA, by="key")["data"]]
    assert keys[0].startswith("key_")
    assert api.http.get("/v1/usage", headers=bearer(ALPHA), params={"by": "colour"}).status_code == 422
    foreign = api.http.get("/v1/usage", headers=bearer(BETA), params={"project": project})
    assert foreign.status_code == 403
