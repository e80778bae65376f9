"""Reading results: every one once, exactly as it was sent, and nothing that was not asked for."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.api.conftest import Api

LONG = 123456789012345678901


def rows_of(answer: httpx2.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    if answer.headers["content-type"].startswith("text/csv"):
        return list(csv.DictReader(io.StringIO(answer.text)))
    return [json.loads(line) for line in answer.text.splitlines()]


def seqs(answer: httpx2.Response) -> list[int]:
    return [int(row["seq"]) for row in rows_of(answer)]


def get(api: Api, job_id: str, query: str = "") -> httpx2.Response:
    return api.http.get(f"/v1/jobs/{job_id}/results{query}")


# -- W12: paging while a job runs ------------------------------------------------------


@pytest.mark.parametrize(
    "query", ["?limit=10", "?limit=1&format=csv", "?after=-1", "?limit=7&status=succeeded"]
)
def test_following_the_link_while_the_job_runs_gives_every_result_once(api: Api, query: str) -> None:
    """W12: a page of a running job passed every document that was still open."""
    job_id = api.submit(*(f"text {n}" for n in range(60)))
    slow = tuple(range(2, 60, 3))
    api.work_off(job_id, leaving=slow)
    seen: list[int] = []
    page = get(api, job_id, query)
    for number in range(200):
        seen += seqs(page)
        if "next" not in page.links:
            break
        if number % 5 == 4 and slow:  # one more slow document is done, the last first
            slow = slow[:-1]
            api.work_off(job_id, leaving=slow)
        page = api.http.get(page.links["next"]["url"])
    assert seen == list(range(60))
    assert page.headers["textmill-job-status"] == "completed"


@pytest.mark.parametrize("query", ["&limit=10", "", "&format=csv"])
def test_asking_behind_the_last_seq_while_the_job_runs_gives_every_result_once(api: Api, query: str) -> None:
    """W12, without the link and without a limit."""
    job_id = api.submit(*(f"text {n}" for n in range(30)))
    seen = [-1]
    for slow in (tuple(range(2, 30, 3)), (5, 29), (29,), ()):
        api.work_off(job_id, leaving=slow)
        while found := seqs(get(api, job_id, f"?after={seen[-1]}{query}")):
            seen += found
    assert seen == [*range(-1, 30)]


def test_an_empty_page_before_an_open_document_says_where_and_when_to_look_again(api: Api) -> None:
    job_id = api.submit("a", "b")
    api.work_off(job_id, leaving=(0,))
    page = get(api, job_id, "?limit=5")
    assert page.text == ""
    assert page.links["next"]["url"] == f"/v1/jobs/{job_id}/results?limit=5&after=-1"
    assert int(page.headers["retry-after"]) > 0
    assert page.headers["textmill-result-count"] == "0"


def test_a_look_at_everything_shows_what_is_there_and_links_to_the_first_gap(api: Api) -> None:
    job_id = api.submit(*"abcd")
    api.work_off(job_id, leaving=(1,))
    look = get(api, job_id)
    assert seqs(look) == [0, 2, 3]
    assert look.links["next"]["url"] == f"/v1/jobs/{job_id}/results?after=0"
    assert seqs(get(api, job_id, "?gaps=false")) == [0]
    assert seqs(get(api, job_id, "?after=0&gaps=true")) == [2, 3]
    assert seqs(get(api, job_id, "?after=0")) == []


def test_a_finished_job_is_read_whole_with_its_count_and_no_link(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.result_reading._PAGE", 3)
    job_id = api.submit(*(f"text {n}" for n in range(8)))
    api.work_off(job_id, failing=(0, 3, 4, 6))
    for query, expected in (
        ("", list(range(8))),
        ("?after=1", list(range(2, 8))),
        ("?status=failed", [0, 3, 4, 6]),
        ("?status=failed&status=succeeded&after=6", [7]),
        ("?model=noop:s", list(range(8))),
        ("?after=7", []),
    ):
        answer = get(api, job_id, query)
        assert seqs(answer) == expected
        assert answer.headers["textmill-result-count"] == str(len(expected))
        assert "link" not in answer.headers


def test_a_link_keeps_everything_that_was_asked(api: Api) -> None:
    job_id = api.submit(*"=a")
    api.work_off(job_id)
    query = "format=csv&limit=1&spreadsheet=true&status=succeeded&status=failed&task=sentiment&model=noop%3As"
    page = get(api, job_id, f"?{query}")
    assert page.text.startswith('\ufeff"custom_id"')
    following = httpx2.URL(page.links["next"]["url"]).params
    assert following == httpx2.QueryParams(query).add("after", "0")
    assert seqs(api.http.get(page.links["next"]["url"])) == [1]


# -- W26: filters, and what is not known -----------------------------------------------


def test_results_are_filtered_by_status_task_and_model(api: Api) -> None:
    """W26: `?status=failed` gave all rows."""
    rows = [{"text": f"t{n}", "task": ("sentiment", "generation")[n % 2]} for n in range(6)]
    job_id = api.http.post("/v1/jobs", json={"documents": rows}).json()["id"]
    api.work_off(job_id, failing=(1, 2))
    assert seqs(get(api, job_id, "?status=failed")) == [1, 2]
    assert seqs(get(api, job_id, "?status=failed&status=succeeded")) == list(range(6))
    assert seqs(get(api, job_id, "?task=generation")) == [1, 3, 5]
    assert seqs(get(api, job_id, "?model=noop:s&status=succeeded")) == [0, 4]
    assert seqs(get(api, job_id, "?model=noop:q")) == []
    assert seqs(get(api, job_id, "?status=cancelled&format=csv")) == []


def test_jobs_are_filtered_by_status_task_and_model(api: Api) -> None:
    """W26: `/v1/jobs?task=generation` gave all jobs."""
    first = api.submit("a")
    second = api.submit("a", task="generation")
    api.work_off(first)

    def listed(query: str) -> list[str]:
        return [job["id"] for job in api.http.get(f"/v1/jobs?{query}").json()["data"]]

    assert listed("task=generation") == [second]
    assert listed("model=noop:s") == [first]
    assert listed("status=queued&task=sentiment") == []
    assert listed("task=qa") == listed("model=noop:q") == []


@pytest.mark.parametrize(
    ("method", "path", "word"),
    [
        ("GET", "/v1/jobs?stauts=failed", "status"),
        ("GET", "/v1/jobs?limit=2&limit=3", "more than once"),
        ("GET", "/v1/jobs?status=failed&status=queued", "more than once"),
        ("GET", "/v1/jobs?status=odd", "completed"),
        ("GET", "/v1/jobs?task=poetry", "translation"),
        ("GET", "/v1/jobs?model=gpt-9", "noop:s"),
        ("GET", "/v1/jobs/{id}?wiat=3", "wait"),
        ("GET", "/v1/jobs/{id}/results?offset=3", "after, format, gaps, limit, model, spreadsheet, status, task"),
        ("GET", "/v1/jobs/{id}/results?format=csv&format=jsonl", "more than once"),
        ("GET", "/v1/jobs/{id}/results?status=open", "expired"),
        ("GET", "/v1/jobs/{id}/results?status=failed,expired", "expired"),
        ("GET", "/v1/jobs/{id}/results?task=poetry", "translation"),
        ("GET", "/v1/jobs/{id}/results?model=gpt-9", "noop:s"),
        ("GET", "/v1/jobs/{id}/results?limit=300000", "10000"),
        ("GET", "/v1/jobs/{id}/results?after=99999999999999999999", "2147483647"),
        ("GET", "/v1/jobs/{id}/results?limit=9223372036854775808", "10000"),
        ("GET", "/v1/jobs/{id}/results?spreadsheet=true", "format=csv"),
        ("GET", "/v1/jobs/{id}/results?format=xml", "jsonl"),
        ("GET", "/v1/jobs/{id}/events?after=3", "takes none"),
        ("POST", "/v1/jobs/{id}/cancel?force=1", "takes none"),
        ("POST", "/v1/jobs/{id}/retry?only=failed", "takes none"),
        ("DELETE", "/v1/jobs/{id}?force=1", "takes none"),
        ("POST", "/v1/jobs?tsak=qa", "task"),
        ("POST", "/v1/jobs?task=qa&task=sentiment", "more than once"),
        ("GET", "/v1/models?task=qa", "takes none"),
        ("GET", "/healthz?verbose=1", "takes none"),
    ],
)  # fmt: skip
def test_what_a_call_does_not_know_is_refused_with_what_it_does(
    api: Api, method: str, path: str, word: str
) -> None:
    """W26: unknown parameters were ignored; S19: large numbers were a 500; L7: `limit=300000` took 1.7 GB."""
    job_id = api.submit("good")
    answer = api.http.request(method, path.format(id=job_id))
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert word in answer.json()["detail"]
    assert len(api.http.get("/v1/jobs").json()["data"]) == 1


def test_pages_and_documentation_open_with_more_on_their_address(api: Api) -> None:
    for path in ("/?from=mail", "/docs?x=1", "/openapi.json?x=1", "/static/favicon.svg?v=2"):
        assert api.http.get(path).status_code == 200


def test_every_query_parameter_of_a_submit_is_documented(api: Api) -> None:
    operation = api.http.get("/openapi.json").json()["paths"]["/v1/jobs"]["post"]
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert {"task", "model", "params", "priority", "metadata", "text_column", "idempotency-key"} <= names


# -- lines of JSON ---------------------------------------------------------------------


def test_each_result_is_one_line_to_every_reader_of_lines(api: Api) -> None:
    """A relative of W22 and H9: `str.splitlines`, `httpx` and others end lines at U+2028 and U+0085, too."""
    texts = ["a\u2028b", "\u2029", "c\x85d", "\x0b\x0c\x1c\x1d\x1e e", "plain \u2027\u202a\xc2"]
    rows = [{"text": f"{text}!", "custom_id": text, "metadata": {text: text}} for text in texts]
    job_id = api.http.post("/v1/jobs", json={"task": "sentiment", "documents": rows}).json()["id"]
    api.work_off(job_id)
    answer = get(api, job_id)
    assert len(answer.text.splitlines()) == len(list(answer.iter_lines())) == len(texts)
    assert [row["custom_id"] for row in rows_of(answer)] == texts
    assert [row["metadata"] for row in rows_of(answer)] == [row["metadata"] for row in rows]


# -- W20, H13: CSV ---------------------------------------------------------------------

CELLS = st.text(
    st.sampled_from("=+-@'\"\t\r\n ,;ab\u00e4\U0001f600\uff1d\x07\ufeff"), min_size=1, max_size=12
).filter(lambda text: text.strip(" \t\r\n\x07\ufeff"))


def test_csv_is_raw_and_python_reads_it_back(api: Api) -> None:
    """W20: an apostrophe stood before ids such as -5 and +4912, which are join keys."""

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5, unique_by=lambda pair: pair[0]))
    def check(pairs: list[tuple[str, str]]) -> None:
        pairs += [
            (f"{start}{n}", f"{start}1") for n, start in enumerate(("=", "-", "+", "@", "\t"), start=5000)
        ]
        rows = [
            {"custom_id": name, "text": text, "metadata": {text: name, "n": LONG}} for name, text in pairs
        ]
        job_id = api.http.post("/v1/jobs", json={"task": "sentiment", "documents": rows}).json()["id"]
        api.work_off(job_id)
        body = get(api, job_id, "?format=csv").content.decode()
        found = list(csv.DictReader(io.StringIO(body, newline="")))
        assert [(row["custom_id"], row["output"]) for row in found] == [(n, t.upper()) for n, t in pairs]
        assert [json.loads(row["metadata"]) for row in found] == [row["metadata"] for row in rows]

    check()


def test_csv_for_a_spreadsheet_has_a_byte_order_mark_and_runs_no_formula(api: Api) -> None:
    """H13: Excel took UTF-8 for its own code page."""
    texts = ["=cmd()", "-5", "+4912", "@user", "\uff1d1", "a;=1", "caf\u00e9"]
    job_id = api.submit(*texts)
    api.work_off(job_id)
    answer = get(api, job_id, "?format=csv&spreadsheet=true")
    assert answer.content.startswith(b"\xef\xbb\xbf")
    found = [row["output"] for row in csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))]
    assert found == [t.upper().replace(";=", ";'=") if t[0] in "ac" else f"'{t.upper()}" for t in texts]
    assert b'"A;\'=1"' in answer.content


# -- W21: digits -----------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "jsonl", "query", "form"])
def test_integers_keep_their_digits_from_request_to_result(api: Api, form: str) -> None:
    """W21: {"id": 123456789012345678901} came back as 1.2345678901234568e+20."""
    metadata = {"id": LONG, "deep": [{"n": -LONG}], "float": 0.1, "max": 2**64 - 1}
    row = json.dumps({"text": "a", "metadata": metadata})
    if form == "json":
        body = f'{{"task": "sentiment", "documents": [{row}], "metadata": {json.dumps(metadata)}}}'
        answer = api.http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    elif form == "form":
        fields = {"task": "sentiment", "metadata": json.dumps(metadata)}
        answer = api.http.post("/v1/jobs", data=fields, files={"file": ("r.jsonl", row.encode())})
    else:
        query = {"task": "sentiment", "metadata": json.dumps(metadata)}
        headers = {"Content-Type": "application/x-ndjson"}
        answer = api.http.post("/v1/jobs", params=query, content=row, headers=headers)
    job_id = answer.json()["id"]
    api.work_off(job_id)
    for text in (answer.text, api.http.get(f"/v1/jobs/{job_id}").text):
        assert json.dumps(json.loads(text)["metadata"]) == json.dumps(metadata)
    (line,) = rows_of(get(api, job_id))
    assert json.dumps(line["metadata"]) == json.dumps(metadata)
    (cells,) = rows_of(get(api, job_id, "?format=csv"))
    assert json.dumps(json.loads(cells["metadata"])) == json.dumps(metadata)
    events = api.http.get(f"/v1/jobs/{job_id}/events").text
    assert str(LONG) in events


def test_s23f_no_locale_makes_a_formula_of_a_cell(api: Api) -> None:
    """S23f: with `;` as its delimiter a program saw a cell that began with `=`."""
    evils = [
        f"a{delimiter}{inside}{sign}HYPERLINK(1){delimiter}b"
        for delimiter in (";", "\t", "|", ",")
        for sign in ("=", "+", "-", "@", "\uff1d")
        for inside in ("", '"', '""', " ", '" ')
    ]
    job_id = api.submit(*evils)
    api.work_off(job_id)
    text = api.http.get(f"/v1/jobs/{job_id}/results?format=csv&spreadsheet=true").text
    # However quotes are taken: split at every delimiter, what stands first is no sign.
    cells = [cell.lstrip("\"' \ufeff") for cell in re.split("[;\t|,\r\n]", text)]
    guarded = [cell.lstrip('" \ufeff') for cell in re.split("[;\t|,\r\n]", text)]
    assert sum("HYPERLINK" in cell for cell in cells) == len(evils)
    assert not [cell for cell in guarded if cell.startswith(("=", "+", "-", "@", "\uff1d"))]
    exact = api.http.get(f"/v1/jobs/{job_id}/results?format=csv").text
    assert [row["output"] for row in csv.DictReader(io.StringIO(exact))] == [evil.upper() for evil in evils]
