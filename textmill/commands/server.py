"""Which server a command talks to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from textmill.client import Textmill

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True, kw_only=True)
class Server:
    """Address and key, from flags or the environment."""

    url: str | None
    api_key: str | None
    data: Path

    def address(self) -> str:
        """The one given, else that of the last login, else of a `textmill up` on the data folder.

        A login comes before what is found in a folder: that may be anybody's.
        """
        if self.url is not None:
            return self.url
        from textmill.known_servers import KnownServers
        from textmill.stack.folder import running

        if (known := KnownServers().default) is not None:
            return known
        stack = running(self.data.absolute())
        return stack.url if stack is not None else DEFAULT_URL

    def connect(self) -> Textmill:
        """A client; nothing is sent yet.

        The key is for a server that was named with it, or that it was given for at a login.
        """
        from textmill.client import Textmill
        from textmill.known_servers import KnownServers

        address = self.address()
        if self.api_key is not None and self.url is not None:
            return Textmill(address, self.api_key)
        if self.api_key is not None:
            typer.echo(
                "the key is not sent: name its server with --url or TEXTMILL_URL, or use `textmill login`",
                err=True,
            )
        return Textmill(address, KnownServers().key_for(address))


def server_of(context: typer.Context) -> Server:
    """The server the user named on the command line."""
    server = context.obj
    if not isinstance(server, Server):
        raise TypeError("the command was called without the application's callback")
    return server
