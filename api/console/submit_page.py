"""The pages that submit: tasks and models to choose from, and what is known of the chosen one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from api.console.job_view import TASKS
from api.console.parameters import ParameterField, parameter_fields
from jobs.catalogue import Catalogue
from jobs.records import Task
from jobs.serving import Standing

_WHAT_IT_GIVES = {
    Task.SENTIMENT: "A label and its score",
    Task.TRANSLATION: "The text in another language",
    Task.QA: "An answer cut from a context",
    Task.GENERATION: "New text after a prompt",
}
#: In the order of the choices.
_ORDER = tuple(_WHAT_IT_GIVES)
_SHOWN_LABELS = 4


class ChoiceQuery(BaseModel):
    """What a page is opened with, and what is chosen on it."""

    model_config = ConfigDict(extra="ignore")

    task: Task = Task.SENTIMENT
    model: str = ""

    @field_validator("task", mode="before")
    @classmethod
    def _unknown_is_the_first(cls, value: Any) -> Any:
        return value if value in set(Task) else Task.SENTIMENT


@dataclass(frozen=True)
class TaskChoice:
    """A task to choose."""

    task: Task
    is_on: bool

    @property
    def word(self) -> str:
        """For people."""
        return TASKS[self.task.value]

    @property
    def gives(self) -> str:
        """What comes out."""
        return _WHAT_IT_GIVES[self.task]


@dataclass(frozen=True)
class ModelChoice:
    """A model to choose."""

    standing: Standing
    is_on: bool

    @property
    def name(self) -> str:
        """As requests name it."""
        return self.standing.entry.name

    @property
    def word(self) -> str:
        """Its name, and what one should know before choosing it."""
        if self.standing.is_served:
            return self.name
        return f"{self.name} ({'cannot be served' if self.standing.is_refused else 'no worker now'})"


@dataclass(frozen=True)
class Choice:
    """A task, its models, and the one that is chosen."""

    task: Task
    models: list[ModelChoice]
    chosen: Standing | None
    given: Mapping[str, str]  #: what fields held before

    @property
    def tasks(self) -> list[TaskChoice]:
        """All of them."""
        return [TaskChoice(task, task is self.task) for task in _ORDER]

    @property
    def facts(self) -> Mapping[str, Any]:
        """Of the model."""
        return {} if self.chosen is None else self.chosen.facts

    @property
    def parameters(self) -> list[ParameterField]:
        """What may be said to it."""
        return parameter_fields(self.task, self.facts, self.given)

    @property
    def languages(self) -> list[ParameterField]:
        """Those of its parameters that are asked first."""
        return [each for each in self.parameters if each.name.endswith("_language")]

    @property
    def others(self) -> list[ParameterField]:
        """The rest."""
        return [each for each in self.parameters if not each.name.endswith("_language")]

    @property
    def hint(self) -> str:
        """What the model is like, in a line."""
        if self.chosen is None:
            return "No model here serves this task."
        if (why_not := self.chosen.why_not) is not None and not self.facts:
            return f"{why_not[0].upper()}{why_not[1:]}."
        said = ", ".join(self._said())
        return (
            f"{said[0].upper()}{said[1:]}"
            if said
            else "Nothing is known of it before a worker has loaded it."
        )

    def _said(self) -> list[str]:
        facts = self.facts
        pair, labels = facts.get("language_pair"), facts.get("labels") or []
        said = [f"translates {str(pair).replace('-', ' to ')}"] if pair else []
        said += [f"labels {', '.join(map(str, labels[:_SHOWN_LABELS]))}"] if labels else []
        said += [f"reads {facts['max_tokens']:,} tokens"] if facts.get("max_tokens") else []
        is_warm = self.chosen is not None and any(
            self.chosen.entry.name in beat.warm_models for beat in self.chosen.beats
        )
        return [*said, "warm: answers at once"] if is_warm else said


def choice(
    catalogue: Catalogue, standings: Mapping[str, Standing], query: ChoiceQuery, given: Mapping[str, str]
) -> Choice:
    """What may be chosen, and what is known of what was; a model of another task counts as none."""
    of_task = [standing for standing in standings.values() if standing.entry.task is query.task]
    default = next((each for each in of_task if each.entry is catalogue.default(query.task)), None)
    chosen = next((each for each in of_task if each.entry.name == query.model), default)
    models = [ModelChoice(standing, standing is chosen) for standing in of_task]
    return Choice(query.task, models, chosen, given)
