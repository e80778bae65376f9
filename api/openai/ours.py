"""`/v1/translations`, `/v1/sentiment`, `/v1/answers`: tasks that OpenAI has no endpoint for.

A body holds `model`, the texts, and the task's parameters under their own names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.openai.answers import Answered
from api.openai.body import Body, Translated, missing
from jobs.params import names_of
from jobs.records import ResultRow, Task


@dataclass(frozen=True)
class OurTask:
    """One of them."""

    task: Task
    noun: str  #: `object` of its answers
    texts: tuple[str, ...]  #: what the text may be called; the first is shown
    has_context: bool = False

    def read(self, fields: Mapping[str, Any]) -> Translated:
        """The request as a row.

        Raises:
            BodyProblem: a field is missing or unknown.
        """
        body = Body(fields)
        row: dict[str, Any] = {"task": self.task.value, "model": body.take("model")}
        row["text"] = body.take_one(self.texts, stands_for="text")
        if self.has_context:
            row["context"] = body.take("context")
        for ours, theirs in self._needed.items():
            if row[ours] is None:
                raise missing(theirs)
        row["params"] = body.take_params(names_of(self.task))
        body.end(names_of(self.task) | {"model", *self._needed.values()})
        return Translated(row, body.names)

    def answer(self, row: ResultRow, answered: Answered) -> dict[str, Any]:
        """The result, with the fields that results of the task have."""
        return {
            "id": f"{self.noun.replace('.', '-')}-{answered.name}",
            "object": self.noun,
            "created": answered.created,
            "model": row.model,
            **(row.output or {}),
            "usage": {
                "input_tokens": row.input_tokens,
                "output_tokens": row.output_tokens,
                "total_tokens": row.input_tokens + row.output_tokens,
            },
        }

    @property
    def _needed(self) -> dict[str, str]:
        """Our fields that must be there, by their names here."""
        return {"text": self.texts[0]} | ({"context": "context"} if self.has_context else {})


TRANSLATIONS = OurTask(Task.TRANSLATION, "translation", ("input", "text"))
SENTIMENT = OurTask(Task.SENTIMENT, "sentiment", ("input", "text"))
ANSWERS = OurTask(Task.QA, "answer", ("question", "input", "text"), has_context=True)
