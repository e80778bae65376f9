"""Ids, languages in the names of tasks, and what a refusal says of them."""

from __future__ import annotations

import re

import pytest

from jobs.errors import InvalidRows, RequestError, RowError
from jobs.params import InvalidParams, known_anywhere, validate_each
from jobs.records import Task, new_job_id
from jobs.rows.encoding import to_utf8
from jobs.rows.formats import as_document
from jobs.rows.ids import Ids
from jobs.rows.reading import read_json
from jobs.tasks import parse_task, read_task, with_languages


def test_an_id_of_a_job_is_as_long_as_promised_and_sorts_by_its_time() -> None:
    ids = [new_job_id() for _ in range(3)]
    assert all(re.fullmatch("job_[0-9a-f]{32}", each) for each in ids)
    assert len(set(ids)) == 3
    assert [each[:16] for each in ids] == sorted(each[:16] for each in ids)


@pytest.mark.parametrize(
    ("text", "task", "languages"),
    [
        ("translation_en_to_de", Task.TRANSLATION, ("en", "de")),
        ("translation_zh-Hant_to_pt_BR", Task.TRANSLATION, ("zh-Hant", "pt_BR")),
        ("translation", Task.TRANSLATION, None),
        ("text2text-generation", Task.GENERATION, None),
        ("question-answering", Task.QA, None),
        ("text-classification", Task.SENTIMENT, None),
    ],
)
def test_a_task_is_known_by_the_name_of_its_pipeline(
    text: str, task: Task, languages: tuple[str, str] | None
) -> None:
    named = read_task(text)
    expected = (
        {} if languages is None else dict(zip(("source_language", "target_language"), languages, strict=True))
    )
    assert (parse_task(text), named.task, dict(named.languages)) == (task, task, expected)


@pytest.mark.parametrize(
    "text",
    [
        "translation_xx_to_yy", "translation_en_to_YY", "translation_en", "translation_en_to_d", "translation__to_de",
        "translation_" + "a" * 45 + "_to_" + "b" * 45, "poetry", "",
    ],
)  # fmt: skip
def test_a_name_without_two_languages_is_no_task(text: str) -> None:
    with pytest.raises(ValueError, match="unknown task"):
        read_task(text)


def test_a_language_is_named_once() -> None:
    assert with_languages(None, {"top_k": 1}) == {"top_k": 1}
    both = {"source_language": "en", "target_language": "de"}
    assert with_languages("translation_en_to_de", {"source_language": "en"}) == both
    with pytest.raises(InvalidParams, match="target_language='fr', but the task is translation_en_to_de"):
        with_languages("translation_en_to_de", {"target_language": "fr"})


@pytest.mark.parametrize(
    ("value", "end"),
    [("x" * 513, "or an integer"), ("", "or an integer"), ([1], ", not list"), (True, ", not bool")],
)
def test_an_id_that_is_none_is_told_by_its_type_unless_it_is_a_text(value: object, end: str) -> None:
    with pytest.raises(ValueError, match="must be a string of 1 to 512 characters, or an integer") as caught:
        Ids().take(value, seq=0, place=1)
    assert str(caught.value).endswith(end)


@pytest.mark.parametrize("value", ["a", {"text": "a"}, 3])
def test_a_document_knows_its_place_in_the_array(value: object) -> None:
    row = as_document(5, value, position=7)
    assert (row.line, row.position) == (5, 7)
    assert (row.fields is None) == (value == 3)


@pytest.mark.parametrize("space", [b"", b" ", b" \t"])
def test_an_object_over_many_lines_is_one_row_whatever_stands_behind_its_brace(space: bytes) -> None:
    (row,) = read_json([b"{" + space + b'\n"text": "a"}\n'], max_line_bytes=100)
    assert row.fields == {"text": "a"}


@pytest.mark.parametrize(("total", "says_so"), [(1, False), (2, True)])
def test_a_refusal_says_when_not_every_bad_row_is_listed(total: int, says_so: bool) -> None:
    error = InvalidRows([RowError(line=1, field="text", message="none")], total=total)
    assert ("the first 1 are listed" in str(error)) == says_so


@pytest.mark.parametrize("place", ["encoding", "charset"])
def test_an_encoding_that_nobody_knows_is_told_with_where_it_was_named(place: str) -> None:
    with pytest.raises(RequestError, match=f"{place}.* 'klingon' is unknown"):
        list(to_utf8([b"x"], **{"encoding": None, "charset": None, place: "klingon"}))


def test_a_parameter_that_nobody_takes_is_refused_by_its_name_with_those_there_are() -> None:
    assert known_anywhere("top_k")
    assert not known_anywhere("temprature")
    with pytest.raises(
        InvalidParams, match=r"unknown parameter 'temprature' for sentiment; allowed: .*top_k"
    ):
        validate_each(Task.SENTIMENT, {"temprature": 1})
