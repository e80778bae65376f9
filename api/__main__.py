"""`python -m api`: the API alone."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
import uvicorn.config
from fastapi import FastAPI

from api.app import make_app
from api.connections import BoundedProtocol, backlog_of, most_connections
from api.context import Context
from api.log_lines import Throttle
from jobs.errors import ConfigurationError, StoreUnavailable, TextmillError
from jobs.privacy import keep_files_private, make_private
from jobs.process import keep_giving_back, prepare_process, settle_in
from jobs.settings import Settings

_log = logging.getLogger(__name__)


def main() -> int:
    """Parses, checks, serves until told to stop."""
    options = _options()
    prepare_process()
    keep_files_private()
    if options.model:
        os.environ["TEXTMILL_MODELS"] = " ".join(options.model)
    _set_up_logs(options.log_level)
    try:
        settings = Settings.load(host=options.host, port=options.port)
        _refuse_open_doors(settings)
        _close_data_folder(settings.data)
        most = most_connections(settings)
        app = make_app(settings, most_connections=most)
        _log.info(_who_may_enter(app.state.context))
    except TextmillError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    _spool_in(settings.data / "uploads")
    _serve(app, settings, most)
    return 0


def _set_up_logs(level: str) -> None:
    handler = logging.StreamHandler()
    handler.addFilter(Throttle())
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s", handlers=[handler]
    )
    for chatty in ("uvicorn", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _close_data_folder(folder: Path) -> None:
    try:
        make_private(folder)
    except OSError as error:
        raise ConfigurationError(f"cannot use the data folder {folder}: {error.strerror}") from error


def _spool_in(folder: Path) -> None:
    """The files of forms, which Starlette makes, lie with our own."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    tempfile.tempdir = str(folder)


def _serve(app: FastAPI, settings: Settings, most: int) -> None:
    protocol: Any = partial(BoundedProtocol, most=most, idle_seconds=settings.idle_seconds)

    def configured(port: int) -> uvicorn.Config:
        return uvicorn.Config(
            app, host=settings.host, port=port, http=protocol, ws="none", loop="asyncio", log_config=None,
            access_log=False, backlog=backlog_of(most), timeout_graceful_shutdown=10, timeout_keep_alive=75,
            server_header=False,
        )  # fmt: skip

    server = uvicorn.Server(configured(settings.port))
    sockets = None
    if settings.operations_port is not None:
        sockets = [configured(port).bind_socket() for port in (settings.port, settings.operations_port)]
    settle_in()
    keep_giving_back()
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal again that it ended by
        server.run(sockets)
    if not server.started:
        sys.exit(uvicorn.config.STARTUP_FAILURE)


def _refuse_open_doors(settings: Settings) -> None:
    if settings.has_keys or settings.host == "localhost":
        return
    try:
        is_loopback = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ConfigurationError(
            f"will not listen on {settings.host} without API keys: "
            "set TEXTMILL_API_KEYS or TEXTMILL_ADMIN_KEY, or bind to 127.0.0.1"
        )


def _who_may_enter(context: Context) -> str:
    """How many keys there are, or that none is asked for; said at every start."""
    try:
        return context.keys.open()
    except StoreUnavailable as error:  # it is asked again for every request
        return f"who may enter is not known yet: {error}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="textmill api", description="The HTTP API alone.")
    parser.add_argument("--host", help="address to bind to (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port (default: 8000)")
    parser.add_argument(
        "--model", action="append", default=[], metavar="TASK=REF[@REVISION]", help="add a model; repeatable"
    )
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
