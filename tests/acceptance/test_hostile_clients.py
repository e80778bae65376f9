"""What one client does to the API's connections, threads and disk must not be felt by another."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.lone_api import LoneApi
from tests.support.waiting import PATIENCE_SECONDS, wait_until

POST = b"POST /v1/jobs?task=sentiment HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\n"
OPEN_TO_ALL = ("/healthz", "/readyz", "/v1/models", "/v1/jobs", "/")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., LoneApi]]:
    with ExitStack() as running:
        yield lambda **options: running.enter_context(LoneApi(tmp_path, **options))


def answer_of(connection: socket.socket) -> bytes:
    """What the server says until it says no more, or closes."""
    connection.settimeout(PATIENCE_SECONDS)
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def assert_all_answer(api: LoneApi) -> None:
    for path in OPEN_TO_ALL:
        assert api.get(path).status_code in (200, 503), path
    api.submit()


def test_l6_uploads_that_say_six_bytes_hold_up_nobody(start: Callable[..., LoneApi]) -> None:
    """L6: with 40 of them `/v1/models`, `/readyz` and `/` timed out; each that left wrote 236 lines."""
    api = start()
    for kind in [b"text/plain", b"application/json", b"multipart/form-data; boundary=b"] * 16:
        api.connect(POST % kind + b"Content-Length: 1000\r\n\r\nhello\n")
    assert_all_answer(api)
    before = api.log.count("\n")
    api.disconnect()
    wait_until(lambda: "client_left" in api.log, what="a line about who left")
    assert_all_answer(api)
    assert api.log.count("\n") - before <= 60
    assert "Traceback" not in api.log


def test_l6_large_uploads_that_stop_half_way_hold_up_nobody(start: Callable[..., LoneApi]) -> None:
    """L6, its relative: bodies too large to wait in memory take threads, but not those of others."""
    api = start(max_uploads=20, idle_seconds=600)
    line = b"hello\n"
    for _ in range(40):
        api.connect(POST % b"text/plain" + b"Content-Length: 1000000\r\n\r\n" + line * 20_000)
    assert_all_answer(api)
    refused = POST % b"text/plain" + b"Content-Length: 120000\r\n\r\n" + line * 20_000
    answer = answer_of(api.connect(refused))
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"retry-after: " in answer.lower()


def test_l6_an_upload_that_stops_is_ended(start: Callable[..., LoneApi]) -> None:
    """L6: there was no limit of time."""
    api = start(idle_seconds=1)
    for sent in (b"hello\n", b"hello\n" * 20_000):
        connection = api.connect(POST % b"text/plain" + b"Content-Length: 1000000\r\n\r\n" + sent)
        assert answer_of(connection).startswith(b"HTTP/1.1 408 ")


def test_l13_a_form_is_refused_while_it_arrives(start: Callable[..., LoneApi]) -> None:
    """L13: with a limit of 1 MB, 254 MB of a form were on the disk before the 413."""
    api = start(max_body_bytes=1_000_000)
    connection = api.connect(
        POST % b"multipart/form-data; boundary=b" + b"Transfer-Encoding: chunked\r\n\r\n"
        b'6e\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="r.txt"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\r\n"
    )
    connection.settimeout(PATIENCE_SECONDS)
    sent, chunk = 0, b"10000\r\n" + b"hello, world...\n" * 4096 + b"\r\n"
    while sent < 200_000_000 and not select.select([connection], [], [], 0)[0]:
        connection.sendall(chunk)
        sent += len(chunk)
    assert answer_of(connection).startswith(b"HTTP/1.1 413 ")
    assert sent < 30_000_000, "beyond the limit and what sockets hold, nothing is read"


def test_s3_event_streams_beyond_the_descriptors_leave_room_for_others(
    start: Callable[..., LoneApi],
) -> None:
    """S3: under `ulimit -n 128`, 200 streams made the API deaf, with 157 MB of log in 15 s."""
    api = start(descriptors=128)
    job_id = api.submit()
    request = f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    answers = [answer_of(api.connect(request)) for _ in range(200)]
    num_streams = sum(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert num_streams >= 16
    assert all(answer[9:12] in (b"200", b"429") for answer in answers)
    assert_all_answer(api)
    assert api.log_bytes < 50_000


def test_s3_connections_that_ask_for_nothing_give_way(start: Callable[..., LoneApi]) -> None:
    """S3: 150 of them, without a key, made a process of 128 descriptors deaf; they stayed for good."""
    api = start(descriptors=128, idle_seconds=2)
    connections = [api.connect(head) for head in (b"", b"GET / HTTP/1.1\r\nX-Half: ") for _ in range(100)]
    assert_all_answer(api)
    wait_until(lambda: all(map(is_closed, connections)), what="they are closed")
    assert api.log_bytes < 50_000


def test_s3_waits_for_a_job_are_bounded_too(start: Callable[..., LoneApi]) -> None:
    """S3: nothing counted them."""
    api = start(max_streams=4)
    job_id = api.submit()
    request = f"GET /v1/jobs/{job_id}?wait=30 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    waiting = [api.connect(request) for _ in range(6)]
    refused = wait_until(
        lambda: select.select(waiting, [], [], 0)[0] if len(select.select(waiting, [], [], 0)[0]) == 2 else [],
        what="two are refused",
    )  # fmt: skip
    assert all(answer_of(connection).startswith(b"HTTP/1.1 429 ") for connection in refused)


def test_s3_a_place_is_free_again_when_a_stream_ends(start: Callable[..., LoneApi]) -> None:
    api = start(max_streams=1)
    job_id = api.submit()
    for _ in range(3):
        assert api.get(f"/v1/jobs/{job_id}/results").status_code == 200
    request = f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    assert answer_of(api.connect(request)).startswith(b"HTTP/1.1 200 ")
    assert api.get(f"/v1/jobs/{job_id}/results").status_code == 429
    api.disconnect()
    wait_until(
        lambda: api.get(f"/v1/jobs/{job_id}/results").status_code == 200,
        what="the stream's place is free",
    )  # fmt: skip


def test_one_request_that_fails_again_and_again_does_not_fill_the_log(start: Callable[..., LoneApi]) -> None:
    """S3, its relative: "Invalid HTTP request" was a line for each."""
    api = start()
    began_at = time.monotonic()
    for _ in range(200):
        answer_of(api.connect(b"NOT HTTP AT ALL\r\n\r\n"))
        api.disconnect()
    minutes = 1 + (time.monotonic() - began_at) // 60
    assert api.log.count("Invalid HTTP request") <= 31 * minutes
