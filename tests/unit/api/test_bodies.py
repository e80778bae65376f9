"""Bodies of `POST /v1/jobs` in the forms and habits of those who send them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from api.schemas import JobIn
from tests.unit.api.conftest import Api

NDJSON = "application/x-ndjson"


def accepted(
    api: Api, body: bytes, kind: str, query: str = "?task=sentiment", **headers: str
) -> list[dict[str, Any]]:
    """The result lines of a job made from this body."""
    answer = api.http.post(f"/v1/jobs{query}", content=body, headers={"Content-Type": kind, **headers})
    assert answer.status_code == 202, answer.text
    job_id = answer.json()["id"]
    api.work_off(job_id)
    return [json.loads(line) for line in api.http.get(f"/v1/jobs/{job_id}/results").text.split("\n") if line]


def labels(lines: list[dict[str, Any]]) -> list[str]:
    return [line["output"]["label"] for line in lines]


def refused(api: Api, body: bytes, kind: str, query: str = "?task=sentiment", **headers: str) -> Any:
    answer = api.http.post(f"/v1/jobs{query}", content=body, headers={"Content-Type": kind, **headers})
    assert 400 <= answer.status_code < 500, answer.text
    assert api.http.get("/v1/jobs").json()["data"] == []
    return answer.json()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'[\n{"text": "good"},\n{"text": "bad"}\n]\n', NDJSON),
        (b'{\n "text": "good"\n}\n{\n "text": "bad"\n}\n', NDJSON),
        (b'\xef\xbb\xbf["good", "bad"]', "application/json"),
        ('{"documents": ["good", "bad"]}'.encode("utf-16"), "application/json; charset=utf-16"),
        ("text\ngood\nbad\n".encode("utf-16"), "text/csv"),
        ("good\nbad\n".encode("utf-16-le"), 'text/plain; charset="UTF-16LE"'),
        (b"n\ttext\n1\tgood\n2\tbad\n", "text/tab-separated-values"),
        (gzip.compress(b"text\ngood\nbad\n", mtime=0), "text/csv"),
    ],
)
def test_bodies_are_read_as_what_they_are(api: Api, body: bytes, kind: str) -> None:
    """H6: marks, charsets, arrays, laid-out objects, gzip."""
    assert labels(accepted(api, body, kind)) == ["GOOD", "BAD"]


@pytest.mark.parametrize("kind", [NDJSON, "application/json"])
def test_a_compressed_body_is_taken_with_its_header(api: Api, kind: str) -> None:
    """H6: `Content-Encoding: gzip`."""
    body = gzip.compress(b'["good"]')
    assert labels(accepted(api, body, kind, **{"Content-Encoding": "gzip"})) == ["GOOD"]


def test_a_bomb_is_refused_at_the_limit_of_a_body(make_api: Callable[..., Api]) -> None:
    api = make_api(max_body_bytes=1_000_000)
    line = b'{"text": "a"}\n'
    for kind, bomb in ((NDJSON, line * 500_000), ("application/json", b"[%s]" % b",".join([line] * 500_000))):
        problem = refused(api, gzip.compress(bomb), kind)
        assert problem["status"] == 413
        assert "unpacked" in problem["detail"]


@pytest.mark.parametrize(
    ("body", "kind", "headers", "status", "detail"),
    [
        (b"PK\x03\x04", "text/csv", {}, 415, "Excel"),
        (b"PK\x03\x04", "application/json", {}, 415, "Excel"),
        (b"good\n", "text/plain", {"Content-Encoding": "br"}, 415, "use gzip"),
        (b"good\n", "text/plain", {"Content-Encoding": "gzip"}, 400, "not gzip data"),
        (b"good\n", "text/plain; charset=klingon", {}, 422, "klingon"),
        (b"id;text\n1;a\n", "text/csv", {}, 422, "delimiter=semicolon"),
        (b'{"text": "a"}\n{"text": "b"}\n', "application/json", {}, 400, "application/x-ndjson"),
        (b'{"text": "a", "encoding": "cp1252"}', "application/json", {}, 422, "say it in the query"),
    ],
)
def test_what_cannot_be_read_is_one_clear_sentence(
    api: Api, body: bytes, kind: str, headers: dict[str, str], status: int, detail: str
) -> None:
    """H6, H7: refused by name, with what to do."""
    problem = refused(api, body, kind, **headers)
    assert (problem["status"], problem.get("errors")) == (status, None)
    assert detail in problem["detail"]


def test_a_field_of_the_request_that_is_null_is_not_given(api: Api) -> None:
    """A relative of H8: clients made from the OpenAPI document send every field that they know."""
    body = {**dict.fromkeys(JobIn.model_fields), "task": "sentiment", "text": "good"}
    (line,) = accepted(api, json.dumps(body).encode(), "application/json", "")
    assert line["output"]["label"] == "GOOD"


def test_delimiter_and_encoding_are_query_parameters(api: Api) -> None:
    """H7: there was no option."""
    body = "nr;Bewertung\n7;sch\u00f6n\n".encode("cp1252")
    query = "?task=sentiment&delimiter=;&encoding=cp1252&text_column=Bewertung&id_column=nr"
    (line,) = accepted(api, body, "text/csv", query)
    assert (line["custom_id"], line["output"]["label"]) == ("7", "SCH\u00d6N")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("r.tsv", b"n\ttext\n1\tgood\n"),
        ("r.json", b'[{"text": "good"}]'),
        ("R.CSV.GZ", gzip.compress(b"text\ngood\n", mtime=0)),
    ],
)
def test_a_form_takes_the_same_files(api: Api, name: str, body: bytes) -> None:
    answer = api.http.post("/v1/jobs", data={"task": "sentiment"}, files={"file": (name, body)})
    assert answer.status_code == 202, answer.text
    assert answer.json()["counts"]["total"] == 1


def test_a_table_of_cars_keeps_its_models(api: Api) -> None:
    """H8: "model 'Civic' is not served", and no way out but renaming."""
    body = b"model,context,text\nCivic,city,good\n"
    answer = api.http.post("/v1/jobs?task=sentiment", content=body, headers={"Content-Type": "text/csv"})
    assert "column 'model'" in answer.headers["textmill-note"]
    api.work_off(answer.json()["id"])
    line = api.http.get(f"/v1/jobs/{answer.json()['id']}/results").json()
    assert line["metadata"] == {"context": "city", "model": "Civic"}


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
def test_rows_of_a_data_frame_are_told_which_columns_are_carried(api: Api, kind: str) -> None:
    """A relative of H8: a table sent as JSON, as Python's client sends a frame, was told nothing."""
    rows = [
        {"review": "good", "model": "Civic"},
        {"review": "bad", "model": "Jazz"},
        {"task": "t", "review": "a"},
    ]
    body = json.dumps(rows).encode()
    answer = api.http.post(
        "/v1/jobs?task=sentiment&text_column=review", content=body, headers={"Content-Type": kind}
    )
    assert answer.status_code == 202, answer.text
    note = answer.headers["textmill-note"]
    assert note.count("column 'model'") == note.count("column 'task'") == 1


