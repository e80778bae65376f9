"""An engine that says one word a step to whoever listens: `say 3` is answered by `w0 w1 w2`."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

from models.records import DocumentInput, DocumentOutput, ModelSpec
from tests.support.fault_engine import PACE_VARIABLE, answer_to

_log = logging.getLogger(__name__)
#: What the log says when a document leaves before its end.
LEFT = "talk_left"


def words_of(text: str) -> list[str]:
    """What is said, word by word."""
    return [f"w{number} " for number in range(int(text.removeprefix("say ")))]


class TalkingEngine:
    """Implements `Engine`; see the module."""

    def __init__(self, spec: ModelSpec) -> None:
        self._pace_seconds = float(os.environ.get(PACE_VARIABLE, "0"))
        self._open: dict[Hashable, tuple[DocumentInput, list[str]]] = {}
        self._never = threading.Event()

    def submit(self, documents: Sequence[DocumentInput]) -> None:
        self._open.update((each.key, (each, words_of(each.text))) for each in documents)

    def cancel(self, keys: Collection[Hashable]) -> None:
        for key in keys:
            if self._open.pop(key, None) is not None:
                _log.warning(LEFT)

    def step(self) -> list[DocumentOutput]:
        self._never.wait(self._pace_seconds)
        outputs = []
        for key, (document, words) in list(self._open.items()):
            if words:
                word = words.pop(0)
                if document.on_text is not None:
                    document.on_text(word)
                continue
            del self._open[key]
            said = words_of(document.text)
            # With the mark by which an audit tells a right output.
            output = {"text": "".join(said), "finish_reason": "stop", "label": answer_to(document.text)}
            outputs.append(DocumentOutput(key=key, output=output, output_tokens=len(said)))
        return outputs

    @property
    def has_work(self) -> bool:
        return bool(self._open)

    def describe(self) -> Mapping[str, Any]:
        return {"memory_bytes": 0}

    def close(self) -> None:
        self._open.clear()
