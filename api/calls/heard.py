"""What a client may be shown of a text that attempts tell piece by piece, and may break off."""

from __future__ import annotations

from jobs.errors import TextmillError
from jobs.watching import Told


class Contradicted(TextmillError):
    """A second attempt came out otherwise than what was sent already; the result is in the ledger."""

    code = "contradicted"


class Heard:
    """Whatever is shown continues what was shown; what was lost, or told otherwise, waits for the result."""

    def __init__(self) -> None:
        self._shown = ""
        self._attempt = 0
        self._text = ""  # of the attempt so far

    def take(self, told: Told) -> str:
        """What may be shown now."""
        if told.attempt < self._attempt:  # of a worker that has lost its lease
            return ""
        if told.attempt > self._attempt:
            self._attempt, self._text = told.attempt, ""
        if told.start > len(self._text):  # a piece was lost
            return ""
        self._text = self._text[: told.start] + told.text
        return self._more(self._text)

    def rest(self, text: str) -> str:
        """What is missing of the result's text.

        Raises:
            Contradicted: what was shown is not its beginning.
        """
        if not text.startswith(self._shown):
            raise Contradicted
        return self._more(text)

    def _more(self, text: str) -> str:
        if not text.startswith(self._shown):  # an attempt that has not said all of it yet, or something else
            return ""
        more = text[len(self._shown) :]
        self._shown = text
        return more
