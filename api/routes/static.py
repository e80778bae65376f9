"""Files that pages are made of, and the page of the API's documentation; open to everybody."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.console import assets
from api.console.pages import WORKER_HEADERS, documentation
from api.context import in_thread

router = APIRouter(include_in_schema=False)
_FOR_EVER = "public, max-age=31536000, immutable"
_FOR_A_WHILE = "max-age=3600"


@router.get("/docs")
async def docs() -> Response:
    """The API's documentation, drawn by Swagger UI from this package."""
    return documentation()


@router.get("/static/{name:path}")
async def static(name: str, v: str = "") -> Response:
    """One file; an address that names its version may be kept for ever."""
    found = await in_thread(assets.content, name)
    if found is None:
        return Response(status_code=404)
    data, kind = found
    kept = _FOR_EVER if v and assets.is_current(name, v) else _FOR_A_WHILE
    return Response(data, media_type=kind, headers={"Cache-Control": kept, **WORKER_HEADERS})
