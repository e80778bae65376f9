"""Issue 21.4: `textmill webhooks`, `submit --webhook` and `verify_webhook` against the real API."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.hooks import Receiver
from tests.support.waiting import wait_until
from tests.unit.api.conftest import Api
from textmill.cli import main
from textmill.client import Textmill, verify_webhook
from textmill.commands.server import Server
from textmill.errors import RequestRefused, WebhookForged

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api(webhook_allow="127.0.0.1")


def client_of(api: Api) -> Textmill:
    return Textmill("http://127.0.0.1:8000", transport=api.http._transport)


@pytest.fixture
def run(api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; its exit code, and what it wrote to stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(Server, "connect", lambda self: client_of(api))

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["textmill", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        return ended.value.code if isinstance(ended.value.code, int) else 0, written.out, written.err

    return run


def test_a_webhook_is_made_watched_and_sent_to_again(api: Api, run: Run, receiver: Receiver) -> None:
    receiver.statuses = [500, 410, 200]
    code, made, said = run("webhooks", "create", receiver.url, "--event", "job.completed")
    assert (code, made.startswith("whsec_")) == (0, True)
    assert "not shown again" in said
    (hook,) = json.loads(run("webhooks", "list", "--json")[1])
    webhook = hook["id"]
    assert hook["events"] == ["job.completed"]
    api.work_off(api.submit("x"))
    deliveries = lambda: json.loads(run("webhooks", "deliveries", webhook, "--json")[1])  # noqa: E731
    wait_until(lambda: deliveries()[0]["tries"] == 1, what="it was tried")
    assert "answered 500" in run("webhooks", "deliveries", webhook)[1]
    assert run("webhooks", "replay", webhook, "--delivery", deliveries()[0]["id"])[0] == 0
    wait_until(lambda: "disabled (gone)" in run("webhooks", "list")[1], what="it wants nothing more")
    assert run("webhooks", "replay", webhook)[0] == 2
    assert "is enabled" in run("webhooks", "enable", webhook)[2]
    assert "1 to be sent again" in run("webhooks", "replay", webhook, "--since", "2026-01-01")[2]
    wait_until(lambda: deliveries()[0]["state"] == "delivered", what="it is delivered")
    rotated = run("webhooks", "rotate", webhook)[1].strip()
    assert rotated.startswith("whsec_")
    assert rotated != made.strip()
    for last in receiver.got:
        assert verify_webhook(last.body, last.headers, made.strip())["type"] == "job.completed"
    assert "is disabled (asked)" in run("webhooks", "disable", webhook)[2]
    assert run("webhooks", "change", webhook, "--event", "batch.failed")[0] == 0
    assert "batch.failed" in run("webhooks", "list")[1]
    assert run("webhooks", "delete", webhook)[0] == 0
    assert json.loads(run("webhooks", "list", "--json")[1]) == []
    assert run("webhooks", "deliveries", webhook)[0] == 2


def test_a_file_is_submitted_with_a_webhook(api: Api, run: Run, receiver: Receiver, tmp_path: Path) -> None:
    rows = tmp_path / "rows.txt"
    rows.write_text("good\n")
    code, out, said = run("submit", str(rows), "--task", "sentiment", "--webhook", receiver.url)
    assert code == 0, said
    secret = next(word for word in said.split() if word.startswith("whsec_"))
    job_id = out.strip()
    (hook,) = json.loads(run("webhooks", "list", "--job", job_id, "--json")[1])
    assert hook["job"] == job_id
    api.work_off(job_id)
    wait_until(lambda: bool(receiver.got), what="the event comes")
    (got,) = receiver.got
    event = Textmill.verify_webhook(got.body, got.headers, secret)
    assert event["data"]["id"] == job_id


def test_the_client_submits_with_a_webhook_for_some_events(api: Api, receiver: Receiver) -> None:
    client = client_of(api)
    job = client.submit(["x"], task="sentiment", webhook={"url": receiver.url, "events": ["job.cancelled"]})
    assert job.webhook is not None
    assert job.webhook["events"] == ["job.cancelled"]
    job.cancel()
    wait_until(lambda: bool(receiver.got), what="the event comes")
    got = receiver.got[0]
    assert verify_webhook(got.body.decode(), got.headers, job.webhook["secret"])["type"] == "job.cancelled"
    assert client.job(job.id).webhook is None
    with pytest.raises(RequestRefused, match="not public"):
        client.submit(["x"], task="sentiment", webhook="https://192.168.0.1/")


@pytest.mark.parametrize("change", ["body", "id", "signature", "timestamp", "secret", "none"])
def test_what_was_not_signed_is_refused(change: str) -> None:
    """The signature is made here by the standard's words: HMAC-SHA-256 of `id.timestamp.body`."""
    raw = b"0123456789abcdef01234567"
    secret = "whsec_" + base64.b64encode(raw).decode()
    at = int(time.time()) - (400 if change == "timestamp" else 0)
    body = b'{"type": "job.completed"}'
    digest = hmac.new(raw, f"evt_1.{at}.".encode() + body, hashlib.sha256).digest()
    headers = {
        "Webhook-Id": "evt_2" if change == "id" else "evt_1",
        "Webhook-Timestamp": str(at),
        "Webhook-Signature": "v1," + ("AAAA" if change == "signature" else base64.b64encode(digest).decode()),
    }
    if change == "none":
        assert verify_webhook(body, headers, secret) == {"type": "job.completed"}
        headers.clear()
    with pytest.raises(WebhookForged):
        verify_webhook(
            body + b" " if change == "body" else body,
            headers,
            "whsec_" + base64.b64encode(raw[::-1]).decode() if change == "secret" else secret,
        )
