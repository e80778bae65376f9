"""Answers that are streamed: chunks as OpenAI's clients read them, one event each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import orjson
from fastapi.sse import format_sse_event

from api.openai.answers import Answered, choices_of, usage_of
from api.openai.errors import error_body
from jobs.records import ResultRow

#: The last event of a stream of chunks.
_DONE = format_sse_event(data_str="[DONE]")


class Streamed(Protocol):
    """The stream of one answer, of whatever endpoint."""

    def begin(self) -> Iterator[bytes]:
        """What comes before the first piece of the first choice."""
        ...

    def piece(self, text: str) -> bytes:
        """The first choice goes on."""
        ...

    def ends(self, row: ResultRow, *, has_begun: bool) -> Iterator[bytes]:
        """What is left once the result is there: of one choice why it ends, of several all."""
        ...

    def failed(self, status: int, code: str, message: str) -> Iterator[bytes]:
        """It ends otherwise, after its status was sent."""
        ...


class Chunks:
    """Chunks of chat completions, or of completions."""

    def __init__(self, answered: Answered, model: str, *, has_usage: bool, is_chat: bool) -> None:
        """Nothing is sent yet.

        Args:
            answered: what is said beside the result.
            model: its name.
            has_usage: the last chunk has the tokens, and the others say that they have none.
            is_chat: whose chunks they are.
        """
        prefix, noun = ("chatcmpl-", "chat.completion.chunk") if is_chat else ("cmpl-", "text_completion")
        self._is_chat = is_chat
        self._has_usage = has_usage
        self._common = {
            "id": f"{prefix}{answered.name}",
            "object": noun,
            "created": answered.created,
            "model": model,
            "system_fingerprint": None,
        }

    def begin(self) -> Iterator[bytes]:
        """Who speaks."""
        yield self._begin(0)

    def piece(self, text: str) -> bytes:
        """More text."""
        return self._piece(0, text)

    def ends(self, row: ResultRow, *, has_begun: bool) -> Iterator[bytes]:
        """Why each choice ends, and the tokens."""
        choices = choices_of(row)
        for index, (text, reason) in enumerate(choices):
            if not has_begun:
                yield self._begin(index)
            if len(choices) > 1:
                yield self._piece(index, text)
            yield self._chunk([self._choice(index, None, reason)])
        if self._has_usage:
            yield self._chunk([], usage_of(row))
        yield _DONE

    def failed(self, status: int, code: str, message: str) -> Iterator[bytes]:
        """The error, which the client raises."""
        yield _event(error_body(status, code, message))
        yield _DONE

    def _begin(self, index: int) -> bytes:
        return self._chunk([self._choice(index, "", None, role="assistant")])

    def _piece(self, index: int, text: str) -> bytes:
        return self._chunk([self._choice(index, text, None)])

    def _choice(self, index: int, text: str | None, reason: str | None, **first: str) -> dict[str, Any]:
        if not self._is_chat:
            return {"index": index, "text": text or "", "logprobs": None, "finish_reason": reason}
        delta = first if text is None else {**first, "content": text}
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}

    def _chunk(self, choices: list[dict[str, Any]], usage: Mapping[str, int] | None = None) -> bytes:
        more = {"usage": usage} if self._has_usage else {}
        return _event({**self._common, "choices": choices, **more})


def chat_chunks(answered: Answered, model: str, *, has_usage: bool) -> Streamed:
    """Of `/v1/chat/completions`."""
    return Chunks(answered, model, has_usage=has_usage, is_chat=True)


def completion_chunks(answered: Answered, model: str, *, has_usage: bool) -> Streamed:
    """Of `/v1/completions`."""
    return Chunks(answered, model, has_usage=has_usage, is_chat=False)


def _event(data: Mapping[str, Any]) -> bytes:
    return format_sse_event(data_str=orjson.dumps(data).decode())
