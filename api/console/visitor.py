"""Who looks at a page: by the cookie of a session, or by the key of the request as programs send it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from api.console.sessions import COOKIE, Session
from api.context import Context, ContextDep, count_call, in_thread
from jobs.errors import NotAllowed, NotAuthenticated
from jobs.keys import Caller, shown_project
from jobs.store.key_book import OpenHouse

TOKEN_FIELD = "token"  # noqa: S105  # the name of a field


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Who looks."""

    caller: Caller
    session: Session | None = None  #: None: a program, or keys are off
    token: str = ""  #: what forms of this page carry
    is_open: bool = False  #: keys are off

    @property
    def owner(self) -> str | None:
        """Whose jobs are seen; None: everybody's."""
        return None if self.caller.is_admin else self.caller.owner

    @property
    def name(self) -> str:
        """What the page calls it."""
        return "administrator" if self.caller.is_admin else shown_project(self.caller.owner)


def _visitor(request: Request, context: ContextDep) -> Visitor:
    """Raises NotAuthenticated."""
    visitor = _by_key(request, context) or _by_cookie(request, context)
    if visitor is None:
        raise NotAuthenticated
    count_call(request, visitor.caller)
    return visitor


def _by_key(request: Request, context: Context) -> Visitor | None:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    caller = context.keys.identify(given.strip() if scheme.lower() == "bearer" else None)
    if caller is None:
        return None
    return Visitor(caller=caller, is_open=isinstance(context.keys, OpenHouse))


def _by_cookie(request: Request, context: Context) -> Visitor | None:
    sessions = context.console.sessions
    session = None if sessions is None else sessions.read(request.cookies.get(COOKIE))
    caller = None if session is None else context.keys.caller_of(session.key_id)
    if sessions is None or session is None or caller is None:
        return None
    return Visitor(caller=caller, session=session, token=sessions.token(session))


VisitorDep = Annotated[Visitor, Depends(_visitor)]


async def _acting(request: Request, context: ContextDep, visitor: VisitorDep) -> Visitor:
    """Who may change something: a form of a page of ours, in the same session.

    A program that sends its key needs no form: no page of another site can send that.
    """
    check_origin(request)
    if visitor.session is not None:
        check_token(context, visitor, (await request.form()).get(TOKEN_FIELD))
    return visitor


def check_token(context: Context, visitor: Visitor, given: object) -> None:
    """A form carries the token of the session that its page was made for.

    Raises:
        NotAllowed: it carries another, or none.
    """
    sessions = context.console.sessions
    if visitor.session is None or sessions is None:
        return
    if not isinstance(given, str) or not sessions.is_token(visitor.session, given):
        raise NotAllowed("this form is of another session: load the page again")


def check_origin(request: Request) -> None:
    """A browser says which page a form comes from.

    Raises:
        NotAllowed: it is a page of another site.
    """
    origin = request.headers.get("origin")
    is_foreign = (
        origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
    )
    if is_foreign or request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise NotAllowed("this form comes from a page of another site")


ActingDep = Annotated[Visitor, Depends(_acting)]


async def owner_of(context: Context, visitor: Visitor, job_id: str) -> str:
    """The project that a job is looked for in: the visitor's own, or for an administrator the job's.

    Raises:
        JobNotFound: an administrator names none.
    """
    if visitor.owner is None:
        return await in_thread(context.store.owner_of, job_id)
    return visitor.owner


async def _job_owner(job_id: str, context: ContextDep, visitor: VisitorDep) -> str:
    return await owner_of(context, visitor, job_id)


JobOwnerDep = Annotated[str, Depends(_job_owner)]
