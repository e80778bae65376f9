"""Issue 21.4: no webhook reaches what is not public, whatever its address looks like or its name leads to."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from jobs.errors import ConfigurationError
from jobs.settings import Settings
from jobs.webhooks.addresses import is_public, parse_address
from jobs.webhooks.allow_list import AllowList
from jobs.webhooks.posting import Poster
from jobs.webhooks.records import Answer, TargetRefused
from jobs.webhooks.targets import Lookup, Targets, addresses_of
from tests.support.certificates import certificate_for
from tests.support.hooks import PUBLIC, URL, Names, Receiver

#: Of IANA's special-purpose registries, and what clouds keep for themselves.
NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.8.9.1",
    "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1",
    "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "224.0.1.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::10.0.0.1", "64:ff9b:1::1",
    "100::1", "2001::1", "2001:0:53aa:64c:0:1:f5ff:fffe", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1",
    "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1",
    "ff02::1", "ff0e::1",
]  # fmt: skip
OUT_IN_THE_PUBLIC = [
    "8.8.8.8", PUBLIC, "100.128.0.1", "172.32.0.1", "223.255.255.254", "2606:4700::1111", "2a00:1450:4001::1",
    "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
]  # fmt: skip


def targets(*allow: str, lookup: Lookup | None = None) -> Targets:
    return Targets(AllowList(allow), lookup or Names())


def in_url(address: str) -> str:
    return f"https://[{address.replace('%', '%25')}]/" if ":" in address else f"https://{address}/"


def post(policy: Targets, url: str = URL, **options: float) -> Answer:
    return asyncio.run(Poster(policy, **options).post(url, "{}", {"webhook-id": "evt_1"}))


@pytest.mark.parametrize("address", OUT_IN_THE_PUBLIC)
def test_what_is_public_is_reached(address: str) -> None:
    assert is_public(parse_address(address))
    assert targets().check(in_url(address)) == in_url(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused_when_a_webhook_is_made(address: str) -> None:
    with pytest.raises(TargetRefused):
        targets().check(in_url(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_a_name_that_leads_to_one_is_refused_when_a_webhook_is_made(address: str) -> None:
    for found in ([address], [PUBLIC, address], [address, PUBLIC]):  # one of several is enough
        with pytest.raises(TargetRefused, match="no address, or one that is not public"):
            targets(lookup=Names({"hooks.example": found})).check(URL)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_a_name_that_leads_to_one_later_is_refused_at_delivery(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name's answer changes between the check and the delivery; no connection is made."""
    names = Names()
    policy = targets(lookup=names)
    policy.check(URL)
    names.known["hooks.example"] = [PUBLIC, address]
    monkeypatch.setattr(Poster, "_send", _no_connection)
    answer = post(policy)
    assert answer.http_status is None
    assert answer.error is not None
    assert "not public" in answer.error


async def _no_connection(*_: object) -> Answer:
    raise AssertionError("a connection was made")


@pytest.mark.parametrize(
    "host",
    ["127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "0", "localhost",
     "localhost.", "LOCALHOST", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:7f00:1]"],
)  # fmt: skip
def test_every_spelling_of_this_host_is_refused(host: str) -> None:
    """As the system's own resolver reads them."""
    with pytest.raises(TargetRefused):
        targets(lookup=addresses_of).check(f"https://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/", "ftp://hooks.example/", "file:///etc/passwd", "gopher://hooks.example/",
        "hooks.example", "//hooks.example/", "https://", "https:///x", "https:hooks.example", "",
        "https://user@hooks.example/", "https://user:password@hooks.example/", "https://hooks.example@10.0.0.1/",
        "https://hooks.example/#part", "https://hooks.example:0/", "https://hooks.example:65536/",
        "https://hooks.example:-1/", "https://hooks.example:x/", "https://hooks.example\\@10.0.0.1/",
        "https://hooks.example/a b", " https://hooks.example/", "https://hooks.example/\r\nX: y",
        "https://hooks.example/\x00", "https://h\u00f6oks.example/", "https://hooks\u3002example/",
        "https://%31%30.0.0.1/", "https://hooks.example%00.evil.example/", "https://[hooks.example]/",
        "https://[fe80::1%25eth0]/", "https://" + "a" * 2100 + "/",
    ],
)  # fmt: skip
def test_an_address_that_readers_may_take_apart_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(TargetRefused):
        targets().check(url)


