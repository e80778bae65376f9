"""The body forms of `POST /v1/jobs`: which fields, which bytes, which reader."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Any

import anyio.from_thread
import orjson
from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from api.schemas import JobIn
from api.submission import Reader
from jobs.errors import MalformedBody, PayloadTooLarge, RequestError, UnsupportedMediaType
from jobs.rows.formats import RawRow, read_csv, read_jsonl, read_objects, read_txt
from jobs.settings import Settings

_FORMATS = {
    "application/x-ndjson": "jsonl",
    "application/ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "application/x-jsonlines": "jsonl",
    "text/csv": "csv",
    "text/plain": "txt",
}
_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".txt": "txt"}
_JSON_FIELDS = ("params", "metadata")
_MAX_JSON_BYTES = 64 << 20  # a JSON array has to be held whole; larger jobs are sent as lines
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Body:
    """What a request carries."""

    fields: JobIn
    chunks: Iterable[bytes]
    read: Reader


async def open_body(request: Request, settings: Settings) -> Body:
    """Looks at the content type; reads only what must be known before the rows.

    Raises:
        UnsupportedMediaType: none of the accepted types.
        MalformedBody: a JSON body or form that cannot be read.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/json":
        return await _json(request)
    if kind == "multipart/form-data":
        return await _form(request, settings)
    if kind in _FORMATS:
        fields = _fields(dict(request.query_params))
        return Body(fields, _from_stream(request.stream()), _reader(_FORMATS[kind], fields, settings))
    raise UnsupportedMediaType(
        f"content type {kind or 'none'!r} is not accepted; use application/json, "
        "application/x-ndjson, text/csv, text/plain or multipart/form-data"
    )


async def _json(request: Request) -> Body:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_JSON_BYTES:
            raise PayloadTooLarge(
                f"a JSON body may have {_MAX_JSON_BYTES} bytes; send more as application/x-ndjson, row by row"
            )
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(
            f"not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    if not isinstance(value, dict):
        raise MalformedBody("the body must be a JSON object")
    documents = _documents(value)
    fields = _fields({**dict(request.query_params), **value})
    # The bytes are hashed for the Idempotency-Key; the rows come from what was parsed.
    return Body(fields, [bytes(body)], partial(_parsed, documents))


def _parsed(documents: list[Any], chunks: Iterable[bytes]) -> Iterator[RawRow]:
    for _ in chunks:
        pass
    return read_objects(documents)


def _documents(value: dict[str, Any]) -> list[Any]:
    given = [name for name in ("documents", "text", "messages") if name in value]
    if len(given) != 1:
        raise RequestError('give either "documents": [...] or one "text", or one chat as "messages"')
    if given != ["documents"]:
        row = {n: value.pop(n) for n in ("text", "messages", "context", "custom_id") if n in value}
        return [row]
    documents = value.pop("documents")
    if not isinstance(documents, list):
        raise RequestError('"documents" must be an array')
    return documents


async def _form(request: Request, settings: Settings) -> Body:
    form = await request.form(max_files=1, max_fields=32)
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        raise RequestError("a form needs its rows in the field `file`")
    fields = _fields({**dict(request.query_params), **{k: v for k, v in form.items() if k != "file"}})
    suffix = PurePath(upload.filename or "").suffix.lower()
    kind = _SUFFIXES.get(suffix) or _FORMATS.get((upload.content_type or "").split(";")[0])
    if kind is None:
        raise UnsupportedMediaType("the file's name must end in .jsonl, .csv or .txt")
    return Body(fields, iter(partial(upload.file.read, _CHUNK_BYTES), b""), _reader(kind, fields, settings))


def _fields(values: dict[str, Any]) -> JobIn:
    for name in _JSON_FIELDS:
        if isinstance(values.get(name), str):
            try:
                values[name] = orjson.loads(values[name])
            except orjson.JSONDecodeError:
                raise RequestError(f"{name} must be a JSON object") from None
    try:
        return JobIn.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            allowed = ", ".join(JobIn.model_fields)
            raise RequestError(f"unknown field {name!r}; allowed: {allowed}") from None
        raise RequestError(f"{name}: {first['msg']}") from None


def _reader(kind: str, fields: JobIn, settings: Settings) -> Reader:
    limit = settings.max_line_bytes
    if kind == "csv":
        return partial(read_csv, max_line_bytes=limit, text_column=fields.text_column)
    return partial(read_jsonl if kind == "jsonl" else read_txt, max_line_bytes=limit)


def _from_stream(stream: AsyncIterator[bytes]) -> Iterator[bytes]:
    """The request's chunks, for a thread of the pool: each is awaited on the event loop."""

    async def pull() -> bytes | None:
        return await anext(stream, None)

    while (chunk := anyio.from_thread.run(pull)) is not None:
        yield chunk
