"""The console's pages: what they show, to whom, and what their forms may do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.console.sessions import COOKIE
from jobs.records import DocumentStatus, Outcome
from tests.unit.api.conftest import BASE_URL, Api

ADMIN, OWN, OTHER = (name * 16 for name in "zab")
HTML = {"Accept": "text/html"}
#: What would run, or break out of its place, if it stood in a page as it is.
HOSTILE = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}"


@pytest.fixture
def keyed(make_api: Callable[..., Api]) -> Api:
    return make_api(api_keys=f"{OWN} {OTHER}", admin_key=ADMIN)


def submitted(api: Api, key: str, **fields: Any) -> str:
    body = {"task": "sentiment", "documents": ["good", "bad"], **fields}
    answer = api.http.post("/v1/jobs", json=body, headers={"Authorization": f"Bearer {key}"})
    return str(answer.json()["id"])


def browser(api: Api, key: str) -> TestClient:
    """A browser that has signed in."""
    client = TestClient(api.http.app, base_url=BASE_URL, follow_redirects=False)
    client.headers.update(HTML)
    answer = client.post("/console/login", data={"key": key, "next": "/console/jobs"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/jobs")
    return client


def token_of(page: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found
    return found[1]


def test_texts_of_others_are_text_in_every_place(api: Api) -> None:
    """XSS: names, tags, ids, texts, contexts, labels, answers, messages, searches; and no style or script inline."""
    documents = [
        {"custom_id": f"1{HOSTILE}", "text": HOSTILE},
        {"custom_id": f"2{HOSTILE}", "task": "qa", "text": HOSTILE, "context": HOSTILE},
        {"custom_id": f"3{HOSTILE}", "task": "translation", "text": HOSTILE},
        {"custom_id": f"4{HOSTILE}", "task": "generation", "text": HOSTILE},
        {"custom_id": f"5{HOSTILE}", "text": HOSTILE},
        {"custom_id": f"6{HOSTILE}", "text": HOSTILE},
    ]
    metadata = {"name": HOSTILE, HOSTILE: HOSTILE}
    job_id = api.http.post(
        "/v1/jobs", json={"task": "sentiment", "documents": documents, "metadata": metadata}
    ).json()["id"]
    outputs: dict[int, Any] = {
        0: {"label": HOSTILE, "score": 0.9, "scores": {HOSTILE: 0.9, "x": 0.1}},
        1: {"answer": HOSTILE, "score": 0.5, "start": 0, "end": len(HOSTILE)},
        2: {"text": HOSTILE},
        3: {"text": HOSTILE, "finish_reason": HOSTILE, "texts": [HOSTILE, HOSTILE]},
        4: {HOSTILE: HOSTILE},
    }
    for ticket in api.store.take_window(job_id=job_id, window=100, resend_after_seconds=0.0):
        lease = api.store.claim(ticket.key, worker_id="w", lease_seconds=30)
        assert lease is not None
        done = [
            Outcome(
                seq=d.seq,
                status=DocumentStatus.SUCCEEDED,
                output=outputs[d.seq],
                provenance={HOSTILE: HOSTILE},
            )
            if d.seq in outputs
            else Outcome(seq=d.seq, status=DocumentStatus.FAILED, error_code=HOSTILE, error_message=HOSTILE)
            for d in lease.documents
        ]
        api.store.settle(lease.key, lease.attempt, done)
    for path, count in (
        ("/", 0), ("/console/jobs", 2), (f"/console/jobs/{job_id}", 20), (f"/console/jobs/{job_id}?status=failed", 2),
    ):  # fmt: skip
        page = api.http.get(path, headers=HTML)
        assert page.status_code == 200
        assert page.text.count("&lt;script&gt;alert(2)") >= count, path
        assert not re.search(
            r"<img|<script>alert|<script(?! src=\"/static/)|\sstyle=|\son[a-z]+=\"|49\}|javascript:",
            page.text,
        )
        assert "unsafe" not in page.headers["content-security-policy"]
    searched = api.http.get(
        "/console/jobs", params={"q": HOSTILE, "model": HOSTILE, "show": HOSTILE}, headers=HTML
    )
    assert "<script>alert" not in searched.text


def test_a_key_is_exchanged_for_a_session_that_scripts_cannot_read(keyed: Api) -> None:
    asked = keyed.http.get("/console/jobs?show=failed", headers=HTML, follow_redirects=False)
    assert (asked.status_code, asked.headers["location"]) == (
        303,
        "/console/login?next=/console/jobs%3Fshow%3Dfailed",
    )
    client = browser(keyed, OWN)
    entered = client.post("/console/login", data={"key": OWN})
    form = client.get("/console/login")
    assert form.headers["referrer-policy"] == "same-origin", (
        "with none a browser says `Origin: null` of our own forms"
    )
    cookie = entered.headers["set-cookie"]
    assert OWN not in cookie
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert client.get("/").status_code == 200
    assert client.get("/v1/jobs").status_code == 401, "a cookie opens pages, and no call of the API"
    page = client.get("/").text
    left = client.post("/console/logout", data={"token": token_of(page)})
    assert left.headers["location"] == "/console/login"
    assert client.get("/").status_code == 303


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_nobody_is_led_elsewhere_by_signing_in(keyed: Api, target: str) -> None:
    answer = keyed.http.post("/console/login", data={"key": OWN, "next": target}, follow_redirects=False)
    assert answer.headers["location"] == "/"


def test_a_wrong_key_an_altered_cookie_and_a_revoked_key_open_nothing(keyed: Api) -> None:
    wrong = keyed.http.post("/console/login", data={"key": "x" * 16}, headers=HTML)
    assert (wrong.status_code, COOKIE in wrong.headers.get("set-cookie", "")) == (401, False)
    client = browser(keyed, OWN)
    good = client.cookies[COOKIE]
    for bad in (good[:-2] + "xx", "x", good.split(".")[0], ""):
        client.cookies.set(COOKIE, bad, domain="127.0.0.1")
        other = TestClient(keyed.http.app, base_url=BASE_URL, follow_redirects=False, cookies={COOKIE: bad})
        assert other.get("/", headers=HTML).status_code == 303
    again = browser(keyed, OWN)
    book = keyed.http.app.state.context.keys
    book.revoke(book.identify(OWN).key_id)
    assert again.get("/").status_code == 303


def test_every_page_shows_the_own_projects_things_alone_and_an_administrator_all(keyed: Api) -> None:
    own, other = submitted(keyed, OWN, metadata={"name": "mine"}), submitted(keyed, OTHER)
    client = browser(keyed, OWN)
    listed = client.get("/console/jobs").text
    assert own in listed
    assert other not in listed
    assert "1 job, 1 unfinished" in listed
    assert client.get(f"/console/jobs?q={other}").text.count(f'data-job="{other}"') == 0
    assert client.get(f"/console/jobs?after={other}").status_code == 200, "another's job is no cursor"
    token = token_of(client.get("/").text)
    for path in (f"/console/jobs/{other}", f"/console/jobs/{other}/results"):
        assert client.get(path).status_code == 404
    for verb in ("cancel", "retry", "delete"):
        assert client.post(f"/console/jobs/{other}/{verb}", data={"token": token}).status_code == 404
    refused = client.post("/console/jobs", data={"token": token, "act": "cancel", "job": [other, own]})
    assert refused.headers["location"] == "/console/jobs?done=cancel.1.1"
    assert keyed.store.get_job(other, owner=keyed.store.owner_of(other)).status == "queued"
    everything = browser(keyed, ADMIN).get("/console/jobs").text
    assert own in everything
    assert other in everything


def test_a_form_of_another_page_changes_nothing(keyed: Api) -> None:
    """CSRF: without the token of its session, or from a page of another site, a form does nothing."""
    job_id = submitted(keyed, OWN)
    client, stranger = browser(keyed, OWN), browser(keyed, OTHER)
    address = f"/console/jobs/{job_id}/cancel"
    good, foreign = token_of(client.get("/").text), token_of(stranger.get("/").text)
    for data in ({}, {"token": ""}, {"token": foreign}, {"token": "ä"}, {"token": good[:-1]}):
        assert client.post(address, data=data).status_code == 403
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert client.post(address, data={"token": good}, headers=headers).status_code == 403
        assert client.post("/console/login", data={"key": OTHER}, headers=headers).status_code == 403
    assert keyed.store.get_job(job_id, owner=keyed.store.owner_of(job_id)).status == "queued"
    done = client.post(
        address, data={"token": good}, headers={"Origin": BASE_URL, "Sec-Fetch-Site": "same-origin"}
    )
    assert done.headers["location"] == f"/console/jobs/{job_id}?done=cancel.1.0"
    assert "1 job cancelled." in client.get(done.headers["location"]).text


def test_a_job_is_cancelled_retried_downloaded_and_deleted_on_its_page(api: Api) -> None:
    job_id = api.submit("good", "bad", "long")
    address = f"/console/jobs/{job_id}"
    assert "ask-cancel" in api.http.get(address).text
    api.work_off(job_id, failing=(2,))
    page = api.http.get(address).text
    assert "Longer than the model reads" in page
    assert "Retry 1 without success" in page
    file = api.http.get(f"{address}/results?format=jsonl&status=failed")
    assert (len(file.text.splitlines()), "attachment" in file.headers["content-disposition"]) == (1, True)
    api.http.post(f"{address}/retry")
    assert api.store.get_job(job_id).status == "queued"
    running = api.http.post(f"{address}/delete", follow_redirects=False)
    assert running.headers["location"].endswith("?done=delete.0.1")
    api.work_off(job_id)
    gone = api.http.post(f"{address}/delete", follow_redirects=False)
    assert gone.headers["location"] == "/console/jobs?done=delete.1.0"
    assert api.http.get(address).status_code == 404


def test_what_was_done_is_said_in_our_words_alone(api: Api) -> None:
    for code in ("You were hacked", "delete.1.1<b>", "delete.99999.1", "explode.1.1"):
        assert (
            'class="note'
            not in api.http.get("/console/jobs", params={"done": code})
            .text.split('id="newer"')[0]
            .split('id="list"')[0]
        )


def test_the_list_is_searched_filtered_sorted_and_paged_by_its_address(api: Api) -> None:
    ids = [
        api.submit("x", metadata={"name": f"Export {n}", "team": "ops" if n % 2 else "legal"})
        for n in range(30)
    ]
    first = api.http.get("/console/jobs").text
    shown = re.findall(r'data-job="(job_\w+)"', first)
    assert shown == ids[:4:-1], "25, newest first"
    second = api.http.get(_link(first, "next")).text
    assert re.findall(r'data-job="(job_\w+)"', second) == ids[4::-1]
    assert re.findall(r'data-job="(job_\w+)"', api.http.get(_link(second, "prev")).text) == shown
    found = api.http.get("/console/jobs?q=LEGAL&sort=oldest").text
    assert re.findall(r'data-job="(job_\w+)"', found) == ids[::2]
    assert "No job is like that" in api.http.get("/console/jobs?q=nowhere&task=qa").text
    assert api.http.get("/console/jobs?sort=colour", headers=HTML).status_code == 422


def _link(page: str, rel: str) -> str:
    found = re.search(rf'rel="{rel}" href="([^"]+)"', page)
    assert found
    return found[1].replace("&amp;", "&")


def test_files_are_kept_for_ever_under_the_address_of_their_version_alone(api: Api) -> None:
    page = api.http.get("/console/jobs").text
    addresses = re.findall(r'(?:href|src|stream)="(/static/[^"]+)"', page)
    assert len(addresses) > 10
    for address in addresses:
        assert "immutable" in api.http.get(address).headers["cache-control"]
    assert "immutable" not in api.http.get("/static/console/live.js?v=000000000000").headers["cache-control"]
    for hidden in (
        "vendor/README.md",
        "swagger/LICENSE.txt",
        "../app.py",
        "console/../../app.py",
        "nothing.css",
    ):
        assert api.http.get(f"/static/{hidden}").status_code == 404


def test_the_sharing_worker_may_reach_the_stream(api: Api) -> None:
    """A worker has the policy of its own file: with that of other answers it could reach nothing."""
    policy = api.http.get("/static/console/stream.js").headers["content-security-policy"]
    assert "connect-src 'self'" in policy
    assert "script-src" not in policy
