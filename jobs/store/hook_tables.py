"""The tables of webhooks and of what is delivered to them: an outbox, written with the end of a job."""

from __future__ import annotations

from typing import cast

from sqlalchemy import BigInteger, ColumnElement, ForeignKey, Index, Table, literal_column, text
from sqlalchemy.orm import Mapped, mapped_column

from jobs.store.tables import Base, RowId

_WAITING = text("state = 'waiting'")
_ENDED = text("ended_at IS NOT NULL")


class WebhookRow(Base):
    """Where events of a project go, or of one job. Secrets are sealed: the database alone opens none."""

    __tablename__ = "webhook"
    __table_args__ = (
        Index("webhook_by_owner", "owner", "job"),
        Index("webhook_by_job", "job"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    public_id: Mapped[str] = mapped_column(unique=True)
    owner: Mapped[str]
    #: NULL: of every job of the project
    job: Mapped[int | None] = mapped_column(RowId, ForeignKey("job.id", ondelete="CASCADE"))
    url: Mapped[str]
    #: a list; an empty one means all
    events_json: Mapped[str]
    secret: Mapped[str]
    old_secret: Mapped[str | None]
    old_secret_ends_at: Mapped[float | None]
    created_at: Mapped[float]
    failing_since: Mapped[float | None]
    disabled_at: Mapped[float | None]
    disabled_for: Mapped[str | None]


class DeliveryRow(Base):
    """An event for one webhook. Whoever takes it puts `next_at` ahead: a lease that ends by itself."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("delivery_due", "next_at", sqlite_where=_WAITING, postgresql_where=_WAITING),
        Index("delivery_of_webhook", "webhook", "id"),
        Index("delivery_of_job", "job"),
        Index("delivery_by_end", "ended_at", sqlite_where=_ENDED, postgresql_where=_ENDED),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    public_id: Mapped[str] = mapped_column(unique=True)
    webhook: Mapped[int] = mapped_column(RowId, ForeignKey("webhook.id", ondelete="CASCADE"))
    #: NULL: it tells of a batch without a job
    job: Mapped[int | None] = mapped_column(RowId, ForeignKey("job.id", ondelete="CASCADE"))
    event_id: Mapped[str]
    type: Mapped[str]
    body: Mapped[str]
    state: Mapped[str]
    tries: Mapped[int] = mapped_column(default=0)
    #: how often it was taken: the fence
    lease: Mapped[int] = mapped_column(BigInteger, default=0)
    next_at: Mapped[float]
    created_at: Mapped[float]
    tried_at: Mapped[float | None]
    ended_at: Mapped[float | None]
    http_status: Mapped[int | None]
    error: Mapped[str | None]


webhook = cast("Table", WebhookRow.__table__)
delivery = cast("Table", DeliveryRow.__table__)


def is_waiting() -> ColumnElement[bool]:
    """The state written out: with a parameter, SQLite does not use the index of what waits."""
    return delivery.c.state == literal_column("'waiting'")
