"""`/v1/projects`: an administrator makes and lists projects."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.context import KeyBookDep, in_thread
from jobs.keys import PROJECT_NAME, Project

router = APIRouter(prefix="/v1/projects", tags=["keys"])


class ProjectOut(BaseModel):
    """A project."""

    name: str
    created_at: datetime


class ProjectList(BaseModel):
    """Projects by name."""

    data: list[ProjectOut]


class ProjectIn(BaseModel):
    """A project to be made."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=PROJECT_NAME)]


@router.get("", response_model=ProjectList, operation_id="list_projects")
async def list_projects(book: KeyBookDep) -> ProjectList:
    """Every project; `default` owns what was submitted without a key."""
    return ProjectList(data=[_project(project) for project in await in_thread(book.all_projects)])


@router.post("", response_model=ProjectOut, status_code=201, operation_id="create_project")
async def create_project(book: KeyBookDep, wanted: ProjectIn) -> ProjectOut:
    """A new project; then make a key for it."""
    return _project(await in_thread(book.add_project, wanted.name, limits={}))


def _project(project: Project) -> ProjectOut:
    return ProjectOut(name=project.name, created_at=project.created_at)
