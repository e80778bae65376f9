"""Webhooks of one installation: checked and sealed on their way into SQL, opened when they are used."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from jobs.records import Job
from jobs.secret import server_secret
from jobs.settings import Settings
from jobs.store import deliveries, hooks, outbox
from jobs.store.database import Database
from jobs.webhooks.allow_list import AllowList
from jobs.webhooks.records import Answer, Delivery, DeliveryState, EventType, NewWebhook, Parcel, Webhook
from jobs.webhooks.sealing import Sealer, check_secret, make_secret
from jobs.webhooks.targets import Targets


class WebhookBook:
    """The webhooks of all projects. `owner=None`: whosever it is, for an administrator."""

    def __init__(self, database: Database, sealer: Sealer, targets: Targets) -> None:
        self._database = database
        self._sealer = sealer
        self._targets = targets

    def new(self, url: str, *, events: Sequence[EventType], secret: str | None) -> NewWebhook:
        """A webhook that may be stored, by `add` or with its job.

        Args:
            url: Where it goes.
            events: What it is told of; none: everything.
            secret: The client's own; made if None.

        Raises:
            RequestError: the secret is none.
            TargetRefused: nothing is sent there.
        """
        kept = make_secret() if secret is None else check_secret(secret)
        checked = self._targets.check(url)
        return NewWebhook(url=checked, events=_once(events), secret=self._sealer.seal(kept))

    def add(self, new: NewWebhook, *, owner: str) -> Webhook:
        """Stores a webhook of a project. Raises WebhookConflict when it has as many as it may."""
        return hooks.add_webhook(self._database, new, owner=owner)

    def secret_of(self, webhook: Webhook) -> str:
        """The current secret, for who has just made it."""
        return self._sealer.open(webhook.secret)

    def all(self, *, owner: str | None, job_id: str | None = None) -> list[Webhook]:
        """Those of projects, or those of one job; oldest first."""
        return hooks.list_webhooks(self._database, owner=owner, job_id=job_id)

    def of_job(self, job: Job) -> Webhook | None:
        """The one that was submitted with a job."""
        found = self.all(owner=job.owner, job_id=job.id)
        return found[0] if found else None

    def get(self, webhook_id: str, *, owner: str | None) -> Webhook:
        """One by its id. Raises WebhookNotFound for unknown and foreign ones alike."""
        return hooks.get_webhook(self._database, webhook_id, owner=owner)

    def change(
        self,
        webhook_id: str,
        *,
        owner: str | None,
        url: str | None,
        events: Sequence[EventType] | None,
        is_enabled: bool | None,
    ) -> Webhook:
        """Changes what is given.

        Raises:
            WebhookNotFound: there is no such webhook.
            TargetRefused: nothing is sent there.
        """
        self.get(webhook_id, owner=owner)  # before a name is looked up for whoever asks
        return hooks.change_webhook(
            self._database,
            webhook_id,
            owner=owner,
            url=None if url is None else self._targets.check(url),
            events=None if events is None else _once(events),
            is_enabled=is_enabled,
        )

    def rotate(
        self, webhook_id: str, *, owner: str | None, secret: str | None, overlap_seconds: float
    ) -> Webhook:
        """Another secret; the one before signs as well until the overlap is over.

        Raises:
            WebhookNotFound: there is no such webhook.
            RequestError: the secret is none.
        """
        kept = make_secret() if secret is None else check_secret(secret)
        sealed = self._sealer.seal(kept)
        return hooks.rotate_webhook(
            self._database, webhook_id, owner=owner, secret=sealed, overlap_seconds=overlap_seconds
        )

    def delete(self, webhook_id: str, *, owner: str | None) -> None:
        """Removes one with all its deliveries. Raises WebhookNotFound."""
        hooks.delete_webhook(self._database, webhook_id, owner=owner)

    def deliveries(
        self,
        webhook_id: str,
        *,
        owner: str | None,
        state: DeliveryState | None = None,
        after: str | None = None,
        limit: int = 20,
    ) -> list[Delivery]:
        """Deliveries of one, newest first. Raises WebhookNotFound."""
        return deliveries.list_deliveries(
            self._database, webhook_id, owner=owner, state=state, after=after, limit=limit
        )

    def replay(self, webhook_id: str, delivery_id: str, *, owner: str | None) -> Delivery:
        """Sends one again. Raises WebhookNotFound, and WebhookConflict when the webhook is disabled."""
        return deliveries.replay(self._database, webhook_id, delivery_id, owner=owner)

    def replay_failed(self, webhook_id: str, *, owner: str | None, since: datetime | None) -> int:
        """Sends all that failed again. Raises WebhookNotFound, WebhookConflict."""
        return deliveries.replay_failed(self._database, webhook_id, owner=owner, since=since)

    def take(
        self, *, limit: int, per_webhook: int, busy: Collection[int], lease_seconds: float
    ) -> list[Parcel]:
        """What is to be sent now, and by nobody else for a while."""
        return outbox.take_due(
            self._database, limit=limit, per_webhook=per_webhook, busy=busy, lease_seconds=lease_seconds
        )

    def open_secrets(self, parcel: Parcel) -> list[str]:
        """What it is signed with. Raises ConfigurationError: they were sealed with another server secret."""
        return [self._sealer.open(sealed) for sealed in parcel.secrets]

    def settle(self, parcel: Parcel, answer: Answer, *, chance: float) -> bool:
        """Writes what became of a try; False: somebody else has the delivery, or it is gone."""
        return outbox.settle_delivery(self._database, parcel, answer, chance=chance)


def open_webhook_book(settings: Settings, database: Database, targets: Targets) -> WebhookBook:
    """The webhooks of an installation of these settings; database and secret are asked for later."""
    return WebhookBook(database, Sealer(lambda: server_secret(settings)), targets)


def open_targets(settings: Settings) -> Targets:
    """Where webhooks of an installation of these settings may go."""
    return Targets(AllowList(settings.webhook_allow))


def _once(events: Sequence[EventType]) -> tuple[EventType, ...]:
    return tuple(dict.fromkeys(events))
