"""Single calls: one request of an endpoint, answered while it waits, whole or as it is decoded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import APIRouter, Header, Request, Response
from fastapi.sse import format_sse_event
from starlette.requests import ClientDisconnect

from api.calls.call import Call, begin_call
from api.calls.request import Asked, read_call
from api.calls.stream import CallStream
from api.context import STREAMED, CallerDep, Context, ContextDep
from api.errors import OUTSIDE
from api.openai.call_schemas import CALL_SCHEMAS, body_of
from api.openai.chunks import Streamed
from api.openai.endpoints import ENDPOINTS
from jobs.errors import TextmillError
from jobs.keys import Caller
from jobs.records import Task

router = APIRouter(prefix="/v1", tags=["calls"])
T = TypeVar("T")
_STILL_HERE = format_sse_event(comment="still here")


def _route(url: str, operation_id: str, text: str) -> None:
    """Adds an endpoint; all of them differ in their schemas only."""

    async def answer(
        request: Request,
        context: ContextDep,
        caller: CallerDep,
        idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
    ) -> Response:
        return await _answer(url, request, context, caller, idempotency_key)

    router.add_api_route(
        url.removeprefix("/v1"), answer, methods=["POST"], operation_id=operation_id, description=text,
        summary=operation_id.replace("_", " ").capitalize(), dependencies=[STREAMED],
        response_model=CALL_SCHEMAS[url].answer, openapi_extra=body_of(url),
    )  # fmt: skip


_BOTH = (
    "A job of one interactive document, answered when it is done; with `stream`, its text as it is decoded. "
    "Who leaves before the end cancels it."
)
_route("/v1/chat/completions", "create_chat_completion", f"What a model says next in a chat. {_BOTH}")
_route("/v1/completions", "create_completion", f"What follows a text. {_BOTH}")
_route("/v1/responses", "create_response", f"A message in answer to a text or a chat. {_BOTH}")
_route("/v1/translations", "create_translation", "A text in another language, as a job of one document.")
_route("/v1/sentiment", "create_sentiment", "Labels of a text with their scores, as a job of one document.")
_route("/v1/answers", "create_answer", "Where a context answers a question, as a job of one document.")


async def _answer(
    url: str, request: Request, context: Context, caller: Caller, idempotency_key: str | None
) -> Response:
    most = context.settings.max_line_bytes
    async with context.uploads.receive(request, caller.owner, max_bytes=most) as receiver:
        asked = read_call(url, b"".join([chunk async for chunk in receiver.chunks_here()]))
    call = await begin_call(context, caller, asked, idempotency_key=idempotency_key)
    try:
        if asked.is_streamed:
            pieces = call.pieces()
            # A status can still be told until the first piece is there.
            first = await _while_connected(request, _first(pieces))
            events = _events(_stream(context, call, asked), call, first, pieces)
            return CallStream(events, on_end=call.leave)
        row = await _while_connected(request, call.result())
    except BaseException:
        call.leave()
        raise
    call.leave()
    body = orjson.dumps(ENDPOINTS[url].answer(row, call.answered))
    return Response(body, media_type="application/json")


def _stream(context: Context, call: Call, asked: Asked) -> Streamed:
    stream = ENDPOINTS[asked.url].stream
    assert stream is not None  # `read_call` refuses to stream where there is none
    named = (asked.row.fields or {}).get("model")
    model = str(named or context.catalogue.default(Task.GENERATION).name)
    return stream(call.answered, model, has_usage=asked.has_usage)


async def _first(pieces: AsyncIterator[str]) -> str | None:
    return await anext(pieces, None)


async def _events(
    stream: Streamed, call: Call, first: str | None, pieces: AsyncIterator[str]
) -> AsyncIterator[bytes]:
    """The stream; what fails on the way is told in it, since its status is sent."""
    has_begun = False
    try:
        piece = first
        while piece is not None:
            if piece and not has_begun:
                has_begun = True
                for part in stream.begin():
                    yield part
            yield stream.piece(piece) if piece else _STILL_HERE
            piece = await anext(pieces, None)
        assert call.row is not None  # `Call.pieces` ends with it
        for part in stream.ends(call.row, has_begun=has_begun):
            yield part
    except TextmillError as error:
        message = OUTSIDE.get(error.code, str(error))
        for part in stream.failed(error.http_status, error.code, message):
            yield part


async def _while_connected(request: Request, work: Awaitable[T]) -> T:
    """What the work gives, unless the client leaves before.

    Raises:
        ClientDisconnect: it did.
    """
    tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(work), asyncio.ensure_future(_left(request))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            raise ClientDisconnect
        result: T = tasks[0].result()
        return result
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
