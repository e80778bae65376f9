"""`/v1/workers`: who computes, on what, and whether it is well."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from api.context import CallerDep, ContextDep, in_thread
from jobs.records import WorkerBeat
from jobs.serving import Pulse, pulse_of

router = APIRouter(prefix="/v1/workers", tags=["workers"])
#: As long as the console shows one that is silent.
_MOST_AGE_SECONDS = 60.0


class WorkerOut(BaseModel):
    """A worker, by its last sign of life."""

    id: str
    device: str
    #: `silent` without a sign of life for 12 s; `stuck` when its device loop does not come round for 20 s
    state: Pulse
    models: list[str]
    warm_models: list[str]
    #: since its device loop last came round
    loop_age_seconds: float
    #: since the sign of life
    age_seconds: float


class WorkerList(BaseModel):
    """Workers that gave a sign of life within the last minute."""

    data: list[WorkerOut]


@router.get("", response_model=WorkerList, operation_id="list_workers")
async def list_workers(context: ContextDep, caller: CallerDep) -> WorkerList:
    """Workers that gave a sign of life within the last minute. They are everybody's, whatever the project."""
    beats = await in_thread(context.store.workers, max_age_seconds=_MOST_AGE_SECONDS)
    return WorkerList(data=[_worker(beat) for beat in sorted(beats, key=lambda beat: beat.worker_id)])


def _worker(beat: WorkerBeat) -> WorkerOut:
    return WorkerOut(
        id=beat.worker_id,
        device=beat.device,
        state=pulse_of(beat),
        models=list(beat.models),
        warm_models=list(beat.warm_models),
        loop_age_seconds=beat.loop_age_seconds,
        age_seconds=beat.age_seconds,
    )