def test_roles_apply_to_the_documents_of_a_json_body(api: Api) -> None:
    body = json.dumps(
        {"task": "sentiment", "text_column": "review", "documents": [{"review": "good", "model": "Civic"}]}
    )
    (line,) = accepted(api, body.encode(), "application/json", "")
    assert (line["output"]["label"], line["metadata"]) == ("GOOD", {"model": "Civic"})


def test_lines_of_text_are_found_again_among_blank_lines(api: Api) -> None:
    """H9: the line number was nowhere."""
    lines = accepted(api, b"good\n\n\nbad\n", "text/plain")
    assert [(line["seq"], line["metadata"]["line"]) for line in lines] == [(0, 1), (1, 4)]


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("?task=qa", b'{"task": "sentiment", "text": "a"}'),
        ("?task=sentiment&task=qa", b'{"text": "a"}'),
    ],
)
def test_a_field_given_twice_is_refused(api: Api, query: str, body: bytes) -> None:
    assert "task" in refused(api, body, "application/json", query)["detail"]


def test_line_ends_in_a_cell_reach_the_worker_as_they_were_sent(api: Api) -> None:
    """W19: CRLF became LF, so that offsets were the server's own."""
    body = b'text\r\n"one\r\ntwo\rthree\nfour"\r\n'
    assert labels(accepted(api, body, "text/csv")) == ["ONE\r\nTWO\rTHREE\nFOUR"]


def test_excels_empty_columns_are_no_columns(api: Api) -> None:
    """H5: "names a column twice"."""
    (line,) = accepted(api, b"id,text,,\r\n1,good,,\r\n,,,\r\n", "text/csv")
    assert (line["output"]["label"], line["metadata"]) == ("GOOD", {"id": "1"})


def test_an_unclosed_quote_is_reported_where_it_opens(api: Api) -> None:
    """H10: it was reported at the last line."""
    problem = refused(api, b'text\n"never closed\n' + b"more\n" * 100, "text/csv")
    assert [(error["line"], error["field"]) for error in problem["errors"]] == [(2, None)]


def test_a_default_id_that_another_row_gives_is_refused_with_both_lines(api: Api) -> None:
    """H11: "custom_id '1' is used by an earlier row"."""
    (error,) = refused(api, b"custom_id,text\n1,a\n,b\n", "text/csv")["errors"]
    assert (error["line"], error["field"]) == (3, "custom_id")
    assert "line 2 gives as its own" in error["message"]
