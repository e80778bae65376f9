"""One limit for a document in every form, and what the memory of a submission depends on."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.blocks import in_blocks
from jobs.echo import MAX_CHARACTERS, echoed
from jobs.errors import InvalidRows, MalformedBody, PayloadTooLarge, RequestError
from jobs.records import NewDocument, Task
from jobs.rows.formats import RawRow
from jobs.rows.ids import Ids
from jobs.rows.reading import JSON, TABLE, TEXT
from jobs.rows.requests import request_fields, request_rows
from tests.support.rows import CUTS, LIMIT, TEXTS, chunks_of, rows_of, rows_of_objects
from tests.unit.jobs.test_rows import validated

LONG = "x" * (LIMIT + 1)


def whole(body: bytes, cuts: Iterable[int] = ()) -> tuple[dict[str, Any] | None, list[Any]]:
    """The fields and documents of a request."""
    fields = request_fields(chunks_of(body, list(cuts)), max_value_bytes=LIMIT)
    return fields, [r.fields for r in request_rows(chunks_of(body, list(cuts)), max_value_bytes=LIMIT)]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, json.dumps({"text": LONG})),
        (JSON, json.dumps([{"text": LONG}])),
        (JSON, json.dumps({"text": LONG}, indent=1)),
        (JSON, json.dumps([{"text": "a", "metadata": {"m": LONG}}])),
        (JSON, json.dumps([{"text": "\u00e9" * (LIMIT // 2 + 1)}], ensure_ascii=False)),
        (TABLE, f"text\n{LONG}\n"),
        (TABLE, f"text,m\na,{LONG}\n"),
        (TEXT, LONG),
    ],
)
@pytest.mark.parametrize("is_packed", [False, True])
def test_l13_a_document_has_one_limit_in_every_form(kind: str, body: str, is_packed: bool) -> None:
    """L13: a JSON `text` of 5 MB passed where a line of it was refused."""
    data = gzip.compress(body.encode()) if is_packed else body.encode()
    try:
        problems = [row.problem for row in rows_of(kind, data)]
    except PayloadTooLarge as error:
        problems = [str(error)]
    assert any(problem is not None and str(LIMIT) in problem for problem in problems)


@pytest.mark.parametrize(
    "body",
    [
        {"text": LONG},
        {"documents": ["a", LONG]},
        {"documents": [{"text": "a", "context": LONG}]},
        {"messages": [{"role": "user", "content": LONG}]},
        {"documents": ["a"], "metadata": {"m": LONG}},
        ["a", LONG],
    ],
)
def test_l13_so_has_a_document_of_a_whole_request(body: Any) -> None:
    """L13: only the body had one, of 64 MiB."""
    with pytest.raises(PayloadTooLarge, match=str(LIMIT)):
        whole(json.dumps(body).encode())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=4), st.lists(TEXTS, max_size=5), CUTS, st.booleans())
def test_a_whole_request_is_what_json_says(
    fields: dict[str, Any], documents: list[str], cuts: list[int], is_last: bool
) -> None:
    """L10: it was parsed in one call, which kept everything else of the process waiting."""
    fields = {k: v for k, v in fields.items() if k not in ("documents", "text", "messages")}
    fields = {k: v for k, v in fields.items() if k not in ("context", "custom_id")}
    request = {**fields, "documents": documents} if is_last else {"documents": documents, **fields}
    found, rows = whole(json.dumps(request, indent=1).encode(), cuts)
    assert found == fields
    assert rows == [{"text": text} for text in documents]


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (b"", MalformedBody, "must be a JSON object"),
        (b"7", MalformedBody, "must be a JSON object"),
        (b'{"text": "a"', MalformedBody, "not closed"),
        (b'{"text": "a",}', MalformedBody, "comma before the end"),
        (b'{"text" "a"}', MalformedBody, "a colon"),
        (b'{text: "a"}', MalformedBody, "double quotes"),
        (b'{"text": "a"}\n{"text": "b"}', MalformedBody, "line 2.*x-ndjson"),
        (b'{"text": "a", "expires_in": NaN}', MalformedBody, "NaN"),
        (b'{"text": "a", "metadata": {"m": "\\ud800"}}', MalformedBody, "lone surrogate"),
        (b'["a"] x', MalformedBody, "follows the end"),
        (b'{"documents": ["a"], "documents": ["b"]}', RequestError, "twice"),
        (b'{"documents": {"a": 1}}', RequestError, "must be an array"),
        (b'{"documents": ["a"], "text": "b"}', RequestError, "give either"),
        (b'{"task": "qa"}', RequestError, "give either"),
        (b'{"documents": ["a"], "context": "b"}', RequestError, "context belongs"),
    ],
)
def test_what_is_no_request_is_refused_before_any_row(
    body: bytes, error: type[Exception], message: str
) -> None:
    for cuts in ((), range(len(body))):
        with pytest.raises(error, match=message):
            whole(body, cuts)


def test_a_broken_body_is_refused_where_it_breaks_not_at_its_end() -> None:
    pulled = []

    def chunks() -> Iterator[bytes]:
        yield b'{"text": oops, '
        while True:
            pulled.append(1)
            yield b" " * 100

    with pytest.raises(MalformedBody, match="column 10"):
        request_fields(chunks(), max_value_bytes=LIMIT)
    assert len(pulled) <= 2


def document(seq: int, **fields: Any) -> NewDocument:
    return NewDocument(seq=seq, custom_id=str(seq), task=Task.SENTIMENT, model="m", text="a", **fields)


def test_l10_metadata_counts_in_the_memory_of_a_block() -> None:
    """L10: 900 rows of 900 kB of metadata took 2,445 MB; the same in `text` 189."""
    rows = [document(seq, metadata={"m": "x" * 900_000}) for seq in range(20)]
    assert [len(block) for block in in_blocks(rows)] == [3, 3, 3, 3, 3, 3, 2]


def test_l10_an_id_takes_bytes_not_objects() -> None:
    """L10: 70 bytes and more an id, 10 million of them in a job."""
    ids = Ids()
    names = [f"row-{number}" for number in range(200_000)]
    tracemalloc.start()
    for seq, name in enumerate(names):
        ids.take(name, seq=seq, place=seq + 1)
    num_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    buckets = 65_536 * 2 * 200  # their own cost, paid once
    assert num_bytes < buckets + 40 * len(names)
    with pytest.raises(ValueError, match="line 151"):
        ids.take("row-150", seq=200_000, place=200_001)


@pytest.mark.parametrize(
    "fields",
    [
        {"x" * 900_000: 1, "text": "a"},
        {"text": "a", "task": "y" * 900_000},
        {"text": "a", "model": "y" * 900_000},
        {"text": "a", "custom_id": "z" * 500},
        {"text": "a", "params": {"q" * 900_000: 1}},
        {"text": "a", "params": {"target_language": "q" * 900_000}},
    ],
)
def test_s23d_what_is_echoed_is_short(fields: dict[str, Any]) -> None:
    """S23d: 20 rows with an unknown key of 900 kB each came back whole, 3.5 times as large."""
    rows = rows_of_objects([{"custom_id": "z" * 500, "task": "sentiment", "text": "a"}, fields])
    with pytest.raises(InvalidRows) as refused:
        validated(rows, task=None if "task" in fields else Task.SENTIMENT)
    (problem,) = refused.value.rows
    assert max(map(len, problem.message.split())) <= MAX_CHARACTERS + 10
    assert len(problem.message) <= 500
    assert len(problem.field or "") <= MAX_CHARACTERS


def test_s23d_short_values_are_echoed_whole() -> None:
    assert echoed("a\x1b") == "'a\\x1b'"
    assert echoed("x" * 80) == "'" + "x" * 80 + "'"
    assert echoed("x" * 81) == "'" + "x" * 80 + "'..."
    assert RawRow(1, None).fields is None
