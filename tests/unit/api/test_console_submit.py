"""Submitting from a page: what a preview shows is what the reader reads, and what is wrong stands by its row."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Callable

import pytest

from api.console.one_document import OneDocument
from api.console.parameters import NOT_IN_FORMS, given_params, parameter_fields
from jobs import jsontext
from jobs.records import Task
from tests.unit.api.conftest import Api
from tests.unit.api.test_console import ADMIN, HTML, OTHER, OWN, browser, token_of

PREVIEW, SUBMIT = "/console/submit/preview", "/console/submit"
DISABLED = " disabled hx-post"


def multipart(fields: dict[str, object]) -> list[tuple[str, object]]:
    """As a browser sends a form that may hold a file."""
    pairs = [(k, v) for k, given in fields.items() for v in (given if isinstance(given, list) else [given])]
    return [(name, (None, str(value))) for name, value in pairs]


def sent(
    api: Api,
    address: str,
    data: bytes,
    file_name: str = "a.csv",
    *,
    headers: dict[str, str] = HTML,
    **fields: object,
) -> tuple[int, str]:
    form = multipart({"task": "sentiment", **fields})
    answer = api.http.post(
        address, files=[*form, ("file", (file_name, data))], headers=headers, follow_redirects=False
    )
    return answer.status_code, answer.headers.get("location") or answer.text


def documents_of(api: Api, address: str) -> list[dict[str, object]]:
    job_id = address.rpartition("/")[2]
    api.work_off(job_id, output=lambda d: {"label": d.text})
    lines = api.http.get(f"/v1/jobs/{job_id}/results").text.splitlines()
    return [jsontext.loads(line) for line in lines]


def test_a_table_is_shown_as_it_will_be_read_and_submitted_so(api: Api) -> None:
    table = b'id;body;stars\nA1;very good;5\nA2;"two\nlines";1\n'
    status, shown = sent(api, PREVIEW, table)
    assert status == 200
    for part in ("id:id", "text:body", "very good", "Submit 2 documents", "Read to the end"):
        assert part in shown, part
    chosen = {"column": ["text:body", "id:id"], "delimiter": ";", "name": "Mine", "tags": "q4, south"}
    status, there = sent(api, SUBMIT, table, **chosen)
    assert status == 303
    rows = documents_of(api, there)
    assert [(row["custom_id"], row["output"]) for row in rows] == [
        ("A1", {"label": "very good"}), ("A2", {"label": "two\nlines"}),
    ]  # fmt: skip
    assert rows[0]["metadata"] == {"stars": "5"}
    job = api.http.get(there.replace("/console", "/v1")).json()
    assert (job["name"], job["tags"]) == ("Mine", ["q4", "south"])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", b'{"text": "one"}\n{"text": ""}\n{"text": "three", "custom_id": "x"}\n{"text": "4", "custom_id": "x"}\n'),
        ("a.json", b'[{"text": "one"}, {"text": ""}, {"text": "three", "custom_id": "x"}, {"text": "4", "custom_id": "x"}]'),
        ("a.csv", b"text,custom_id\none,\n\"\",\nthree,x\n4,x\n"),
    ],
)  # fmt: skip
def test_each_problem_stands_beside_its_row_and_nothing_is_stored(api: Api, name: str, data: bytes) -> None:
    for address, expected in ((PREVIEW, 200), (SUBMIT, 422)):
        status, shown = sent(api, address, data, name, headers={**HTML, "HX-Request": "true"})
        assert status == expected
        assert shown.count('class="errmsg"') == 2
        assert "is empty" in shown
        assert "2 problems" in shown
        assert DISABLED in shown
    assert api.http.get("/v1/jobs").json()["data"] == []


def test_a_problem_far_down_is_shown_with_its_row(api: Api) -> None:
    lines = [f'{{"text": "row {n}"}}' for n in range(5000)]
    lines[4000] = '{"text": "row 4000", "custom_id": 7}'
    lines[4500] = '{"text": "   "}'
    _, shown = sent(api, PREVIEW, "\n".join(lines).encode(), "a.jsonl")
    assert "Line 4,501, <code>text</code>: text is empty" in shown
    assert "row 4000" in shown
    assert "row 9" not in shown, "the first rows are few"


def test_of_a_part_of_a_file_only_whole_rows_count(api: Api) -> None:
    whole = b"".join(b'{"text": "row %d of a file"}\n' % n for n in range(50))
    status, shown = sent(api, PREVIEW, whole[:-12], "a.jsonl", part="1")
    assert status == 200
    assert "Documents, so far" in shown
    assert 'class="errmsg"' not in shown
    assert "Submit the whole file" in shown
    assert DISABLED not in shown
    _, cut = sent(api, PREVIEW, b'[{"text": "a"}, {"text": "b"}, {"te', "a.json", part="1")
    assert 'class="note bad"' not in cut


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.xlsx", b"PK\x03\x04....", "must end in"),
        ("a.csv", b"", DISABLED),
        ("a.txt", b"caf\xe9", "UTF-8"),
        ("a.csv", b"a,a\n1,2\n", "twice"),
        ("a.csv", b'text\n"open\n', "not closed"),
    ],
)
def test_what_cannot_be_read_is_said_and_cannot_be_submitted(
    api: Api, name: str, data: bytes, said: str
) -> None:
    status, shown = sent(api, PREVIEW, data, name)
    assert status == 200
    assert said in shown
    assert DISABLED in shown


def test_a_pasted_text_is_read_as_it_says(api: Api) -> None:
    form: dict[str, object] = {"task": "sentiment", "pasted": "text,k\r\ngood,1\r\n", "pasted_as": "csv"}
    answer = api.http.post(PREVIEW, files=multipart(form), headers=HTML)
    assert "Submit 1 document" in answer.text
    form["pasted_as"] = "txt"
    assert "Submit 2 documents" in api.http.post(PREVIEW, files=multipart(form), headers=HTML).text


def test_a_hostile_file_is_text_in_its_preview(api: Api) -> None:
    hostile = "\"'><script>alert(1)</script>{{7*7}}"
    data = io.StringIO()
    csv.writer(data).writerows([["text", hostile], [hostile, hostile], ["", hostile]])
    _, shown = sent(api, PREVIEW, data.getvalue().encode(), f"{hostile}.csv", name=hostile)
    assert "<script>" not in shown
    assert "49" not in shown.replace("&#39;", "").replace("&#34;", "")


def test_a_form_of_no_session_or_of_another_submits_nothing(make_api: Callable[..., Api]) -> None:
    api = make_api(api_keys=f"{OWN} {OTHER}", admin_key=ADMIN)
    own, other = browser(api, OWN), browser(api, OTHER)
    token = token_of(own.get(SUBMIT).text)
    form: dict[str, object] = {"task": "sentiment", "pasted": "a", "pasted_as": "txt", "token": token}
    assert other.post(SUBMIT, files=multipart(form)).status_code == 403
    assert own.post(SUBMIT, files=multipart({**form, "token": ""})).status_code == 403
    assert (
        own.post(SUBMIT, files=multipart(form), headers={"Origin": "http://evil.example"}).status_code == 403
    )
    assert own.post(SUBMIT, files=multipart(form)).status_code == 303
    api.http.cookies.clear()
    assert (
        api.http.post(SUBMIT, files=multipart(form), headers=HTML, follow_redirects=False)
        .headers["location"]
        .startswith("/console/login")
    )
    seen = {
        key: len(api.http.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"}).json()["data"])
        for key in (OWN, OTHER)
    }
    assert seen == {OWN: 1, OTHER: 0}


def test_fields_of_parameters_have_the_bounds_of_the_model() -> None:
    """Bounds from what refuses at submission and from what the worker tells, so that they cannot differ."""
    fields = {f.name: f for f in parameter_fields(Task.GENERATION, {"max_tokens": 77, "beams_by_default": 2})}
    assert (fields["max_new_tokens"].least, fields["max_new_tokens"].most) == (1, 77)
    assert (fields["num_beams"].bounds, fields["num_beams"].default) == ("1 to 64", "2")
    assert [value for value, _ in fields["early_stopping"].choices] == ["", "true", "false", "never"]
    of_pair = parameter_fields(Task.TRANSLATION, {"language_pair": "en-de"})
    assert not [f for f in of_pair if f.name.endswith("_language")], "one pair leaves no choice"
    many = parameter_fields(Task.TRANSLATION, {"target_languages": ["de", "fr"]})
    assert [v for f in many if f.name == "target_language" for v, _ in f.choices] == ["", "de", "fr"]


def test_every_parameter_of_every_task_has_its_field() -> None:
    from jobs.params import names_of

    for task in Task:
        assert {field.name for field in parameter_fields(task, {})} == names_of(task) - NOT_IN_FORMS


def test_what_fields_hold_is_read_by_its_kind_and_nonsense_is_left_to_the_check() -> None:
    form = {"params.num_beams": "4", "params.temperature": "0.5", "params.do_sample": "true", "params.stop": "x",
            "params.top_k": "many", "params.seed": "", "params.unheard": "1"}  # fmt: skip
    assert given_params(Task.GENERATION, form) == {
        "num_beams": 4, "temperature": 0.5, "do_sample": True, "stop": "x", "top_k": "many",
    }  # fmt: skip


def test_one_document_is_tried_and_its_answer_shown(api: Api) -> None:
    form = {"task": "qa", "text": "Who?", "context": "It was Ada."}
    answer = api.http.post("/console/try", data=form, headers=HTML)
    job_id = answer.text.partition("/console/try/")[2][:36]
    job = api.http.get(f"/v1/jobs/{job_id}").json()
    assert (job["priority"], job["task"], job["counts"]["total"]) == ("interactive", "qa", 1)
    api.work_off(job_id, output=lambda d: {"answer": "Ada", "score": 0.75, "start": 7, "end": 10})
    shown = api.http.get(f"/console/try/{job_id}", headers=HTML).text
    assert "It was <mark>Ada</mark>." in shown
    assert "0.75" in shown


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"task": "sentiment", "text": " "}, "empty"),
        ({"task": "qa", "text": "Who?", "context": ""}, "empty"),
        ({"task": "generation", "text": "a", "params.num_beams": "900"}, "num_beams"),
        ({"task": "generation", "text": "a", "model": "noop:s"}, "noop:s"),
    ],
)
def test_what_is_wrong_with_one_document_is_said(api: Api, form: dict[str, str], said: str) -> None:
    answer = api.http.post("/console/try", data=form, headers=HTML)
    assert answer.status_code == 422
    assert said in answer.text
    assert api.http.get("/v1/jobs").json()["data"] == []


def test_the_same_call_says_the_same_as_the_form() -> None:
    """Quotes, line ends and backslashes come through a shell and through Python as they were written."""
    text = "It's \"5\" o'clock\n\\n $HOME `id` \N{SNOWMAN}"
    document = OneDocument(task=Task.GENERATION, model="m", text=text, params={"num_beams": 2, "stop": "'"})
    curl, python, command = (call.code for call in document.calls("http://h:1", has_keys=True))
    body = shlex.split(curl.partition(" -d ")[2].partition(" | jq")[0])[0]
    assert jsontext.loads(body)["documents"] == [{"text": text}]
    assert "$TEXTMILL_API_KEY" in curl
    said: dict[str, object] = {}

    class Server:
        def __init__(self, *args: object, **options: object) -> None: ...
        def run(self, text: str, **options: object) -> Server:
            said.update(options, text=text)
            return self

        output = None

    code = python.replace("from textmill.client import Textmill", "").replace(
        'os.environ["TEXTMILL_API_KEY"]', "''"
    )
    exec(code, {"Textmill": Server, "print": lambda _: None})
    assert said == {"text": text, "task": "generation", "model": "m", "params": {"num_beams": 2, "stop": "'"}}
    words = shlex.split(command)
    assert words[:4] == ["textmill", "--url", "http://h:1", "run"]
    assert words[4] == text
    assert 'stop="\'"' in words
