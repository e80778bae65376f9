"""What the API refuses: always a 4xx problem document, and never anything stored."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from api.openai.errors import speaks_openai
from tests.unit.api.conftest import Api

NDJSON = "application/x-ndjson"
GOOD = b'{"text": "good"}\n'
ADMIN = "z" * 16


def refused(api: Api, body: bytes, kind: str, query: str = "?task=sentiment") -> dict[str, Any]:
    answer = api.http.post(f"/v1/jobs{query}", content=body, headers={"Content-Type": kind})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert api.http.get("/v1/jobs").json()["data"] == []
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["title"]
    assert problem["detail"]
    return problem


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b'{"text": oops}', None),
        (b'{"task": "sentiment"}', "text"),
        (b'{"text": "a", "task": "poetry"}', "task"),
        (b'{"text": "a", "params": {"temprature": 1}}', "params.temprature"),
        (b'{"text": "a", "custom_id": "0"}', "custom_id"),
        (b'{"text": "a", "custom_id": ' + b"7" * 513 + b"}", "custom_id"),
        (b'{"text": "a\\u0000"}', "text"),
        (b'{"text": "\\ud800"}', None),
        (b'{"text": "a", "model": "gpt-9"}', "model"),
        (b'{"text": "\xff"}', None),
        (b"[" * 5000, None),
        (b'{"text": "a", "params": {"top_k": NaN}}', None),
    ],
)
def test_a_bad_row_is_named_by_its_line_in_a_422(api: Api, line: bytes, field: str | None) -> None:
    problem = refused(api, GOOD + line + b"\n" + GOOD, NDJSON)
    assert problem["status"] == 422
    assert [(error["line"], error["field"]) for error in problem["errors"]] == [(2, field)]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", NDJSON, 422),
        (b"\n\n", NDJSON, 422),
        (b'{"text": "' + b"x" * 20_000_000 + b'"}', NDJSON, 413),
        (GOOD, "application/xml", 415),
        (GOOD, "", 415),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 422),
        (b"7", "application/json", 400),
        (b"{}", "application/json", 422),
        (b'{"documents": "a"}', "application/json", 422),
        (b'{"documents": [], "task": "sentiment"}', "application/json", 422),
        (b'{"text": "a", "documents": ["b"]}', "application/json", 422),
        (b'{"text": "a", "tsak": "qa"}', "application/json", 422),
        (b'{"text": "a", "model": "gpt-9"}', "application/json", 422),
        (b'{"text": "a", "priority": "urgent"}', "application/json", 422),
        (b"text\n\xff\n", "text/csv", 400),
        (b"name\nx\n", "text/csv", 422),
        (b"no boundary", "multipart/form-data", 400),
    ],
)
def test_a_body_that_cannot_be_read_is_a_clear_4xx(api: Api, body: bytes, kind: str, status: int) -> None:
    assert (
        refused(api, body, kind, "" if kind == "application/json" else "?task=sentiment")["status"] == status
    )


@pytest.mark.parametrize(
    "query", ["?task=poetry", "?task=sentiment&model=gpt-9", "?task=sentiment&params=x", "?wrong=1"]
)
def test_wrong_query_parameters_are_named(api: Api, query: str) -> None:
    assert refused(api, GOOD, NDJSON, query)["status"] == 422


@pytest.mark.parametrize("depth", [101, 252, 254, 300, 900, 1100])
@pytest.mark.parametrize("innermost", ["1", "1234567890123456789012345"])
def test_what_is_nested_too_deep_is_refused_and_what_is_not_comes_back(
    api: Api, depth: int, innermost: str
) -> None:
    """S18: a 500 from 254 on, in job metadata, params and the results of rows."""

    def bodies(levels: int) -> list[bytes]:
        value = '{"m":' + "[" * (levels - 1) + innermost + "]" * (levels - 1) + "}"
        row = f'{{"task": "sentiment", "documents": [{{"text": "a", "metadata": {value}}}]}}'
        return [row.encode(), f'{{"task": "sentiment", "text": "a", "metadata": {value}}}'.encode()]

    for body in bodies(depth):
        assert refused(api, body, "application/json", "")["status"] in {400, 422}
    query = "?task=sentiment&params=" + "[" * depth + innermost + "]" * depth
    assert refused(api, GOOD, NDJSON, query)["status"] == 422
    for body in bodies(100):
        answer = api.http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 202, answer.text
        job_id = answer.json()["id"]
        api.work_off(job_id)
        for kind in ("jsonl", "csv"):
            assert innermost in answer.text + api.http.get(f"/v1/jobs/{job_id}/results?format={kind}").text
        api.http.delete(f"/v1/jobs/{job_id}")


def test_more_than_the_server_takes_is_refused_with_its_limit(make_api: Callable[..., Api]) -> None:
    api = make_api(max_body_bytes=1000, max_documents=3)
    assert refused(api, GOOD * 100, NDJSON)["status"] == 413
    assert refused(api, GOOD * 4, NDJSON)["status"] == 413


def test_with_too_much_waiting_a_submit_is_asked_to_come_back(make_api: Callable[..., Api]) -> None:
    api = make_api(max_queued_documents=2)
    api.submit("a", "b")
    answer = api.http.post("/v1/jobs", json={"task": "sentiment", "text": "c"})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


def test_a_repeat_of_what_is_stored_is_answered_however_much_is_waiting(make_api: Callable[..., Api]) -> None:
    """L19: it was a 429."""
    api = make_api(max_queued_documents=2)

    def send(key: str, text: str = "a") -> int:
        body = {"task": "sentiment", "documents": [text, "b"]}
        return api.http.post("/v1/jobs", json=body, headers={"Idempotency-Key": key}).status_code

    assert [send("k"), send("k"), send("other"), send("k", "c")] == [202, 202, 429, 422]
    assert len(api.http.get("/v1/jobs").json()["data"]) == 1


@pytest.mark.parametrize(
    "path", ["/v1/jobs/job_none", "/v1/jobs/job_none/results", "/v1/jobs/job_none/events"]
)
def test_an_unknown_job_is_a_404_problem(api: Api, path: str) -> None:
    answer = api.http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    "path", ["/v1/jobs?limit=0", "/v1/jobs?status=odd", "/v1/jobs?after=%00", "/v1/jobs/x/results?after=y"]
)
def test_wrong_parameters_of_other_calls_are_422_problems(api: Api, path: str) -> None:
    answer = api.http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


def test_a_nul_in_a_name_is_refused_wherever_a_call_takes_one(make_api: Callable[..., Api]) -> None:
    """S19's kind: PostgreSQL cannot be asked for one, and `?model=%00` was a 503 that says "try again"."""
    api = make_api(admin_key=ADMIN)
    paths = [("/console/jobs/{job_id}", "get", []), ("/", "get", ["project"])]
    paths += [
        (path, method, [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"])
        for path, operations in api.http.get("/openapi.json").json()["paths"].items()
        for method, operation in operations.items()
    ]
    asked = [(method, re.sub("{.*?}", "%00", path)) for path, method, _ in paths if "{" in path]
    asked += [
        (method, f"{re.sub('{.*?}', 'job_none', path)}?{name}=%00")
        for path, method, names in paths
        for name in names
    ]
    assert len(asked) > 30
    for method, path in asked:
        answer = api.http.request(method, path, headers={"Authorization": f"Bearer {ADMIN}"})
        assert answer.status_code in {400, 404, 409, 415, 422}, (method, path, answer.text)
        expected = "application/json" if speaks_openai(path.partition("?")[0]) else "application/problem+json"
        assert answer.headers["content-type"] == expected


def test_a_store_that_is_away_is_a_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.errors import StoreUnavailable

    def away(*_args: object, **_options: object) -> None:
        raise StoreUnavailable("the database is away")

    monkeypatch.setattr(type(api.store), "backlog", away)
    answer = api.http.post("/v1/jobs", json={"task": "sentiment", "text": "c"})
    assert answer.status_code == 503
    assert answer.json()["detail"] == "the database does not answer; try again soon"
