"""Query parameters that a call does not know are refused, on every call alike, and names that nothing has.

One that is misspelt would else be ignored without a word, and the caller take all rows
for the filtered ones. What a call takes is what the API's own OpenAPI document says.
"""

from __future__ import annotations

from typing import Any

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError

_SHOWN_CHARACTERS = 80


async def refuse_unknown_query(request: Request) -> None:
    """A dependency for whole routers.

    Raises:
        RequestValidationError: a parameter is unknown, or given twice where one counts.
    """
    if not request.query_params:
        return
    known = _known(request)
    problems = []
    for name in dict.fromkeys(request.query_params):
        if name not in known:
            allowed = f"allowed: {', '.join(sorted(known))}" if known else "this call takes none"
            problems.append(_problem(name, f"unknown query parameter; {allowed}"))
        elif not known[name] and len(request.query_params.getlist(name)) > 1:
            problems.append(_problem(name, "given more than once"))
    if problems:
        raise RequestValidationError(problems)


async def refuse_nul(request: Request) -> None:
    """A dependency for whole routers: nothing has a NUL in its name, and PostgreSQL fails when asked for one.

    Raises:
        HTTPException: 404, for one in the path.
        RequestValidationError: for one in a query parameter.
    """
    if any("\0" in str(value) for value in request.path_params.values()):
        raise HTTPException(404, "nothing has a name with a NUL character in it")
    items = request.query_params.multi_items()
    if problems := [_problem(name, "holds a NUL character") for name, value in items if "\0" in value]:
        raise RequestValidationError(problems)


def _known(request: Request) -> dict[str, bool]:
    """Each parameter that the call takes, and whether it may be repeated."""
    document = request.app.openapi()
    operations = document["paths"].get(request.scope["route"].path_format, {})
    operation = operations.get(request.method.lower(), {})
    return {
        parameter["name"]: parameter.get("schema", {}).get("type") == "array"
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query"
    }


def _problem(name: str, message: str) -> dict[str, Any]:
    return {"loc": ("query", name[:_SHOWN_CHARACTERS]), "msg": message, "type": "query"}
