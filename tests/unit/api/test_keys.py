"""Projects and keys over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from api import submission
from tests.support.waiting import wait_until
from tests.unit.api.conftest import Api
from textmill.stack.plan import probe_key
from textmill.stack.readiness import Readiness

ADMIN, ALPHA, BETA = (name * 16 for name in "zab")


@pytest.fixture
def keyed(make_api: Callable[..., Api]) -> Api:
    return make_api(api_keys=f"{ALPHA},{BETA}", admin_key=ADMIN)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def submit(api: Api, key: str) -> dict[str, Any]:
    answer = api.http.post("/v1/jobs", json={"task": "sentiment", "text": "x"}, headers=bearer(key))
    assert answer.status_code == 202
    return dict(answer.json())


def listed(api: Api, key: str, **query: str) -> list[str]:
    return [j["id"] for j in api.http.get("/v1/jobs", headers=bearer(key), params=query).json()["data"]]


def created(api: Api, path: str = "/v1/keys", **body: Any) -> dict[str, Any]:
    answer = api.http.post(path, json=body, headers=bearer(ADMIN))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_a_key_sees_only_the_jobs_of_its_project(keyed: Api) -> None:
    job_id = submit(keyed, ALPHA)["id"]
    assert keyed.http.get(f"/v1/jobs/{job_id}", headers=bearer(ALPHA)).status_code == 200
    for path in (f"/v1/jobs/{job_id}", f"/v1/jobs/{job_id}/results"):
        assert keyed.http.get(path, headers=bearer(BETA)).status_code == 404
    assert (listed(keyed, ALPHA), listed(keyed, BETA)) == ([job_id], [])
    for headers in ({}, bearer("c" * 16), {"Authorization": f"Basic {ALPHA}"}):
        refused = keyed.http.get("/v1/jobs", headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"


def test_a_project_with_several_keys_keeps_its_jobs_when_one_is_rotated(keyed: Api) -> None:
    """L20: a key was rotated, and its jobs were lost to their owner."""
    created(keyed, "/v1/projects", name="reviews")
    first, second = (created(keyed, name=name, project="reviews") for name in ("laptop", "ci"))
    job = submit(keyed, first["key"])
    assert job["project"] == "reviews"
    assert listed(keyed, second["key"]) == [job["id"]]
    rotated = created(keyed, f"/v1/keys/{first['id']}/rotate")
    assert (rotated["name"], rotated["project"], rotated["live"]) == ("laptop", "reviews", True)
    assert listed(keyed, rotated["key"]) == [job["id"]]
    assert keyed.http.get("/v1/jobs", headers=bearer(first["key"])).status_code == 401
    assert keyed.http.delete(f"/v1/keys/{second['id']}", headers=bearer(ADMIN)).status_code == 204
    assert keyed.http.get("/v1/jobs", headers=bearer(second["key"])).status_code == 401
    assert listed(keyed, rotated["key"]) == [job["id"]]
    again = keyed.http.post(f"/v1/keys/{second['id']}/rotate", headers=bearer(ADMIN))
    assert again.status_code == 409


def test_an_administrator_sees_and_leads_the_jobs_of_every_project(keyed: Api) -> None:
    """L20: there was no administrator's view."""
    first, second = submit(keyed, ALPHA), submit(keyed, BETA)
    assert listed(keyed, ADMIN) == [second["id"], first["id"]]
    assert listed(keyed, ADMIN, project=first["project"]) == [first["id"]]
    assert (
        keyed.http.get(f"/v1/jobs/{first['id']}", headers=bearer(ADMIN)).json()["project"] == first["project"]
    )
    cancelled = keyed.http.post(f"/v1/jobs/{second['id']}/cancel", headers=bearer(ADMIN))
    assert cancelled.json()["status"] == "cancelled"
    assert first["id"] in keyed.http.get("/console/jobs", headers=bearer(ADMIN)).text
    assert keyed.http.get("/v1/jobs/job_unknown", headers=bearer(ADMIN)).status_code == 404
    other = keyed.http.get("/v1/jobs", headers=bearer(BETA), params={"project": first["project"]})
    assert other.status_code == 403


