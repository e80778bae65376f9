"""A whole request as JSON: which line a slip is on, and what is refused as a whole."""

from __future__ import annotations

import pytest

from jobs.errors import MalformedBody, RequestError
from jobs.rows.requests import request_fields, request_rows


def fields(body: str, *, size: int = 7) -> object:
    """In small chunks, as a body arrives."""
    raw = body.encode()
    return request_fields([raw[at : at + size] for at in range(0, len(raw), size)], max_value_bytes=1000)


@pytest.mark.parametrize(
    ("body", "line", "told"),
    [
        ('\n\n"text"', 3, "the body must be a JSON object, or an array of documents"),
        ('{\n"task": "qa",\ntext: 1}', 3, "a name in double quotes is expected"),
        ('{\n"task"\n"qa"}', 3, "a colon is expected behind a name"),
        ('{"task": "qa",\n}', 2, "a comma before the end of the object"),
        ('{"task": "qa"\n\n"text": "a"}', 3, "expected , or }, found '\"'"),
        ('{"task": "qa"\n', 2, "the object is not closed"),
        ('{"text": "a"}\n{"text": "b"}', 2, "'{' follows the end"),
        ('["a",\n\n]', 3, "a comma before the end of the array"),
        ('["a"\n"b"]', 2, "after document 1 expected , or ], found '\"'"),
        ('["a", "b"\n', 2, "after document 2 the array is not closed"),
        ('["a"]\n]', 2, "']' follows the end"),
    ],
)
def test_a_slip_is_told_with_its_line(body: str, line: int, told: str) -> None:
    with pytest.raises(MalformedBody) as caught:
        fields(body)
    assert str(caught.value).startswith(f"line {line}: ")
    assert told in str(caught.value)
    assert "objects one a line are sent as application/x-ndjson" in str(caught.value)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("{}", "give either"),
        ('{"text": "a", "documents": []}', "give either"),
        ('{"text": "a", "messages": []}', "give either"),
        ('{"documents": [], "documents": []}', "stands twice"),
        ('{"documents": {}}', "must be an array"),
        ('{"documents": [], "context": "c"}', "context belongs into a document"),
        ('{"documents": [], "custom_id": "c"}', "custom_id belongs into a document"),
    ],
)
def test_documents_are_given_in_one_way(body: str, told: str) -> None:
    with pytest.raises(RequestError, match=told):
        fields(body)


def test_fields_come_without_the_rows_and_rows_without_the_fields() -> None:
    body = '{"task": "qa", "text": "a", "context": "b", "custom_id": "c", "params": {"top_k": 2}}'
    assert fields(body) == {"task": "qa", "params": {"top_k": 2}}
    (row,) = request_rows([body.encode()], max_value_bytes=1000)
    assert row.fields == {"text": "a", "context": "b", "custom_id": "c"}
    assert fields('["a"]') is None
    many = '{"documents": ["a", {"text": "b"}, 3], "task": "qa"}'
    assert fields(many) == {"task": "qa"}
    first, second, third = request_rows([many.encode()], max_value_bytes=1000)
    assert [(row.line, row.fields) for row in (first, second)] == [(1, {"text": "a"}), (2, {"text": "b"})]
    assert third.problem == "a document must be an object or a string"
