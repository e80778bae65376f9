"""Every error Textmill's own code raises outside `models`, under one root.

Each class carries the HTTP status its message deserves at the edge, a stable
machine-readable code, and whether the same call may succeed later. The edge
turns them into `application/problem+json`; nobody else looks at the status.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class TextmillError(Exception):
    """Something went wrong inside Textmill."""

    http_status = 500
    code = "internal_error"
    is_retryable = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class ConfigurationError(TextmillError):
    """A setting is missing or wrong; the message names it."""

    code = "configuration"


@dataclass(frozen=True, kw_only=True)
class RowError:
    """One thing wrong with one input row.

    `line` counts from 1 in the body as the client sent it (for CSV the header
    is line 1), and is None for what is wrong with the request as a whole; `field` is a
    dotted path such as `params.temperature`.
    """

    line: int | None
    field: str | None
    message: str
    code: str | None = None  #: a word for programs, where there is one


class RequestError(TextmillError):
    """The request cannot be accepted as it stands."""

    http_status = 422
    code = "invalid_request"


class InvalidRows(RequestError):
    """Some input rows are not valid; nothing was stored."""

    code = "invalid_rows"

    def __init__(self, rows: Sequence[RowError], *, total: int | None = None) -> None:
        self.rows = tuple(rows)
        self.total = len(self.rows) if total is None else total
        listed = f", the first {len(self.rows)} are listed" if len(self.rows) < self.total else ""
        super().__init__(f"{self.total} problem(s) in the input rows{listed}; nothing was stored")


class UnknownModel(RequestError):
    """The server does not list this model."""

    code = "unknown_model"


class ModelNotFound(UnknownModel):
    """There is no such model."""

    http_status = 404
    code = "model_not_found"


class ModelNotServed(RequestError):
    """No worker can load this model, and none will before somebody changes something."""

    code = "model_not_served"


class EmptySubmission(RequestError):
    """The submission holds no documents."""

    code = "empty_submission"


class MalformedBody(RequestError):
    """The body cannot be read in its content type."""

    http_status = 400
    code = "malformed_body"


class PayloadTooLarge(RequestError):
    """The body or one of its lines is larger than this server accepts."""

    http_status = 413
    code = "payload_too_large"


class UploadStalled(RequestError):
    """The body stopped arriving, or came too slowly: send it again."""

    http_status = 408
    code = "upload_stalled"
    is_retryable = True


class UnsupportedMediaType(RequestError):
    """The content type is none of those this call accepts."""

    http_status = 415
    code = "unsupported_media_type"


class NotAuthenticated(RequestError):
    """A valid API key is needed: `Authorization: Bearer <key>`."""

    http_status = 401
    code = "not_authenticated"


class NotAllowed(RequestError):
    """This key may not do that: it takes an administrator's key."""

    http_status = 403
    code = "not_allowed"


class KeysAreOff(RequestError):
    """This server knows no keys: start it with TEXTMILL_ADMIN_KEY to have projects and keys."""

    http_status = 409
    code = "keys_are_off"


class KeyNotFound(RequestError):
    """There is no such key."""

    http_status = 404
    code = "key_not_found"


class KeyConflict(RequestError):
    """The key or project cannot be made or changed so as things stand."""

    http_status = 409
    code = "key_conflict"


class ProjectNotFound(RequestError):
    """There is no such project."""

    http_status = 404
    code = "project_not_found"


class JobNotFound(RequestError):
    """There is no such job."""

    http_status = 404
    code = "job_not_found"


class IdempotencyKeyReused(RequestError):
    """This Idempotency-Key was used before with a different request."""

    code = "idempotency_key_reused"


class IllegalTransition(RequestError):
    """The job is not in a state that allows this."""

    http_status = 409
    code = "illegal_transition"


class Overloaded(TextmillError):
    """Too much work is queued; try again later."""

    http_status = 429
    code = "overloaded"
    is_retryable = True

    def __init__(self, message: str | None = None, *, retry_after_seconds: int) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class TooManyRequests(Overloaded):
    """A limit of calls in a minute is reached."""

    code = "too_many_requests"


class OverQuota(RequestError):
    """The project stores as much as it may."""

    http_status = 403
    code = "over_quota"


class StoreUnavailable(TextmillError):
    """The database does not answer; the cause is in `__cause__`."""

    http_status = 503
    code = "store_unavailable"
    is_retryable = True


class ResultsChanged(TextmillError):
    """The job was retried while its results were read: read them again."""

    http_status = 503
    code = "results_changed"
    is_retryable = True


class BrokerUnavailable(TextmillError):
    """Redis does not answer; the cause is in `__cause__`."""

    http_status = 503
    code = "broker_unavailable"
    is_retryable = True


class LeaseLost(TextmillError):
    """The slice was leased to somebody else, cancelled or deleted: drop the work."""

    http_status = 409
    code = "lease_lost"
