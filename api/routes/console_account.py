"""The console's pages of what was used, and of keys; keys are an administrator's."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from api.console.keys_page import keys_page
from api.console.pages import PageRoute, page
from api.console.usage_page import UsageQuery, usage_page
from api.console.visitor import ActingDep, Visitor, VisitorDep
from api.context import SMALL_BODY_BYTES, Context, ContextDep, in_thread
from api.routes.keys import KeyIn
from jobs.errors import KeysAreOff, NotAllowed, TextmillError
from jobs.keys import DEFAULT_PROJECT
from jobs.store.key_book import KeyBook, OpenHouse

router = APIRouter(include_in_schema=False, route_class=PageRoute, max_body_size=SMALL_BODY_BYTES)
KEYS = "/console/keys"
_ROTATION_SECONDS = 3600.0  # both hold for an hour, so that programs can be changed


@router.get("/console/usage")
async def usage(context: ContextDep, visitor: VisitorDep, query: Annotated[UsageQuery, Query()]) -> Response:
    """By day, and by project or key."""
    return await in_thread(_usage, context, visitor, query)


@router.get(KEYS)
async def keys(context: ContextDep, visitor: VisitorDep) -> Response:
    """Every key."""
    return await in_thread(_keys, _administered(context, visitor), visitor)


@router.post(KEYS)
async def make_key(
    context: ContextDep,
    visitor: ActingDep,
    name: Annotated[str, Form(max_length=200)] = "",
    project: Annotated[str, Form(max_length=200)] = "",
    kind: Annotated[Literal["project", "admin"], Form()] = "project",
) -> Response:
    """A new key, shown on the page that answers and never again."""
    return await in_thread(
        _make, _administered(context, visitor), visitor, name.strip(), project.strip(), kind
    )


@router.post(KEYS + "/{key_id}/rotate")
async def rotate_key(key_id: str, context: ContextDep, visitor: ActingDep) -> Response:
    """A new key in its place; the old one holds for another hour."""
    return await in_thread(_rotate, _administered(context, visitor), visitor, key_id)


@router.post(KEYS + "/{key_id}/revoke")
async def revoke_key(key_id: str, context: ContextDep, visitor: ActingDep) -> Response:
    """Ends a key at once."""
    await in_thread(_administered(context, visitor).revoke, key_id)
    return RedirectResponse(KEYS, status_code=303)


def _administered(context: Context, visitor: Visitor) -> KeyBook:
    if isinstance(context.keys, OpenHouse):
        raise KeysAreOff
    if not visitor.caller.is_admin:
        raise NotAllowed
    return context.keys


def _usage(context: Context, visitor: Visitor, query: UsageQuery) -> Response:
    owner = visitor.owner
    by = "project" if owner is None else "key"
    names = {}
    if isinstance(context.keys, KeyBook):
        names = {key.id: key.name for key in context.keys.all_keys(project=None)}
    found = context.store.usage(by=["day", by], owner=owner, begin=query.begin, end=None)
    shown = usage_page(query, found, names, by=by)
    return page("usage.html", visitor=visitor, usage=shown)


def _keys(book: KeyBook, visitor: Visitor, made: tuple[str, str] | None = None, wrong: str = "") -> Response:
    projects = [project.name for project in book.all_projects()]
    shown = keys_page(book.all_keys(), projects, made=made, wrong=wrong)
    return page("keys.html", visitor=visitor, status_code=422 if wrong else 200, keys=shown)


def _make(book: KeyBook, visitor: Visitor, name: str, project: str, kind: str) -> Response:
    try:
        wanted = KeyIn(name=name, project=None if kind == "admin" else project or None, admin=kind == "admin")
        made, key = book.add(wanted.name, project=None if wanted.admin else wanted.project or DEFAULT_PROJECT)
    except ValidationError:
        return _keys(book, visitor, wrong="Give the key a name of 1 to 80 characters.")
    except TextmillError as error:
        if error.http_status >= 500:
            raise
        return _keys(book, visitor, wrong=str(error))
    return _keys(book, visitor, made=(made.name, key))


def _rotate(book: KeyBook, visitor: Visitor, key_id: str) -> Response:
    made, key = book.rotate(key_id, overlap_seconds=_ROTATION_SECONDS)
    return _keys(book, visitor, made=(made.name, key))
