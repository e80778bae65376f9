"""Input rows: bytes in chunks of any size to checked documents, problems named by line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from jobs.catalogue import Catalogue, ModelEntry
from jobs.errors import InvalidRows, PayloadTooLarge, RowError
from jobs.records import NewDocument, NewJob, Task
from jobs.rows.formats import RawRow
from jobs.rows.reading import JSON, TABLE
from jobs.rows.validation import RowValidator
from jobs.serving import Standing
from tests.support.rows import rows_of, rows_of_objects

CATALOGUE = Catalogue(entries=tuple(ModelEntry(name=f"m-{task}", task=task, ref="noop:") for task in Task))


def validated(rows: Iterable[RawRow], **job: Any) -> list[NewDocument]:
    validator = RowValidator(NewJob(owner="o", **job), CATALOGUE, max_documents=1000)
    return list(validator.documents(rows))


def problems_of(text: str, **job: Any) -> list[RowError]:
    with pytest.raises(InvalidRows) as caught:
        validated(rows_of(JSON, text.encode()), **job)
    return list(caught.value.rows)


@pytest.mark.parametrize(
    ("own", "kept"),
    [
        ({}, {"json_schema": {"type": "object"}}),
        ({"choice": ["a"]}, {"choice": ["a"]}),
        ({"json_schema": None}, {}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"b": 1, "a": 2}}}},
         {"json_schema": {"b": 1, "a": 2}}),
    ],
)  # fmt: skip
def test_a_rows_own_form_takes_the_place_of_its_jobs(own: dict[str, Any], kept: dict[str, Any]) -> None:
    rows = rows_of_objects([{"text": "a", "params": own}])
    job = {"task": Task.GENERATION, "params": {"response_format": {"type": "json_object"}}}
    assert validated(rows, **job)[0].params == kept


def test_schemas_that_differ_in_the_order_of_their_properties_are_two() -> None:
    """Properties are written in their order: the second row had the first one's."""
    orders = [{"properties": {"b": {}, "a": {}}}, {"properties": {"a": {}, "b": {}}}]
    rows = rows_of_objects([{"text": "a", "params": {"json_schema": schema}} for schema in orders])
    found = [document.params["json_schema"] for document in validated(rows, task=Task.GENERATION)]
    assert [[*each["properties"]] for each in found] == [["b", "a"], ["a", "b"]]


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
        ('{"text": "a", "custom_id": 1.0}', "custom_id", "or an integer, not float"),
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
        validated(rows_of_objects([{"text": "half \ud800 pair"}]), task=Task.SENTIMENT)
    assert "lone surrogate" in caught.value.rows[0].message


def test_the_first_hundred_problems_are_named_and_all_are_counted() -> None:
    with pytest.raises(InvalidRows) as caught:
        validated([RawRow(n, None, "broken") for n in range(250)], task=Task.SENTIMENT)
    assert len(caught.value.rows) == 100
    assert caught.value.total == 250
    assert "250 problem(s) in the input rows, the first 100 are listed" in str(caught.value)


def test_a_custom_id_may_be_used_once_and_the_error_names_both_lines() -> None:
    lines = ['{"text": "a", "custom_id": "x"}', '{"text": "b"}', '{"text": "c", "custom_id": "x"}']
    (twice,) = problems_of("\n".join(lines), task=Task.SENTIMENT)
    assert (twice.line, twice.field) == (3, "custom_id")
    assert "'x' is used by an earlier row (line 1)" in twice.message


@pytest.mark.parametrize(
    ("body", "line", "other"),
    [(b"custom_id,text\n1,a\n,b\n", 3, "line 2"), (b"custom_id,text\n,a\n0,b\n", 3, "line 2")],
)
def test_a_row_without_an_id_never_shares_its_number_with_a_given_id(
    body: bytes, line: int, other: str
) -> None:
    """H11: "custom_id '1' is used by an earlier row", where nobody had used it twice."""
    with pytest.raises(InvalidRows) as caught:
        validated(rows_of(TABLE, body), task=Task.SENTIMENT)
    (problem,) = caught.value.rows
    assert (problem.line, problem.field) == (line, "custom_id")
    assert other in problem.message
    assert "give every row an id, or none" in problem.message


def test_some_rows_may_have_ids_and_others_their_numbers() -> None:
    documents = validated(rows_of(TABLE, b"custom_id,text\nx,a\n,b\n007,c\n"), task=Task.SENTIMENT)
    assert [document.custom_id for document in documents] == ["x", "1", "007"]


def test_documents_of_an_array_are_named_by_their_place_in_it() -> None:
    body = '[{"text": "a", "custom_id": "x"}, {"text": "b", "custom_id": "x"}, {"text": 3}]'
    first, second = problems_of(body, task=Task.SENTIMENT)
    assert first.message.startswith("document 2: 'x' is used by an earlier row (document 1)")
    assert second.message.startswith("document 3: must be a string")


def test_a_context_column_is_context_to_questions_and_metadata_to_the_rest() -> None:
    """H8: a column called context."""
    body = b"task,text,context,n\nqa,Who?,Ada.,1\nsentiment,fine, ,2\n"
    question, review = validated(rows_of(TABLE, body, is_mixed=True))
    assert (question.context, question.metadata) == ("Ada.", {"n": "1"})
    assert (review.context, review.metadata) == (None, {"context": " ", "n": "2"})
    with pytest.raises(InvalidRows) as caught:
        validated(rows_of(TABLE, b"text,context\nWho?,\n"), task=Task.QA)
    assert caught.value.rows[0].field == "context"


