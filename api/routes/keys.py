"""`/v1/keys`: an administrator makes, lists, rotates and revokes keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.context import SMALL_BODY_BYTES, KeyBookDep, in_thread
from jobs.keys import DEFAULT_PROJECT, ApiKey, Origin

router = APIRouter(prefix="/v1/keys", tags=["keys"], max_body_size=SMALL_BODY_BYTES)
_MOST_OVERLAP_SECONDS = 30 * 86400


class KeyOut(BaseModel):
    """A key, without the key itself."""

    id: str
    name: str
    prefix: Annotated[str, Field(description="Its first characters, to know it by.")]
    project: Annotated[str | None, Field(description="null: an administrator's.")]
    admin: bool
    live: bool
    origin: Annotated[Origin, Field(description="settings: from TEXTMILL_API_KEYS or TEXTMILL_ADMIN_KEY.")]
    created_at: datetime
    ends_at: datetime | None


class MadeKeyOut(KeyOut):
    """A key that was just made."""

    key: Annotated[str, Field(description="The key itself: shown now and never again.")]


class KeyList(BaseModel):
    """Keys, oldest first."""

    data: list[KeyOut]


class KeyIn(BaseModel):
    """What a new key is for."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]
    project: str | None = None
    admin: bool = False

    @model_validator(mode="after")
    def _is_for_one(self) -> KeyIn:
        if self.admin and self.project is not None:
            raise ValueError("an administrator's key belongs to no project: give `admin` or `project`")
        return self


class RotateIn(BaseModel):
    """How a key is rotated."""

    model_config = ConfigDict(extra="forbid")

    overlap_seconds: Annotated[
        float, Field(ge=0, le=_MOST_OVERLAP_SECONDS, description="How long the old key holds on.")
    ] = 0.0


@router.get("", response_model=KeyList, operation_id="list_keys")
async def list_keys(book: KeyBookDep, project: str | None = None) -> KeyList:
    """Keys of every project and of administrators; revoked ones as well."""
    return KeyList(data=[KeyOut(**_fields(key)) for key in await in_thread(book.all_keys, project=project)])


@router.post("", response_model=MadeKeyOut, status_code=201, operation_id="create_key")
async def create_key(book: KeyBookDep, wanted: KeyIn) -> MadeKeyOut:
    """A new key of a project (`default` when none is named), or an administrator's."""
    project = None if wanted.admin else wanted.project or DEFAULT_PROJECT
    made, key = await in_thread(book.add, wanted.name, project=project)
    return MadeKeyOut(**_fields(made), key=key)


@router.post("/{key_id}/rotate", response_model=MadeKeyOut, status_code=201, operation_id="rotate_key")
async def rotate_key(key_id: str, book: KeyBookDep, wanted: RotateIn | None = None) -> MadeKeyOut:
    """A new key in the place of this one: the project keeps its jobs."""
    overlap_seconds = 0.0 if wanted is None else wanted.overlap_seconds
    made, key = await in_thread(book.rotate, key_id, overlap_seconds=overlap_seconds)
    return MadeKeyOut(**_fields(made), key=key)


@router.delete("/{key_id}", status_code=204, operation_id="revoke_key")
async def revoke_key(key_id: str, book: KeyBookDep) -> Response:
    """Ends a key at once, in every process."""
    await in_thread(book.revoke, key_id)
    return Response(status_code=204)


def _fields(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "project": key.project,
        "admin": key.is_admin,
        "live": key.is_live,
        "origin": key.origin,
        "created_at": key.created_at,
        "ends_at": key.ends_at,
    }
