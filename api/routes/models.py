"""`/v1/models`: what this installation serves, and where it is loaded."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from api.context import ContextDep, OwnerDep, in_thread
from jobs.catalogue import Catalogue, ModelEntry
from jobs.records import WorkerBeat

router = APIRouter(prefix="/v1/models", tags=["models"])
_WORKER_AGE_SECONDS = 30.0
_FACTS = (
    "parameters", "dtype", "decoded_by", "architecture", "max_tokens", "revision", "languages", "labels",
)  # fmt: skip


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
    """Served models with their facts, as the workers that loaded them tell."""
    beats = await in_thread(context.store.workers, max_age_seconds=_WORKER_AGE_SECONDS)
    return ModelList(data=[_model(entry, context.catalogue, beats) for entry in context.catalogue.entries])


def _model(entry: ModelEntry, catalogue: Catalogue, beats: list[WorkerBeat]) -> ModelOut:
    told: dict[str, Any] = {}
    for beat in beats:
        told = beat.details.get("models", {}).get(entry.name) or told
    return ModelOut(
        id=entry.name,
        task=entry.task,
        ref=entry.ref,
        default=catalogue.default(entry.task) is entry,
        workers=[
            LoadedOut(worker=b.worker_id, device=b.device, warm=entry.name in b.warm_models)
            for b in beats
            if entry.name in b.models
        ],
        facts={name: told[name] for name in _FACTS if told.get(name) not in (None, [], "")},
    )
