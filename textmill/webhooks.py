"""Webhooks of a project: made, changed, looked into; and their events, verified where they arrive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from textmill.errors import WebhookForged
from textmill.json_calls import JsonCalls
from textmill.transport import Transport

_PATH = "/v1/webhooks"
_PAGE_SIZE = 100


class Webhooks:
    """What may be done with webhooks. They are given as the server describes them."""

    def __init__(self, transport: Transport) -> None:
        self._calls = JsonCalls(transport)

    def all(self, *, project: str | None = None, job_id: str | None = None) -> list[dict[str, Any]]:
        """Those of the project, or the one that was submitted with a job."""
        return self._calls.list(_PATH, project=project, job=job_id)

    def create(
        self, url: str, *, events: Sequence[str] = (), secret: str | None = None, project: str | None = None
    ) -> dict[str, Any]:
        """A webhook that is told when jobs end; `secret` in the answer is told this once.

        Args:
            url: Where events go.
            events: Their types; none: all.
            secret: Your own; made if None.
            project: For an administrator: whose it is.
        """
        wanted = {"url": url, "events": list(events), "secret": secret, "project": project}
        return self._calls.send("POST", _PATH, _given(wanted))

    def change(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> dict[str, Any]:
        """Changes what is given."""
        wanted = {"url": url, "events": None if events is None else list(events), "enabled": enabled}
        return self._calls.send("PATCH", f"{_PATH}/{webhook_id}", _given(wanted))

    def rotate(
        self, webhook_id: str, *, secret: str | None = None, overlap_seconds: float = 86_400.0
    ) -> dict[str, Any]:
        """Another secret, told this once; until the overlap is over the one before signs as well."""
        wanted = {"secret": secret, "overlap_seconds": overlap_seconds}
        return self._calls.send("POST", f"{_PATH}/{webhook_id}/rotate", _given(wanted))

    def delete(self, webhook_id: str) -> None:
        """Removes one with its deliveries."""
        self._calls.delete(f"{_PATH}/{webhook_id}")

    def deliveries(self, webhook_id: str, *, state: str | None = None) -> Iterator[dict[str, Any]]:
        """What was or is to be sent, newest first, page by page as it is needed."""
        after = None
        while True:
            page = self._calls.get(
                f"{_PATH}/{webhook_id}/deliveries", state=state, after=after, limit=_PAGE_SIZE
            )
            yield from page["data"]
            if (after := page["next"]) is None:
                return

    def replay(self, webhook_id: str, delivery_id: str) -> dict[str, Any]:
        """Sends one again."""
        return self._calls.send("POST", f"{_PATH}/{webhook_id}/deliveries/{delivery_id}/replay", {})

    def replay_failed(self, webhook_id: str, *, since: datetime | None = None) -> int:
        """Sends all that failed again, or those of events since a time; how many."""
        wanted = {} if since is None else {"since": since.isoformat()}
        return int(self._calls.send("POST", f"{_PATH}/{webhook_id}/deliveries/replay", wanted)["replayed"])


def verify_webhook(body: bytes | str, headers: Mapping[str, str], secret: str) -> dict[str, Any]:
    """The event in a request that a webhook received, when this server's webhook has sent it.

    Args:
        body: Of the request, byte for byte.
        headers: Of the request; in any case of letters.
        secret: Of the webhook: `whsec_...`.

    Raises:
        WebhookForged: it was not signed with this secret, or is more than five minutes old.
    """
    try:
        return dict(Webhook(secret).verify(body, dict(headers)))
    except (WebhookVerificationError, ValueError) as error:
        raise WebhookForged(f"not an event of this webhook: {error}") from error


def _given(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if value is not None}
