"""JSON documents in whatever layout they come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.rows.reading import JSON
from tests.support.rows import CUTS, TEXTS, reader, rows_of

FIELDS = st.sampled_from(["text", "context", "custom_id"])
DOCUMENTS = st.lists(st.dictionaries(FIELDS, TEXTS, min_size=1), min_size=1, max_size=6)


@given(DOCUMENTS, CUTS, st.sampled_from([None, 0, 2]))
def test_an_array_is_its_documents(
    documents: list[dict[str, Any]], cuts: list[int], indent: int | None
) -> None:
    """H6: an array in a .jsonl was two errors a record."""
    body = json.dumps(documents, indent=indent, ensure_ascii=False).encode()
    rows = rows_of(JSON, body, cuts=cuts, max_line_bytes=5000)
    assert [row.fields for row in rows] == documents
    assert [row.position for row in rows] == list(range(1, len(documents) + 1))


@given(DOCUMENTS, CUTS)
def test_objects_over_many_lines_are_read_as_jq_writes_them(
    documents: list[dict[str, Any]], cuts: list[int]
) -> None:
    """H6: pretty-printed objects were an error a line."""
    body = "\n".join(json.dumps(document, indent=2) for document in documents).encode()
    assert [row.fields for row in rows_of(JSON, body, cuts=cuts, max_line_bytes=5000)] == documents


def test_an_array_with_one_document_a_line_is_not_three_documents() -> None:
    """W22: the brackets were documents."""
    (row,) = rows_of(JSON, b'[\n{"text":"Great film"}\n]\n')
    assert (row.line, row.position, row.fields) == (2, 1, {"text": "Great film"})


def test_an_array_longer_than_a_line_may_be_is_read_document_by_document() -> None:
    body = b"[" + b",".join(b'{"text": "%d"}' % n for n in range(3000)) + b"]"
    rows = rows_of(JSON, body, cuts=range(0, len(body), 50))
    assert [row.fields for row in rows] == [{"text": str(n)} for n in range(3000)]


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        (b"id,text\n1,a\n2,b\n3,c\n", 1, "begins with 'id,text'"),
        (b"\n\nplain text\nmore\n", 3, "begins with 'plain text'"),
        (b'[\n{"text": "a"}\n', 3, "not closed"),
        (b'[\n{"text": "a"},\n]', 3, "a comma before the end"),
        (b'[\n{"text": "a"}\n{"text": "b"}]', 3, "expected , or ]"),
        (b'[{"text": "a"}]\n[{"text": "b"}]\n', 2, "follows the end of the array"),
        (b'{"text": "a"},\n{"text": "b"},\n', 1, "a comma between objects"),
        (b'{\n"text": oops\n}\n', 2, "at line 2, column 9"),
        (b'{\n"documents": [{"text": "a"}]\n}\n', 1, "application/json"),
        (b'{"task": "qa", "documents": [{"text": "a"}]}\n', 1, "application/json"),
        (b"[" * 5000, 1, "nested too deeply"),
        (b'[{"text": NaN}]', 1, "NaN"),
        (b'[{"text": "a", "metadata": {"n": 1e400}}]', 1, "1e400 is too large"),
        (b'[{"text": "\xff"}]', 1, "UTF-8"),
    ],
)
def test_what_cannot_be_read_is_one_error(body: bytes, line: int, message: str) -> None:
    """H6: 41 lines of errors."""
    (problem,) = [row for row in rows_of(JSON, body) if row.problem]
    assert problem.line == line
    assert message in str(problem.problem)


def test_the_first_line_is_read_as_soon_as_it_is_there() -> None:
    read: list[int] = []

    def sent() -> Iterator[bytes]:
        for number in range(20):
            read.append(number)
            yield b'{"text": "%s"}\n' % (b"x" * 100_000)

    first = next(iter(reader(JSON, max_line_bytes=1 << 20, max_body_bytes=1 << 22).rows(sent())))
    assert first.fields == {"text": "x" * 100_000}
    assert len(read) < 5  # not all that a line might hold


def test_a_file_in_another_encoding_is_refused_once() -> None:
    """H6: one error a line, in a decoder's words."""
    body = '{"text": "caf\u00e9"}\n'.encode("latin-1") * 41
    (problem,) = [row for row in rows_of(JSON, body) if row.problem]
    assert problem.line == 1
    assert "encoding=cp1252" in str(problem.problem)
    assert [row.fields for row in rows_of(JSON, body, encoding="cp1252")] == [{"text": "caf\u00e9"}] * 41


def test_with_roles_the_keys_of_objects_are_columns() -> None:
    body = b'{"review": "fine", "model": "Civic", "stars": null, "nr": 7}\n{"review": "bad"}\n'
    rows = rows_of(JSON, body, roles={"text": "review", "id": "nr"})
    assert [row.fields for row in rows] == [
        {"text": "fine", "custom_id": 7, "metadata": {"model": "Civic", "stars": None}},
        {"text": "bad"},
    ]
