"""What a translation model reads of a document: its sentences as tokens, none longer than fits."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import TooLong
from models.tasks.texts import TextEncoder
from models.tasks.translation.languages import LanguageChoice, Languages
from models.tasks.translation.layout import Segment


@dataclass(frozen=True, kw_only=True)
class Source:
    """A document cut into segments, and how they are to be encoded."""

    segments: Sequence[Segment]
    choice: LanguageChoice
    parse: bool = False  #: special tokens in it are tokens

    @property
    def encoding(self) -> tuple[LanguageChoice, bool]:
        """Equal for documents that are encoded alike."""
        return self.choice, self.parse


@dataclass(slots=True)
class Part:
    """Text that is kept, or the tokens of text to translate."""

    text: str
    ids: list[int] | None = None


class SourceTokens:
    """Makes the tokens of documents."""

    def __init__(
        self, texts: TextEncoder, languages: Languages, *, max_tokens: int, max_joined_tokens: int
    ) -> None:
        self._texts = texts
        self._languages = languages
        self._max_tokens = max_tokens
        self._max_joined_tokens = max_joined_tokens

    def parts(self, sources: Sequence[Source]) -> list[list[Part]]:
        """The parts of each document, in order; documents that are encoded alike share a call."""
        found = [[Part(segment.text) for segment in source.segments] for source in sources]
        alike: defaultdict[tuple[LanguageChoice, bool], list[tuple[Part, str]]] = defaultdict(list)
        for source, parts in zip(sources, found, strict=True):
            for part, segment in zip(parts, source.segments, strict=True):
                if segment.is_translated:
                    part.text = segment.source
                    alike[source.encoding].append((part, segment.source))
        for encoding, wanted in alike.items():
            ids = self._encode([text for _, text in wanted], encoding)
            for (part, _), tokens in zip(wanted, ids, strict=True):
                part.ids = tokens
        return [self._fitted(parts, source.encoding) for parts, source in zip(found, sources, strict=True)]

    def _encode(self, texts: Sequence[str], encoding: tuple[LanguageChoice, bool]) -> list[list[int]]:
        choice, parse = encoding
        with self._languages.told(choice):
            found = self._texts.encode([choice.phrase + text for text in texts], parse=parse)
        return [[*choice.mark, *ids] for ids in found] if choice.mark else found

    def _fitted(self, parts: list[Part], encoding: tuple[LanguageChoice, bool]) -> list[Part]:
        if self._max_joined_tokens:
            parts = self._joined(parts, encoding)
        if all(part.ids is None or len(part.ids) <= self._max_tokens for part in parts):
            return parts
        return [piece for part in parts for piece in self._shortened(part, encoding)]

    def _joined(self, parts: list[Part], encoding: tuple[LanguageChoice, bool]) -> list[Part]:
        """Sentences of one line put together; over the limit by what joining does to a word at most."""
        num_marks = len(self._encode([""], encoding)[0])  # what is around every text, and so around one
        limit = min(self._max_joined_tokens, self._max_tokens)
        joined: list[Part] = []
        for part in parts:
            before = joined[-2:]
            if part.ids is not None and len(before) == 2 and _is_gap(before[1]) and before[0].ids is not None:
                tokens = [*before[0].ids, *part.ids[num_marks:]]
                if len(tokens) <= limit:
                    joined[-2:] = [Part(before[0].text + before[1].text + part.text, tokens)]
                    continue
            joined.append(part)
        if len(joined) < len(parts):
            ours = [part for part in joined if part.ids is not None]
            for part, ids in zip(ours, self._encode([part.text for part in ours], encoding), strict=True):
                part.ids = ids
        return joined

    def _shortened(self, part: Part, encoding: tuple[LanguageChoice, bool]) -> list[Part]:
        """A part that does not fit, in halves that do: cut at spaces, and only a long word inside."""
        if part.ids is None or len(part.ids) <= self._max_tokens:
            return [part]
        if len(part.text) < 2:
            raise TooLong(
                f"the model takes {self._max_tokens} tokens, which is not one character of this text"
            )
        words = re.findall(r"\S+\s*", part.text)
        middle = len("".join(words[: len(words) // 2])) or len(part.text) // 2
        left, right = part.text[:middle], part.text[middle:]
        gap = left[len(left.rstrip()) :]
        first, second = self._encode([left.rstrip(), right], encoding)
        halves = [Part(left.rstrip(), first), Part(gap), Part(right, second)]
        return [piece for half in halves if half.text for piece in self._shortened(half, encoding)]


def _is_gap(part: Part) -> bool:
    return part.ids is None and not part.text.strip(" ")
