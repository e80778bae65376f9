"""Who may come in, and what every answer says to browsers."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.openai.errors import speaks_openai
from jobs.errors import ConfigurationError, StoreUnavailable
from tests.unit.api.conftest import BASE_URL, Api

KEY = "a-key-of-16-or-more-characters"
PAGES = ("/", "/docs", "/openapi.json", "/v1/jobs", "/v1/models", "/healthz", "/metrics", "/nowhere")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "10.0.0.1", ""]
)
@pytest.mark.parametrize("path", ["/v1/jobs", "/", "/healthz"])
def test_l21_a_foreign_name_that_leads_here_is_refused(api: Api, host: str, path: str) -> None:
    """L21: with keys off any `Host` was answered, so that DNS rebinding read results."""
    answer = api.http.get(path, headers={"Host": host})
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:textmill:problem:unknown_host")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000", "127.1.2.3"])
def test_names_of_this_machine_are_good(api: Api, host: str) -> None:
    assert api.http.get("/v1/jobs", headers={"Host": host}).status_code == 200


def test_names_that_are_allowed_are_good_and_with_keys_any(make_api: Callable[..., Api]) -> None:
    named = make_api(allowed_hosts="textmill.example, other.example")
    assert named.http.get("/v1/jobs", headers={"Host": "textmill.example:443"}).status_code == 200
    assert named.http.get("/v1/jobs", headers={"Host": "evil.example"}).status_code == 400
    with_keys = make_api(api_keys=KEY)
    headers = {"Authorization": f"Bearer {KEY}", "Host": "any.example", "Origin": "https://app.example"}
    assert with_keys.http.get("/v1/jobs", headers=headers).status_code == 200
    body = {"task": "sentiment", "text": "a"}
    assert with_keys.http.post("/v1/jobs", json=body, headers=headers).status_code == 202


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_l21_a_page_of_another_site_changes_nothing(api: Api, headers: dict[str, str]) -> None:
    """L21: any web page could post `text/plain`, which browsers send without asking."""
    job_id = api.submit("a")
    plain = {"Content-Type": "text/plain", **headers}
    assert api.http.post("/v1/jobs?task=sentiment", content=b"b\n", headers=plain).status_code == 403
    assert api.http.post(f"/v1/jobs/{job_id}/cancel", headers=headers).status_code == 403
    assert api.http.delete(f"/v1/jobs/{job_id}", headers=headers).status_code == 403
    assert [job["id"] for job in api.http.get("/v1/jobs").json()["data"]] == [job_id]


def test_a_page_of_ours_and_a_program_may(api: Api) -> None:
    own = {"Origin": BASE_URL, "Sec-Fetch-Site": "same-origin", "Content-Type": "text/plain"}
    assert api.http.post("/v1/jobs?task=sentiment", content=b"b\n", headers=own).status_code == 202
    api.submit("a")


@pytest.mark.parametrize("path", PAGES)
def test_s13_every_answer_tells_browsers_to_run_nothing_foreign(api: Api, path: str) -> None:
    """S13: one page had a policy; scripts of a CDN ran on the origin that holds the data."""
    answer = api.http.get(path)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert not {"unsafe-inline", "unsafe-eval", "*", "http:", "https:"} & set(re.split("[ ;']+", policy))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] in ("no-referrer", "same-origin")
    assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("path", ["/docs", "/"])
def test_s13_pages_take_everything_from_this_server(api: Api, path: str) -> None:
    """S13: `/docs` loaded script, style and icon from three other places."""
    page = api.http.get(path).text
    assert "<script>" not in page
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert links
    for link in links:
        assert link.startswith(("/", "#"))
        assert not link.startswith("//")
        if link.startswith("/static"):
            assert api.http.get(link).status_code == 200, link
    assert "tiangolo" not in page


def test_swagger_ui_comes_with_its_licence_and_its_version() -> None:
    folder = Path(__file__).parents[3] / "api/static/swagger"
    assert "Apache License" in (folder / "LICENSE.txt").read_text()
    version = re.search(r"Swagger UI ([0-9.]+),", (folder / "README.md").read_text())
    assert version is not None
    assert version.group(1) in (folder / "swagger-ui-bundle.js").read_text()


@pytest.mark.parametrize("path", [*PAGES, "/readyz", "/static/console/live.js"])
def test_head_is_get_without_a_body(api: Api, path: str) -> None:
    api.sign_of_life()
    got, head = api.http.get(path), api.http.head(path)
    assert head.status_code == got.status_code
    assert head.content == b""
    for name in ("content-type", "content-security-policy", "content-length"):
        if path not in ("/metrics", "/") or name != "content-length":  # numbers there change
            assert head.headers.get(name) == got.headers.get(name), name


def test_answers_are_packed_for_those_who_ask_and_events_never(api: Api) -> None:
    job_id = api.submit(*["a warm film"] * 200)
    api.work_off(job_id)
    path = f"/v1/jobs/{job_id}/results"
    plain = api.http.get(path, headers={"Accept-Encoding": "identity"})
    with api.http.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as packed:
        raw = b"".join(packed.iter_raw())
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["vary"]
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content) / 4
    assert packed.headers["textmill-result-count"] == "200"
    events = api.http.get(f"/v1/jobs/{job_id}/events", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in events.headers


def test_pages_of_origins_that_are_named_may_call_and_no_others(make_api: Callable[..., Api]) -> None:
    """L21's other side: CORS is off, and opens for whom an operator names."""
    named, ask = "https://app.example", {"Access-Control-Request-Method": "POST"}
    shut = make_api()
    for origin in (named, "https://evil.example"):
        answer = shut.http.options("/v1/jobs", headers={"Origin": origin, **ask})
        assert not [name for name in answer.headers if name.startswith("access-control")]
    api = make_api(allowed_origins=f"{named}, http://127.0.0.1:3000")
    asked = {**ask, "Access-Control-Request-Headers": "authorization, content-type, idempotency-key"}
    assert (
        api.http.options("/v1/jobs", headers={"Origin": named, **asked}).headers[
            "access-control-allow-origin"
        ]
        == named
    )
    body = {"task": "sentiment", "text": "a"}
    sent = api.http.post("/v1/jobs", json=body, headers={"Origin": named, "Sec-Fetch-Site": "cross-site"})
    assert (sent.status_code, sent.headers["access-control-allow-origin"]) == (202, named)
    assert "Location" in sent.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in sent.headers
    for origin in ("https://evil.example", "null", "https://app.example.evil.example", "http://app.example"):
        assert api.http.post("/v1/jobs", json=body, headers={"Origin": origin}).status_code == 403
        answer = api.http.get("/v1/jobs", headers={"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["*", "null", "app.example", "https://*.example", "https://app.example/", "https://a b"]
)
def test_an_origin_that_is_none_is_refused(make_api: Callable[..., Api], origin: str) -> None:
    with pytest.raises(ConfigurationError, match="TEXTMILL_ALLOWED_ORIGINS"):
        make_api(allowed_origins=origin)


@pytest.mark.parametrize("path", ["/v1/jobs/", "/v1/models/", "/docs/"])
def test_nobody_is_sent_to_another_address(api: Api, path: str) -> None:
    """S7's relative: the address was made of `Host` and http://, and a client behind TLS took its key there."""
    answer = api.http.get(path, follow_redirects=False)
    assert (answer.status_code, "location" in answer.headers) == (404, False)


def test_head_of_a_stream_ends(api: Api) -> None:
    job_id = api.submit("a")
    for path in (f"/v1/jobs/{job_id}/events", f"/v1/jobs/{job_id}/results", "/console/events"):
        answer = api.http.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
    assert "HEAD" in api.http.get("/metrics").text


def test_s23e_a_body_of_two_lengths_is_refused(api: Api) -> None:
    """S23e: chunked won, and what followed was taken for the next request."""

    def chunks() -> Any:
        yield b"a\n"

    headers = {"Content-Type": "text/plain", "Content-Length": "2", "Transfer-Encoding": "chunked"}
    answer = api.http.post("/v1/jobs?task=sentiment", content=chunks(), headers=headers)
    assert (answer.status_code, answer.headers["connection"]) == (400, "close")


def test_s20_what_does_not_answer_is_not_described_outside(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """S20: `/readyz` and every 503 told anybody host, port, user and name of the database."""

    def fail(*_: object, **__: object) -> Any:
        raise StoreUnavailable('connection to server at "10.1.2.3", port 5432 failed for user "textmill"')

    for verb in ("ping", "list_jobs", "workers"):
        monkeypatch.setattr(api.store, verb, fail)
    for path in ("/readyz", "/v1/jobs", "/", "/metrics"):
        answer = api.http.get(path)
        assert answer.status_code == 503
        assert not any(word in answer.text for word in ("10.1.2.3", "5432", "user")), answer.text
    assert "10.1.2.3" in caplog.text, "the log has it"


def test_s20_why_a_model_fails_is_for_those_who_have_a_key(make_api: Callable[..., Api]) -> None:
    """S20, its relative: paths stand in such messages."""
    broken = {"error": "cannot_load", "message": "no config.json in /srv/models/secret"}
    api = make_api(api_keys=KEY)
    api.sign_of_life(models=["noop:s"], told={"noop:s": broken})
    assert "/srv/models" not in api.http.get("/readyz").text
    assert "/srv/models" in api.http.get("/readyz", headers={"Authorization": f"Bearer {KEY}"}).text


def test_metrics_and_readiness_may_have_a_port_of_their_own(make_api: Callable[..., Api]) -> None:
    api = make_api(operations_port=9000)
    public = TestClient(api.http.app, base_url="http://127.0.0.1:8000")
    private = TestClient(api.http.app, base_url="http://127.0.0.1:9000")
    for path, is_public, is_private in (
        ("/metrics", False, True), ("/readyz", False, True), ("/healthz", True, True),
        ("/v1/jobs", True, False), ("/", True, False), ("/openapi.json", True, False),
    ):  # fmt: skip
        assert (public.get(path).status_code != 404) is is_public, path
        assert (private.get(path).status_code != 404) is is_private, path


def test_l18_the_console_opens_one_stream_for_all_jobs(api: Api) -> None:
    """L18: a stream a row took all six connections of a browser, and everything else hung."""
    job_ids = [api.submit("a") for _ in range(8)]
    shared, own = (api.http.get(f"/static/console/{name}.js").text for name in ("stream", "live"))
    assert shared.count("new EventSource(") == 1, "one for all pages of a browser"
    assert own.count("new EventSource(") == 1, "one a page, in a browser without shared workers"
    assert "document.hidden" in own, "tabs that nobody looks at keep no connection"
    with TestClient(api.http.app, base_url=BASE_URL).stream("HEAD", "/console/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
    page = api.http.get("/console/jobs").text
    assert all(f'data-job="{job_id}"' in page for job_id in job_ids)


def test_s23b_the_document_names_keys_and_every_answer(api: Api) -> None:
    """S23b: no security scheme, and of all answers that are no success one."""
    document = api.http.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert "HTTPValidationError" not in str(document)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            named = set(operation["responses"])
            is_openais = speaks_openai(path)
            assert ({"400"} if is_openais else {"400", "422"}) <= named
            kind = "application/json" if is_openais else "application/problem+json"
            assert set(operation["responses"]["400"]["content"]) == {kind}
            if path.startswith("/v1"):
                assert operation["security"]
                assert {"401", "403", "429", "503"} <= named
            if "{job_id}" in path:
                assert "404" in named
    submit = document["paths"]["/v1/jobs"]["post"]["responses"]
    assert {"202", "408", "413", "415"} <= set(submit)
    assert set(submit["413"]["content"]) == {"application/problem+json"}
