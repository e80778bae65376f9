"""A response that is streamed: numbered events, each of a type of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from fastapi.sse import format_sse_event

from api.openai.answers import Answered, choices_of
from api.openai.responses import message, part, response_answer, unanswered
from jobs.records import ResultRow


class ResponseEvents:
    """The events of one response, whose one message has one part."""

    def __init__(self, answered: Answered, model: str, *, has_usage: bool) -> None:
        """Nothing is sent yet; the tokens come with the last event, asked for or not."""
        self._answered = answered
        self._model = model
        self._number = 0
        self._in_item = {"output_index": 0}
        self._in_part = {"item_id": f"msg_{answered.name}", "output_index": 0, "content_index": 0}

    def begin(self) -> Iterator[bytes]:
        """The response, its message and its part, all empty."""
        response = unanswered(self._model, self._answered)
        yield self._event("response.created", response=response)
        yield self._event("response.in_progress", response=response)
        item = message(self._answered, None, status="in_progress")
        yield self._event("response.output_item.added", item=item, **self._in_item)
        yield self._event("response.content_part.added", part=part(""), **self._in_part)

    def piece(self, text: str) -> bytes:
        """More text."""
        return self._event("response.output_text.delta", delta=text, logprobs=[], **self._in_part)

    def ends(self, row: ResultRow, *, has_begun: bool) -> Iterator[bytes]:
        """The part, the message and the response, all whole."""
        if not has_begun:
            yield from self.begin()
        text = choices_of(row)[0][0]
        response = response_answer(row, self._answered)
        yield self._event("response.output_text.done", text=text, logprobs=[], **self._in_part)
        yield self._event("response.content_part.done", part=part(text), **self._in_part)
        yield self._event("response.output_item.done", item=response["output"][0], **self._in_item)
        yield self._event(f"response.{response['status']}", response=response)

    def failed(self, status: int, code: str, message: str) -> Iterator[bytes]:
        """The error, with the response that it ends."""
        error = {"code": "server_error" if status >= 500 else "invalid_prompt", "message": message}
        response = {**unanswered(self._model, self._answered), "status": "failed", "error": error}
        yield self._event("error", code=code, message=message, param=None)
        yield self._event("response.failed", response=response)

    def _event(self, kind: str, **more: Any) -> bytes:
        data = {"type": kind, "sequence_number": self._number, **more}
        self._number += 1
        return format_sse_event(data_str=orjson.dumps(data).decode(), event=kind)
