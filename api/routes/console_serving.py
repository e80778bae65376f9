"""The console's pages of what serves: models and workers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, field_validator

from api.console.models_page import ADDRESS as MODELS
from api.console.models_page import models_page
from api.console.pages import PageRoute, page
from api.console.visitor import Visitor, VisitorDep
from api.console.workers_page import WorkerView, worker_views
from api.context import Context, ContextDep, in_thread
from api.serving import how_models_stand
from jobs.records import Task

router = APIRouter(include_in_schema=False, route_class=PageRoute)
#: A worker that is silent for longer has left the page; what it held went back to the queue long before.
_WORKER_AGE_SECONDS = 300.0


class ModelsQuery(BaseModel):
    """Which models are shown."""

    model_config = ConfigDict(extra="ignore")

    task: Task | None = None

    @field_validator("task", mode="before")
    @classmethod
    def _unknown_is_all(cls, value: Any) -> Any:
        return value if value in set(Task) else None


@router.get(MODELS)
async def models(
    context: ContextDep, visitor: VisitorDep, query: Annotated[ModelsQuery, Query()]
) -> Response:
    """What is served, and how it was proven."""
    standings = await in_thread(how_models_stand, context)
    shown = models_page(context.catalogue, standings, query.task)
    return page("models.html", visitor=visitor, models=shown)


@router.get("/console/workers")
async def workers(context: ContextDep, visitor: VisitorDep) -> Response:
    """Who works, on what."""
    return await in_thread(_workers, context, visitor)


def _workers(context: Context, visitor: Visitor) -> Response:
    return page("workers.html", visitor=visitor, workers=workers_seen(context, visitor.owner))


def workers_seen(context: Context, owner: str | None) -> list[WorkerView]:
    """The workers with what they have of an owner's jobs; waits for the database."""
    beats = context.store.workers(max_age_seconds=_WORKER_AGE_SECONDS)
    return worker_views(beats, context.console.view.held(owner=owner))