def test_a_refusal_says_nothing_of_the_servers_network() -> None:
    """Whether a name inside is there, and where it leads, is not for who asks."""

    def missing(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown name")

    said = set()
    for lookup in (missing, Names({"hooks.example": ["10.1.2.3"]}), Names({"hooks.example": []})):
        with pytest.raises(TargetRefused) as refused:
            targets(lookup=lookup).check(URL)
        said.add(str(refused.value))
    assert len(said) == 1
    assert "10.1.2.3" not in said.pop()


def test_a_resolver_that_does_not_answer_keeps_nobody_from_submitting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is looked up again before every try."""

    def away(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    assert targets(lookup=away).check(URL) == URL
    assert post(targets(lookup=away)).error == "its host's name cannot be looked up"
    monkeypatch.setattr("jobs.webhooks.targets._LOOKUP_SECONDS", 0.01)
    answered = threading.Event()

    def hangs(host: str, port: int) -> Sequence[str]:
        answered.wait(30)
        return []

    policy = targets(lookup=hangs)
    assert policy.check(URL) == URL
    assert post(policy, try_seconds=0.05).error == "no answer within 0.05 seconds"
    answered.set()


# -- what an operator allows ---------------------------------------------------------


@pytest.mark.parametrize(
    ("allow", "url"),
    [
        ("10.0.0.0/8", "http://10.1.2.3/"), ("10.1.2.3", "https://10.1.2.3:8443/"),
        ("10.1.2.3:9000", "http://10.1.2.3:9000/"), ("fd00::/8", "http://[fd00::5]/"),
        ("[fd00::5]:9000", "http://[fd00::5]:9000/"), ("inside", "http://inside/"),
        ("Inside:9000", "http://inside:9000/"), ("10.0.0.0/8", "http://[::ffff:10.1.2.3]/"),
    ],
)  # fmt: skip
def test_what_the_operator_names_is_reached_by_http_too(allow: str, url: str) -> None:
    names = Names({"inside": ["10.1.2.3"]})
    assert targets(allow, lookup=names).check(url)
    with pytest.raises(TargetRefused):
        targets(lookup=names).check(url)


@pytest.mark.parametrize(
    ("allow", "url"),
    [
        ("10.1.2.3:9000", "http://10.1.2.3/"), ("10.1.2.3", "http://10.1.2.4/"),
        ("inside:9000", "http://inside/"), ("inside", "http://other.inside/"),
        ("10.0.0.0/8", "https://both/"), ("10.0.0.0/8", "http://hooks.example/"),
    ],
)  # fmt: skip
def test_and_nothing_beside_it(allow: str, url: str) -> None:
    names = Names({
        "inside": ["10.1.2.3"], "other.inside": ["10.1.2.3"], "both": ["10.0.0.1", "192.168.0.1"],
        "hooks.example": [PUBLIC],
    })  # fmt: skip
    with pytest.raises(TargetRefused):
        targets(allow, lookup=names).check(url)


@pytest.mark.parametrize("entry", ["*", "*.inside", "10.0.0.1/8", "10.0.0.0/33", "127.1", "0x7f000001", "a:b",
                                   "a:0", "a:70000", "http://a", "[a]:1", "a b!"])  # fmt: skip
def test_an_entry_that_means_nothing_is_refused_at_the_start(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="TEXTMILL_WEBHOOK_ALLOW"):
        Settings.load(webhook_allow=(entry,))
    assert Settings.load(webhook_allow="a, b:1 10.0.0.0/8").webhook_allow == ("a", "b:1", "10.0.0.0/8")


# -- one try ---------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(receiver: Receiver) -> None:
    """The name is asked for once a try; the request names the host all the same."""
    names = Names({"inside": ["127.0.0.1"]})
    policy = targets("inside", lookup=names)
    url = f"http://inside:{receiver.port}/a?b=c"
    assert post(policy, url) == Answer(http_status=200)
    (got,) = receiver.got
    assert (got.path, got.headers["host"], got.body) == ("/a?b=c", f"inside:{receiver.port}", b"{}")
    assert (got.headers["webhook-id"], got.headers["content-type"]) == ("evt_1", "application/json")
    assert names.asked == ["inside"]
    names.known["inside"] = ["127.0.0.1", "127.0.0.1"]
    assert post(policy, url).error is None
    assert names.asked == ["inside"] * 2, "at every try"


def test_another_address_of_the_host_is_tried_when_one_does_not_answer(receiver: Receiver) -> None:
    names = Names({"inside": ["127.0.0.2", "127.0.0.1"]})  # the receiver listens on the second alone
    assert post(targets("inside", lookup=names), f"http://inside:{receiver.port}/").http_status == 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(receiver: Receiver, status: int) -> None:
    with Receiver() as elsewhere:
        receiver.statuses, receiver.headers = [status], {"Location": elsewhere.url}
        answer = post(targets("127.0.0.1"), receiver.url)
        assert answer == Answer(http_status=status, error=f"answered {status}: redirects are not followed")
        assert elsewhere.got == []


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_no_proxy_of_the_environment_is_used(
    receiver: Receiver, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Receiver() as proxy:
        monkeypatch.setenv(name, proxy.url)
        assert post(targets("127.0.0.1"), receiver.url).http_status == 200
        assert proxy.got == []


@pytest.mark.parametrize("status", [200, 500])
def test_nothing_of_the_answers_body_is_kept(receiver: Receiver, status: int) -> None:
    receiver.statuses, receiver.body = [status], b"a secret of the inside" * 100_000
    answer = post(targets("127.0.0.1"), receiver.url)
    assert answer.http_status == status
    assert "secret" not in str(answer)


def test_a_receiver_that_does_not_answer_takes_a_bounded_time(receiver: Receiver) -> None:
    held = threading.Event()
    receiver.before_answer = lambda: held.wait(30) and None
    answer = post(targets("127.0.0.1"), receiver.url, try_seconds=0.2)
    held.set()
    assert answer == Answer(error="no answer within 0.2 seconds")


def test_one_that_drips_its_answer_takes_no_longer() -> None:
    """Each byte comes before any time-out of a read; the whole try has one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        is_over = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                while not is_over.wait(0.02):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return

        threading.Thread(target=drip, daemon=True).start()
        answer = post(targets("127.0.0.1"), f"http://127.0.0.1:{server.getsockname()[1]}/", try_seconds=0.3)
        is_over.set()
    assert answer.error in ("no answer within 0.3 seconds", "the answer is no HTTP")


def test_what_is_no_http_is_not_told(receiver: Receiver) -> None:
    """A banner of another service would be the body of what somebody is looking for."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"SSH-2.0-secret\r\n\r\n")

        threading.Thread(target=greet, daemon=True).start()
        answer = post(targets("127.0.0.1"), f"http://127.0.0.1:{server.getsockname()[1]}/")
    assert answer == Answer(error="the answer is no HTTP")


def test_nobody_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert post(targets("127.0.0.1"), f"http://127.0.0.1:{port}/") == Answer(error="no connection")


def test_a_certificate_must_be_that_of_the_host_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the connection goes to an address: what it proves is the name."""
    good = certificate_for("inside", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(good)
    with Receiver() as receiver:
        receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
        monkeypatch.setattr(Poster, "_certificates", ssl.create_default_context(cafile=good))
        names = Names({"inside": ["127.0.0.1"], "other": ["127.0.0.1"]})
        policy = targets("inside", "other", lookup=names)
        assert post(policy, f"https://inside:{receiver.port}/").http_status == 200
        answer = post(policy, f"https://other:{receiver.port}/")
        assert answer.error is not None
        assert answer.error.startswith("its certificate is not good")
        assert len(receiver.got) == 1
