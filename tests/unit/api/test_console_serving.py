"""Overview, models, workers, usage and keys: true for a project's key and for an administrator's."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from api.console.throughput import Throughput
from jobs import jsontext
from jobs.listing import Progress
from tests.unit.api.conftest import Api
from tests.unit.api.test_console import ADMIN, HTML, OTHER, OWN, browser, submitted, token_of

PAGES = ("/", "/console/models", "/console/workers", "/console/usage")


@pytest.fixture
def keyed(make_api: Callable[..., Api]) -> Api:
    return make_api(api_keys=f"{OWN} {OTHER}", admin_key=ADMIN)


def test_every_page_opens_without_jobs_and_workers_and_with_them(api: Api) -> None:
    for _ in range(2):
        for address in PAGES:
            answer = api.http.get(address, headers=HTML)
            assert answer.status_code == 200, address
            assert "style=" not in answer.text
        api.sign_of_life()
        api.work_off(api.submit("a", "b", "c"), failing=(1,))


def test_the_overview_tells_a_project_of_its_own_and_an_administrator_of_all(keyed: Api) -> None:
    mine = submitted(keyed, OWN, documents=["a", "b", "c"])
    theirs = submitted(keyed, OTHER, documents=["a"] * 40)
    keyed.work_off(theirs, failing=(0, 1), leaving=tuple(range(5, 40)))
    seen = {key: browser(keyed, key).get("/").text for key in (OWN, OTHER, ADMIN)}
    waiting = {
        key: re.search(r"<td class=\"num\">0</td><td class=\"num\">(\d+)</td>", page)
        for key, page in seen.items()
    }
    assert {key: found and found[1] for key, found in waiting.items()} == {OWN: "3", OTHER: "35", ADMIN: "38"}
    assert "too_long" not in seen[OWN]
    assert theirs not in seen[OWN]
    for key in (OTHER, ADMIN):
        assert "too_long" in seen[key]
        assert f"/console/jobs/{theirs}?status=failed" not in seen[OWN]
    assert mine not in seen[OTHER]
    assert "Disk and database" in seen[ADMIN]
    assert "Disk and database" not in seen[OWN]


def test_failures_of_a_job_that_is_retried_are_not_told(api: Api) -> None:
    job_id = api.submit("a", "b")
    api.work_off(job_id, failing=(0,))
    assert "too_long" in api.http.get("/", headers=HTML).text
    api.http.post(f"/v1/jobs/{job_id}/retry")
    assert "too_long" not in api.http.get("/", headers=HTML).text


def test_a_worker_shows_what_it_holds_of_the_visitors_jobs_alone(keyed: Api) -> None:
    keyed.sign_of_life("w")
    theirs = submitted(keyed, OTHER, documents=["a"] * 7)
    (ticket,) = keyed.store.take_window(job_id=theirs, window=1, resend_after_seconds=0.0)
    assert keyed.store.claim(ticket.key, worker_id="w", lease_seconds=60)
    other, own = (browser(keyed, key).get("/console/workers").text for key in (OTHER, OWN))
    assert theirs in other
    assert '<td class="num" data-l="Documents">7</td>' in other
    assert theirs not in own
    assert '<td class="num" data-l="Documents">0</td>' in own


def test_models_say_how_they_stand(api: Api) -> None:
    api.sign_of_life(
        told={"noop:s": {"dtype": "float32", "proven": True, "proven_tokens": 512, "parameters": 11_200_000}}
    )
    page = api.http.get("/console/models", headers=HTML).text
    for said in ("up to 512 tokens", "11.2 M", "4 listed, 1 served", "No worker"):
        assert said in page, said
    only = api.http.get("/console/models?task=sentiment", headers=HTML).text
    assert only.count('<article class="card">') == 1
    api.sign_of_life(told={"noop:s": {"error": "cannot_load", "message": "<b>no</b> such file"}})
    assert "&lt;b&gt;no&lt;/b&gt; such file" in api.http.get("/console/models", headers=HTML).text


def test_usage_is_what_the_api_counts(keyed: Api) -> None:
    keyed.work_off(submitted(keyed, OWN, documents=["a"] * 12), failing=(3,))
    page = browser(keyed, OWN).get("/console/usage?days=7").text
    (spec,) = re.findall(r'data-chart="([^"]+)"', page)
    chart = jsontext.loads(spec.replace("&#34;", '"'))
    assert len(chart["xs"]) == 7
    answer = keyed.http.get("/v1/usage?by=day", headers={"Authorization": f"Bearer {OWN}"}).json()
    assert chart["series"][0]["values"][-1] == answer["data"][0]["input_tokens"]
    assert "<dd>12</dd>" in page
    assert "Nothing was used" in browser(keyed, OTHER).get("/console/usage").text


def test_keys_are_made_shown_once_rotated_and_revoked_by_an_administrator_alone(keyed: Api) -> None:
    admin = browser(keyed, ADMIN)
    token = token_of(admin.get("/console/keys").text)
    made = admin.post(
        "/console/keys", data={"token": token, "name": "Nightly", "project": "", "kind": "project"}
    ).text
    key = re.search(r'id="newkey">(tm_[\w-]+)<', made)
    assert key
    assert keyed.http.get("/v1/jobs", headers={"Authorization": f"Bearer {key[1]}"}).status_code == 200
    listed = admin.get("/console/keys").text
    assert key[1] not in listed, "shown once"
    key_id = re.search(r"/console/keys/(\w+)/rotate", listed)
    assert key_id
    rotated = re.search(
        r'id="newkey">(tm_[\w-]+)<',
        admin.post(f"/console/keys/{key_id[1]}/rotate", data={"token": token}).text,
    )
    assert rotated
    assert rotated[1] != key[1]
    assert admin.post(f"/console/keys/{key_id[1]}/revoke", data={"token": token}).status_code == 303
    assert keyed.http.get("/v1/jobs", headers={"Authorization": f"Bearer {key[1]}"}).status_code == 401
    wrong = admin.post(
        "/console/keys", data={"token": token, "name": "x", "project": "unheard", "kind": "project"}
    )
    assert wrong.status_code == 422
    assert "unheard" in wrong.text


def test_nobody_else_sees_keys_and_no_form_of_another_session_makes_one(keyed: Api) -> None:
    own, admin = browser(keyed, OWN), browser(keyed, ADMIN)
    assert own.get("/console/keys").status_code == 403
    assert "/console/keys" not in own.get("/").text
    token = token_of(own.get("/console/submit").text)
    form = {"name": "x", "project": "", "kind": "admin"}
    assert own.post("/console/keys", data={**form, "token": token}).status_code == 403
    assert admin.post("/console/keys", data={**form, "token": token}).status_code == 403
    assert admin.post("/console/keys", data=form).status_code == 403


def test_without_keys_there_is_no_page_of_keys(api: Api) -> None:
    assert api.http.get("/console/keys", headers=HTML).status_code == 409


def test_throughput_is_what_was_computed_in_each_step_by_owner() -> None:
    now = [1000.0]
    seen = Throughput(clock=lambda: now[0])

    def look(**jobs: tuple[str, int, int]) -> None:
        seen.see(Progress(job_id=i, owner=o, documents=d, tokens=t) for i, (o, d, t) in jobs.items())

    look(old=("a", 500, 9000))
    assert seen.moments(owner=None) == [], "what was done before the first look was done some time"
    now[0] += 10
    look(old=("a", 530, 9600), new=("b", 20, 200))
    now[0] += 20
    look(old=("a", 100, 9600), new=("b", 20, 200))  # retried, and nothing
    steps = [(m.documents, m.tokens) for m in seen.moments(owner=None)]
    assert steps == [(5.0, 80.0), (0.0, 0.0)]
    assert [(m.documents, m.tokens) for m in seen.moments(owner="b")] == [(2.0, 20.0), (0.0, 0.0)]
    assert seen.latest(owner="nobody").documents == 0.0  # type: ignore[union-attr]
