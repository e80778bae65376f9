"""`/healthz`, `/readyz`, `/metrics`: for those who watch the process."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from fastapi import APIRouter, Response

from api.context import Context, ContextDep, KnownDep, in_thread
from api.serving import how_models_stand
from jobs.errors import TextmillError
from jobs.serving import SILENT_SECONDS, STUCK_SECONDS, Pulse, Standing, pulse_of

_log = logging.getLogger(__name__)
router = APIRouter(tags=["operations"])
_SHOWN = ("decoded_by", "way", "why", "dtype")  # of a model that is served


@router.get("/healthz", operation_id="healthz")
async def healthz() -> dict[str, str]:
    """This process answers."""
    return {"status": "ok"}


@router.get("/readyz", operation_id="readyz")
async def readyz(context: ContextDep, is_known: KnownDep) -> Response:
    """Database, Redis and at least one worker that makes progress and has a model; else 503.

    The answer says what is missing. A model that nobody can serve does not make the others
    unreachable: the status is then `degraded`, with 200, and `models` says which; and why, to
    callers with a key where keys are on. Where a database is and how it failed is in the log.
    """
    checks, models = await in_thread(_look, context)
    is_ready = all(check == "ok" for check in checks.values())
    if not is_known:
        models = {name: {"ok": model["ok"]} for name, model in models.items()}
    is_whole = all(model["ok"] for model in models.values())
    status = ("ready" if is_whole else "degraded") if is_ready else "not ready"
    body = {"status": status, "checks": checks, "models": models}
    return Response(orjson.dumps(body), status_code=200 if is_ready else 503, media_type="application/json")


@router.get("/metrics", operation_id="metrics")
async def metrics(context: ContextDep) -> Response:
    """Prometheus' text format."""
    text = await in_thread(context.metrics.render, context.store)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _look(context: Context) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """The checks, and the models as far as there is a worker to tell of them."""
    checks = {}
    for name, check in (("database", context.store.ping), ("redis", context.check_broker)):
        try:
            check()
            checks[name] = "ok"
        except TextmillError as error:
            _log.warning("not_ready: %s: %s", name, error)
            checks[name] = "unavailable"
    if checks["database"] != "ok":
        return {**checks, "worker": "unknown"}, {}
    models = how_models_stand(context, max_age_seconds=SILENT_SECONDS)
    checks["worker"] = _worker(context, models)
    if not any(standing.beats for standing in models.values()):
        return checks, {}
    return checks, {name: _model(standing) for name, standing in models.items()}


def _worker(context: Context, models: dict[str, Standing]) -> str:
    beats = context.store.workers(max_age_seconds=SILENT_SECONDS)
    if not beats:
        return f"no worker gave a sign of life within {SILENT_SECONDS:.0f} s"
    if not any(pulse_of(beat) is Pulse.WELL for beat in beats):
        return f"no worker's device loop came round within {STUCK_SECONDS:.0f} s"
    if not any(standing.is_served for standing in models.values()):
        return "no worker has a model that it can serve"
    return "ok"


def _model(standing: Standing) -> dict[str, Any]:
    if not standing.is_served:
        error = {"error": standing.error} if standing.error else {}
        return {"ok": False, **error, "message": standing.why_not}
    return {"ok": True, **{name: standing.facts[name] for name in _SHOWN if name in standing.facts}}
