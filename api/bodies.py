"""The body forms of `POST /v1/jobs`: which fields, which bytes, which reader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath
from typing import IO, Any

from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from api.content_types import FORMATS, SUFFIXES, TABS, Declared
from api.receiving import PIECE_BYTES, Receiver
from api.schemas import JobIn
from api.submission import Reader
from api.uploads import new_spool, spool_folder
from jobs import jsontext
from jobs.echo import echoed
from jobs.errors import MalformedBody, RequestError, UnsupportedMediaType
from jobs.rows.columns import ROLES, Columns, as_table
from jobs.rows.formats import RawRow
from jobs.rows.reading import JSON, TABLE, RowReader, table_of_tabs
from jobs.rows.requests import request_fields, request_rows
from jobs.settings import Settings

_JSON_FIELDS = ("params", "metadata")
_SPOOL_MEMORY_BYTES = 1 << 20


@dataclass(frozen=True)
class Head:
    """What a request says before its body."""

    declared: Declared
    query: dict[str, Any]

    @classmethod
    def of(cls, request: Request) -> Head:
        """Checked, so that what is wrong is refused before the body arrives.

        Raises:
            UnsupportedMediaType: none of the accepted types.
            RequestError: a query parameter that stands twice.
        """
        headers = request.headers
        declared = Declared.of(headers.get("content-type", ""), headers.get("content-encoding", ""))
        declared.check()
        return cls(declared, _query(request))


@dataclass(frozen=True)
class Body:
    """What a request carries."""

    fields: JobIn
    chunks: Iterable[bytes]
    read: Reader
    #: what the caller may want to know; complete once the rows are read
    notes: list[str] = field(default_factory=list)


async def receive_form(request: Request, receiver: Receiver, *, max_fields: int = 32) -> FormData:
    """A form, its file in a nameless file of ours.

    Raises:
        UnsupportedMediaType: it is none.
        MalformedBody: it cannot be read.
        PayloadTooLarge, UploadStalled, ClientDisconnect: see `Receiver`.
    """
    headers = request.headers
    if not Declared.of(headers.get("content-type", ""), headers.get("content-encoding", "")).is_form:
        raise UnsupportedMediaType("a form is wanted: send it as multipart/form-data")
    parser = MultiPartParser(headers, receiver.chunks_here(), max_files=1, max_fields=max_fields)
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise MalformedBody(f"the form cannot be read: {error.message}") from None


@contextmanager
def open_body(head: Head, receiver: Receiver, form: FormData | None, settings: Settings) -> Iterator[Body]:
    """Reads what must be known before the rows; in a thread.

    Args:
        head: Of the request.
        receiver: The body, unless it is a form.
        form: The form, if it is one.
        settings: For the limits.

    Raises:
        RequestError: it cannot be read, or its fields are wrong.
    """
    if form is not None:
        yield form_body(_merged(head.query, dict(form)), settings)
    elif head.declared.kind == "application/json":
        with new_spool(spool_folder(settings), memory_bytes=_SPOOL_MEMORY_BYTES) as spool:
            for chunk in receiver.chunks():
                spool.write(chunk)
            yield _json(head, spool, settings)
    else:
        kind = FORMATS[head.declared.kind]
        yield _body(_fields(head.query), receiver.chunks(), kind, head.declared, settings)


def _json(head: Head, spool: IO[bytes], settings: Settings) -> Body:
    reader = RowReader(
        kind=JSON, encoding=head.query.get("encoding"), charset=head.declared.charset,
        is_gzip=head.declared.is_gzip, max_line_bytes=settings.max_line_bytes,
        max_body_bytes=settings.max_body_bytes,
    )  # fmt: skip
    given = request_fields(reader.text(_from_start(spool)), max_value_bytes=settings.max_line_bytes)
    if given is not None and given.get("encoding") is not None:
        raise RequestError(
            "encoding stands in the bytes that it is for: say it in the query, or as a charset"
        )
    fields = _fields(head.query if given is None else _merged(head.query, given))
    if fields.delimiter is not None:
        raise RequestError("delimiter is for tables (CSV, TSV), and this is JSON")
    columns = _columns(fields)
    notes: list[str] = []

    def rows(chunks: Iterable[bytes]) -> Iterable[RawRow]:
        found = request_rows(reader.text(chunks), max_value_bytes=settings.max_line_bytes)
        return as_table(found, columns, notes.append) if columns.given else found

    return Body(fields, _from_start(spool), rows, notes)


def _from_start(spool: IO[bytes]) -> Iterator[bytes]:
    spool.seek(0)
    yield from iter(partial(spool.read, PIECE_BYTES), b"")


def _query(request: Request) -> dict[str, Any]:
    pairs = request.query_params.multi_items()
    query = dict(pairs)
    for name in query:
        values = [value for key, value in pairs if key == name]
        if name == "tags":
            query[name] = ",".join(values)
        elif len(values) > 1:
            raise RequestError(f"the query names {echoed(name)} more than once")
    if '"secret"' in query.get("webhook", ""):
        raise RequestError("webhook.secret: not in a query, which is written into logs; leave it out")
    return query


def _merged(query: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """The fields of a JSON body beside those of the query, which may not contradict them."""
    for name in query.keys() & value.keys():
        if name not in _JSON_FIELDS and query[name] != value[name]:
            raise RequestError(
                f"{name} is {echoed(query[name])} in the query and {echoed(value[name])} in the body; say one"
            )
        if name in _JSON_FIELDS:
            raise RequestError(f"{name} stands in the query and in the body; give it once")
    return {**query, **value}


def form_body(form: Mapping[str, Any], settings: Settings) -> Body:
    """The body that a form carries: its `file`, and fields by their names in `JobIn`.

    Raises:
        RequestError: it has no file, or a field is wrong.
    """
    chunks, kind, declared = _upload(form)
    return _body(_fields({k: v for k, v in form.items() if k != "file"}), chunks, kind, declared, settings)


def column_names(form: Mapping[str, Any], settings: Settings) -> list[str]:
    """The columns of the file that a form carries, whatever they are for; of lines of text, none.

    Raises:
        RequestError: as `form_body`.
    """
    chunks, kind, declared = _upload(form)
    how = {name: form[name] for name in ("delimiter", "encoding") if form.get(name)}
    return _reader(_fields(how), kind, declared, settings, []).column_names(chunks)


def _upload(form: Mapping[str, Any]) -> tuple[Iterable[bytes], str, Declared]:
    """The bytes of a form's file, which reader they need, and what is said of them."""
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        raise RequestError("a form needs its rows in the field `file`")
    name = PurePath((upload.filename or "").lower())
    declared = Declared.of(upload.content_type or "", upload.headers.get("content-encoding", ""))
    suffix = PurePath(name.stem).suffix if name.suffix == ".gz" else name.suffix
    kind = SUFFIXES.get(suffix) or FORMATS.get(declared.kind)
    if kind is None:
        raise UnsupportedMediaType(f"the file's name must end in {', '.join(SUFFIXES)} (or that and .gz)")
    return _from_start(upload.file), kind, declared


