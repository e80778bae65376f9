"""The documents inside the engines: who asked for them, and that each comes back once.

Only the device loop's thread uses it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from models.errors import EngineBroken
from models.loop.waiting_line import Submission
from models.records import DocumentInput, DocumentOutput


@dataclass
class _Open:
    submission: Submission
    unanswered: set[Hashable]


class OpenDocuments:
    """Answers = questions, checked at every settlement."""

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._num_open: Counter[str] = Counter()

    def __len__(self) -> int:
        """Documents inside all engines."""
        return self._num_open.total()

    def enter(self, submission: Submission) -> list[DocumentInput]:
        """Notes the documents and names them for the engine.

        Keys are unique within a ticket only; inside the engine the ticket's number joins them.
        """
        number, documents = submission.number, submission.documents
        submission.documents = ()  # the texts are the engine's now
        self._open[number] = _Open(submission, set(submission.ticket.keys))
        self._num_open[submission.ticket.model] += len(documents)
        return [replace(document, key=(number, document.key)) for document in documents]

    def settle(self, model: str, outputs: Sequence[DocumentOutput]) -> list[Submission]:
        """Delivers outputs to their tickets; returns the submissions that are complete now.

        Raises:
            EngineBroken: a document was answered twice, or was never asked.
        """
        by_ticket: dict[int, list[DocumentOutput]] = {}
        for output in outputs:
            number, key = self._take(model, output.key)
            by_ticket.setdefault(number, []).append(replace(output, key=key))
        self._num_open[model] -= len(outputs)
        complete = []
        for number, ready in by_ticket.items():
            self._open[number].submission.ticket.deliver(ready)
            if not self._open[number].unanswered:
                complete.append(self._open.pop(number).submission)
        return complete

    def withdraw(self, submission: Submission) -> list[Hashable]:
        """Forgets a submission; returns the engine's names of what had no answer yet."""
        opened = self._open.pop(submission.number, None)
        if opened is None:
            return []
        self._num_open[submission.ticket.model] -= len(opened.unanswered)
        return [(submission.number, key) for key in opened.unanswered]

    def check_nothing_is_lost(self, model: str) -> None:
        """To be called when the engine says that it has no work.

        Raises:
            EngineBroken: documents went in and never came out.
        """
        if self._num_open[model]:
            raise EngineBroken(f"model {model!r} lost {self._num_open[model]} document(s)")

    def _take(self, model: str, name: Hashable) -> tuple[int, Hashable]:
        if isinstance(name, tuple) and len(name) == 2 and name[0] in self._open:
            unanswered = self._open[name[0]].unanswered
            if name[1] in unanswered:
                unanswered.remove(name[1])
                return name
        raise EngineBroken(f"model {model!r} answered a document twice, or one it was not asked")
