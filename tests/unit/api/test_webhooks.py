"""Issue 21.4: webhooks over HTTP, delivered by the API's own thread to a receiver on loopback."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from openai import OpenAI
from openai._exceptions import InvalidWebhookSignatureError
from openai.types.webhooks import BatchCompletedWebhookEvent

from tests.support.hooks import Receiver
from tests.support.openai_client import line
from tests.support.waiting import wait_until
from tests.unit.api.conftest import Api

ADMIN, ALPHA, BETA = (name * 16 for name in "zab")
OWN = "whsec_" + base64.b64encode(b"0123456789" * 3).decode()


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api(webhook_allow="127.0.0.1")


def bearer(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def made(api: Api, url: str, *, key: str | None = None, **body: Any) -> dict[str, Any]:
    answer = api.http.post("/v1/webhooks", json={"url": url, **body}, headers=bearer(key))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def unwrapped(received: Any, secret: str) -> Any:
    """By the stock client, unchanged."""
    client = OpenAI(api_key="unused", webhook_secret=secret)
    return client.webhooks.unwrap(received.body, received.headers)


def test_the_stock_client_verifies_the_event_of_a_batch(api: Api, receiver: Receiver) -> None:
    hook = made(api, receiver.url)
    body = {
        "endpoint": "/v1/sentiment", "completion_window": "24h",
        "requests": [line("a", "/v1/sentiment", {"input": "x"})],
    }  # fmt: skip
    batch = api.http.post("/v1/batches", json=body).json()
    api.work_off(batch["id"].replace("batch_", "job_"))
    wait_until(lambda: bool(receiver.got), what="the event comes")
    event = unwrapped(receiver.got[0], hook["secret"])
    assert isinstance(event, BatchCompletedWebhookEvent)
    assert (event.type, event.data.id, event.object) == ("batch.completed", batch["id"], "event")
    assert event.id == receiver.got[0].headers["webhook-id"]
    with pytest.raises(InvalidWebhookSignatureError):
        unwrapped(receiver.got[0], OWN)
    wait_until(lambda: _states(api, hook["id"]) == ["delivered"], what="it is settled")
    metrics = api.http.get("/metrics").text
    assert 'textmill_webhook_tries_total{outcome="delivered"} 1.0' in metrics


def _states(api: Api, webhook_id: str, key: str | None = None) -> list[str]:
    found = api.http.get(f"/v1/webhooks/{webhook_id}/deliveries", headers=bearer(key)).json()
    return [each["state"] for each in found["data"]]


@pytest.mark.parametrize("has_own_secret", [False, True], ids=["made", "given"])
def test_a_job_brings_its_webhook_with_it(api: Api, receiver: Receiver, has_own_secret: bool) -> None:
    wanted: dict[str, Any] = {"url": receiver.url}
    if has_own_secret:
        wanted["secret"] = OWN
    body = {"task": "sentiment", "text": "x", "webhook": wanted}
    headers = {"Idempotency-Key": "k"}
    first = api.http.post("/v1/jobs", json=body, headers=headers).json()
    repeated = api.http.post("/v1/jobs", json=body, headers=headers).json()
    assert repeated["id"] == first["id"]
    assert repeated["webhook"] == first["webhook"], "an answer that was lost can be asked for again"
    assert first["webhook"]["url"] == receiver.url
    secret = OWN if has_own_secret else first["webhook"]["secret"]
    assert (first["webhook"]["secret"] is None) == has_own_secret
    assert "webhook" not in api.http.get(f"/v1/jobs/{first['id']}").json()
    assert api.http.get("/v1/webhooks").json()["data"] == [], "it is of one job alone"
    listed = api.http.get("/v1/webhooks", params={"job": first["id"]}).json()["data"]
    assert [each["id"] for each in listed] == [first["webhook"]["id"]]
    assert "secret" not in listed[0]
    api.work_off(first["id"])
    wait_until(lambda: bool(receiver.got), what="the event comes")
    event = unwrapped(receiver.got[0], secret)
    assert (event.type, event.data.id) == ("job.completed", first["id"])
    assert receiver.got[0].event["data"]["counts"]["succeeded"] == 1


@pytest.mark.parametrize("webhook", ["{url}", '{{"url": "{url}", "events": ["job.cancelled"]}}'])
def test_a_raw_body_names_its_webhook_in_the_query(api: Api, receiver: Receiver, webhook: str) -> None:
    query = {"task": "sentiment", "webhook": webhook.format(url=receiver.url)}
    answer = api.http.post(
        "/v1/jobs", content=b"good\n", headers={"Content-Type": "text/plain"}, params=query
    )
    assert answer.status_code == 202, answer.text
    assert answer.json()["webhook"]["url"] == receiver.url
    assert api.http.post(f"/v1/jobs/{answer.json()['id']}/cancel").status_code == 200
    wait_until(lambda: bool(receiver.got), what="the event comes")
    assert receiver.got[0].event["type"] == "job.cancelled"


@pytest.mark.parametrize(
    ("webhook", "said"),
    [
        ({"url": "https://10.0.0.1/"}, "webhook.url: its host has no address, or one that is not public"),
        ({"url": "ftp://127.0.0.1/"}, "webhook.url: must begin with https://"),
        ({}, "webhook.url"),
        ({"url": "https://a.example/", "event": []}, "webhook.event"),
        ({"url": "https://a.example/", "events": ["job.done"]}, "webhook.events.0"),
        ({"url": "https://a.example/", "secret": "short"}, "webhook.secret: must be whsec_"),
        ([], "webhook"),
        (7, "webhook"),
        ('{"url": ', "webhook"),
    ],
)
def test_a_webhook_that_cannot_be_is_refused_with_its_job(api: Api, webhook: Any, said: str) -> None:
    answer = api.http.post("/v1/jobs", json={"task": "sentiment", "text": "x", "webhook": webhook})
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert api.http.get("/v1/jobs").json()["data"] == []


def test_a_secret_in_a_query_is_refused(api: Api) -> None:
    """A query is written into the logs of whatever lies between."""
    webhook = json.dumps({"url": "https://a.example/", "secret": OWN})
    answer = api.http.post("/v1/jobs?task=sentiment", params={"webhook": webhook}, content=b"x",
                           headers={"Content-Type": "text/plain"})  # fmt: skip
    assert answer.status_code == 422
    assert "not in a query" in answer.json()["detail"]
    assert OWN not in answer.text


def test_a_webhook_is_changed_rotated_and_deleted(api: Api, receiver: Receiver) -> None:
    hook = made(api, receiver.url, events=["job.failed"])
    path = f"/v1/webhooks/{hook['id']}"
    assert hook["project"] == "default"
    changed = api.http.patch(path, json={"events": ["job.cancelled"], "enabled": False}).json()
    assert (changed["events"], changed["enabled"], changed["disabled_for"]) == (
        ["job.cancelled"],
        False,
        "asked",
    )
    assert api.http.post(f"/v1/jobs/{api.submit('x')}/cancel").status_code == 200
    refused = api.http.post(f"{path}/deliveries/replay")
    assert (refused.status_code, "enable it first" in refused.json()["detail"]) == (409, True)
    assert api.http.patch(path, json={"enabled": True}).json()["enabled"] is True
    rotated = api.http.post(f"{path}/rotate", json={"overlap_seconds": 600}).json()
    assert rotated["secret"] != hook["secret"]
    assert rotated["old_secret_ends_at"] is not None
    assert api.http.post(f"{path}/deliveries/replay").json() == {"replayed": 1}
    wait_until(lambda: bool(receiver.got), what="the event comes")
    for secret in (hook["secret"], rotated["secret"]):
        assert unwrapped(receiver.got[0], secret).type == "job.cancelled"
    wait_until(lambda: _states(api, hook["id"]) == ["delivered"], what="it is settled")
    (delivery,) = api.http.get(f"{path}/deliveries").json()["data"]
    assert (delivery["tries"], delivery["http_status"], delivery["error"]) == (1, 200, None)
    again = api.http.post(f"{path}/deliveries/{delivery['id']}/replay")
    assert again.status_code == 202
    wait_until(lambda: len(receiver.got) == 2, what="it comes again")
    assert receiver.got[0].body == receiver.got[1].body
    assert receiver.got[0].headers["webhook-id"] == receiver.got[1].headers["webhook-id"]
    assert api.http.delete(path).status_code == 204
    assert api.http.get(path).status_code == api.http.get(f"{path}/deliveries").status_code == 404
    assert api.http.post(f"{path}/deliveries/{delivery['id']}/replay").status_code == 404


def test_no_project_sees_the_webhooks_of_another(make_api: Callable[..., Api], receiver: Receiver) -> None:
    api = make_api(api_keys=f"{ALPHA},{BETA}", admin_key=ADMIN, webhook_allow="127.0.0.1")
    hook = made(api, receiver.url, key=ALPHA)
    path = f"/v1/webhooks/{hook['id']}"
    assert api.http.get("/v1/webhooks").status_code == 401
    assert api.http.get("/v1/webhooks", headers=bearer(BETA)).json()["data"] == []
    for method, where, body in (
        ("GET", path, None), ("PATCH", path, {"enabled": False}), ("DELETE", path, None),
        ("POST", f"{path}/rotate", {}), ("GET", f"{path}/deliveries", None),
        ("POST", f"{path}/deliveries/replay", {}), ("POST", f"{path}/deliveries/whd_1/replay", None),
    ):  # fmt: skip
        assert api.http.request(method, where, json=body, headers=bearer(BETA)).status_code == 404, where
        assert api.http.request(method, where, json=body).status_code == 401, where
    submitted = [
        api.http.post("/v1/jobs", json={"task": "sentiment", "text": "x"}, headers=bearer(key)).json()["id"]
        for key in (BETA, ALPHA)
    ]
    for job_id in submitted:
        api.work_off(job_id)
    wait_until(lambda: _states(api, hook["id"], ALPHA) == ["delivered"], what="its own job is told")
    assert [each.event["data"]["id"] for each in receiver.got] == [submitted[1]]
    project = hook["project"]
    assert api.http.get(path, headers=bearer(ADMIN)).json()["project"] == project
    listed = api.http.get("/v1/webhooks", params={"project": project}, headers=bearer(ADMIN)).json()["data"]
    assert [each["id"] for each in listed] == [hook["id"]]
    assert made(api, receiver.url, key=ADMIN, project=project)["project"] == project
    refused = api.http.post(
        "/v1/webhooks", json={"url": receiver.url, "project": project}, headers=bearer(BETA)
    )
    assert refused.status_code == 403


def test_the_openapi_document_has_every_event(api: Api) -> None:
    document = api.http.get("/openapi.json").json()
    assert set(document["webhooks"]) == {
        f"{of}.{end}" for of in ("job", "batch") for end in ("completed", "failed", "cancelled", "expired")
    }
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(document["components"]["schemas"])
    headers = {each["name"] for each in document["webhooks"]["job.completed"]["post"]["parameters"]}
    assert headers == {"webhook-id", "webhook-timestamp", "webhook-signature"}
