"""`/v1/files`, as OpenAI's: what batches are made of, and what they end with."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import IO, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from api.bodies import receive_form
from api.content_types import Declared
from api.context import STREAMED, CallerDep, Context, ContextDep, in_thread, while_key_holds
from api.openai.create_body import ExpiresAfter
from api.openai.files import PURPOSE, FileDeleted, FileOut, FilePage, Found, Shelf, file_out, sized_page
from api.openai.outputs import ResultFile, counted, result_file, size_of
from api.receiving import PIECE_BYTES
from api.streams import Stream
from api.submission import held_by
from jobs.echo import echoed
from jobs.errors import PayloadTooLarge, RequestError, UnsupportedMediaType
from jobs.files import NewFile, StoredFile
from jobs.keys import Caller
from jobs.quota import Queued, Quota

router = APIRouter(prefix="/v1/files", tags=["files"])
#: What a form has beside its file.
_FORM_BYTES = 64 << 10
_MOST_NAME_CHARACTERS = 512
_DAY_SECONDS = 86_400.0
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"const": PURPOSE},
                        "expires_after[anchor]": {"const": "created_at"},
                        "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2_592_000},
                    },
                }
            }
        },
    }
}


@router.post("", response_model=FileOut, operation_id="upload_file", openapi_extra=_FORM)
async def upload_file(request: Request, context: ContextDep, caller: CallerDep) -> FileOut:
    """Keeps a file of requests, one a line, to make batches of."""
    if not Declared.of(request.headers.get("content-type", "")).is_form:
        raise UnsupportedMediaType(
            "send the file as multipart/form-data, with the fields `file` and `purpose`"
        )
    most = context.settings.max_file_bytes
    async with context.uploads.receive(request, caller.owner, max_bytes=most + _FORM_BYTES) as receiver:
        form = await receive_form(request, receiver)
        try:
            stored = await context.uploads.in_thread(_keep, context, caller, form)
        finally:
            await form.close()
    return _shown(context, stored)


@router.get("", response_model=FilePage, operation_id="list_files")
async def list_files(
    context: ContextDep,
    caller: CallerDep,
    purpose: Annotated[str | None, Query(max_length=64)] = None,
    order: Literal["asc", "desc"] = "desc",
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
) -> FilePage:
    """Files that were sent, and those that batches ended with."""

    def page() -> FilePage:
        found = _shelf(context, caller).page(
            purpose=purpose, after=after, is_descending=order == "desc", limit=limit + 1
        )
        return sized_page(found, limit=limit, size=_size(context))

    return await in_thread(page)


@router.get("/{file_id}", response_model=FileOut, operation_id="get_file")
async def get_file(file_id: str, context: ContextDep, caller: CallerDep) -> FileOut:
    """What is known of a file."""
    return await in_thread(lambda: _shown(context, _shelf(context, caller).get(file_id)))


@router.get(
    "/{file_id}/content",
    operation_id="get_file_content",
    response_class=Stream,
    dependencies=[STREAMED],
)
async def get_file_content(file_id: str, context: ContextDep, caller: CallerDep) -> Stream:
    """The bytes of a file; those of a batch's files are made of its results while they are sent."""
    file = await in_thread(_shelf(context, caller).get, file_id)
    headers = {
        "Content-Disposition": f'attachment; filename="{file.id}.jsonl"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
    }
    pages = while_key_holds(context, caller, _content(context, caller, file))
    return Stream(pages, media_type="application/octet-stream", headers=headers)


@router.delete("/{file_id}", response_model=FileDeleted, operation_id="delete_file")
async def delete_file(file_id: str, context: ContextDep, caller: CallerDep) -> FileDeleted:
    """Removes a file. With the last file that a batch ended with, its texts and results are removed."""

    def remove() -> None:
        found = result_file(context.batches, file_id, owner=caller.owner)
        if found is None:
            context.files.delete(file_id, owner=caller.owner)
        else:
            context.batches.drop_file(found.batch.id, found.half, owner=caller.owner)

    await in_thread(remove)
    return FileDeleted(id=file_id)


def _keep(context: Context, caller: Caller, form: FormData) -> StoredFile:
    """Stores what a form carries."""
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        raise RequestError("a form needs the file in its field `file`")
    num_bytes = upload.size or 0
    if num_bytes > context.settings.max_file_bytes:
        raise PayloadTooLarge(f"the file is larger than {context.settings.max_file_bytes} bytes")
    quota = Quota.of(context.settings, caller.limits)
    quota.check_store(held_by(context, quota, caller.owner), Queued(stored_bytes=num_bytes), noun="file")
    new = NewFile(
        owner=caller.owner, api_key=caller.key_id, filename=_name(upload), purpose=_purpose(form),
        expires_in_seconds=_expiry(context, form),
    )  # fmt: skip
    return context.files.add(new, _pieces(upload.file))


def _name(upload: UploadFile) -> str:
    name = upload.filename or "file"
    if len(name) > _MOST_NAME_CHARACTERS or "\0" in name:
        raise RequestError(f"the file's name must have at most {_MOST_NAME_CHARACTERS} characters, none NUL")
    return name.encode(errors="replace").decode()


def _purpose(form: FormData) -> str:
    known = {"file", "purpose", "expires_after[anchor]", "expires_after[seconds]"}
    unknown = min(form.keys() - known, default=None)
    if unknown is not None:
        raise RequestError(f"unknown field {echoed(unknown)}; allowed: {', '.join(sorted(known))}")
    purpose = form.get("purpose")
    if purpose != PURPOSE:
        raise RequestError(f"purpose {echoed(purpose)} is not served; use {PURPOSE!r}")
    return PURPOSE


def _expiry(context: Context, form: FormData) -> float | None:
    """In how many seconds the file goes: as it says, else as finished jobs do."""
    given = {
        name: form.get(f"expires_after[{name}]")
        for name in ("anchor", "seconds")
        if f"expires_after[{name}]" in form
    }
    if not given:
        days = context.settings.keep_days
        return None if days is None else days * _DAY_SECONDS
    try:
        return ExpiresAfter.model_validate(given).seconds
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"[{part}]" for part in first["loc"])
        raise RequestError(f"expires_after{where}: {first['msg']}") from None


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    yield from iter(partial(file.read, PIECE_BYTES), b"")


def _content(context: Context, caller: Caller, file: Found) -> Iterator[bytes]:
    if isinstance(file, ResultFile):
        return counted(file, file.lines(context.store), context.batches)
    return context.files.read(file.id, owner=caller.owner)


def _shelf(context: Context, caller: Caller) -> Shelf:
    return Shelf(context.files, context.batches, caller.owner)


def _size(context: Context) -> Any:
    return partial(size_of, store=context.store, batches=context.batches)


def _shown(context: Context, file: Found) -> FileOut:
    return file_out(file, _size(context))
