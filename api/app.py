"""The HTTP app, put together: `make_app(settings)`."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from celery import Celery
from fastapi import Depends, FastAPI
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from api.calls.line import open_line
from api.console.feed import Feed
from api.console.parts import Console
from api.console.sessions import open_sessions
from api.console.throughput import Throughput, watch
from api.context import Context
from api.doors import Doors, HeadAnswers, cors_options
from api.errors import install_error_handlers
from api.metrics import Metrics
from api.openai.in_flight import InFlight
from api.openapi import document_events, install_openapi
from api.places import Places
from api.query_check import refuse_nul, refuse_unknown_query
from api.rate_headers import RateHeaders
from api.rates import Rates
from api.request_limits import open_request_limits
from api.request_timer import RequestTimer
from api.routes import (
    batches,
    calls,
    console,
    console_account,
    console_acts,
    console_live,
    console_serving,
    console_session,
    console_submit,
    console_try,
    files,
    health,
    jobs,
    keys,
    models,
    projects,
    results,
    static,
    usage,
    webhooks,
    workers,
)
from api.uploads import Uploads, per_owner
from api.waiting import ChangeNotifier
from jobs.broker import make_celery
from jobs.catalogue import Catalogue
from jobs.dispatch import Dispatcher
from jobs.errors import BrokerUnavailable
from jobs.recovery import Sweeper
from jobs.sender import Sender
from jobs.settings import Settings
from jobs.store.batch_book import BatchBook
from jobs.store.file_book import FileBook
from jobs.store.key_book import open_key_book
from jobs.store.ledger_view import LedgerView
from jobs.store.sql import open_store
from jobs.store.webhook_book import open_targets, open_webhook_book
from jobs.webhooks.deliverer import Deliverer
from jobs.webhooks.posting import Poster

_PAGES = (
    console_live, console, console_acts, console_session, console_submit, console_try, console_serving,
    console_account, static,
)  # fmt: skip
_log = logging.getLogger(__name__)
_GZIP_FROM_BYTES = 1024
_GZIP_LEVEL = 3  # result lines become a sixth, at 170 MB/s of one core; level 9 packs a tenth more at 19
_DESCRIPTION = (
    "Submit one text or a million for generation, translation, sentiment or question answering; "
    "poll, follow or download while it runs. Errors are RFC 9457 problem documents."
)


def make_app(settings: Settings, *, most_connections: int | None = None) -> FastAPI:
    """The app with its routes; the database is first asked when it starts.

    Args:
        settings: Of this process.
        most_connections: What the server accepts, where that is known: half of them may be streams.
    """
    catalogue = Catalogue.load(settings)
    celery = make_celery(settings, catalogue)
    store = open_store(settings)
    dispatcher = Dispatcher(store, celery, catalogue, settings)
    rates = Rates()
    view = LedgerView(store.database)
    targets, metrics = open_targets(settings), Metrics()
    throughput = Throughput()
    context = Context(
        settings=settings,
        catalogue=catalogue,
        store=store,
        keys=open_key_book(settings, store.database),
        sender=Sender(dispatcher, on_death=_die),
        rates=rates,
        metrics=metrics,
        changes=ChangeNotifier(store),
        uploads=Uploads(settings),
        streams=Places(
            "streams and waits",
            total=min(settings.max_streams, (most_connections or settings.max_connections) // 2),
            per_owner=per_owner(settings, settings.max_streams_per_key),
        ),
        requests=open_request_limits(settings),
        files=FileBook(store.database),
        batches=BatchBook(store.database),
        webhooks=open_webhook_book(settings, store.database, targets),
        creating=InFlight(),
        line=open_line(settings),
        console=Console(
            view=view,
            feed=Feed(view, rates, throughput),
            throughput=throughput,
            sessions=open_sessions(settings),
        ),
        check_broker=lambda: _check_broker(celery),
    )
    # A sweep here as well as in the workers: with every worker dead, somebody must still
    # expire jobs, and re-send what Redis refused at submit.
    sweeper = Sweeper(store, dispatcher, settings, on_death=_die)
    deliverer = Deliverer(context.webhooks, Poster(targets), on_death=_die, on_tried=metrics.tried_webhook)
    app = FastAPI(
        title="Textmill",
        version="0.1.0",
        description=_DESCRIPTION,
        lifespan=partial(_lifespan, context, sweeper, deliverer),
        redirect_slashes=False,  # behind a proxy with TLS it would send client and key to http://
        docs_url=None,  # FastAPI's pages load scripts from elsewhere; ours are among the console's
        redoc_url=None,
    )
    app.state.context = context
    install_error_handlers(app)
    document_events(app)
    install_openapi(app)
    # Innermost, so that HEAD tells the length that GET has; events pass as they are.
    app.add_middleware(GZipMiddleware, minimum_size=_GZIP_FROM_BYTES, compresslevel=_GZIP_LEVEL)
    app.add_middleware(RateHeaders)
    app.add_middleware(HeadAnswers)
    if settings.allowed_origins:
        app.add_middleware(CORSMiddleware, **cors_options(settings))
    app.add_middleware(Doors, settings=settings)
    app.add_middleware(RequestTimer, metrics=context.metrics)
    documented = (
        jobs, results, files, batches, calls, webhooks, models, keys, projects, usage, workers, health,
    )  # fmt: skip
    for module in documented:
        app.include_router(module.router, dependencies=[Depends(refuse_unknown_query), Depends(refuse_nul)])
    for module in _PAGES:
        # Pages: an address with more on it still opens.
        app.include_router(module.router, dependencies=[Depends(refuse_nul)])
    return app


@asynccontextmanager
async def _lifespan(
    context: Context, sweeper: Sweeper, deliverer: Deliverer, app: FastAPI
) -> AsyncIterator[None]:
    context.sender.start()
    sweeper.start()
    watching = asyncio.create_task(
        watch(context.console.throughput, lambda since: context.console.view.progress(since=since)),
        name="throughput",
    )
    watching.add_done_callback(_die_if_failed)
    deliverer.start()
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching  # it may be reading
        await context.line.close()
        context.sender.stop()
        sweeper.stop()
        deliverer.stop()
        context.store.close()


def _die_if_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("throughput_failed", exc_info=error)
        _die()


def _die() -> None:
    """Without one of its helpers this process only looks alive; a supervisor starts another."""
    os._exit(70)


def _check_broker(app: Celery) -> None:
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
    except (OperationalError, RedisError, OSError) as error:
        raise BrokerUnavailable(f"Redis does not answer: {type(error).__name__}") from error
