"""Making a batch: every line checked, then stored as a job, or kept with what is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial
from typing import IO

from api.context import Context
from api.openai.create_body import BatchIn, batch_fields, batch_requests
from api.openai.endpoints import check_endpoint
from api.openai.lines import rows_of
from api.receiving import PIECE_BYTES, Receiver
from api.schemas import JobIn
from api.submission import Reader, submit
from api.uploads import new_spool, spool_folder
from jobs.batches import Batch, LineProblem, batch_id_of
from jobs.errors import (
    EmptySubmission,
    InvalidRows,
    MalformedBody,
    PayloadTooLarge,
    UnsupportedMediaType,
)
from jobs.keys import Caller
from jobs.records import NewBatch
from jobs.rows.formats import RawRow, read_lines
from jobs.rows.reading import JSON, RowReader

_SPOOL_MEMORY_BYTES = 1 << 20
#: A repeat finds what the call before it made, if that is no older.
_REPEAT_SECONDS = 60.0
#: What may be wrong with a file: the batch is there, and has failed. All else is wrong with the call.
_OF_THE_FILE = (EmptySubmission, MalformedBody, PayloadTooLarge, UnsupportedMediaType)
_ENVELOPE = ("custom_id", "method", "url", "body")


def create_batch(
    context: Context, receiver: Receiver, caller: Caller, *, idempotency_key: str | None, is_repeat: bool
) -> Batch:
    """Runs the whole call; beside the event loop.

    Args:
        context: Of the app.
        receiver: The body.
        caller: Who asks.
        idempotency_key: As the caller gives it, or None.
        is_repeat: The client says that it has sent this before, and heard no answer.

    Returns:
        The batch: one with a job, or a failed one. A repeat has the batch that was made before it.

    Raises:
        RequestError: the call itself is wrong.
        Overloaded: there is too much work.
    """
    settings = context.settings
    with new_spool(spool_folder(settings), memory_bytes=_SPOOL_MEMORY_BYTES) as spool:
        digest = hashlib.sha256(caller.owner.encode() + b"\0")
        for chunk in receiver.chunks():
            digest.update(chunk)
            spool.write(chunk)
        asked, has_requests = batch_fields(_from_start(spool), max_value_bytes=settings.max_line_bytes)
        check_endpoint(asked.endpoint)
        batch = _new_batch(asked, digest.hexdigest())
        source = _requests_in_body if has_requests else _lines_of_file
        chunks, read = source(context, caller, asked, spool)
        with context.creating.alone((caller.owner, batch.request_sha256)):
            found = _made_before(context, caller, batch) if is_repeat else None
            return found or _submit(context, caller, asked, batch, chunks, read, idempotency_key)


def _new_batch(asked: BatchIn, request_sha256: str) -> NewBatch:
    expires = asked.output_expires_after
    return NewBatch(
        endpoint=asked.endpoint,
        input_file=asked.input_file_id,
        completion_window=asked.completion_window,
        results_seconds=None if expires is None else expires.seconds,
        metadata=asked.metadata or {},
        request_sha256=request_sha256,
    )


def _lines_of_file(
    context: Context, caller: Caller, asked: BatchIn, spool: IO[bytes]
) -> tuple[Iterable[bytes], Reader]:
    """The bytes of the input file, and what makes rows of them."""
    settings = context.settings
    assert asked.input_file_id is not None  # `batch_fields`
    context.files.get(asked.input_file_id, owner=caller.owner)
    reader = RowReader(
        kind=JSON, max_line_bytes=settings.max_line_bytes, max_body_bytes=settings.max_body_bytes
    )

    def read(chunks: Iterable[bytes]) -> Iterator[RawRow]:
        lines = read_lines(reader.text(chunks), max_line_bytes=settings.max_line_bytes)
        return rows_of(lines, asked.endpoint)

    return context.files.read(asked.input_file_id, owner=caller.owner), read


def _requests_in_body(
    context: Context, caller: Caller, asked: BatchIn, spool: IO[bytes]
) -> tuple[Iterable[bytes], Reader]:
    """The bytes of the call, and what makes rows of the requests in them."""

    def read(chunks: Iterable[bytes]) -> Iterator[RawRow]:
        found = batch_requests(chunks, max_value_bytes=context.settings.max_line_bytes)
        return rows_of(found, asked.endpoint)

    return _from_start(spool), read


def _from_start(spool: IO[bytes]) -> Iterator[bytes]:
    spool.seek(0)
    yield from iter(partial(spool.read, PIECE_BYTES), b"")


def _made_before(context: Context, caller: Caller, batch: NewBatch) -> Batch | None:
    assert batch.request_sha256 is not None  # `_new_batch`
    return context.batches.repeated(batch.request_sha256, owner=caller.owner, within_seconds=_REPEAT_SECONDS)


def _submit(
    context: Context,
    caller: Caller,
    asked: BatchIn,
    batch: NewBatch,
    chunks: Iterable[bytes],
    read: Reader,
    idempotency_key: str | None,
) -> Batch:
    fields = JobIn(expires_in=asked.window_seconds, metadata=dict(batch.metadata))
    try:
        job, _ = submit(
            context, fields, chunks, read, caller=caller, idempotency_key=idempotency_key, batch=batch
        )
    except InvalidRows as error:
        return context.batches.add_refused(caller.owner, batch, _problems(error))
    except _OF_THE_FILE as error:
        problem = LineProblem(code=_CODES.get(error.code, error.code), message=str(error))
        return context.batches.add_refused(caller.owner, batch, [problem])
    return context.batches.get(batch_id_of(job.id), owner=caller.owner)


#: What clients know by another word.
_CODES = {EmptySubmission.code: "empty_file"}


def _problems(error: InvalidRows) -> list[LineProblem]:
    problems = [
        LineProblem(
            code=row.code or "invalid_value", message=row.message, param=_param(row.field), line=row.line
        )
        for row in error.rows
    ]
    if error.total > len(problems):
        more = f"{error.total} problems in all; the first {len(problems)} are listed"
        problems.append(LineProblem(code="more_errors", message=more))
    return problems


def _param(field: str | None) -> str | None:
    """A field of ours as the line has it: what is no part of the envelope is in the body."""
    if field is None or field.split(".")[0] in _ENVELOPE:
        return field
    return f"body.{field.removeprefix('params.')}"
