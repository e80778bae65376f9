"""A row's `messages`: a chat instead of a text, checked before anything is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jobs.records import Messages, Task

#: What a message may say: more (calls of tools, pictures) is not served.
_KEYS = ("role", "content")
_MAX_MESSAGES = 10_000
_MAX_ROLE_CHARACTERS = 64


class InvalidMessages(ValueError):
    """The chat cannot be taken; `field` names the place, such as `messages[2].role`."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.message = message
        super().__init__(f"{field}: {message}")


def chat_of(
    fields: Mapping[str, Any], task: Task, refuse_unstorable: Callable[[str, str], None]
) -> Messages | None:
    """The chat of a row, or None when the row has none.

    Args:
        fields: of the row.
        task: of the row.
        refuse_unstorable: raises for (field, text) that cannot be stored.

    Raises:
        InvalidMessages: it is no chat, or the row has a text as well, or another task.
    """
    chat = fields.get("messages")
    if chat is None:
        return None
    if task is not Task.GENERATION:
        raise InvalidMessages("messages", f"messages are for generation, not for {task}: send text")
    if fields.get("text") is not None:
        raise InvalidMessages("messages", "give text or messages, not both")
    if not isinstance(chat, list) or not chat:
        raise InvalidMessages("messages", 'must be a list such as [{"role": "user", "content": "Hello"}]')
    if len(chat) > _MAX_MESSAGES:
        raise InvalidMessages("messages", f"has {len(chat)} messages; at most {_MAX_MESSAGES}")
    return [_message(f"messages[{place}]", message, refuse_unstorable) for place, message in enumerate(chat)]


def _message(where: str, message: Any, refuse_unstorable: Callable[[str, str], None]) -> dict[str, str]:
    if not isinstance(message, dict):
        raise InvalidMessages(where, "must be an object with role and content")
    unknown = sorted(message.keys() - set(_KEYS))
    if unknown:
        raise InvalidMessages(f"{where}.{unknown[0]}", f"unknown; a message has {' and '.join(_KEYS)}")
    for key in _KEYS:
        value = message.get(key)
        if not isinstance(value, str):
            what = "is missing" if value is None else f"must be a string, not {type(value).__name__}"
            raise InvalidMessages(f"{where}.{key}", what)
        refuse_unstorable(f"{where}.{key}", value)
    if not message["role"].strip() or len(message["role"]) > _MAX_ROLE_CHARACTERS:
        raise InvalidMessages(f"{where}.role", "must name who speaks, such as system, user or assistant")
    return {key: message[key] for key in _KEYS}
