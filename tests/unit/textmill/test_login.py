"""Servers that a user logged in to: where keys are kept, and where they go."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from pathlib import Path

import httpx2
import pytest

from jobs.errors import ConfigurationError
from tests.support.fake_server import FAKE_MODEL
from textmill.cli import main
from textmill.client import Textmill
from textmill.commands import login
from textmill.commands.server import Server
from textmill.errors import StrangeAddress
from textmill.known_servers import KnownServers, one_spelling
from textmill.stack.folder import DataFolder, RunningStack

KEY = "k" * 16


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[httpx2.Request]:
    """What a server got that wants KEY, whatever its address."""
    requests: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        if request.url.host != "open.test" and request.headers.get("Authorization") != f"Bearer {KEY}":
            return httpx2.Response(401, json={"title": "Not authenticated", "detail": "A key is needed."})
        return httpx2.Response(200, json={"data": [FAKE_MODEL]})

    transport = httpx2.MockTransport(answer)
    monkeypatch.setattr(login, "_client", lambda url, key: Textmill(url, key, transport=transport))
    return requests


def command(*arguments: str, stdin: str = "") -> int:
    sys.argv, sys.stdin = ["textmill", *arguments], io.StringIO(stdin)
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code if isinstance(ended.value.code, int) else 0


@pytest.fixture(autouse=True)
def _own_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", sys.stdin)
    monkeypatch.setattr(sys, "argv", sys.argv)


def test_a_key_is_kept_for_its_owner_only_and_found_for_its_server_alone(
    asked: list[httpx2.Request], tmp_path: Path
) -> None:
    assert command("login", "https://mill.test/", stdin=f"{KEY}\n") == 0
    servers = KnownServers()
    assert stat.S_IMODE(servers.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(servers.path.parent.stat().st_mode) == 0o700
    assert [path.name for path in servers.path.parent.iterdir()] == ["servers.json"]
    assert servers.default == "https://mill.test"
    for same in ("https://mill.test", "HTTPS://MILL.test:443/", "https://mill.test//"):
        assert servers.key_for(same) == KEY
    for other in (
        "http://mill.test",
        "https://mill.test:8443",
        "https://mill.test.example.org",
        "https://m.test",
    ):
        assert servers.key_for(other) is None
    assert command("logout") == 0
    assert KEY not in servers.path.read_text()
    assert servers.default is None


def test_a_key_that_the_server_refuses_is_not_kept(asked: list[httpx2.Request]) -> None:
    assert command("login", "https://mill.test", stdin="wrong\n") != 0
    assert command("login", "https://mill.test", stdin="\n") == 2
    assert not KnownServers().path.exists()


def test_a_login_takes_no_key_that_was_set_for_another_server(
    asked: list[httpx2.Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """S7: TEXTMILL_API_KEY is the key of TEXTMILL_URL."""
    monkeypatch.setenv("TEXTMILL_API_KEY", "another server's key")
    assert command("login", "https://mill.test", stdin=f"{KEY}\n") == 0
    assert {request.headers.get("Authorization") for request in asked} == {None, f"Bearer {KEY}"}


def test_a_server_that_wants_no_key_is_asked_none(asked: list[httpx2.Request]) -> None:
    assert command("login", "http://open.test") == 0
    assert KnownServers().default == "http://open.test"
    assert KnownServers().key_for("http://open.test") is None


def test_a_key_over_an_unencrypted_link_is_warned_of(
    asked: list[httpx2.Request], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("login", "http://mill.test", stdin=KEY) == 0
    assert "travels unencrypted" in capsys.readouterr().err
    assert command("login", "http://127.0.0.1:8000", stdin=KEY) == 0
    assert "travels unencrypted" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "url", ["mill.test", "ftp://mill.test", "https://", "https://a:b@mill.test", "http://h:x"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="address of a server"):
        one_spelling(url)


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o604])
def test_a_file_of_keys_that_others_may_read_is_refused(mode: int) -> None:
    servers = KnownServers()
    servers.remember("https://mill.test", KEY)
    servers.path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        servers.key_for("https://mill.test")


def test_the_key_of_a_login_goes_to_its_server_and_to_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S7: the key went to whatever address stood in a file of the current folder."""
    sent: list[tuple[str, str | None]] = []
    monkeypatch.setattr("textmill.client.Textmill", lambda url, key=None: sent.append((url, key)))
    folder = DataFolder(tmp_path / "data")
    folder.hold()
    folder.announce(RunningStack(pid=os.getpid(), url="http://127.0.0.1:9"))

    def connect(url: str | None = None, key: str | None = None) -> None:
        Server(url=url, api_key=key, data=tmp_path / "data").connect()

    connect()
    KnownServers().remember("https://mill.test", KEY)
    connect()
    connect("https://other.test")
    connect("https://mill.test/")
    connect("https://other.test", "key of other.test")
    connect(None, "key of who knows")
    assert sent == [
        ("http://127.0.0.1:9", None),  # found
        ("https://mill.test", KEY),  # a login comes before what is found
        ("https://other.test", None),
        ("https://mill.test/", KEY),
        ("https://other.test", "key of other.test"),
        ("https://mill.test", KEY),
    ]


def test_a_file_that_is_broken_says_what_to_do() -> None:
    servers = KnownServers()
    servers.remember("https://mill.test", KEY)
    servers.path.write_text("{")
    with pytest.raises(ConfigurationError, match="remove it and log in"):
        servers.default  # noqa: B018
    servers.path.write_text(json.dumps(["no", "servers"]))
    assert servers.default is None


@pytest.mark.parametrize("link", ["http://elsewhere.test/x", "https://mill.test/x"])
def test_an_answer_that_leads_elsewhere_is_not_followed_with_the_key(link: str) -> None:
    """S7: a key goes only to the server that was named, whatever its answers link to."""
    hosts: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        hosts.append(f"{request.url.scheme}://{request.url.host}")
        headers = {"Link": f'<{link}>; rel="next"', "Textmill-Result-Count": "1"}
        return httpx2.Response(200, content=b"custom_id\r\na\r\n", headers=headers)

    server = Textmill("http://mill.test", KEY, transport=httpx2.MockTransport(answer))
    with server, pytest.raises(StrangeAddress, match="another server"):
        list(server.job("job_x").reader().csv(follow=False))
    assert set(hosts) == {"http://mill.test"}
