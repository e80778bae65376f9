"""Which languages a translation model takes, and how it is told them.

Models of one pair need nothing. mBART, M2M100, NLLB and PLBart mark the source in the
tokenizer and force the target as the first token. A model of many targets may read a token
before the text (Marian `>>fra<<`, MADLAD `<2fr>`), and T5 a phrase. What a client says in
words before a text goes for each of its sentences.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from models.errors import InvalidParameter
from models.loading.registry import LoadedModel
from models.tasks.translation.sentences import base_language

_MARKED_TYPES = frozenset({"mbart", "m2m_100", "plbart", "nllb-moe"})
_CODE = re.compile(r"_*([a-z]{2,10}(?:_[A-Za-z]{2,4})?)_*")
_MARK = re.compile(r"\s*(?:>>|<2)([A-Za-z_]+)(?:<<|>)\s*")
_PHRASE = re.compile(r"\s*translate [\w ()]{2,40} to [\w ()]{2,40}: *", re.IGNORECASE)
_T5_TYPES = frozenset({"t5", "mt5", "umt5"})
_ANY = "mul"
#: ISO 639-5 and the names OPUS gives to groups: any language may be meant.
_GROUPS = re.compile(
    "mul|art|afa|aav|alv|bat|bnt|cau|cel|cp[fps]|cus|dra|fiu|gem|gmq|gmw|grk|iir|inc|ine|ira|itc|map|mkh|nic|"
    "poz|pqe|roa|sal|sem|sit|sla|tai|trk|tut|tup|urj|zl[esw]|romance|scandinavia|north_eu",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class LanguageChoice:
    """How one document is to be encoded."""

    language: str  #: of the text, as `sentences.base_language` names it
    source: str | None = None  #: the tokenizer's `src_lang`; None: its own
    phrase: str = ""  #: before each text
    mark: tuple[int, ...] = ()  #: tokens before each text
    forced_bos_token_id: int | None = None


class Languages:
    """The languages of one loaded model; this one has a single pair, known or not."""

    #: shown to people: sources, targets, and both in the form the model names them
    sources: Sequence[str] = ()
    targets: Sequence[str] = ()
    names: Sequence[str] = ()
    needs_target = False

    def __init__(self, loaded: LoadedModel) -> None:
        tokenizer: Any = loaded.tokenizer
        self._source = getattr(tokenizer, "source_lang", None) or getattr(tokenizer, "src_lang", None)
        self._target = getattr(tokenizer, "target_lang", None) or getattr(tokenizer, "tgt_lang", None)
        self._reads_phrases = loaded.config.model_type in _T5_TYPES

    @property
    def pair(self) -> str | None:
        """The one pair of the model, such as `en-de`, where it is known."""
        if self.targets or not self._source or not self._target:
            return None
        if _is_group(self._source) or _is_group(self._target):
            return None
        return f"{base_language(self._source)}-{base_language(self._target)}"

    @property
    def facts(self) -> dict[str, Any]:
        """What `Engine.describe` says of them."""
        facts = {
            "languages": list(self.names),
            "source_languages": list(self.sources),
            "target_languages": list(self.targets),
            "needs_target_language": self.needs_target,
        }
        return {**facts, "language_pair": self.pair} if self.pair else facts

    def choose(self, params: Mapping[str, Any], text: str) -> tuple[LanguageChoice, str]:
        """The choice for a document, and its text without a mark that was part of the choice.

        Raises:
            InvalidParameter: a language is missing or unknown; the message lists what is allowed.
        """
        source, target = params.get("source_language"), params.get("target_language")
        self._check("source_language", source, self._source)
        self._check("target_language", target, self._target)
        language = base_language(source or self._source)
        if self._reads_phrases and (said := _PHRASE.match(text)):
            return LanguageChoice(language=language, phrase=said.group()), text[said.end() :]
        return LanguageChoice(language=language), text

    @contextmanager
    def told(self, choice: LanguageChoice) -> Iterator[None]:
        """The tokenizer in the state that a choice asks for; afterwards as it was."""
        yield

    def _check(self, name: str, given: str | None, own: str | None) -> None:
        if given is None:
            return
        if not own:
            raise InvalidParameter(f"this model does not say which languages it knows: leave {name} out")
        if not _is_group(own) and base_language(given) != base_language(own):
            raise InvalidParameter(
                f"{name}={given!r}: this model translates {base_language(self._source)} to "
                f"{base_language(self._target)} and nothing else"
            )


class CodedLanguages(Languages):
    """A source set in the tokenizer, and a target forced as the first token."""

    def __init__(self, loaded: LoadedModel, codes: Mapping[str, tuple[str, int]]) -> None:
        super().__init__(loaded)
        self._tokenizer: Any = loaded.tokenizer
        self._codes = codes  # by the name that is shown: the tokenizer's own, and its id
        self.sources = self.targets = self.names = sorted(codes)
        config = loaded.model.generation_config
        self._forced: int | None = getattr(config, "forced_bos_token_id", None)
        self._begins_with: int | None = getattr(config, "decoder_start_token_id", None)
        ids = {code_id for _, code_id in codes.values()}
        self.needs_target = self._forced is None and self._begins_with not in ids

    def choose(self, params: Mapping[str, Any], text: str) -> tuple[LanguageChoice, str]:
        """See `Languages.choose`."""
        source, target = params.get("source_language"), params.get("target_language")
        forced = self._forced
        if target is not None:
            forced = self._codes[_find("target_language", target, self._codes)][1]
            if forced == self._begins_with:
                forced = None  # its outputs begin with it already
        elif self.needs_target:
            raise InvalidParameter(f"this model needs target_language; it has {_some(self.targets)}")
        code = None
        if source is not None:
            code = self._codes[_find("source_language", source, self._codes)][0]
        language = base_language(code or self._source)
        return LanguageChoice(language=language, source=code, forced_bos_token_id=forced), text

    @contextmanager
    def told(self, choice: LanguageChoice) -> Iterator[None]:
        """See `Languages.told`."""
        own = self._tokenizer.src_lang
        if choice.source is None or choice.source == own:
            yield
            return
        self._tokenizer.src_lang = choice.source
        try:
            yield
        finally:
            self._tokenizer.src_lang = own


class MarkedLanguages(Languages):
    """One source or a group of them, and a target named by a token before the text."""

    def __init__(self, loaded: LoadedModel, marks: Collection[str]) -> None:
        super().__init__(loaded)
        self._source = self._source or _ANY
        self._marks = {name[1]: mark for mark in marks if (name := _MARK.fullmatch(mark))}
        self._tokenizer: Any = loaded.tokenizer
        self._written = cache(self._write)
        #: of one language the token chooses a script or a dialect, and may be left out
        self.needs_target = not self._target or _is_group(self._target)
        own = () if self.needs_target else (str(self._target),)
        self.targets = self.names = sorted({*self._marks, *own})
        self.sources = [self._source] if self._source and not _is_group(self._source) else []

    def choose(self, params: Mapping[str, Any], text: str) -> tuple[LanguageChoice, str]:
        """See `Languages.choose`; with `parse_special_tokens` a mark may stand in the text."""
        source, target = params.get("source_language"), params.get("target_language")
        self._check("source_language", source, self._source)
        language = base_language(source or self._source)
        found = _MARK.match(text) if params.get("parse_special_tokens") and target is None else None
        if found and found[1] in self._marks:
            return self._marked(language, self._marks[found[1]]), text[found.end() :]
        if target is not None and not (target == self._target and target not in self._marks):
            return self._marked(language, self._marks[_find("target_language", target, self._marks)]), text
        if target is None and self.needs_target:
            raise InvalidParameter(f"this model needs target_language; it has {_some(self.targets)}")
        return LanguageChoice(language=language), text

    def _marked(self, language: str, mark: str) -> LanguageChoice:
        phrase, ids = self._written(mark)
        return LanguageChoice(language=language, phrase=phrase, mark=ids)

    def _write(self, mark: str) -> tuple[str, tuple[int, ...]]:
        """A mark that is a word, as text; one that is a special token, as ids: in a text it is text."""
        added = self._tokenizer.added_tokens_decoder.values()
        is_special = any(token.content == mark and token.special for token in added)
        if self._reads_phrases and not is_special:
            return f"{mark} ", ()
        marked, bare = (self._tokenizer(text)["input_ids"] for text in (f"{mark} a", "a"))
        return "", tuple(marked[: len(marked) - len(bare)])


class PhrasedLanguages(Languages):
    """A phrase before the text for each pair, such as "translate English to German: "."""

    def __init__(self, loaded: LoadedModel, phrases: Mapping[tuple[str, str], str]) -> None:
        super().__init__(loaded)
        self._phrases = phrases
        self.sources = sorted({source for source, _ in phrases})
        self.targets = sorted({target for _, target in phrases})
        self.names = sorted(f"{source}_to_{target}" for source, target in phrases)

    def choose(self, params: Mapping[str, Any], text: str) -> tuple[LanguageChoice, str]:
        """See `Languages.choose`; without a target, the model's own first pair of that source."""
        source, target = params.get("source_language"), params.get("target_language")
        if source is None and target is None and (said := _PHRASE.match(text)):
            source, target = self._said(said.group())
            return LanguageChoice(language=base_language(source), phrase=said.group()), text[said.end() :]
        for pair, phrase in self._phrases.items():
            if all(
                given is None or base_language(given) == base_language(own)
                for given, own in zip((source, target), pair, strict=True)
            ):
                return LanguageChoice(language=base_language(pair[0]), phrase=phrase), text
        raise InvalidParameter(
            f"this model does not translate {source or 'any language'} to {target or 'any language'}; "
            f"it has {_some(self.names)}"
        )

    def _said(self, phrase: str) -> tuple[str | None, str | None]:
        known = {own.strip().lower(): pair for pair, own in self._phrases.items()}
        return known.get(phrase.strip().lower(), (None, None))