def test_an_administrator_submits_for_any_project_and_a_key_for_its_own(keyed: Api) -> None:
    created(keyed, "/v1/projects", name="reviews")
    key = created(keyed, name="ci", project="reviews")["key"]

    def submitted(by: str, project: str | None) -> Any:
        body = {"task": "sentiment", "text": "x"} | ({} if project is None else {"project": project})
        return keyed.http.post("/v1/jobs", json=body, headers=bearer(by))

    for_reviews = submitted(ADMIN, "reviews").json()
    assert for_reviews["project"] == "reviews"
    assert listed(keyed, key) == [for_reviews["id"]]
    assert submitted(ADMIN, None).json()["project"] == "default"
    assert submitted(ADMIN, "nowhere").status_code == 404
    assert submitted(key, "reviews").status_code == 202
    for other in ("default", "nowhere"):
        assert submitted(key, other).status_code == 403


def test_a_key_is_told_once_and_known_by_its_beginning_after_that(keyed: Api) -> None:
    made = created(keyed, name="ci", project="default")
    answer = keyed.http.get("/v1/keys", headers=bearer(ADMIN))
    by_id = {key["id"]: key for key in answer.json()["data"]}
    assert made["key"] not in answer.text
    assert made["key"].startswith(by_id[made["id"]]["prefix"])
    assert len(made["prefix"]) < len(made["key"]) / 3
    assert [key["origin"] for key in by_id.values() if key["id"] != made["id"]].count("settings") <= 3
    of_project = keyed.http.get("/v1/keys", headers=bearer(ADMIN), params={"project": "default"}).json()[
        "data"
    ]
    assert [key["id"] for key in of_project] == [made["id"]]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": ""}, 422),
        ({"name": "a\nb"}, 422),
        ({"name": "x", "admin": True, "project": "default"}, 422),
        ({"name": "x", "colour": "red"}, 422),
        ({"name": "x", "project": "nowhere"}, 404),
    ],
)
def test_a_key_that_cannot_be_made_is_refused(keyed: Api, body: dict[str, Any], status: int) -> None:
    assert keyed.http.post("/v1/keys", json=body, headers=bearer(ADMIN)).status_code == status


def test_without_keys_everybody_is_of_the_default_project_and_nobody_administers(api: Api) -> None:
    job_id = api.submit("good")
    assert api.http.get(f"/v1/jobs/{job_id}").json()["project"] == "default"
    refused = api.http.post("/v1/keys", json={"name": "ci"})
    assert refused.status_code == 409
    assert "TEXTMILL_ADMIN_KEY" in refused.json()["detail"]


@pytest.mark.parametrize(
    "settings",
    [{}, {"admin_key": ADMIN}, {"api_keys": ALPHA}, {"admin_key": ADMIN, "api_keys": f"{ALPHA} {BETA}"}],
)
def test_up_hears_why_a_model_is_not_served_whatever_keys_there_are(
    make_api: Callable[..., Api], settings: dict[str, str]
) -> None:
    """S20's price: with an administrator's key alone `up` asked without one, and was told no reason."""
    locked = make_api(**settings)
    locked.sign_of_life(
        models=("noop:s",), told={"noop:s": {"error": "no_such_model", "message": "it is gone"}}
    )
    key = probe_key(locked.http.app.state.context.settings)
    asked = Readiness(
        "http://127.0.0.1:8000", [], flower_url=None, has_workers=True,
        client=httpx2.Client(transport=_Here(locked, bearer(key) if key else {})),
    )  # fmt: skip
    asked.is_reached()
    assert "it is gone" in [model.text for model in asked.models]


class _Here(httpx2.BaseTransport):
    """Asks an API in this process."""

    def __init__(self, api: Api, headers: dict[str, str]) -> None:
        self._api, self._headers = api, headers

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = self._api.http.get(request.url.path, headers=self._headers)
        return httpx2.Response(answer.status_code, json=answer.json())


def test_whoever_turns_keys_on_finds_the_jobs_of_before(make_api: Callable[..., Api]) -> None:
    """L20: switching keys on hid every job from everybody."""
    job_id = make_api().submit("good")
    locked = make_api(admin_key=ADMIN)
    assert listed(locked, ADMIN) == [job_id]
    assert listed(locked, created(locked, name="ci")["key"]) == [job_id]


