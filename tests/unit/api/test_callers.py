"""Who may call what: every route of the app times every kind of caller."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from fastapi.routing import iter_route_contexts

from api.openai.endpoints import ENDPOINTS
from tests.unit.api.conftest import Api

ADMIN, OWN, OTHER, GONE = (name * 16 for name in "zabc")
#: Without a key: what watchers probe, and what pages are made of.
OPEN = {"/healthz", "/readyz", "/metrics", "/static/{name:path}"}
#: Where a browser shows its key; without a session there is none to leave.
ENTRANCE = "/console/login"
DOCUMENTATION = {"/docs", "/openapi.json"}
#: Go on as long as somebody listens: who is let in would wait for ever, so only those who are not are tried.
ENDLESS = {"/console/events"}
_ENTERING = {"own", "other", "admin"}
ADMINISTRATORS = ("/v1/keys", "/v1/projects", "/console/keys")
#: Bodies that are read by pieces, and bounded while they arrive.
BY_PIECES = {"/v1/jobs", "/v1/files", "/v1/batches", "/console/submit", "/console/submit/preview", *ENDPOINTS}
#: Nothing is read for these, whatever comes.
BODILESS = ("/cancel", "/logout", "/replay", "/revoke", "/console/keys/{key_id}/rotate")
#: Who is there is known before a body is read.
ASKED_FIRST = {"/console/call", "/console/try"}
FORMS = {"/v1/files": {"data": {"purpose": "batch"}, "files": {"file": ("a.jsonl", b"{}")}}}
BATCH = {
    "endpoint": "/v1/sentiment",
    "completion_window": "24h",
    "requests": [{"custom_id": "1", "method": "POST", "url": "/v1/sentiment", "body": {"input": "good"}}],
}
BODIES = {
    "/v1/batches": BATCH,
    "/v1/jobs": {"task": "sentiment", "text": "good"},
    "/v1/keys": {"name": "ci"},
    "/v1/projects": {"name": "reviews"},
    "/v1/projects/{name}": {"limits": {}},
}


@dataclass
class House:
    """An API with keys on."""

    api: Api
    read: str = ""  #: a finished job of OWN's, for calls that change nothing

    def call(self, method: str, path: str, key: str | None) -> int:
        """The status of a call, with the identifiers of the path filled in."""
        job_id = self._job(is_read=method in ("GET", "HEAD")) if "{job_id}" in path else ""
        filled = path.replace("{job_id}", job_id).replace("{key_id}", "key_unknown")
        if "{file_id}" in filled:
            filled = filled.replace("{file_id}", self._made("/v1/files"))
        if "{batch_id}" in filled:
            filled = filled.replace("{batch_id}", self._made("/v1/batches"))
        filled = (
            filled.replace("{name}", "favicon.svg")
            .replace("{name:path}", "favicon.svg")
            .replace("{model:path}", "noop:s")
        )
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        sent = FORMS.get(path, {"json": BODIES.get(path)})
        return self.api.http.request(method, filled, headers=headers, **sent).status_code  # type: ignore[arg-type]

    def _made(self, path: str) -> str:
        """A new file or batch of OWN's."""
        sent = FORMS.get(path, {"json": BODIES.get(path)})
        headers = {"Authorization": f"Bearer {OWN}"}
        return str(self.api.http.post(path, headers=headers, **sent).json()["id"])  # type: ignore[arg-type]

    def _job(self, *, is_read: bool) -> str:
        """A finished one of OWN's: a call for its events ends, and every action gets past the door."""
        if is_read and self.read:
            return self.read
        body = {"task": "sentiment", "text": "good"}
        headers = {"Authorization": f"Bearer {OWN}"}
        job_id = str(self.api.http.post("/v1/jobs", json=body, headers=headers).json()["id"])
        self.api.work_off(job_id)
        self.read = self.read or (job_id if is_read else "")
        return job_id


@pytest.fixture
def house(make_api: Callable[..., Api]) -> House:
    api = make_api(api_keys=f"{OWN} {OTHER} {GONE}", admin_key=ADMIN)
    book = api.http.app.state.context.keys
    book.open()
    book.revoke(book.identify(GONE).key_id)
    return House(api)


def routes(api: Api) -> list[tuple[str, str]]:
    """Method and path of everything that the app answers."""
    found = []
    for route in iter_route_contexts(api.http.app.router.routes):
        methods = route.methods | ({"HEAD"} if "GET" in route.methods else set())  # wherever GET is answered
        found += [(method, str(route.path)) for method in sorted(methods)]
    return found


def test_the_routes_are_found(house: House) -> None:
    found = {path for _, path in routes(house.api)}
    assert OPEN | DOCUMENTATION | {"/", "/v1/jobs", "/v1/jobs/{job_id}/events", "/v1/keys/{key_id}"} <= found
    assert set(house.api.http.get("/openapi.json").json()["paths"]) <= {
        path.replace(":path}", "}") for path in found
    }


def test_a_verb_that_a_route_does_not_know_does_nothing(house: House) -> None:
    """Another spelling of the same attack: nothing but what the routes name is ever done, whoever asks."""
    known: dict[str, set[str]] = {}
    for method, path in routes(house.api):
        known.setdefault(path, set()).add(method)
    verbs = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"}
    for path, methods in known.items():
        filled = re.sub(r"{[a-z_:]+}", "unknown", path)
        for method in verbs - methods:
            for headers in ({}, {"Authorization": f"Bearer {ADMIN}"}):
                status = house.api.http.request(method, filled, headers=headers).status_code
                assert status == 405, f"{method} {path}: {status}"


