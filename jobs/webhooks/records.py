"""Webhooks, and what is delivered to them: the values that cross between edge, store and sender."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from jobs.errors import RequestError

#: Of a project. Those of single jobs are not counted.
MOST_WEBHOOKS = 32
MOST_URL_CHARACTERS = 2048


class EventType(StrEnum):
    """What may be told; `batch` where the job is an OpenAI client's batch."""

    JOB_COMPLETED = "job.completed"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    JOB_EXPIRED = "job.expired"
    BATCH_COMPLETED = "batch.completed"
    BATCH_FAILED = "batch.failed"  #: refused for its lines; one whose requests all failed is completed
    BATCH_CANCELLED = "batch.cancelled"
    BATCH_EXPIRED = "batch.expired"


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"  #: for its next try
    DELIVERED = "delivered"
    FAILED = "failed"  #: tried as often as it may be, or its webhook was disabled


class Disabled(StrEnum):
    """Why a webhook gets nothing."""

    ASKED = "asked"  #: by its owner
    GONE = "gone"  #: it answered 410
    FAILING = "failing"  #: for days


class WebhookNotFound(RequestError):
    """There is no such webhook, or no such delivery."""

    http_status = 404
    code = "webhook_not_found"


class WebhookConflict(RequestError):
    """The webhook cannot be made or used so as things stand."""

    http_status = 409
    code = "webhook_conflict"


class TargetRefused(RequestError):
    """Nothing is sent to that address."""

    code = "webhook_target_refused"


@dataclass(frozen=True, kw_only=True)
class NewWebhook:
    """A webhook to be stored. No events: all of them."""

    url: str
    events: tuple[EventType, ...] = ()
    secret: str = field(repr=False)  #: sealed (`sealing`)


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Where events of a project, or of one job, are sent."""

    id: str
    owner: str
    job_id: str | None  #: None: of every job of the project
    url: str
    events: tuple[EventType, ...]
    secret: str = field(repr=False)  #: sealed
    old_secret: str | None = field(default=None, repr=False)  #: signs as well, until `old_secret_ends_at`
    old_secret_ends_at: datetime | None = None
    created_at: datetime
    failing_since: datetime | None = None  #: the first failed try since the last that went well
    disabled_at: datetime | None = None
    disabled_for: Disabled | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something to tell: ids and counts, never a text."""

    type: EventType
    data: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """An event on its way to one webhook."""

    id: str
    event_id: str
    type: EventType
    state: DeliveryState
    tries: int
    http_status: int | None  #: of the last answer; its body is never read
    error: str | None  #: of the last try
    created_at: datetime
    tried_at: datetime | None
    next_try_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """A delivery taken to be tried now; `lease` is the fencing token."""

    delivery: int
    webhook: int
    lease: int
    event_id: str
    url: str
    body: str
    secrets: Sequence[str] = field(repr=False)  #: sealed; each of them signs


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of a try."""

    http_status: int | None = None
    error: str | None = None  #: None: it was delivered


def new_webhook_id() -> str:
    """As random as a job's."""
    return f"wh_{secrets.token_hex(16)}"


def new_event_id() -> str:
    """What receivers know an event by, however often it is sent."""
    return f"evt_{secrets.token_hex(16)}"


def new_delivery_id() -> str:
    """Of an event and a webhook."""
    return f"whd_{secrets.token_hex(16)}"
