"""The body forms of `POST /v1/jobs`: which fields, which bytes, which reader."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from functools import partial
from pathlib import PurePath
from typing import Any

import anyio.from_thread
from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from api.context import in_thread
from api.schemas import JobIn
from api.submission import Reader
from jobs import jsontext
from jobs.errors import MalformedBody, PayloadTooLarge, RequestError, UnsupportedMediaType
from jobs.rows.columns import ROLES, Columns, as_table
from jobs.rows.formats import RawRow, read_objects
from jobs.rows.reading import JSON, TABLE, TEXT, RowReader, table_of_tabs
from jobs.settings import Settings

_TABS = "tabs"
_FORMATS = {
    "application/x-ndjson": JSON,
    "application/ndjson": JSON,
    "application/jsonl": JSON,
    "application/x-jsonlines": JSON,
    "text/csv": TABLE,
    "text/tab-separated-values": _TABS,
    "text/plain": TEXT,
}
_SUFFIXES = {
    ".jsonl": JSON,
    ".ndjson": JSON,
    ".json": JSON,
    ".csv": TABLE,
    ".tsv": _TABS,
    ".tab": _TABS,
    ".txt": TEXT,
}
_JSON_FIELDS = ("params", "metadata")
_MAX_JSON_BYTES = 64 << 20  # a JSON body has to be held whole; larger jobs are sent as lines
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Body:
    """What a request carries."""

    fields: JobIn
    chunks: Iterable[bytes]
    read: Reader
    #: what the caller may want to know; complete once the rows are read
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Declared:
    """What a Content-Type and a Content-Encoding say."""

    kind: str
    charset: str | None
    is_gzip: bool = False

    @classmethod
    def of(cls, content_type: str, content_encoding: str = "") -> _Declared:
        header = Message()
        header["Content-Type"] = content_type
        charset = header.get_content_charset()
        kind = content_type.partition(";")[0].strip().lower()
        codings = {c.strip().lower() for c in content_encoding.split(",")} - {"", "identity"}
        if not codings <= {"gzip", "x-gzip"} or content_encoding.lower().count("gzip") > 1:
            raise UnsupportedMediaType(
                f"content encoding {content_encoding[:40]!r} is not accepted; use gzip, or none"
            )
        return cls(kind, charset, is_gzip=bool(codings))


async def open_body(request: Request, settings: Settings) -> Body:
    """Looks at the content type; reads only what must be known before the rows.

    Raises:
        UnsupportedMediaType: none of the accepted types.
        MalformedBody: a JSON body or form that cannot be read.
    """
    declared = _Declared.of(
        request.headers.get("content-type", ""), request.headers.get("content-encoding", "")
    )
    if declared.kind == "application/json":
        return await _json(request, declared, settings)
    if declared.kind == "multipart/form-data":
        if declared.is_gzip:
            raise UnsupportedMediaType("a form is not accepted compressed; compress the file in it")
        return await _form(request, settings)
    if declared.kind in _FORMATS:
        fields = _fields(_query(request))
        return _body(fields, _from_stream(request.stream()), _FORMATS[declared.kind], declared, settings)
    raise UnsupportedMediaType(
        f"content type {request.headers.get('content-type') or 'none'!r} is not accepted; use "
        "application/json, application/x-ndjson, text/csv, text/tab-separated-values, text/plain or "
        "multipart/form-data (gzip data under the type of what is inside)"
    )


async def _json(request: Request, declared: _Declared, settings: Settings) -> Body:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_JSON_BYTES:
            raise _json_too_large()
    query = _query(request)
    value = await in_thread(_loaded, bytes(body), query.get("encoding"), declared, settings)
    documents = value if isinstance(value, list) else _documents(value)
    fields = _fields(query if isinstance(value, list) else _merged(query, value))
    if fields.delimiter is not None:
        raise RequestError("delimiter is for tables (CSV, TSV), and this is JSON")
    # The bytes are hashed for the Idempotency-Key; the rows come from what was parsed.
    return Body(fields, [bytes(body)], partial(_parsed, documents, _columns(fields)))


def _loaded(
    body: bytes, encoding: str | None, declared: _Declared, settings: Settings
) -> dict[str, Any] | list[Any]:
    reader = RowReader(
        kind=JSON, encoding=encoding, charset=declared.charset, is_gzip=declared.is_gzip,
        max_line_bytes=_MAX_JSON_BYTES, max_body_bytes=min(_MAX_JSON_BYTES, settings.max_body_bytes),
    )  # fmt: skip
    text = b"".join(reader.text([body]))
    try:
        value = jsontext.loads(text)
    except jsontext.JSONDecodeError as error:
        raise MalformedBody(
            f"not valid JSON: {error.msg} at line {error.lineno}, column {error.colno} "
            "(objects one a line are sent as application/x-ndjson)"
        ) from None
    if not isinstance(value, dict | list):
        raise MalformedBody("the body must be a JSON object, or an array of documents")
    return value


def _json_too_large() -> PayloadTooLarge:
    return PayloadTooLarge(
        f"a JSON body may have {_MAX_JSON_BYTES} bytes; send more as application/x-ndjson, row by row"
    )


def _query(request: Request) -> dict[str, Any]:
    pairs = request.query_params.multi_items()
    query = dict(pairs)
    for name in query:
        if [key for key, _ in pairs].count(name) > 1:
            raise RequestError(f"the query names {name!r} more than once")
    return query


def _merged(query: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """The fields of a JSON body beside those of the query, which may not contradict them."""
    for name in query.keys() & value.keys():
        if name not in _JSON_FIELDS and query[name] != value[name]:
            raise RequestError(
                f"{name} is {query[name]!r} in the query and {str(value[name])[:100]!r} in the body; say one"
            )
        if name in _JSON_FIELDS:
            raise RequestError(f"{name} stands in the query and in the body; give it once")
    return {**query, **value}


def _parsed(documents: list[Any], columns: Columns, chunks: Iterable[bytes]) -> Iterable[RawRow]:
    for _ in chunks:
        pass
    rows = read_objects(documents)
    return as_table(rows, columns) if columns.given else rows


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
    fields = _fields(_merged(_query(request), {k: v for k, v in form.items() if k != "file"}))
    name = PurePath((upload.filename or "").lower())
    declared = _Declared.of(upload.content_type or "", upload.headers.get("content-encoding", ""))
    suffix = PurePath(name.stem).suffix if name.suffix == ".gz" else name.suffix
    kind = _SUFFIXES.get(suffix) or _FORMATS.get(declared.kind)
    if kind is None:
        raise UnsupportedMediaType(f"the file's name must end in {', '.join(_SUFFIXES)} (or that and .gz)")
    return _body(fields, iter(partial(upload.file.read, _CHUNK_BYTES), b""), kind, declared, settings)


def _fields(values: dict[str, Any]) -> JobIn:
    for name in _JSON_FIELDS:
        if isinstance(values.get(name), str):
            try:
                values[name] = jsontext.loads(values[name])
            except jsontext.JSONDecodeError:
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


def _body(fields: JobIn, chunks: Iterable[bytes], kind: str, declared: _Declared, settings: Settings) -> Body:
    notes: list[str] = []
    reader = RowReader(
        kind=TABLE if kind == _TABS else kind,
        columns=_columns(fields),
        delimiter=fields.delimiter,
        encoding=fields.encoding,
        charset=declared.charset,
        is_gzip=declared.is_gzip,
        max_line_bytes=settings.max_line_bytes,
        max_body_bytes=settings.max_body_bytes,
        note=notes.append,
    )
    return Body(fields, chunks, (table_of_tabs(reader) if kind == _TABS else reader).rows, notes)


def _columns(fields: JobIn) -> Columns:
    given = {role: name for role in ROLES if (name := getattr(fields, f"{role}_column")) is not None}
    return Columns(given, is_mixed=fields.task is None and fields.model is None)


def _from_stream(stream: AsyncIterator[bytes]) -> Iterator[bytes]:
    """The request's chunks, for a thread of the pool: each is awaited on the event loop."""

    async def pull() -> bytes | None:
        return await anext(stream, None)

    while (chunk := anyio.from_thread.run(pull)) is not None:
        yield chunk
