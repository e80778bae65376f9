"""What is told, over Redis, to who waits for a document: channels and messages. No connection is made here.

A job of one document may be watched while it runs: its watcher subscribes to a channel named after
it. What is said there is a help; the result is in the ledger, whether anybody heard of it or not
(`docs/decisions/0033-tokens-on-their-way.md`).
"""

from __future__ import annotations

from dataclasses import dataclass

from jobs import jsontext
from jobs.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Channels:
    """Of one job; a watcher listens to one of them."""

    text: str  #: pieces of its text, and that it is settled
    end: str  #: only that

    @classmethod
    def of(cls, settings: Settings, job_id: str) -> Channels:
        """Those of a job."""
        base = f"{settings.key_prefix}watch:{job_id}"
        return cls(text=f"{base}:text", end=f"{base}:end")


@dataclass(frozen=True, kw_only=True)
class Told:
    """One message: a piece of the text, or that the result is in the ledger."""

    attempt: int  #: of the slice, by which a second worker is told from the first
    start: int = 0  #: characters of the attempt's text before the piece
    text: str = ""
    is_settled: bool = False

    def encode(self) -> bytes:
        """As it travels."""
        return jsontext.dumps([self.attempt, self.start, self.text, self.is_settled])

    @classmethod
    def decode(cls, data: bytes) -> Told:
        """The inverse.

        Raises:
            ValueError: it is no such message.
        """
        try:
            attempt, start, text, is_settled = jsontext.loads(data)
        except TypeError as error:
            raise ValueError("not a list") from error
        if not (isinstance(attempt, int) and isinstance(start, int) and isinstance(text, str)):
            raise ValueError("not a message of a watch")  # noqa: TRY004  # what came is data, no argument
        return cls(attempt=attempt, start=start, text=text, is_settled=is_settled is True)
