"""Private targets that an operator allows: `TEXTMILL_WEBHOOK_ALLOW`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network

from jobs.webhooks.addresses import Address, Network, meant_by

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
#: To a resolver an address: 127.1, 0x7f000001.
_NUMBER_LAST = re.compile(r"(.*\.)?(0x[0-9a-f]*|\d+)")
_BRACKETED = re.compile(r"\[([0-9a-f:.]+)\](?::(\d+))?")


@dataclass(frozen=True)
class _Entry:
    """A network or a name, and a port, or every one."""

    network: Network | None
    name: str | None
    port: int | None


class AllowList:
    """Hosts by name, and addresses, that webhooks may have though they are not public, by http too."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Reads `HOST`, `ADDRESS` or `NETWORK/BITS`, the first two with `:PORT` if it is for that alone.

        Raises:
            ValueError: one is none of these.
        """
        self._entries = [_entry(each.lower()) for each in entries]

    def names(self, host: str, port: int) -> bool:
        """Whether the host may be reached at that port wherever its name leads."""
        return any(each.name == host and each.port in (None, port) for each in self._entries)

    def covers(self, address: Address, port: int) -> bool:
        """Whether the address may be reached at that port."""
        meant = meant_by(address)
        return any(
            each.network is not None
            and each.network.version == meant.version
            and meant in each.network
            and each.port in (None, port)
            for each in self._entries
        )


def _entry(text: str) -> _Entry:
    bracketed = _BRACKETED.fullmatch(text)
    host, port = (bracketed.group(1), bracketed.group(2)) if bracketed else _apart(text)
    number = None if port is None else _port(port, text)
    try:
        return _Entry(ip_network(host), None, number)
    except ValueError as error:
        # A name whose last part is a number is an address to a resolver: 127.1, 0x7f000001.
        if not bracketed and _NAME.fullmatch(host) and not _NUMBER_LAST.fullmatch(host):
            return _Entry(None, host, number)
        why = f": {error}" if "/" in text else ""
        raise ValueError(
            f"{text[:80]!r} is no target: write HOST, HOST:PORT, ADDRESS, [ADDRESS]:PORT or NETWORK/BITS{why}"
        ) from None


def _apart(text: str) -> tuple[str, str | None]:
    host, colon, port = text.rpartition(":")
    return (host, port) if colon and ":" not in host else (text, None)


def _port(port: str, text: str) -> int:
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ValueError(f"{text[:80]!r}: a port is a number from 1 to 65535")
    return int(port)