def test_every_route_knows_every_kind_of_caller(house: House) -> None:
    """A new route without a key at its door is found here, and named."""
    wrong = {}
    for method, path in routes(house.api):
        for name, key, expected in _callers(path):
            if path in ENDLESS and name in _ENTERING and method != "HEAD":
                continue
            status = house.call(method, path, key)
            if not expected(status):
                wrong[f"{method} {path} for {name}"] = status
    assert not wrong


@pytest.mark.parametrize("has_keys", [True, False])
def test_s23b_what_callers_hear_is_in_the_document(
    house: House, make_api: Callable[..., Api], has_keys: bool
) -> None:
    """S23b: 404 and 409 of keys and projects were in no answer of the document."""
    api = house.api if has_keys else make_api()
    document = api.http.get("/openapi.json").json()
    strange = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for key in (None, OWN, ADMIN):
                headers = {"Authorization": f"Bearer {key}"} if key else {}
                filled = path.replace("{job_id}", "job_" + "0" * 32).replace("{key_id}", "key_unknown")
                filled = filled.replace("{name}", "nowhere")
                for body in (
                    BODIES.get(path),
                    {"unknown": 1},
                    {**(BODIES.get(path) or {}), "project": "nowhere"},
                ):
                    answer = api.http.request(method, filled, headers=headers, json=body)
                    if str(answer.status_code) not in operation["responses"]:
                        strange.append((method, path, key, answer.status_code))
    assert not strange


def test_nobody_makes_the_api_hold_a_large_body(house: House) -> None:
    """Without a key, `POST /v1/keys` was read into memory to its end before anybody was asked for one."""
    sent = []

    def body() -> Iterator[bytes]:
        for _ in range(2):
            sent.append(1 << 16)
            yield b" " * (1 << 16)

    held = {}
    for method, path in routes(house.api):
        reads_none = method in ("GET", "HEAD") or "{job_id}" in path or path.endswith(BODILESS)
        if reads_none or path in BY_PIECES:
            continue
        filled = path.replace("{key_id}", "key_unknown").replace("{name}", "reviews")
        for key in (None, OWN, ADMIN):
            headers = {
                "Content-Type": "application/x-www-form-urlencoded"
                if path.startswith("/console")
                else "application/json",
                **({"Authorization": f"Bearer {key}"} if key else {}),
            }
            answer = house.api.http.request(method, filled, content=body(), headers=headers)
            if key is None and answer.status_code == 401 and path in ASKED_FIRST:
                continue
            if answer.status_code != 413 and method != "DELETE":
                held[f"{method} {path}"] = answer.status_code
            elif method != "DELETE":
                assert answer.json()["type"] == "urn:textmill:problem:payload_too_large"
    assert sent
    assert not held


def _callers(path: str) -> list[tuple[str, str | None, Callable[[int], bool]]]:
    """Each kind of caller, its key, and what it may hear."""
    if path in OPEN or path in DOCUMENTATION:
        return [(name, key, _is_let_in) for name, key in (("none", None), ("wrong", "x" * 16))]
    if path == ENTRANCE:  # the form, or what is wrong with what was sent instead of it
        return [(name, key, _is_let_in) for name, key in (("none", None), ("wrong", "x" * 16), ("own", OWN))]
    strangers: list[tuple[str, str | None, Callable[[int], bool]]] = [
        (name, key, lambda status: status == 401)
        for name, key in (("none", None), ("wrong", "x" * 16), ("revoked", GONE))
    ]
    if path.startswith(ADMINISTRATORS):
        forbidden = lambda status: status == 403  # noqa: E731
        known = lambda status: status in (200, 201, 303, 404, 409, 422)  # noqa: E731
        return [*strangers, ("own", OWN, forbidden), ("other", OTHER, forbidden), ("admin", ADMIN, known)]
    hidden = lambda status: status == 404  # noqa: E731
    if "{webhook_id}" in path:  # of an id that nobody has; others' are tried in test_webhooks
        gone = lambda status: status in (404, 422)  # noqa: E731  # 422: without a body
        return [*strangers, ("other", OTHER, gone), ("own", OWN, gone), ("admin", ADMIN, gone)]
    if "{file_id}" in path or "{batch_id}" in path:  # an administrator's own are of the default project
        return [*strangers, ("other", OTHER, hidden), ("own", OWN, _is_let_in), ("admin", ADMIN, hidden)]
    if "{job_id}" in path:
        return [*strangers, ("other", OTHER, hidden), ("own", OWN, _is_let_in), ("admin", ADMIN, _is_let_in)]
    if path in ENDPOINTS:  # asked without a body, which OpenAI calls 400
        refused = lambda status: status == 400  # noqa: E731
        return [*strangers, ("other", OTHER, refused), ("own", OWN, refused), ("admin", ADMIN, refused)]
    return [*strangers, ("other", OTHER, _is_let_in), ("own", OWN, _is_let_in), ("admin", ADMIN, _is_let_in)]


def _is_let_in(status: int) -> bool:
    """The call was about its own business: done, or refused for what it asked."""
    return status in (200, 202, 204, 303, 304, 409, 415, 422, 503)
