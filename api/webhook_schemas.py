"""Webhooks as the API takes and sends them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from jobs import jsontext
from jobs.keys import shown_project
from jobs.webhooks.records import MOST_URL_CHARACTERS, Delivery, DeliveryState, Disabled, EventType, Webhook

_MOST_OVERLAP_SECONDS = 30 * 86_400
_DAY_SECONDS = 86_400.0

Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MOST_URL_CHARACTERS,
        description="https, to a public address; or what TEXTMILL_WEBHOOK_ALLOW names.",
    ),
]
Events = Annotated[
    list[EventType], Field(max_length=len(EventType), description="What it is told of; none: all.")
]
Secret = Annotated[
    str | None,
    Field(max_length=200, repr=False, description="whsec_ and 24 to 64 bytes in base64; made if left out."),
]


class WebhookIn(BaseModel):
    """A webhook that is asked for."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    events: Events = Field(default_factory=list)
    secret: Secret = None


def _from_text(value: Any) -> Any:
    """In a query it is the address alone, or JSON."""
    if not isinstance(value, str):
        return value
    if not value.startswith("{"):
        return {"url": value}
    try:
        return jsontext.loads(value)
    except jsontext.JSONDecodeError as error:
        raise ValueError(f"must be an address, or a JSON object: {error.msg}") from None


#: A field of a submission.
JobWebhookIn = Annotated[
    WebhookIn | None,
    BeforeValidator(_from_text),
    WithJsonSchema({
        "type": ["string", "object", "null"],
        "title": "Webhook",
        "description": "Told when the job ends: an address, or {url, events, secret}.",
    }),
]  # fmt: skip


class ProjectWebhookIn(WebhookIn):
    """A webhook of a project."""

    project: Annotated[str | None, Field(description="Whose it is; only an administrator has a choice.")] = (
        None
    )


class ChangeIn(BaseModel):
    """What is to be changed."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    events: Events | None = None
    enabled: bool | None = None


class RotateSecretIn(BaseModel):
    """How a secret is rotated."""

    model_config = ConfigDict(extra="forbid")

    secret: Secret = None
    overlap_seconds: Annotated[
        float,
        Field(ge=0, le=_MOST_OVERLAP_SECONDS, description="How long the old secret signs as well."),
    ] = _DAY_SECONDS


class ReplayIn(BaseModel):
    """Which failed deliveries are sent again."""

    model_config = ConfigDict(extra="forbid")

    since: Annotated[AwareDatetime | None, Field(description="Only events since then.")] = None


class WebhookOut(BaseModel):
    """A webhook, without its secret."""

    id: str
    project: str
    job: Annotated[str | None, Field(description="null: told of every job of the project.")]
    url: str
    events: list[EventType]
    enabled: bool
    disabled_for: Annotated[
        Disabled | None, Field(description="asked; gone: it answered 410; failing: for five days.")
    ]
    disabled_at: datetime | None
    failing_since: datetime | None
    old_secret_ends_at: Annotated[
        datetime | None, Field(description="Until then two secrets sign, after a rotation.")
    ]
    created_at: datetime


class MadeWebhookOut(WebhookOut):
    """A webhook whose secret was just made."""

    secret: Annotated[str, Field(description="What events are signed with: shown now and never again.")]


class JobWebhookOut(BaseModel):
    """The webhook of a job that was just submitted."""

    id: str
    url: str
    events: list[EventType]
    secret: Annotated[
        str | None, Field(description="Shown here and never again; null: the one that was given.")
    ]


class WebhookList(BaseModel):
    """Webhooks, oldest first."""

    data: list[WebhookOut]


class DeliveryOut(BaseModel):
    """An event on its way to one webhook."""

    id: str
    event_id: Annotated[str, Field(description="The header webhook-id: the same however often it is sent.")]
    type: EventType
    state: DeliveryState
    tries: int
    http_status: Annotated[int | None, Field(description="Of the last answer.")]
    error: Annotated[str | None, Field(description="Of the last try.")]
    created_at: datetime
    tried_at: datetime | None
    next_try_at: datetime | None
    ended_at: datetime | None


class DeliveryPage(BaseModel):
    """Deliveries, newest first."""

    data: list[DeliveryOut]
    next: str | None


class ReplayedOut(BaseModel):
    """How many deliveries are sent again."""

    replayed: int


class EventOut(BaseModel):
    """What a webhook receives: ids and counts, never texts."""

    id: Annotated[str, Field(description="As in the header webhook-id.")]
    object: Literal["event"]
    created_at: Annotated[int, Field(description="When the job ended, in seconds since 1970.")]
    type: EventType
    data: Annotated[
        dict[str, Any],
        Field(
            description="`id` of the job or batch; `status`, `counts` and `tokens` of a job, "
            "`request_counts` of a batch."
        ),
    ]


def webhook_fields(webhook: Webhook) -> dict[str, Any]:
    """What may be shown of one."""
    return {
        "id": webhook.id,
        "project": shown_project(webhook.owner),
        "job": webhook.job_id,
        "url": webhook.url,
        "events": list(webhook.events),
        "enabled": webhook.disabled_at is None,
        "disabled_for": webhook.disabled_for,
        "disabled_at": webhook.disabled_at,
        "failing_since": webhook.failing_since,
        "old_secret_ends_at": webhook.old_secret_ends_at,
        "created_at": webhook.created_at,
    }


def delivery_out(delivery: Delivery) -> DeliveryOut:
    """A delivery as its owner sees it."""
    return DeliveryOut(**{name: getattr(delivery, name) for name in DeliveryOut.model_fields})
