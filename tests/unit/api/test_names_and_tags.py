"""What people call their jobs, and how they find them again."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from sqlalchemy import select

from api.schemas import JobIn
from jobs import jsontext
from jobs.store import tables
from jobs.store.sql import SqlStore
from tests.unit.api.conftest import Api

NDJSON = {"Content-Type": "application/x-ndjson"}
ROWS = b'{"text": "good"}\n'


def made(api: Api, query: str = "", **headers: str) -> dict[str, Any]:
    answer = api.http.post(f"/v1/jobs?task=sentiment{query}", content=ROWS, headers={**NDJSON, **headers})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def listed(api: Api, **query: str) -> list[str]:
    answer = api.http.get("/v1/jobs", params=query)
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["data"]]


def test_a_job_is_named_and_tagged_by_query_body_or_form(api: Api) -> None:
    by_query = made(api, "&name=nightly%20run&tags=de,%20reviews&tags=de")
    body = {"task": "sentiment", "text": "good", "name": "nightly run", "tags": ["de", "reviews"]}
    by_body = api.http.post("/v1/jobs", json=body).json()
    form = {"task": "sentiment", "name": "nightly run", "tags": "de,reviews"}
    by_form = api.http.post("/v1/jobs", data=form, files={"file": ("rows.jsonl", ROWS)}).json()
    for job in (by_query, by_body, by_form):
        assert (job["name"], job["tags"]) == ("nightly run", ["de", "reviews"])
        assert api.http.get(f"/v1/jobs/{job['id']}").json()["tags"] == ["de", "reviews"]


def test_jobs_are_listed_by_name_tag_and_the_beginning_of_their_ids(api: Api) -> None:
    first, second = made(api, "&name=a&tags=x,y"), made(api, "&name=b&tags=x")
    assert listed(api, name="a") == [first["id"]]
    assert listed(api, tag="x") == [second["id"], first["id"]]
    assert listed(api, tag="y", status="queued") == [first["id"]]
    assert listed(api, prefix=second["id"][:30]) == [second["id"]]
    assert listed(api, prefix="job_zz") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("&name=", "name"),
        (f"&name={'x' * 201}", "name"),
        ("&tags=a,,b", "tags"),
        (f"&tags={'x' * 65}", "tags"),
        ("&tags=" + ",".join(f"t{n}" for n in range(17)), "tags"),
        ("&tags=a%00", "tags"),
        ("&name=a%00", "name"),
    ],
)
def test_a_name_or_tag_that_could_not_be_asked_for_is_refused(api: Api, query: str, field: str) -> None:
    answer = api.http.post(f"/v1/jobs?task=sentiment{query}", content=ROWS, headers=NDJSON)
    assert answer.status_code == 422, answer.text
    assert field in answer.json()["detail"]
    assert listed(api) == []


def test_a_repeat_of_a_submission_is_known_after_an_upgrade(api: Api) -> None:
    """Releases without names stored a digest that knows nothing of them."""
    job = made(api, **{"Idempotency-Key": "k"})
    fields = JobIn(task="sentiment").model_dump(exclude={"project", "name", "tags"})
    digest = hashlib.sha256(jsontext.dumps(fields, sort_keys=True) + ROWS).hexdigest()
    assert isinstance(api.store, SqlStore)
    column = select(tables.job.c.request_sha256).where(tables.job.c.public_id == job["id"])
    assert api.store.database.read(lambda connection: connection.scalar(column)) == digest
