"""`/v1/usage`: what a project has used, holds and may have."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.context import CallerDep, ContextDep, ReachDep, in_thread
from api.holdings import holdings
from jobs.errors import RequestError
from jobs.keys import shown_project
from jobs.records import Usage

router = APIRouter(prefix="/v1/usage", tags=["usage"])
By = Literal["day", "project", "key"]


class UsageLine(BaseModel):
    """Jobs submitted in the time asked for, summed up; deleted ones are not counted."""

    day: date | None = None
    project: str | None = None
    key: Annotated[str | None, Field(description="A key's id; null: submitted without one.")] = None
    jobs: int
    documents: int
    succeeded: int
    failed: int
    input_tokens: int
    output_tokens: int
    stored_bytes: int


class HoldingsOut(BaseModel):
    """What a project has at this moment, in the measures of its limits."""

    queued_documents: int
    queued_tokens: int
    interactive_documents: int
    stored_bytes: int


class UsageOut(BaseModel):
    """Usage; for the key of a project also what it holds and the limits in force."""

    data: list[UsageLine]
    project: str | None
    now: HoldingsOut | None
    limits: dict[str, int] | None


class UsageQuery(BaseModel):
    """What is asked."""

    by: Annotated[str, Field(description="Any of day, project and key, apart by commas.")] = "project"
    since: Annotated[date | None, Field(alias="from", description="The first day, in UTC.")] = None
    until: Annotated[date | None, Field(alias="to", description="The last day, in UTC.")] = None

    @property
    def groups(self) -> list[str]:
        """What there is a line for each value of, each named once."""
        names = list(dict.fromkeys(name.strip() for name in self.by.split(",") if name.strip()))
        if unknown := [name for name in names if name not in By.__args__]:  # type: ignore[attr-defined]
            raise RequestError(f"by={unknown[0][:80]!r}: use any of {', '.join(By.__args__)}")  # type: ignore[attr-defined]
        return names


@router.get("", response_model=UsageOut, operation_id="get_usage")
async def get_usage(
    context: ContextDep, caller: CallerDep, owner: ReachDep, query: Annotated[UsageQuery, Query()]
) -> UsageOut:
    """Jobs, documents and tokens by day, project and key: of a project, or for an administrator of all."""
    found = await in_thread(
        context.store.usage,
        by=query.groups,
        owner=owner,
        begin=_midnight(query.since),
        end=_midnight(query.until, days=1),
    )
    lines = [_line(usage) for usage in found]
    if owner is None:
        return UsageOut(data=lines, project=None, now=None, limits=None)
    found_now = await in_thread(holdings, context, caller, owner)
    now = HoldingsOut(**{holding.name: holding.held for holding in found_now if holding.held is not None})
    most = {holding.name: holding.most for holding in found_now if holding.most is not None}
    limits = None if caller.is_admin else most
    return UsageOut(data=lines, project=shown_project(owner), now=now, limits=limits)


def _midnight(day: date | None, *, days: int = 0) -> datetime | None:
    if day is None or day.year in (1, 9999):
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=days)


def _line(usage: Usage) -> UsageLine:
    return UsageLine(**{name: getattr(usage, name) for name in UsageLine.model_fields})
