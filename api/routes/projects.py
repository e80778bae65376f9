"""`/v1/projects`: an administrator makes and lists projects."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.context import SMALL_BODY_BYTES, KeyBookDep, in_thread
from jobs.keys import PROJECT_NAME, Project
from jobs.limits import LIMITS, check_limits

router = APIRouter(prefix="/v1/projects", tags=["keys"], max_body_size=SMALL_BODY_BYTES)


Limits = Annotated[
    dict[str, int],
    AfterValidator(check_limits),
    Field(description=f"By name, over the server's own: {', '.join(LIMITS)}."),
]


class ProjectOut(BaseModel):
    """A project."""

    name: str
    created_at: datetime
    limits: Annotated[dict[str, int], Field(description="Over the server's own.")]


class ProjectList(BaseModel):
    """Projects by name."""

    data: list[ProjectOut]


class ProjectIn(BaseModel):
    """A project to be made."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=PROJECT_NAME)]
    limits: Limits = {}


class LimitsIn(BaseModel):
    """Limits of a project, in place of those it had."""

    model_config = ConfigDict(extra="forbid")

    limits: Limits


@router.get("", response_model=ProjectList, operation_id="list_projects")
async def list_projects(book: KeyBookDep) -> ProjectList:
    """Every project; `default` owns what was submitted without a key."""
    return ProjectList(data=[_project(project) for project in await in_thread(book.all_projects)])


@router.post("", response_model=ProjectOut, status_code=201, operation_id="create_project")
async def create_project(book: KeyBookDep, wanted: ProjectIn) -> ProjectOut:
    """A new project; then make a key for it."""
    return _project(await in_thread(book.add_project, wanted.name, limits=wanted.limits))


@router.patch("/{name}", response_model=ProjectOut, operation_id="limit_project")
async def limit_project(name: str, book: KeyBookDep, wanted: LimitsIn) -> ProjectOut:
    """Other limits for a project; they hold from the next call on."""
    return _project(await in_thread(book.limit_project, name, limits=wanted.limits))


def _project(project: Project) -> ProjectOut:
    return ProjectOut(name=project.name, created_at=project.created_at, limits=dict(project.limits))
