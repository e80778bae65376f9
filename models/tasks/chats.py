"""Chats as prompts, by the model's own template in the sandbox that transformers runs templates in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import TemplateError

from models.errors import DocumentError, InvalidParameter
from models.tasks.chat_template import Chat, ChatTemplate
from models.tasks.texts import any_of

_BREAK = "\ufdd0"  # a code point that is no character, and so in no text


class InvalidChat(DocumentError):
    """The model's template cannot make a prompt of this chat."""

    code = "invalid_chat"


class ChatEncoder:
    """Makes tokens of chats; special tokens are those of the template, never those of a message."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._added = any_of({*tokenizer.added_tokens_encoder, *tokenizer.all_special_tokens})
        # transformers keeps messages literal, but for vocabularies in which a token is a piece of text.
        self._has_whole_tokens = not _special_ids(tokenizer).isdisjoint(
            tokenizer.encode(
                " ".join(tokenizer.all_special_tokens), add_special_tokens=False, split_special_tokens=True
            )
        )
        self._template = ChatTemplate(tokenizer)

    @property
    def has_template(self) -> bool:
        """Whether the model has a template that can be used."""
        return self._template.why_not is None

    def encode(self, messages: Chat, *, parse: bool = False) -> list[int]:
        """Token ids of a chat, ready for the model's answer.

        Args:
            messages: each with `role` and `content`.
            parse: special tokens in messages are tokens, as transformers takes them by default.

        Raises:
            InvalidParameter: the model has no template that can be used.
            InvalidChat: the template refuses the chat, in words of its own, or would leave a message out.
        """
        if self._template.why_not is not None:
            raise InvalidParameter(f"{self._template.why_not}: send `text` instead of `messages`")
        place = self._template.left_out(messages)
        if place is not None:
            raise InvalidChat(
                f"the model's chat template leaves out messages[{place}], whose role is "
                f"{messages[place]['role']!r}: use the roles that it knows, where it expects them"
            )
        try:
            return self._encode(messages, parse)
        except (TemplateError, ValueError, TypeError) as error:
            raise InvalidChat(f"the model's chat template refuses this chat: {error}") from error
        except Exception as error:  # foreign code, which may raise anything
            what = f"{type(error).__name__}: {error}"
            raise InvalidChat(f"the model's chat template fails with this chat: {what}") from error

    def _encode(self, chat: Chat, parse: bool) -> list[int]:
        apply: Any = self._tokenizer.apply_chat_template
        if not parse and self._has_whole_tokens and self._added.search("\n".join(map(_words, chat))):
            return self._encode_halves(chat)
        ids = apply(
            self._template.shaped(chat),
            add_generation_prompt=True,
            return_dict=False,
            sanitize_control_tokens=not parse,
        )
        return list(ids)

    def _encode_halves(self, chat: Chat) -> list[int]:
        """A chat rendered with each special token of its messages broken in two, which are encoded apart."""
        broken = [{key: self._broken(text) for key, text in message.items()} for message in chat]
        rendered = self._tokenizer.apply_chat_template(
            self._template.shaped(broken), add_generation_prompt=True, tokenize=False
        )
        first, *rest = rendered.split(_BREAK)
        ids = self._plain(first)
        line_end = self._plain("\n")
        for piece in rest:
            # What begins a text is marked as the beginning of a word; nothing is, behind a line end.
            found = self._plain(f"\n{piece}")
            is_behind = found[: len(line_end)] == line_end
            ids += found[len(line_end) :] if is_behind else self._plain(piece)
        return ids

    def _broken(self, text: str) -> str:
        return self._added.sub(lambda found: f"{found[0][0]}{_BREAK}{found[0][1:]}", text.replace(_BREAK, ""))

    def _plain(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))


def _words(message: Mapping[str, Any]) -> str:
    return f"{message['role']}\n{message['content']}"


def _special_ids(tokenizer: Any) -> frozenset[int]:
    return frozenset(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