def test_an_error_names_the_column_that_the_caller_named() -> None:
    with pytest.raises(InvalidRows) as caught:
        validated(rows_of(TABLE, b"review,n\n,1\n", roles={"text": "review"}), task=Task.SENTIMENT)
    (problem,) = caught.value.rows
    assert (problem.line, problem.field) == (2, "text")
    assert problem.message == "text is empty (column 'review')"


def test_an_error_quotes_no_more_than_anybody_reads() -> None:
    (problem,) = problems_of(json.dumps({"text": "a", "k" * 900: 1}), task=Task.SENTIMENT)
    assert len(problem.field or "") == 80
    assert problem.message.startswith("unknown field 'kkk")
    assert len(problem.message) < 300


def test_params_of_a_row_are_laid_over_those_of_the_job() -> None:
    rows = rows_of_objects([{"text": "a", "params": {"top_k": 5}}, "b"])
    first, second = validated(rows, task=Task.GENERATION, params={"top_k": 9, "max_new_tokens": 4})
    assert first.params == {"top_k": 5, "max_new_tokens": 4}
    assert second.params == {"top_k": 9, "max_new_tokens": 4}


def test_in_a_mixed_file_the_jobs_params_go_to_the_tasks_that_have_them() -> None:
    rows = rows_of_objects([{"text": "a", "task": "generation"}, {"text": "b", "task": "sentiment"}])
    first, second = validated(rows, params={"max_new_tokens": 4})
    assert first.params == {"max_new_tokens": 4}
    assert second.params == {}


def test_a_document_keeps_its_fields_and_its_place() -> None:
    body = json.dumps({"text": "Who?", "context": "Ada.", "custom_id": 5, "metadata": {"k": [1]}}).encode()
    (document,) = validated(rows_of(JSON, body), task=Task.QA)
    assert (document.seq, document.custom_id, document.model) == (0, "5", "m-qa")
    assert (document.text, document.context, document.metadata) == ("Who?", "Ada.", {"k": [1]})


def test_more_documents_than_a_job_may_have_are_refused() -> None:
    validator = RowValidator(NewJob(owner="o", task=Task.SENTIMENT), CATALOGUE, max_documents=3)
    with pytest.raises(PayloadTooLarge, match="3 documents"):
        list(validator.documents(rows_of_objects(["a"] * 4)))


TWO = Catalogue(
    entries=(
        *CATALOGUE.entries,
        *(ModelEntry(name=f"other-{task}", task=task, ref="noop:") for task in Task),
    )
)


@pytest.mark.parametrize(
    ("row", "model"),
    [
        ({}, "other-sentiment"),
        ({"model": None}, "other-sentiment"),
        ({"task": None, "model": None}, "other-sentiment"),
        ({"task": "sentiment"}, "other-sentiment"),
        ({"task": "sentiment-analysis"}, "other-sentiment"),
        ({"task": "generation"}, "m-generation"),
        ({"model": "m-sentiment"}, "m-sentiment"),
    ],
)
@pytest.mark.parametrize("task", [Task.SENTIMENT, None])
def test_a_row_that_names_no_model_has_the_jobs(row: dict[str, Any], model: str, task: Task | None) -> None:
    """A relative of W2 and H8: `"model": null`, or the job's own task again, gave the default model."""
    if task is None and row.get("task") == "generation":
        return  # a job that names a model alone is for that model
    validator = RowValidator(NewJob(owner="o", task=task, model="other-sentiment"), TWO, max_documents=9)
    (document,) = validator.documents(rows_of_objects([{"text": "a", **row}]))
    assert document.model == model


def test_a_field_that_is_null_is_not_given() -> None:
    """A relative of H8: rows written by a data frame, where `messages` was null, were chats."""
    row = {"text": "a", **dict.fromkeys(("custom_id", "task", "model", "messages", "context", "params"))}
    validator = RowValidator(
        NewJob(owner="o", task=Task.GENERATION),
        CATALOGUE,
        max_documents=9,
        models={
            "m-generation": Standing(entry=CATALOGUE.get("m-generation"), facts={"has_chat_template": False})
        },
    )
    (document,) = validator.documents(rows_of_objects([row]))
    assert (document.text, document.messages, document.metadata) == ("a", None, None)


@pytest.mark.parametrize("task", [Task.GENERATION, Task.TRANSLATION, Task.SENTIMENT])
def test_a_context_that_nothing_would_read_is_refused(task: Task) -> None:
    """A relative of H1: taken, stored, and ignored without a word."""
    (problem,) = problems_of('{"text": "a", "context": "b"}', task=task)
    assert problem.field == "context"
    assert f"{task} would not read it" in problem.message
    (document,) = validated(rows_of(JSON, b'{"text": "a", "context": null}'), task=task)
    assert document.context is None


@pytest.mark.parametrize("text", ["\u200b", "\ufeff\u2060", "\u00ad", "\u202e ", "\u0007", "\U000e0041"])
def test_what_nobody_can_see_is_refused_at_submission_by_tasks_that_read(text: str) -> None:
    """A relative of H3: each failed by itself, later, where white space was refused at once."""
    for row in ({"task": "sentiment", "text": text}, {"task": "qa", "text": "Who?", "context": text}):
        with pytest.raises(InvalidRows) as caught:
            validated(rows_of_objects([row]))
        assert "nothing to read" in caught.value.rows[0].message
    assert validated(rows_of_objects([{"task": "generation", "text": text}]))[0].text == text


@pytest.mark.parametrize("text", ["\U0001f600", "\ue000", "\U0001fae8", "\U0001f46a\u200d", "!"])
def test_what_can_be_seen_is_read_though_python_has_no_name_for_it(text: str) -> None:
    """A relative of H3: an emoji younger than the server's Unicode was "invisible"."""
    assert validated(rows_of_objects([{"text": text}]), task=Task.SENTIMENT)[0].text == text
