"""Engines without a model, for tests of the pool, the device loop and the workers."""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

from models.engine import Engine
from models.records import DocumentInput, DocumentOutput, ModelSpec


class FakeEngine:
    """Answers `per_step` documents a step with their own text, in upper case."""

    def __init__(self, *, per_step: int = 1, memory_bytes: int = 0) -> None:
        self.per_step = per_step
        self.memory_bytes = memory_bytes
        self.waiting: dict[Hashable, DocumentInput] = {}
        self.num_steps = 0
        self.is_closed = False

    def submit(self, documents: Sequence[DocumentInput]) -> None:
        for document in documents:
            assert document.key not in self.waiting
            self.waiting[document.key] = document

    def cancel(self, keys: Collection[Hashable]) -> None:
        for key in keys:
            self.waiting.pop(key, None)

    def step(self) -> list[DocumentOutput]:
        self.num_steps += 1
        return [self.answer(self.waiting.pop(key)) for key in list(self.waiting)[: self.per_step]]

    def answer(self, document: DocumentInput) -> DocumentOutput:
        return DocumentOutput(key=document.key, output={"text": document.text.upper()})

    @property
    def has_work(self) -> bool:
        return bool(self.waiting)

    def describe(self) -> Mapping[str, Any]:
        return {"memory_bytes": self.memory_bytes, "steps": self.num_steps}

    def close(self) -> None:
        self.is_closed = True
        self.waiting.clear()


class GatedEngine(FakeEngine):
    """Stays inside its step until the test opens the gate; `entered` says that it is there."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.gate = threading.Event()

    def step(self) -> list[DocumentOutput]:
        self.entered.set()
        self.gate.wait(30)
        return super().step()


def specs(*names: str, pinned: Collection[str] = ()) -> list[ModelSpec]:
    """Specs of models that only fakes will ever build."""
    return [ModelSpec(name=n, task="generation", ref=f"noop:{n}", pinned=n in pinned) for n in names]


def documents(*texts: str) -> list[DocumentInput]:
    """One document a text, with keys from 0."""
    return [DocumentInput(key=number, text=text) for number, text in enumerate(texts)]


def drain(engine: Engine, documents: Sequence[DocumentInput]) -> dict[Hashable, DocumentOutput]:
    """Steps until nothing is inside; every document must come back exactly once."""
    engine.submit(documents)
    answered: dict[Hashable, DocumentOutput] = {}
    while engine.has_work:
        for output in engine.step():
            assert output.key not in answered
            answered[output.key] = output
    assert set(answered) == {document.key for document in documents}
    return answered
