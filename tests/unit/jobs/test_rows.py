"""Input rows: bytes in chunks of any size to checked documents, problems named by line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.catalogue import Catalogue, ModelEntry
from jobs.errors import InvalidRows, MalformedBody, PayloadTooLarge, RequestError, RowError
from jobs.records import NewDocument, NewJob, Task
from jobs.rows.formats import RawRow, read_csv, read_jsonl, read_objects, read_txt
from jobs.rows.lines import split_lines
from jobs.rows.validation import RowValidator

LIMIT = 1000
CATALOGUE = Catalogue(entries=tuple(ModelEntry(name=f"m-{task}", task=task, ref="noop:") for task in Task))
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=30)


def chunks_of(body: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The body, cut at these places."""
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    return [body[start:end] for start, end in pairwise(places)]


def validated(rows: Iterable[RawRow], **job: Any) -> list[NewDocument]:
    validator = RowValidator(NewJob(owner="o", **job), CATALOGUE, max_documents=1000)
    return list(validator.documents(rows))


def problems_of(text: str, **job: Any) -> list[RowError]:
    with pytest.raises(InvalidRows) as caught:
        validated(read_jsonl([text.encode()], max_line_bytes=10_000), **job)
    return list(caught.value.rows)


@given(st.lists(st.binary(max_size=20)), st.lists(st.integers(0, 1000)))
def test_lines_do_not_depend_on_where_the_chunks_end(lines: list[bytes], cuts: list[int]) -> None:
    clean = [line.replace(b"\n", b"").replace(b"\r", b"") for line in lines]
    body = b"".join(line + (b"\r\n" if n % 2 else b"\n") for n, line in enumerate(clean))
    found = list(split_lines(chunks_of(body, cuts), max_line_bytes=LIMIT))
    assert found == list(enumerate(clean, start=1))


def test_a_line_that_is_too_long_is_refused_before_it_is_held() -> None:
    def endless() -> Iterable[bytes]:
        yield b"short\n"
        for _ in range(5):
            yield b"x" * 400
        pytest.fail("the whole line was read")

    with pytest.raises(PayloadTooLarge, match="line 2"):
        list(split_lines(endless(), max_line_bytes=LIMIT))


def test_a_last_line_needs_no_line_end_and_a_bom_is_not_text() -> None:
    rows = list(read_txt([b"\xef\xbb\xbffirst\n\nthird"], max_line_bytes=LIMIT))
    assert [(row.line, row.fields) for row in rows] == [(1, {"text": "first"}), (3, {"text": "third"})]


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8), st.lists(st.integers(0, 5000)))
def test_csv_fields_survive_quotes_line_ends_and_chunks(
    pairs: list[tuple[str, str]], cuts: list[int]
) -> None:
    # A bare CR inside a line ends it for some readers of CSV; ours follows RFC 4180.
    pairs = [(a.replace("\r", " "), b.replace("\r", " ")) for a, b in pairs]
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(["text", "note"])
    writer.writerows(pairs)
    body = written.getvalue().encode()
    rows = list(read_csv(chunks_of(body, cuts), max_line_bytes=LIMIT, text_column=None))
    assert [(r.fields["text"], r.fields["metadata"]["note"]) for r in rows if r.fields] == pairs


def test_csv_rows_are_named_by_the_line_they_begin_on() -> None:
    body = b'text,custom_id\n"two\nlines",a\nplain,b\nonly-one-field\n'
    rows = list(read_csv([body], max_line_bytes=LIMIT, text_column=None))
    assert [row.line for row in rows] == [2, 4, 5]
    assert rows[2].problem == "1 fields, but the header has 2"


def test_another_column_can_be_the_text_and_the_rest_is_metadata() -> None:
    rows = list(read_csv([b"id,review,text\n7,fine,x\n"], max_line_bytes=LIMIT, text_column="review"))
    assert rows[0].fields == {"text": "fine", "metadata": {"id": "7", "text": "x"}}


@pytest.mark.parametrize(
    ("body", "expected", "message"),
    [
        (b"a,a\n1,2\n", MalformedBody, "twice"),
        (b"name\nx\n", RequestError, "no column 'text'"),
        (b"text\n\xff\xfe\n", MalformedBody, "line 2"),
    ],
)
def test_a_csv_that_cannot_be_read_says_why(body: bytes, expected: type[RequestError], message: str) -> None:
    with pytest.raises(expected, match=message):
        list(read_csv([body], max_line_bytes=LIMIT, text_column=None))


