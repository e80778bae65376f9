"""What can go wrong on the user's side: talking to a server, and running the stack here."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.errors import RowError, TextmillError


class ServerUnreachable(TextmillError):
    """No Textmill server answers at this address."""

    code = "server_unreachable"
    is_retryable = True


class StrangeAddress(TextmillError):
    """The server's answer leads to another server, which the key is not for."""

    code = "strange_address"


class RequestRefused(TextmillError):
    """The server answered, and the answer is no.

    Attributes:
        status: The HTTP status.
        title: The problem's short name (RFC 9457).
        detail: What the server says about this request.
        rows: For input rows: what is wrong where (the first 100).
    """

    code = "request_refused"

    def __init__(
        self, status: int, title: str, detail: str, *, code: str = "", rows: Sequence[RowError] = ()
    ) -> None:
        self.status = status
        self.title = title
        self.detail = detail
        self.problem_code = code
        self.rows = tuple(rows)
        super().__init__(detail or title or f"HTTP {status}")


class IncompleteResults(TextmillError):
    """The server sent fewer results than the job has."""

    code = "incomplete_results"
    is_retryable = True


class WaitTimedOut(TextmillError):
    """The job was not finished within the time given; it goes on on the server."""

    code = "wait_timed_out"
    is_retryable = True


class WebhookForged(TextmillError):
    """What a webhook received was not sent by it."""

    code = "webhook_forged"


class UnreadableInput(TextmillError):
    """The input given cannot be read or sent."""

    code = "unreadable_input"


class UnwritableOutput(TextmillError):
    """The results cannot be written where they should go."""

    code = "unwritable_output"


class NoSuchJob(TextmillError):
    """No job is called so."""

    code = "no_such_job"


class AmbiguousJob(TextmillError):
    """Several jobs are called so."""

    code = "ambiguous_job"


class NotAModel(TextmillError):
    """What was named is no model that can be installed."""

    code = "not_a_model"


class NameTaken(TextmillError):
    """A model of this name is there already."""

    code = "name_taken"


class NotInstalled(TextmillError):
    """The model was not installed; nothing is left of it."""

    code = "not_installed"


class StackError(TextmillError):
    """`textmill up` cannot start or keep its processes."""

    code = "stack"


class NoBroker(StackError):
    """No Redis-compatible server was found."""

    code = "no_broker"


class PortTaken(StackError):
    """Another program listens on the port."""

    code = "port_taken"


class FolderInUse(StackError):
    """Another `textmill up` runs on the same data folder."""

    code = "folder_in_use"
