"""`/healthz`, `/readyz`, `/metrics`: for those who watch the process."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter, Response

from api.context import Context, ContextDep, in_thread
from jobs.errors import TextmillError

router = APIRouter(tags=["operations"])
#: A worker's sign of life is written every 3 s; its loop comes round every half second.
#: Red well within 30 s of a freeze, yet not for one slow step or two missed signs.
_SIGN_AGE_SECONDS = 12.0
_LOOP_AGE_SECONDS = 20.0


@router.get("/healthz", operation_id="healthz")
async def healthz() -> dict[str, str]:
    """This process answers."""
    return {"status": "ok"}


@router.get("/readyz", operation_id="readyz")
async def readyz(context: ContextDep) -> Response:
    """Database, Redis and at least one worker that makes progress; else 503 with what is missing."""
    checks = await in_thread(_checks, context)
    is_ready = all(check == "ok" for check in checks.values())
    body = {"status": "ready" if is_ready else "not ready", "checks": checks}
    return Response(orjson.dumps(body), status_code=200 if is_ready else 503, media_type="application/json")


@router.get("/metrics", operation_id="metrics")
async def metrics(context: ContextDep) -> Response:
    """Prometheus' text format."""
    text = await in_thread(context.metrics.render, context.store)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _checks(context: Context) -> dict[str, Any]:
    found = {}
    for name, check in (("database", context.store.ping), ("redis", context.check_broker)):
        try:
            check()
            found[name] = "ok"
        except TextmillError as error:
            found[name] = str(error)
    found["worker"] = _worker(context) if found["database"] == "ok" else "unknown"
    return found


def _worker(context: Context) -> str:
    beats = context.store.workers(max_age_seconds=_SIGN_AGE_SECONDS)
    if not beats:
        return f"no worker gave a sign of life within {_SIGN_AGE_SECONDS:.0f} s"
    if all(beat.loop_age_seconds + beat.age_seconds > _LOOP_AGE_SECONDS for beat in beats):
        return f"no worker's device loop came round within {_LOOP_AGE_SECONDS:.0f} s"
    return "ok"
