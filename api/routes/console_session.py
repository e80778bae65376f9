"""Signing in to the console and out of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from api.console.pages import LOGIN, PageRoute, local, page
from api.console.sessions import COOKIE, SESSION_SECONDS
from api.console.visitor import ActingDep, check_origin
from api.context import SMALL_BODY_BYTES, ContextDep, in_thread

router = APIRouter(include_in_schema=False, route_class=PageRoute, max_body_size=SMALL_BODY_BYTES)
_WRONG = "No such key is good here. It may have been revoked: ask whoever runs this server for another."


@router.get(LOGIN)
async def login_page(context: ContextDep, next: str = "/") -> Response:  # noqa: A002  # the address has it
    """The form; where no key is asked for, there is nothing to sign in to."""
    if context.console.sessions is None:
        return RedirectResponse("/", status_code=303)
    return page("login.html", visitor=None, wrong="", next=local(next))


@router.post(LOGIN)
async def login(
    request: Request,
    context: ContextDep,
    key: Annotated[str, Form(max_length=1024)],
    next: Annotated[str, Form(max_length=2048)] = "/",  # noqa: A002
) -> Response:
    """Exchanges a key for a session."""
    check_origin(request)
    sessions = context.console.sessions
    if sessions is None:
        return RedirectResponse("/", status_code=303)
    caller = await in_thread(context.keys.identify, key.strip())
    if caller is None or caller.key_id is None:
        return page("login.html", visitor=None, status_code=401, wrong=_WRONG, next=local(next))
    answer = RedirectResponse(local(next), status_code=303)
    answer.set_cookie(
        COOKIE,
        sessions.begin(caller.key_id),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="lax",  # a link from a mail still opens the page; forms carry a token of their own
        secure=request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https",
    )
    return answer


@router.post("/console/logout")
async def logout(visitor: ActingDep) -> Response:
    """Ends the browser's session."""
    answer = RedirectResponse(LOGIN, status_code=303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return answer
