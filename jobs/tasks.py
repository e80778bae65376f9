"""A task by the names people know it by; a name may say between which languages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.echo import echoed
from jobs.params import InvalidParams
from jobs.records import Task

_ALIASES = {
    "text-generation": Task.GENERATION,
    "text2text-generation": Task.GENERATION,
    "sentiment-analysis": Task.SENTIMENT,
    "text-classification": Task.SENTIMENT,
    "question-answering": Task.QA,
}
_PREFIX = "translation_"
_CODE = r"[A-Za-z]{2,}(?:[_-][A-Za-z0-9]+)*?"
_PAIR = re.compile(rf"translation_(?P<source>{_CODE})_to_(?P<target>{_CODE})")
_MOST_CHARACTERS = 100  # the pattern's time grows with the square of the text
_PLACEHOLDERS = {"xx", "yy"}


@dataclass(frozen=True)
class NamedTask:
    """What a name says."""

    task: Task
    languages: Mapping[str, str] = field(default_factory=dict)  #: as params: source and target, or nothing


def read_task(text: str) -> NamedTask:
    """A task by our name or by the name of the transformers pipeline it replaces.

    Raises:
        ValueError: with the names that are allowed.
    """
    if text in _ALIASES:
        return NamedTask(_ALIASES[text])
    if text.startswith(_PREFIX):
        return NamedTask(Task.TRANSLATION, _languages(text))
    try:
        return NamedTask(Task(text))
    except ValueError:
        raise ValueError(f"unknown task {echoed(text)}; use one of {', '.join(Task)}") from None


def parse_task(text: str) -> Task:
    """The task alone; see `read_task`."""
    return read_task(text).task


def with_languages(task: str | None, params: Mapping[str, Any]) -> dict[str, Any]:
    """Params together with the languages that the name of their task says.

    Raises:
        ValueError: there is no such task.
        InvalidParams: the params name another language than the task.
    """
    languages = read_task(task).languages if task is not None else {}
    problems = [
        (f"params.{name}", f"{name}={echoed(params[name])}, but the task is {task}: name the language once")
        for name, code in languages.items()
        if params.get(name, code) != code
    ]
    if problems:
        raise InvalidParams(problems)
    return {**params, **languages}


def _languages(text: str) -> dict[str, str]:
    found = _PAIR.fullmatch(text) if len(text) <= _MOST_CHARACTERS else None
    if found is None or _PLACEHOLDERS & {found["source"].lower(), found["target"].lower()}:
        raise ValueError(
            f"unknown task {echoed(text)}; write translation, or name the languages: translation_en_to_de"
        )
    return {"source_language": found["source"], "target_language": found["target"]}