def languages_of(loaded: LoadedModel) -> Languages:
    """The languages of a model."""
    if codes := _codes_of(loaded):
        return CodedLanguages(loaded, codes)
    if marks := _marks_of(loaded):
        return MarkedLanguages(loaded, marks)
    if phrases := _phrases_of(loaded):
        return PhrasedLanguages(loaded, phrases)
    return Languages(loaded)


def _codes_of(loaded: LoadedModel) -> dict[str, tuple[str, int]]:
    tokenizer: Any = loaded.tokenizer
    if loaded.config.model_type not in _MARKED_TYPES:
        return {}
    codes = getattr(tokenizer, "lang_code_to_id", None)
    if not codes:
        named = {name for name in tokenizer.special_tokens_map.values() if isinstance(name, str)}
        tokens = [str(token) for token in tokenizer.all_special_tokens if str(token) not in named]
        codes = {token: tokenizer.convert_tokens_to_ids(token) for token in tokens}
    return {
        found.group(1): (code, int(number))
        for code, number in codes.items()
        if (found := _CODE.fullmatch(code))
    }


def _marks_of(loaded: LoadedModel) -> list[str]:
    tokenizer: Any = loaded.tokenizer
    if loaded.config.model_type in _T5_TYPES:
        return sorted(
            word for word in tokenizer.get_vocab() if word.startswith("<2") and _MARK.fullmatch(word)
        )
    return list(getattr(tokenizer, "supported_language_codes", ()))


def _phrases_of(loaded: LoadedModel) -> dict[tuple[str, str], str]:
    tasks = getattr(loaded.config, "task_specific_params", None) or {}
    phrases = {}
    for name, options in tasks.items():
        source, to, target = name.removeprefix("translation_").partition("_to_")
        if name.startswith("translation_") and to and isinstance(options, dict) and options.get("prefix"):
            phrases[source, target] = str(options["prefix"])
    return phrases


def _find(name: str, given: str, codes: Collection[str]) -> str:
    """The code that a client means: its own name, or the only one of its language."""
    if given in codes:
        return given
    plain = "_" not in given and "-" not in given
    alike = [code for code in codes if plain and base_language(code) == base_language(given)]
    if len(alike) == 1:
        return alike[0]
    wanted = f"one of {', '.join(sorted(alike))}" if alike else f"it has {_some(sorted(codes))}"
    raise InvalidParameter(f"{name}={given!r} is not known to this model: {wanted}")


def _is_group(code: str) -> bool:
    return _GROUPS.fullmatch(code) is not None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
