"""`textmill login` and `logout`: which server commands talk to, and with which key."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from textmill.client import Textmill


def login(
    url: Annotated[str, typer.Argument(metavar="URL", help="The server, such as https://mill.example.org.")],
) -> None:
    """Keep a server and your key for it; commands talk to it from now on.

    The key is asked for, or read from stdin; it is kept in a file of yours only, and sent to no other server.

    For example:

    textmill login https://mill.example.org
    textmill login http://127.0.0.1:8000 < key.txt
    """
    from textmill.known_servers import KnownServers, one_spelling
    from textmill.terminal.consoles import chatter
    from textmill.transport import is_loopback

    address = one_spelling(url)
    key = None if _takes_everybody(address) else _ask(address)
    if key is not None:
        if address.startswith("http:") and not is_loopback(address):
            chatter().print("the key travels unencrypted: put TLS in front of this server", style="yellow")
        with _client(address, key) as server:
            server.models()
    servers = KnownServers()
    servers.remember(address, key)
    what = "it needs no key" if key is None else f"the key is kept in {servers.path}"
    chatter().print(f"logged in to {address}; {what}", markup=False, soft_wrap=True)


def logout(
    url: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="The server; default: that of the last login.")
    ] = None,
) -> None:
    """Forget a server and the key for it.

    For example:

    textmill logout
    """
    from textmill.known_servers import KnownServers
    from textmill.terminal.consoles import chatter

    servers = KnownServers()
    address = url or servers.default
    if address is None or not servers.forget(address):
        raise typer.BadParameter(f"not logged in to {address or 'any server'}", param_hint="URL")
    chatter().print(f"logged out of {address}", markup=False, soft_wrap=True)


def _takes_everybody(address: str) -> bool:
    from textmill.errors import RequestRefused

    with _client(address, None) as server:
        try:
            server.models()
        except RequestRefused as error:
            if error.status != 401:
                raise
            return False
    return True


def _ask(address: str) -> str:
    if sys.stdin.isatty():
        key = typer.prompt(f"API key for {address}", hide_input=True, err=True)
    else:
        key = sys.stdin.readline()
    if not (key := str(key).strip()):
        raise typer.BadParameter("no key was given: type it, or pass it on stdin", param_hint="key")
    return key


def _client(address: str, key: str | None) -> Textmill:
    from textmill.client import Textmill

    return Textmill(address, key)
