"""`/v1/models`: what this installation serves, and where it is loaded."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from api.context import ContextDep, OwnerDep, in_thread
from api.serving import how_models_stand
from jobs.catalogue import Catalogue
from jobs.echo import echoed
from jobs.errors import ModelNotFound
from jobs.serving import Standing

router = APIRouter(prefix="/v1/models", tags=["models"])


class LoadedOut(BaseModel):
    """A worker that serves the model."""

    worker: str
    device: str
    warm: bool


class ModelOut(BaseModel):
    """A served model; `object`, `created` and `owned_by` are what OpenAI's clients expect."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "textmill"
    task: str
    ref: str
    default: bool
    workers: list[LoadedOut]
    facts: dict[str, Any]


class ModelList(BaseModel):
    """All served models."""

    object: str = "list"
    data: list[ModelOut]


@router.get("", response_model=ModelList, operation_id="list_models")
async def list_models(context: ContextDep, owner: OwnerDep) -> ModelList:
    """Served models with their facts, as the workers tell that loaded them, or once did.

    A model that no worker can load has `error` and `message` among its facts.
    """
    models = await in_thread(how_models_stand, context)
    return ModelList(data=[_model(standing, context.catalogue) for standing in models.values()])


@router.get("/{model:path}", response_model=ModelOut, operation_id="get_model")
async def get_model(model: str, context: ContextDep, owner: OwnerDep) -> ModelOut:
    """One of them, by its name."""
    models = await in_thread(how_models_stand, context)
    if model not in models:
        raise ModelNotFound(f"model {echoed(model)} is not served here; listed: {', '.join(models)}")
    return _model(models[model], context.catalogue)


def _model(standing: Standing, catalogue: Catalogue) -> ModelOut:
    entry = standing.entry
    facts = {name: value for name, value in standing.facts.items() if value not in (None, [], "")}
    if standing.error is not None:
        facts |= {"error": standing.error, "message": standing.message}
    return ModelOut(
        id=entry.name,
        task=entry.task,
        ref=entry.ref,
        default=catalogue.default(entry.task) is entry,
        workers=[
            LoadedOut(worker=beat.worker_id, device=beat.device, warm=entry.name in beat.warm_models)
            for beat in standing.beats
        ],
        facts=facts,
    )
