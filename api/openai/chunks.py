"""Answers that are streamed: chunks as OpenAI's clients read them, one event each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from fastapi.sse import format_sse_event

from api.openai.answers import Answered

#: The last event of every stream.
DONE = format_sse_event(data_str="[DONE]")


class ChunkForm(NamedTuple):
    """How the chunks of an endpoint look."""

    id_prefix: str
    noun: str  #: `object`
    is_chat: bool

    def choice(self, index: int, text: str | None, reason: str | None, *, is_first: bool) -> dict[str, Any]:
        """What a chunk adds to one choice."""
        if not self.is_chat:
            return {"index": index, "text": text or "", "logprobs": None, "finish_reason": reason}
        delta: dict[str, str] = {"role": "assistant"} if is_first else {}
        if text is not None:
            delta["content"] = text
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}


CHAT_CHUNKS = ChunkForm("chatcmpl-", "chat.completion.chunk", is_chat=True)
COMPLETION_CHUNKS = ChunkForm("cmpl-", "text_completion", is_chat=False)


@dataclass(frozen=True, kw_only=True)
class Chunks:
    """Makes the chunks of one answer."""

    form: ChunkForm
    answered: Answered
    model: str
    has_usage: bool  #: the last one has the tokens, and the others say that they have none

    def begin(self, index: int) -> bytes:
        """The first chunk of a choice."""
        return self._event([self.form.choice(index, "", None, is_first=True)])

    def piece(self, index: int, text: str) -> bytes:
        """The text goes on."""
        return self._event([self.form.choice(index, text, None, is_first=False)])

    def end(self, index: int, reason: str) -> bytes:
        """A choice has ended."""
        return self._event([self.form.choice(index, None, reason, is_first=False)])

    def usage(self, usage: Mapping[str, int]) -> bytes:
        """The tokens; no choice goes on with it."""
        return self._event([], usage)

    def _event(self, choices: list[dict[str, Any]], usage: Mapping[str, int] | None = None) -> bytes:
        chunk: dict[str, Any] = {
            "id": f"{self.form.id_prefix}{self.answered.name}",
            "object": self.form.noun,
            "created": self.answered.created,
            "model": self.model,
            "choices": choices,
            "system_fingerprint": None,
        }
        if self.has_usage:
            chunk["usage"] = usage
        return event(chunk)


def event(data: Mapping[str, Any]) -> bytes:
    """An event of the stream."""
    return format_sse_event(data_str=orjson.dumps(data).decode())