def _fields(values: dict[str, Any]) -> JobIn:
    for name in _JSON_FIELDS:
        if isinstance(values.get(name), str):
            try:
                values[name] = jsontext.loads(values[name])
            except jsontext.JSONDecodeError as error:
                raise RequestError(f"{name} must be a JSON object: {error.msg}") from None
    try:
        return JobIn.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
            allowed = ", ".join(JobIn.model_fields)
            raise RequestError(f"unknown field {echoed(name)}; allowed: {allowed}") from None
        raise RequestError(f"{name}: {first['msg']}") from None


def _body(fields: JobIn, chunks: Iterable[bytes], kind: str, declared: Declared, settings: Settings) -> Body:
    notes: list[str] = []
    return Body(fields, chunks, _reader(fields, kind, declared, settings, notes).rows, notes)


def _reader(fields: JobIn, kind: str, declared: Declared, settings: Settings, notes: list[str]) -> RowReader:
    reader = RowReader(
        kind=TABLE if kind == TABS else kind,
        columns=_columns(fields),
        delimiter=fields.delimiter,
        encoding=fields.encoding,
        charset=declared.charset,
        is_gzip=declared.is_gzip,
        max_line_bytes=settings.max_line_bytes,
        max_body_bytes=settings.max_body_bytes,
        note=notes.append,
    )
    return table_of_tabs(reader) if kind == TABS else reader


def _columns(fields: JobIn) -> Columns:
    given = {role: name for role in ROLES if (name := getattr(fields, f"{role}_column")) is not None}
    return Columns(given, is_mixed=fields.task is None and fields.model is None)
