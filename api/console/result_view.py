"""A result beside its input, by task: score bars, pairs of paragraphs, the answer in its context, text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.console.job_view import TASKS
from jobs import jsontext
from jobs.listing import SentDocument
from jobs.records import DocumentStatus, ResultRow, Task

_SHOWN_CHARACTERS = 1_200
_AROUND_ANSWER = 280
_MOST_SCORES = 6
_FINISHED = {"stop": "finished", "length": "cut at its length"}
_STATUSES = {
    DocumentStatus.FAILED: "Failed",
    DocumentStatus.CANCELLED: "Cancelled",
    DocumentStatus.EXPIRED: "Expired",
}


@dataclass(frozen=True)
class Score:
    """A label and how sure the model is of it."""

    label: str
    value: float

    @property
    def width(self) -> float:
        """Percent of the bar."""
        return round(100 * min(1.0, max(0.0, self.value)), 2)

    @property
    def word(self) -> str:
        """Two digits: more would say what nobody knows."""
        return f"{self.value:.2f}"


@dataclass(frozen=True)
class Marked:
    """A context with its answer."""

    before: str
    answer: str
    behind: str


@dataclass(frozen=True)
class ResultView:
    """One row of the results."""

    row: ResultRow
    sent: SentDocument | None  #: None: it was deleted meanwhile

    @property
    def number(self) -> int:
        """Rows are counted from 1 on a screen, as in spreadsheets."""
        return self.row.seq + 1

    @property
    def is_success(self) -> bool:
        """Whether there is an output."""
        return self.row.status is DocumentStatus.SUCCEEDED

    @property
    def kind(self) -> str:
        """Which part of the template shows it."""
        output = self.row.output
        if output is None:
            return "failed"
        has = {
            Task.SENTIMENT: isinstance(output.get("label"), str),
            Task.QA: isinstance(output.get("answer"), str),
        }.get(self.row.task, isinstance(output.get("text"), str))
        return self.row.task.value if has else "other"

    @property
    def task_word(self) -> str:
        """For people."""
        return TASKS[self.row.task.value]

    @property
    def status_word(self) -> str:
        """For people; of a success its task says enough."""
        return _STATUSES.get(self.row.status, self.task_word)

    @property
    def input(self) -> str:
        """The text, or the chat, cut."""
        if self.sent is None:
            return ""
        if self.sent.messages:
            return cut("\n".join(f"{m.get('role')}: {m.get('content')}" for m in self.sent.messages))
        return cut(self.sent.text)

    @property
    def cut_characters(self) -> int | None:
        """How long the text is, where it is not shown whole."""
        if self.sent is None or self.sent.num_characters <= _SHOWN_CHARACTERS:
            return None
        return self.sent.num_characters

    @property
    def text(self) -> str:
        """The output's text, cut."""
        return cut(str(self._output.get("text", "")).strip())

    @property
    def more_texts(self) -> list[str]:
        """Further sequences that were asked for."""
        texts = self._output.get("texts")
        return [cut(str(text)) for text in texts[1:]] if isinstance(texts, list) else []

    @property
    def other(self) -> str:
        """An output of no known form, as JSON."""
        return cut(jsontext.dumps(dict(self._output)).decode())

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Paragraphs beside their translations; one pair where they do not match."""
        ours, theirs = _lines(self.input), _lines(self.text)
        return list(zip(ours, theirs, strict=True)) if len(ours) == len(theirs) else [(self.input, self.text)]

    @property
    def scores(self) -> list[Score]:
        """Labels, surest first."""
        scores = self._output.get("scores")
        if not isinstance(scores, Mapping):
            value = self._output.get("score")
            return [Score(str(self._output.get("label")), value)] if isinstance(value, float) else []
        found = [Score(str(label), float(value)) for label, value in scores.items() if _is_number(value)]
        return sorted(found, key=lambda score: -score.value)[:_MOST_SCORES]

    @property
    def label(self) -> str:
        """The surest one."""
        return str(self._output.get("label", ""))

    @property
    def answer(self) -> str:
        """Empty: the context has none."""
        return str(self._output.get("answer", ""))

    @property
    def answer_score(self) -> Score | None:
        """How sure the model is."""
        value = self._output.get("score")
        return None if value is None or not _is_number(value) else Score("Score", float(value))

    @property
    def span(self) -> tuple[int, int] | None:
        """Where the answer stands, in characters."""
        start, end = self._output.get("start"), self._output.get("end")
        return (start, end) if isinstance(start, int) and isinstance(end, int) else None

    @property
    def marked(self) -> Marked | None:
        """The answer in its context; None where it does not stand in what is at hand."""
        context = self.sent.context if self.sent else None
        if context is None or self.span is None or not self.answer:
            return None
        start, end = self.span
        if context[start:end] != self.answer:
            return None
        begin, stop = max(0, start - _AROUND_ANSWER), end + _AROUND_ANSWER
        before = ("…" if begin else "") + context[begin:start]
        behind = context[end:stop] + ("…" if stop < len(context) else "")
        return Marked(before, self.answer, behind)

    @property
    def context(self) -> str:
        """What the question is about, where no answer is marked in it."""
        return cut(self.sent.context or "") if self.sent else ""

    @property
    def finish(self) -> str:
        """How the text came to its end."""
        return _FINISHED.get(str(self._output.get("finish_reason", "")), "")

    @property
    def tokens(self) -> str:
        """What it took."""
        read, written = self.row.input_tokens, self.row.output_tokens
        if not read and not written:
            return ""
        return f"{read:,} in, {written:,} out" if written else f"{read:,} tokens"

    @property
    def _output(self) -> Mapping[str, Any]:
        return self.row.output or {}


def cut(text: str) -> str:
    """What is shown of a text."""
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
