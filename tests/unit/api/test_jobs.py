"""Submitting, looking after and reading jobs over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.api.conftest import Api

NDJSON = {"Content-Type": "application/x-ndjson"}
FIELDS = {
    "id", "project", "status", "task", "model", "priority", "counts", "progress", "tokens", "rate", "eta_seconds",
    "created_at", "started_at", "finished_at", "expires_at", "metadata", "name", "tags",
    "error",
}  # fmt: skip


def lines_of(api: Api, job_id: str, **query: Any) -> list[dict[str, Any]]:
    answer = api.http.get(f"/v1/jobs/{job_id}/results", params=query)
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_submitted_job_is_accepted_located_and_described(api: Api) -> None:
    answer = api.http.post("/v1/jobs", json={"task": "sentiment", "documents": ["good", {"text": "bad"}]})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert set(job) == FIELDS
    assert (job["status"], job["task"], job["counts"]["total"], job["progress"]) == (
        "queued",
        "sentiment",
        2,
        0,
    )
    assert api.http.get(answer.headers["location"]).json()["id"] == job["id"]


@pytest.mark.parametrize(
    ("kind", "query", "body"),
    [
        ("application/x-ndjson", "?task=sentiment", b'{"text": "good"}\n{"text": "bad", "custom_id": "b"}\n'),
        ("text/csv", "?task=sentiment&text_column=review", b"review,custom_id\ngood,\nbad,b\n"),
        ("text/plain; charset=utf-8", "?task=sentiment", b"good\nbad\n"),
    ],
)
def test_rows_come_as_jsonl_csv_or_lines(api: Api, kind: str, query: str, body: bytes) -> None:
    answer = api.http.post(f"/v1/jobs{query}", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 202, answer.text
    job_id = answer.json()["id"]
    api.work_off(job_id)
    assert [line["output"]["label"] for line in lines_of(api, job_id)] == ["GOOD", "BAD"]


def test_a_form_with_a_file_is_taken_too(api: Api) -> None:
    answer = api.http.post(
        "/v1/jobs",
        data={"task": "sentiment", "text_column": "review"},
        files={"file": ("r.csv", b"review\ngood\n")},
    )
    assert answer.status_code == 202, answer.text


def test_a_body_sent_in_pieces_is_read_as_it_comes(api: Api) -> None:
    def pieces() -> Iterator[bytes]:
        for number in range(2000):
            yield b'{"text": "tex'
            yield b't %d"}\n' % number

    answer = api.http.post("/v1/jobs?task=sentiment", content=pieces(), headers=NDJSON)
    assert answer.json()["counts"]["total"] == 2000


def test_results_come_in_input_order_with_everything_promised(api: Api) -> None:
    job_id = api.submit("good", "bad")
    api.work_off(job_id, failing=(1,))
    first, second = lines_of(api, job_id)
    assert (first["seq"], first["custom_id"], first["status"], first["error"]) == (0, "0", "succeeded", None)
    assert first["usage"] == {"input_tokens": 0, "output_tokens": 0}
    assert (second["status"], second["output"]) == ("failed", None)
    assert second["error"] == {"code": "too_long", "message": "no"}


def test_results_are_paged_by_cursor_and_linked(api: Api) -> None:
    job_id = api.submit(*(f"text {n}" for n in range(5)))
    api.work_off(job_id)
    page = api.http.get(f"/v1/jobs/{job_id}/results?limit=2")
    assert [json.loads(line)["seq"] for line in page.text.splitlines()] == [0, 1]
    assert page.headers["textmill-job-status"] == "completed"
    seen = [0, 1]
    while "next" in page.links:
        page = api.http.get(page.links["next"]["url"])
        seen += [json.loads(line)["seq"] for line in page.text.splitlines()]
    assert seen == [0, 1, 2, 3, 4]


def test_an_unchanged_job_is_not_sent_again(api: Api) -> None:
    job_id = api.submit("good")
    first = api.http.get(f"/v1/jobs/{job_id}")
    again = api.http.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    api.work_off(job_id)
    changed = api.http.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": first.headers["etag"]})
    assert changed.json()["status"] == "completed"


def test_a_waiting_call_is_answered_when_the_job_changes(api: Api) -> None:
    job_id = api.submit("good")
    worker = threading.Timer(0.3, api.work_off, [job_id])
    worker.start()
    answer = api.http.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=20"})
    worker.join()
    assert answer.headers["preference-applied"] == "wait=20"
    assert answer.json()["status"] in {"running", "completed"}


def test_a_waiting_call_ends_when_its_time_is_over(api: Api) -> None:
    answer = api.http.get(f"/v1/jobs/{api.submit('good')}?wait=0.3")
    assert answer.json()["status"] == "queued"


def test_events_tell_of_progress_and_end_with_done(api: Api) -> None:
    job_id = api.submit("good")
    worker = threading.Timer(0.3, api.work_off, [job_id])
    worker.start()
    with api.http.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        names = [line.removeprefix("event: ") for line in stream.iter_lines() if line.startswith("event:")]
    worker.join()
    assert names[0] == "progress"
    assert names[-1] == "done"


def test_cancel_ends_the_job_at_once_and_retry_runs_what_is_missing(api: Api) -> None:
    job_id = api.submit("good", "bad")
    assert api.http.post(f"/v1/jobs/{job_id}/cancel").json()["status"] == "cancelled"
    assert [line["status"] for line in lines_of(api, job_id)] == ["cancelled", "cancelled"]
    assert api.http.post(f"/v1/jobs/{job_id}/cancel").status_code == 200  # a client may repeat itself
    assert api.http.post(f"/v1/jobs/{job_id}/retry").json()["counts"]["queued"] == 2
    api.work_off(job_id)
    assert [line["status"] for line in lines_of(api, job_id)] == ["succeeded", "succeeded"]
    assert api.http.post(f"/v1/jobs/{job_id}/cancel").status_code == 409


def test_jobs_are_listed_newest_first_and_deleted_when_finished(api: Api) -> None:
    ids = [api.submit("good") for _ in range(3)]
    page = api.http.get("/v1/jobs?limit=2").json()
    assert [job["id"] for job in page["data"]] == [ids[2], ids[1]]
    rest = api.http.get(f"/v1/jobs?limit=2&after={page['next']}").json()
    assert [job["id"] for job in rest["data"]] == [ids[0]]
    assert rest["next"] is None
    assert api.http.delete(f"/v1/jobs/{ids[0]}").status_code == 409
    api.work_off(ids[0])
    assert api.http.delete(f"/v1/jobs/{ids[0]}").status_code == 204
    assert api.http.get(f"/v1/jobs/{ids[0]}").status_code == 404


def test_an_idempotency_key_makes_one_job_of_equal_requests_and_refuses_others(api: Api) -> None:
    def send(text: str) -> Any:
        return api.http.post(
            "/v1/jobs", json={"task": "sentiment", "text": text}, headers={"Idempotency-Key": "k"}
        )

    first, again, other = send("good"), send("good"), send("bad")
    assert first.json()["id"] == again.json()["id"]
    assert other.status_code == 422
    assert len(api.http.get("/v1/jobs").json()["data"]) == 1


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/jobs", "GET, HEAD, POST"),
        ("PUT", "/v1/jobs/j", "DELETE, GET, HEAD"),
        ("GET", "/v1/jobs/j/cancel", "POST"),
        ("DELETE", "/v1/projects/p", "PATCH"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_allowed_is_told_which_are(
    api: Api, method: str, path: str, allowed: str
) -> None:
    """RFC 9110, 15.5.6: Allow lists what the resource supports, not what its first route does."""
    answer = api.http.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == allowed
