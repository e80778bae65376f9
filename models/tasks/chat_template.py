"""A model's chat template: whether it can be used, how it reads a message, and what it would leave out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import TemplateSyntaxError

_MARK = "wherethismessagestands{}is"  #: a text that no template has a reason to change
_FOUND = re.compile(_MARK.format("([0-9]+)"))
_MAX_CACHED = 256

Chat = Sequence[Mapping[str, Any]]


class ChatTemplate:
    """The template of one tokenizer, tried with texts of our own.

    Attributes:
        why_not: why it cannot be used; None: it can.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.why_not = self._problem()
        self._reads_parts = self.why_not is None and self._reads_parts_alone()
        self._left_out = lru_cache(_MAX_CACHED)(self._places_left_out)

    def shaped(self, chat: Chat) -> list[dict[str, Any]]:
        """The chat as the template reads it: one made for pictures goes over a list of parts."""
        if not self._reads_parts:
            return [dict(message) for message in chat]
        return [{**message, "content": _in_parts(message["content"])} for message in chat]

    def left_out(self, chat: Chat) -> int | None:
        """Which message with a text in it the template leaves out, if any.

        Many have a branch for each role that they know and none for the others, so that a
        misspelt role takes its message along without a word.
        """
        places = self._left_out(tuple(message["role"] for message in chat))
        return next((place for place in places if chat[place]["content"].strip()), None)

    def _problem(self) -> str | None:
        if not getattr(self._tokenizer, "chat_template", None):
            return "this model has no chat template"
        try:
            self._tokenizer.get_chat_template()
            self._rendered([{"role": "user", "content": _MARK}])
        except (TemplateSyntaxError, ValueError) as error:
            return f"this model's chat template cannot be used ({error})"
        except Exception:  # foreign code: whatever it has against this chat, it may take others
            return None
        return None

    def _reads_parts_alone(self) -> bool:
        return not self._has(_MARK) and self._has(_in_parts(_MARK))

    def _has(self, content: Any) -> bool:
        try:
            return _MARK in self._rendered([{"role": "user", "content": content}])
        except Exception:  # as above
            return False

    def _places_left_out(self, roles: tuple[str, ...]) -> tuple[int, ...]:
        chat = [{"role": role, "content": _MARK.format(place)} for place, role in enumerate(roles)]
        try:
            rendered = self._rendered(self.shaped(chat))
        except Exception:  # it refuses the chat; the words for that are those about the chat itself
            return ()
        found = {int(place) for place in _FOUND.findall(rendered)}
        return tuple(place for place in range(len(roles)) if place not in found)

    def _rendered(self, chat: Chat) -> str:
        return str(self._tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False))


def _in_parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]
