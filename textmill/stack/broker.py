"""The embedded broker: a Redis-compatible server of our own, in the data folder.

It keeps an append-only file, so a queue survives it; should that be lost, SQL still
knows every slice and the sweeper sends them again. It listens on a unix socket,
or on loopback with a password where the path does not do for a socket.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobs.redis_url import client_url
from textmill.errors import StackError
from textmill.stack.child import Program
from textmill.stack.ports import any_free, is_free
from textmill.stack.server_binary import ServerBinary

_LONGEST_SOCKET_PATH = 103  # sun_path holds 104 bytes with the final NUL on macOS, 108 on Linux
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")  # anything else would need quoting in a URL, which kombu undoes
_STOP_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class BrokerAddress:
    """Where the broker listens: a socket, or a port on loopback with a password."""

    socket: str | None = None
    port: int = 0
    password: str = ""

    @property
    def celery_url(self) -> str:
        """As Celery, kombu and Flower write it."""
        if self.socket is not None:
            return f"redis+socket://{self.socket}?virtual_host=0"
        return f"redis://:{quote(self.password)}@127.0.0.1:{self.port}/0"

    @property
    def client_url(self) -> str:
        """As redis-py writes it."""
        return client_url(self.celery_url)


class EmbeddedBroker:
    """The broker of one data folder. The caller holds the folder's lock."""

    def __init__(self, folder: Path, server: ServerBinary) -> None:
        self._folder = folder
        self._server = server
        self.address = _choose_address(folder)

    def prepare(self) -> str | None:
        """Makes the folder ready for a start; returns what the user should know, if anything.

        A broker left behind by a killed `textmill up` is stopped in order first (its
        append-only file keeps the queue): ours must be our child, to be watched.
        """
        notes = []
        if self._take_over():
            notes.append("stopped a broker left behind by an earlier run; its queue is kept")
        note = self._folder / "broker.version"
        written_by = note.read_text(encoding="utf-8").strip() if note.exists() else self._server.label
        if _format_of(written_by) != _format_of(self._server.label):
            shutil.rmtree(self._folder / "appendonlydir", ignore_errors=True)
            notes.append(
                f"its queue was written by {written_by}: starting empty, jobs are sent again from SQL"
            )
        note.write_text(self._server.label, encoding="utf-8")
        self._write_private("broker.conf", self._configuration())
        self._write_private("broker.json", json.dumps(vars(self.address)))
        return "; ".join(notes) or None

    def program(self) -> Program:
        """How to run it under supervision."""
        return Program(
            name="broker",
            command=(str(self._server.path), str(self._folder / "broker.conf")),
            grace_seconds=_STOP_SECONDS,
            # SIGTERM and not SIGKILL: it writes out its file before it goes
            orphan_signal=signal.SIGTERM,
            ask_to_stop=self.shut_down,
        )

    def answers(self) -> bool:
        """Whether it answers PING now."""
        try:
            return ping(self.address.client_url) is not None
        except redis.RedisError:
            return False

    def shut_down(self) -> None:
        """Asks it to write its file and end; returns once it has let go of the connection."""
        with _connect(self.address.client_url, timeout_seconds=_STOP_SECONDS) as client:
            client.shutdown(nosave=True)  # no RDB snapshot is configured; the AOF is flushed all the same

    def _take_over(self) -> bool:
        if not self.answers():
            return False
        self.shut_down()
        deadline = time.monotonic() + _STOP_SECONDS
        while self.answers():
            if time.monotonic() > deadline:
                raise StackError(
                    f"a broker left behind in {self._folder} does not stop; end it and try again"
                )
            time.sleep(0.05)
        return True

    def _configuration(self) -> str:
        lines = [
            f'dir "{self._folder}"',
            "daemonize no",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",  # a broker that evicts loses messages
        ]
        if self.address.socket is not None:
            lines += ["port 0", f'unixsocket "{self.address.socket}"', "unixsocketperm 700"]
        else:
            lines += [
                "bind 127.0.0.1",
                f"port {self.address.port}",
                f'requirepass "{self.address.password}"',
            ]
        return "\n".join(lines) + "\n"

    def _write_private(self, name: str, text: str) -> None:
        path = self._folder / name
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(text, encoding="utf-8")


def ping(url: str, *, timeout_seconds: float = 2.0) -> dict[str, Any] | None:
    """The server's INFO when it answers; None when nothing listens there.

    Raises:
        redis.RedisError: something listens, but does not answer as it should
            (a wrong password, for one).
    """
    try:
        with _connect(url, timeout_seconds=timeout_seconds) as client:
            client.ping()
            return dict(client.info("server"))
    except (redis.ConnectionError, redis.TimeoutError) as error:
        if isinstance(error, redis.AuthenticationError):
            raise
        return None


def _connect(url: str, *, timeout_seconds: float) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),  # one honest answer: whoever asks decides about asking again
    )


def _choose_address(folder: Path) -> BrokerAddress:
    socket = str(folder / "broker.sock")
    if len(socket.encode()) <= _LONGEST_SOCKET_PATH and _PLAIN_PATH.fullmatch(socket):
        return BrokerAddress(socket=socket)
    known = folder / "broker.json"
    if known.exists():  # keep the port: an orphan may still be there, and clients may know it
        address = BrokerAddress(**json.loads(known.read_text(encoding="utf-8")))
        if address.port and (is_free("127.0.0.1", address.port) or _is_ours(address)):
            return address
    return BrokerAddress(port=any_free("127.0.0.1"), password=secrets.token_urlsafe(24))


def _is_ours(address: BrokerAddress) -> bool:
    try:
        return ping(address.client_url) is not None
    except redis.RedisError:
        return False


def _format_of(label: str) -> str:
    """Servers of one name and major version read each other's files."""
    return label.split(".")[0]
