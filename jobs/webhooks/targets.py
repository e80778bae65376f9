"""Where a webhook may go: the check of its address, when it is made and before every try.

The name is looked up, every address found must be one that may be reached, and the sender connects to
one of these very addresses: a name that leads elsewhere a moment later leads nowhere.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2

from jobs.webhooks.addresses import Address, is_public, parse_address
from jobs.webhooks.allow_list import AllowList
from jobs.webhooks.records import MOST_URL_CHARACTERS, TargetRefused

#: Finds the addresses of a host.
Lookup = Callable[[str, int], Sequence[str]]

_DEFAULT_PORTS = {"https": 443, "http": 80}
#: How long whoever makes a webhook waits for the name; what takes longer is known at delivery.
_LOOKUP_SECONDS = 3.0
_LOOKUP_THREADS = 16
#: Of one name; more are not looked at.
_MOST_ADDRESSES = 64
#: Does not say what the name leads to: that is knowledge of the server's own network.
_NOT_PUBLIC = (
    "url: its host has no address, or one that is not public; "
    "the operator of this server can allow it (TEXTMILL_WEBHOOK_ALLOW)"
)


@dataclass(frozen=True)
class Target:
    """A webhook's address, taken apart."""

    url: httpx2.URL
    host: str
    port: int

    @property
    def is_encrypted(self) -> bool:
        """Whether it is https."""
        return self.url.scheme == "https"


class Targets:
    """The policy of one installation."""

    def __init__(self, allowed: AllowList, lookup: Lookup | None = None) -> None:
        """Starts no thread yet.

        Args:
            allowed: What the operator lets pass.
            lookup: Finds addresses; the system's resolver if None. May take long, and raise OSError.
        """
        self._allowed = allowed
        self._lookup = lookup or addresses_of
        # Threads of its own: a resolver that hangs must not take those that others wait for.
        self._threads = ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="webhook-names")

    def check(self, url: str) -> str:
        """The URL as it is kept, when a webhook may have it; for whoever makes one.

        A name that cannot be looked up now (the resolver does not answer) passes: it is checked at delivery.

        Raises:
            TargetRefused: it may not.
        """
        target = parse_target(url)
        try:
            found = self.look_up(target).result(_LOOKUP_SECONDS)
        except NotInTime:
            return str(target.url)
        except OSError as error:
            if getattr(error, "errno", None) == socket.EAI_AGAIN:
                return str(target.url)
            raise TargetRefused(_NOT_PUBLIC) from None
        self.reachable(target, found)
        return str(target.url)

    def look_up(self, target: Target) -> Future[Sequence[str]]:
        """Asks for the addresses of a target, in a thread."""
        return self._threads.submit(self._lookup, target.host, target.port)

    def reachable(self, target: Target, found: Sequence[str]) -> list[Address]:
        """The addresses to connect to: those found, when each of them may be reached.

        Raises:
            TargetRefused: there is none, or one may not be.
        """
        is_named = self._allowed.names(target.host, target.port)
        try:
            addresses = [parse_address(each) for each in dict.fromkeys(found)]
        except ValueError:
            raise TargetRefused(_NOT_PUBLIC) from None
        is_allowed = [is_named or self._allowed.covers(each, target.port) for each in addresses]
        is_fine = all(ok or is_public(each) for ok, each in zip(is_allowed, addresses, strict=True))
        if not addresses or len(addresses) > _MOST_ADDRESSES or not is_fine:
            raise TargetRefused(_NOT_PUBLIC)
        if not target.is_encrypted and not all(is_allowed):
            raise TargetRefused(
                "url: must begin with https://; http is for targets that TEXTMILL_WEBHOOK_ALLOW names"
            )
        return addresses

    def close(self) -> None:
        """Waits for no lookup."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def parse_target(url: str) -> Target:
    """Takes a URL apart.

    Raises:
        TargetRefused: it is none that can be sent to.
    """
    if len(url) > MOST_URL_CHARACTERS:
        raise TargetRefused(f"url: longer than {MOST_URL_CHARACTERS} characters")
    # Blanks, and what readers of URLs do not agree on, could make two of them see two hosts.
    if not url.isascii() or not url.isprintable() or any(each in url for each in " \\<>\"'`^{|}"):
        raise TargetRefused("url: write it in ASCII, without blanks, quotes, braces and backslashes")
    try:
        parsed = httpx2.URL(url)
        port = _DEFAULT_PORTS.get(parsed.scheme) if parsed.port is None else parsed.port
        host, other = parsed.raw_host.decode().rstrip("."), (urlsplit(url).hostname or "").rstrip(".")
    except (httpx2.InvalidURL, ValueError):
        raise TargetRefused("url: cannot be read as an address") from None
    if parsed.scheme not in _DEFAULT_PORTS:
        raise TargetRefused("url: must begin with https://")
    if not host or host != other or "%" in host or port is None or not 0 < port < 1 << 16:
        raise TargetRefused("url: names no host, or no port, that there can be")
    if parsed.userinfo or parsed.fragment:
        raise TargetRefused("url: leave out user name, password and fragment; events are signed instead")
    return Target(parsed, host, port)


def addresses_of(host: str, port: int) -> list[str]:
    """What the system's resolver knows. Raises OSError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, "no such name") from error
    return [str(address[4][0]) for address in found]
