"""Pages from templates, with the policy that lets a browser run nothing but our own files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

import jinja2
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from api.console import assets, words
from api.console.job_view import TASKS
from api.console.visitor import TOKEN_FIELD, Visitor
from api.errors import OUTSIDE
from jobs.errors import NotAuthenticated, TextmillError

_log = logging.getLogger(__name__)
LOGIN = "/console/login"
_OWN = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; worker-src 'self'; "
_CLOSED = "; base-uri 'none'; frame-ancestors 'none'"
#: Of pages: nothing inline, nothing from elsewhere; forms go to this server alone.
PAGE_HEADERS = {
    "Content-Security-Policy": f"{_OWN}img-src 'self'; form-action 'self'{_CLOSED}",
    "Cache-Control": "no-store",
    # With `no-referrer`, browsers say `Origin: null` of our own forms as well.
    "Referrer-Policy": "same-origin",
}
#: A worker has the policy of its own file, and ours reads the stream.
WORKER_HEADERS = {"Content-Security-Policy": f"default-src 'none'; connect-src 'self'{_CLOSED}"}
#: Swagger UI draws its icons from data in its style sheet.
DOCS_HEADERS = {"Content-Security-Policy": f"{_OWN}img-src 'self' data:; form-action 'none'{_CLOSED}"}

_templates = jinja2.Environment(
    loader=jinja2.PackageLoader("api"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)
_templates.globals.update(asset=assets.address, tasks=TASKS, token_field=TOKEN_FIELD)
_templates.filters.update(
    number=words.number, counted=words.counted, ago=words.ago, absolute=words.absolute,
    about=words.about, duration=words.duration, size=words.size, percent=words.percent,
)  # fmt: skip


def page(name: str, *, visitor: Visitor | None, status_code: int = 200, **values: Any) -> HTMLResponse:
    """A whole page."""
    text = _templates.get_template(name).render(visitor=visitor, **values)
    return HTMLResponse(text, status_code=status_code, headers=PAGE_HEADERS)


def part(name: str, macro: str, *arguments: Any) -> str:
    """A part of a page: what a macro of a template makes of these."""
    return str(getattr(_templates.get_template(name).module, macro)(*arguments))


def documentation() -> HTMLResponse:
    """The page of Swagger UI."""
    return HTMLResponse(_templates.get_template("docs.html").render(), headers=DOCS_HEADERS)


def local(address: str | None) -> str:
    """An address on this server that somebody wanted to go to; the first page, if it is another."""
    if (
        address
        and address.startswith("/")
        and not address.startswith(("//", "/\\"))
        and address.isprintable()
    ):
        return address
    return "/"


class PageRoute(APIRoute):
    """Errors are pages for those who read pages; programs get problem documents, as everywhere."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler, and what becomes of its errors."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except (TextmillError, RequestValidationError, HTTPException) as error:
                if "text/html" not in request.headers.get("accept", ""):
                    raise
                return _error_page(request, error)

        return handled


def _error_page(request: Request, error: Exception) -> Response:
    if isinstance(error, NotAuthenticated):
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        back = f"?next={quote(wanted)}" if request.method == "GET" and wanted != "/" else ""
        if "hx-request" in request.headers:  # htmx would put the form to sign in into the page
            return Response(status_code=401, headers={"HX-Redirect": LOGIN})
        return RedirectResponse(LOGIN + back, status_code=303)
    status, title, detail = _told(error)
    if status >= 500:
        _log.error("page_failed: %s", error)
    return page("problem.html", visitor=None, status_code=status, status=status, title=title, detail=detail)


def _told(error: Exception) -> tuple[int, str, str]:
    """Status, title and what to do."""
    if isinstance(error, TextmillError):
        title = error.code.replace("_", " ").capitalize()
        return error.http_status, title, OUTSIDE.get(error.code, str(error))
    if isinstance(error, HTTPException):
        return error.status_code, str(error.detail), "Go back, or begin at the list of jobs."
    return 422, "This address is wrong", "A part of it is not what this page takes."
