"""`/v1/responses`: a text or a chat in, one message out. Nothing is remembered between two of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.openai.answers import Answered, choices_of
from api.openai.body import Body, BodyProblem, Translated, Unserved, missing
from api.openai.chat import plain_messages
from api.openai.decoding import ALLOWED, UNSERVED, decoding_params
from jobs.records import ResultRow, Task

_NO_TOOLS = "models here are given no tools; leave it out"
_NO_MEMORY = "send the whole conversation as input"
_UNSERVED = UNSERVED | {
    "tools": Unserved(([],), _NO_TOOLS),
    "tool_choice": Unserved(("none", "auto"), _NO_TOOLS),
    "parallel_tool_calls": Unserved((False, True), _NO_TOOLS),
    "max_tool_calls": Unserved((0,), _NO_TOOLS),
    "previous_response_id": Unserved((), _NO_MEMORY),
    "conversation": Unserved((), _NO_MEMORY),
    "prompt": Unserved((), _NO_MEMORY),
    "context_management": Unserved(([],), _NO_MEMORY),
    "include": Unserved(([],)),
    "text": Unserved(({}, {"format": {"type": "text"}}), "ask for the form in the input"),
    "reasoning": Unserved(({}, {"effort": "none"})),
    "truncation": Unserved(("disabled",), "what is too long is refused"),
    "top_logprobs": Unserved((0,)),
    "n": Unserved((1,), "a response has one message"),
    "num_return_sequences": Unserved((1,), "a response has one message"),
}
_ALLOWED = (ALLOWED - {"n", "num_return_sequences", "max_tokens"}) | {
    "input", "instructions", "model", "max_output_tokens",
}  # fmt: skip
#: What answers say of themselves, and conversations repeat.
_OF_ANSWERS = ("id", "status", "type", "phase")


def read_response(fields: Mapping[str, Any]) -> Translated:
    """The request as a row.

    Raises:
        BodyProblem: it asks for what is not served, or is no conversation.
    """
    body = Body(fields)
    row: dict[str, Any] = {"task": Task.GENERATION.value, "model": body.take("model")}
    said = body.take("input", stands_for="messages")
    instructions = body.take("instructions")
    if said is None:
        raise missing("input")
    before = [] if instructions is None else [{"role": "system", "content": instructions}]
    row["messages"] = [*before, *_messages(said)]
    body.refuse_unserved(_UNSERVED)
    row["params"] = decoding_params(body, limits=("max_output_tokens",))
    body.end(_ALLOWED)
    return Translated(row, body.names)


def _messages(said: Any) -> list[Any]:
    if isinstance(said, str):
        return [{"role": "user", "content": said}]
    if not isinstance(said, list):
        raise BodyProblem("input", "must be a string or a list of messages")
    return list(plain_messages([_item(item, f"input[{n}]") for n, item in enumerate(said)], "input"))


def _item(item: Any, where: str) -> Any:
    if not isinstance(item, dict):
        return item
    if item.get("type", "message") != "message":
        raise BodyProblem(where, "models here read messages only", code="unsupported_parameter")
    return {name: value for name, value in item.items() if name not in _OF_ANSWERS}


def response_answer(row: ResultRow, answered: Answered) -> dict[str, Any]:
    """The result as a response."""
    text, reason = choices_of(row)[0]
    is_whole = reason != "length"
    return {
        **unanswered(row.model, answered),
        "status": "completed" if is_whole else "incomplete",
        "incomplete_details": None if is_whole else {"reason": "max_output_tokens"},
        "output": [message(answered, text, status="completed" if is_whole else "incomplete")],
        "usage": {
            "input_tokens": row.input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": row.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": row.input_tokens + row.output_tokens,
        },
    }


def unanswered(model: str, answered: Answered) -> dict[str, Any]:
    """A response of which there is nothing yet."""
    return {
        "id": f"resp_{answered.name}",
        "object": "response",
        "created_at": answered.created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "parallel_tool_calls": False,
        "tool_choice": "none",
        "tools": [],
        "usage": None,
    }


def message(answered: Answered, text: str | None, *, status: str) -> dict[str, Any]:
    """What the model says; None: nothing yet."""
    return {
        "id": f"msg_{answered.name}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [] if text is None else [part(text)],
    }


def part(text: str) -> dict[str, Any]:
    """A text as a part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