def test_a_download_breaks_off_when_its_key_is_revoked(keyed: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    made = created(keyed, name="ci", project="default")
    body = {"task": "sentiment", "documents": ["good"] * 5}
    job_id = keyed.http.post("/v1/jobs", json=body, headers=bearer(made["key"])).json()["id"]
    keyed.work_off(job_id)
    monkeypatch.setattr("api.result_reading._PAGE", 2)
    path = f"/v1/jobs/{job_id}/results"
    whole = keyed.http.get(path, headers=bearer(made["key"]))
    assert len(whole.text.splitlines()) == 5
    store, book = keyed.http.app.state.context.store, keyed.http.app.state.context.keys
    read = store.result_page

    def read_and_revoke(*arguments: Any, **options: Any) -> Any:
        page = read(*arguments, **options)
        if options["after"] > 0:  # the second page
            book.revoke(made["id"])
        return page

    monkeypatch.setattr(store, "result_page", read_and_revoke)
    cut = keyed.http.get(path, headers=bearer(made["key"]))
    assert len(cut.text.splitlines()) < 5


@pytest.mark.parametrize("path", ["/console/events", "/v1/jobs/{}/events", "/v1/jobs/{}?wait=60"])
def test_what_is_open_for_long_ends_soon_after_its_key_though_nothing_happens(
    keyed: Api, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """The console's stream went on for ever, a wait to its end."""
    monkeypatch.setattr("api.context.KEY_LOOK_SECONDS", 0.5)
    made = created(keyed, name="ci", project="default")
    filled = path.format(submit(keyed, made["key"])["id"])
    statuses: list[int] = []
    listener = threading.Thread(
        target=lambda: statuses.append(keyed.http.get(filled, headers=bearer(made["key"])).status_code),
        daemon=True,
    )
    book = keyed.http.app.state.context.keys
    asked: list[str] = []
    holds = book.holds
    monkeypatch.setattr(book, "holds", lambda caller: (asked.append(caller.key_id), holds(caller))[1])
    listener.start()
    wait_until(lambda: len(asked) >= 2, what="it is open, and looks at its key")
    assert listener.is_alive()
    assert keyed.http.delete(f"/v1/keys/{made['id']}", headers=bearer(ADMIN)).status_code == 204
    wait_until(lambda: not listener.is_alive(), what="it ended")
    assert statuses == [401 if "wait" in path else 200]


def test_a_body_whose_key_ends_while_it_arrives_is_no_job(
    keyed: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key was looked at before a body of hours, and not after it."""
    made = created(keyed, name="ci", project="default")
    book = keyed.http.app.state.context.keys

    def receive_and_revoke(spool: Any, documents: Any) -> None:
        write(spool, documents)
        book.revoke(made["id"])

    write = submission._write
    monkeypatch.setattr(submission, "_write", receive_and_revoke)
    body = {"task": "sentiment", "text": "x"}
    assert keyed.http.post("/v1/jobs", json=body, headers=bearer(made["key"])).status_code == 401
    assert listed(keyed, ADMIN) == []


def test_a_revoked_key_loses_the_streams_it_has_open(keyed: Api) -> None:
    made = created(keyed, name="ci", project="default")
    job_id = submit(keyed, made["key"])["id"]
    lines: list[str] = []

    def listen() -> None:
        with keyed.http.stream("GET", f"/v1/jobs/{job_id}/events", headers=bearer(made["key"])) as stream:
            lines.extend(stream.iter_lines())

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    changes = keyed.http.app.state.context.changes
    wait_until(lambda: changes._waiting, what="the stream is open")
    assert keyed.http.delete(f"/v1/keys/{made['id']}", headers=bearer(ADMIN)).status_code == 204
    keyed.http.post(f"/v1/jobs/{job_id}/cancel", headers=bearer(ADMIN))
    wait_until(lambda: not listener.is_alive(), what="the stream ended")
    assert "event: progress" in lines
    assert "event: done" not in lines
