"""`python -m api`: the API alone."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import sys

import uvicorn

from api.app import make_app
from api.context import Context
from jobs.errors import ConfigurationError, StoreUnavailable, TextmillError
from jobs.privacy import keep_files_private
from jobs.settings import Settings

_log = logging.getLogger(__name__)


def main() -> int:
    """Parses, checks, serves until told to stop."""
    options = _options()
    keep_files_private()
    if options.model:
        os.environ["TEXTMILL_MODELS"] = " ".join(options.model)
    logging.basicConfig(
        level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        settings = Settings.load(host=options.host, port=options.port)
        _refuse_open_doors(settings)
        app = make_app(settings)
        _log.info(_who_may_enter(app.state.context))
    except TextmillError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    uvicorn.run(
        app, host=settings.host, port=settings.port, log_level="warning", timeout_graceful_shutdown=10,
        timeout_keep_alive=75,
    )  # fmt: skip
    return 0


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
