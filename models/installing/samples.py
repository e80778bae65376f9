"""A few documents of each task, to see whether a model does what it should, and how fast."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.engine import Engine
from models.errors import CannotLoad
from models.records import DocumentInput, DocumentOutput

_QUESTIONS = (
    "What is the capital of France?", "Why do leaves fall in autumn?", "Name three kinds of fruit.",
    "How do I boil an egg?", "What does a carpenter do?", "Describe a lake in one sentence.",
    "What is the largest animal?", "Give me a tip for sleeping better.",
)  # fmt: skip
_BEGINNINGS = (
    "The weather today is", "My favourite food is", "The city lies on", "She opened the door and",
    "The best way to learn is", "In the morning the birds", "He wrote a letter to",
    "The train was late because",
)  # fmt: skip
_SENTENCES = (
    "The weather is nice today.", "Where is the station?", "I have two brothers.", "She reads a book.",
    "We arrived late last night.", "The soup is too hot.", "He lost his keys.", "They live near the sea.",
)  # fmt: skip
_REVIEWS = (
    "A warm, funny and engaging film.", "Far too long, and dull.", "The food was cold and the waiter rude.",
    "I would buy it again at once.", "It broke after a week.", "A wonderful evening with great music.",
    "Nothing works as described.", "The staff could not have been kinder.",
)  # fmt: skip
_CONTEXT = (
    "The report was written by Ada Brown in Leeds in 1998. It describes how the town's water is cleaned, "
    "and what it costs. Her brother John drew the maps."
)
_ASKED = (
    "Who wrote the report?", "Where was the report written?", "When was the report written?",
    "Who drew the maps?", "What does the report describe?", "Whose brother is John?",
    "What was written in 1998?", "What did John draw?",
)  # fmt: skip
#: Long enough to see what kind of text it is, and done in seconds by a model of a billion on a CPU.
_NEW_TOKENS = 32
#: A model that needs longer for these is told to be that slow.
_MOST_SECONDS = 60.0
_WANTED_LANGUAGES = ("fr", "fra_Latn", "fr_XX", "de", "deu_Latn", "en", "eng_Latn")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of the documents."""

    asked: str  #: the first of them
    answered: Mapping[str, Any]  #: its output
    documents_per_second: float
    tokens_per_second: float | None  #: written ones; None for tasks that write none


def try_out(engine: Engine, task: str) -> Trial:
    """Computes the documents of a task: the first alone, which also warms up, then the others together.

    Raises:
        CannotLoad: a document failed.
    """
    first, *others = _documents(task, engine.describe())
    answer = _run(engine, [first])[0]
    started = time.perf_counter()
    outputs = _run(engine, others, most_seconds=_MOST_SECONDS)
    seconds = max(time.perf_counter() - started, 1e-6)
    tokens = sum(output.output_tokens for output in outputs)
    asked = first.messages[0]["content"] if first.messages else first.text
    return Trial(
        asked=str(asked),
        answered=answer.output or {},
        documents_per_second=len(outputs) / seconds,
        tokens_per_second=tokens / seconds if tokens else None,
    )


def _documents(task: str, facts: Mapping[str, Any]) -> list[DocumentInput]:
    if task == "generation" and facts.get("has_chat_template"):
        params = {"max_new_tokens": _NEW_TOKENS}
        return [
            DocumentInput(key=number, text="", messages=[{"role": "user", "content": text}], params=params)
            for number, text in enumerate(_QUESTIONS)
        ]
    params = _params(task, facts)
    texts = {"generation": _BEGINNINGS, "translation": _SENTENCES, "sentiment": _REVIEWS, "qa": _ASKED}[task]
    context = _CONTEXT if task == "qa" else None
    return [
        DocumentInput(key=number, text=text, context=context, params=params)
        for number, text in enumerate(texts)
    ]


def _params(task: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    if task not in ("generation", "translation"):
        return {}
    params: dict[str, Any] = {"max_new_tokens": _NEW_TOKENS}
    if facts.get("needs_target_language"):
        there = list(facts.get("target_languages") or facts.get("languages") or [])
        named = next((name for name in _WANTED_LANGUAGES if name in there), there[0] if there else None)
        params |= {"target_language": named}
    return params


def _run(
    engine: Engine, documents: list[DocumentInput], *, most_seconds: float = math.inf
) -> list[DocumentOutput]:
    until = time.perf_counter() + most_seconds
    engine.submit(documents)
    outputs: list[DocumentOutput] = []
    while engine.has_work:
        outputs += engine.step()
        if time.perf_counter() > until and outputs:
            engine.cancel([document.key for document in documents])
            break
    failed = next((output for output in outputs if output.error_code), None)
    if failed is not None:
        raise CannotLoad(f"a document of the proof failed: {failed.error_code}: {failed.error_message}")
    return outputs