def test_an_unclosed_quote_does_not_swallow_the_file() -> None:
    body = b'text\n"never closed\n' + b"line\n" * 50_000
    rows = list(read_csv([body], max_line_bytes=LIMIT, text_column=None))
    assert rows[-1].problem is not None
    assert "CSV" in rows[-1].problem


@pytest.mark.parametrize(
    ("line", "field", "message"),
    [
        ('{"text": oops}', None, "not valid JSON"),
        ('["text"]', None, "must be a JSON object"),
        ('{"task": "sentiment"}', "text", "missing"),
        ('{"text": " "}', "text", "empty"),
        ('{"text": 7}', "text", "string"),
        ('{"text": "a\\u0000b"}', "text", "NUL"),
        ('{"text": "a", "custom_id": ""}', "custom_id", "1 to 512"),
        ('{"text": "a", "task": "poetry"}', "task", "poetry"),
        ('{"text": "a", "model": "gpt-9"}', "model", "gpt-9"),
        ('{"text": "a", "model": "m-qa"}', "model", "is for qa"),
        ('{"text": "a", "task": "qa"}', "context", "needs a context"),
        ('{"text": "a", "params": {"temprature": 1}}', "params.temprature", "unknown parameter"),
        ('{"text": "a", "params": {"temperature": -1}}', "params.temperature", "greater than 0"),
        ('{"text": "a", "params": 3}', "params", "object"),
        ('{"text": "a", "txet": "b"}', "txet", "unknown field"),
        ('{"text": "a", "metadata": "b"}', "metadata", "object"),
        ('{"text": "a", "metadata": {"k": "\\u0000"}}', "metadata", "NUL"),
    ],
)
def test_each_kind_of_bad_row_names_its_line_its_field_and_what_is_wrong(
    line: str, field: str | None, message: str
) -> None:
    (problem,) = problems_of('{"text": "fine"}\n' + line + "\n", task=Task.GENERATION)
    assert (problem.line, problem.field) == (2, field)
    assert message in problem.message


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(InvalidRows) as caught:
        validated(read_objects([{"text": "half \ud800 pair"}]), task=Task.SENTIMENT)
    assert "lone surrogate" in caught.value.rows[0].message


def test_the_first_hundred_problems_are_named_and_all_are_counted() -> None:
    with pytest.raises(InvalidRows) as caught:
        validated([RawRow(n, None, "broken") for n in range(250)], task=Task.SENTIMENT)
    assert len(caught.value.rows) == 100
    assert caught.value.total == 250


def test_a_custom_id_may_be_used_once_and_row_numbers_count_as_ids() -> None:
    (twice,) = problems_of(
        '{"text": "a", "custom_id": "x"}\n{"text": "b", "custom_id": "x"}\n', task=Task.SENTIMENT
    )
    assert (twice.line, twice.field) == (2, "custom_id")
    (shadowed,) = problems_of('{"text": "a"}\n{"text": "b", "custom_id": "0"}\n', task=Task.SENTIMENT)
    assert shadowed.line == 2


def test_params_of_a_row_are_laid_over_those_of_the_job() -> None:
    rows = read_objects([{"text": "a", "params": {"top_k": 5}}, "b"])
    first, second = validated(rows, task=Task.GENERATION, params={"top_k": 9, "max_new_tokens": 4})
    assert first.params == {"top_k": 5, "max_new_tokens": 4}
    assert second.params == {"top_k": 9, "max_new_tokens": 4}


def test_in_a_mixed_file_the_jobs_params_go_to_the_tasks_that_have_them() -> None:
    rows = read_objects([{"text": "a", "task": "generation"}, {"text": "b", "task": "sentiment"}])
    first, second = validated(rows, params={"max_new_tokens": 4})
    assert first.params == {"max_new_tokens": 4}
    assert second.params == {}


def test_a_document_keeps_its_fields_and_its_place() -> None:
    rows = read_jsonl(
        [json.dumps({"text": "Who?", "context": "Ada.", "custom_id": 5, "metadata": {"k": [1]}}).encode()],
        max_line_bytes=LIMIT,
    )
    (document,) = validated(rows, task=Task.QA)
    assert (document.seq, document.custom_id, document.model) == (0, "5", "m-qa")
    assert (document.text, document.context, document.metadata) == ("Who?", "Ada.", {"k": [1]})


def test_more_documents_than_a_job_may_have_are_refused() -> None:
    validator = RowValidator(NewJob(owner="o", task=Task.SENTIMENT), CATALOGUE, max_documents=3)
    with pytest.raises(PayloadTooLarge, match="3 documents"):
        list(validator.documents(read_objects(["a"] * 4)))
