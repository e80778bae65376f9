"""`/v1/chat/completions`: a chat in, a message out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.openai.answers import Answered, choices_of, usage_of
from api.openai.body import Body, BodyProblem, Translated, Unserved, missing
from api.openai.decoding import ALLOWED, UNSERVED, decoding_params
from jobs.records import ResultRow, Task

_NO_TOOLS = "models here are given no tools; leave it out"
_UNSERVED = UNSERVED | {
    "tools": Unserved(([],), _NO_TOOLS),
    "tool_choice": Unserved(("none", "auto"), _NO_TOOLS),
    "parallel_tool_calls": Unserved((False, True), _NO_TOOLS),
    "functions": Unserved(([],), _NO_TOOLS),
    "function_call": Unserved(("none", "auto"), _NO_TOOLS),
    "web_search_options": Unserved((), _NO_TOOLS),
    "logprobs": Unserved((False,)),
    "top_logprobs": Unserved((0,)),
    "modalities": Unserved((["text"],), "answers are text"),
    "audio": Unserved((), "answers are text"),
    "reasoning_effort": Unserved(("none",)),
    "verbosity": Unserved(("medium",)),
}
#: Answers have these, empty, and chats repeat answers.
_EMPTY_IN_ANSWERS = ("refusal", "annotations", "audio", "tool_calls", "function_call", "name")


def read_chat(fields: Mapping[str, Any]) -> Translated:
    """The request as a row.

    Raises:
        BodyProblem: it asks for what is not served, or is no chat.
    """
    body = Body(fields)
    row: dict[str, Any] = {"task": Task.GENERATION.value, "model": body.take("model")}
    messages = body.take("messages")
    if messages is None:
        raise missing("messages")
    row["messages"] = plain_messages(messages, "messages")
    body.refuse_unserved(_UNSERVED)
    row["params"] = decoding_params(body, limits=("max_completion_tokens", "max_tokens"))
    body.end(ALLOWED | {"messages", "model", "max_completion_tokens"})
    return Translated(row, body.names)


def plain_messages(messages: Any, where: str) -> Any:
    """Messages whose contents are strings; what is no list of messages is left to the check of rows.

    Raises:
        BodyProblem: a message holds more than text.
    """
    if not isinstance(messages, list):
        return messages
    return [_message(message, f"{where}[{place}]") for place, message in enumerate(messages)]


def _message(message: Any, where: str) -> Any:
    if not isinstance(message, dict):
        return message
    plain = {
        name: value
        for name, value in message.items()
        if name not in _EMPTY_IN_ANSWERS or value not in (None, [])
    }
    if plain.get("role") == "developer":  # what system was called before
        plain["role"] = "system"
    if isinstance(plain.get("content"), list):
        plain["content"] = "\n".join(
            _part(part, f"{where}.content[{place}]") for place, part in enumerate(plain["content"])
        )
    return plain


def _part(part: Any, where: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in ("text", "input_text", "output_text") or not isinstance(part.get("text"), str):
        raise BodyProblem(
            where,
            'models here read text: send parts as {"type": "text", "text": ...}',
            code="unsupported_parameter",
        )
    text: str = part["text"]
    return text


def chat_answer(row: ResultRow, answered: Answered) -> dict[str, Any]:
    """The result as a chat completion."""
    return {
        "id": f"chatcmpl-{answered.name}",
        "object": "chat.completion",
        "created": answered.created,
        "model": row.model,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": reason,
            }
            for index, (text, reason) in enumerate(choices_of(row))
        ],
        "usage": usage_of(row),
        "system_fingerprint": None,
    }
