"""Which languages a translation model takes, and how it is told them.

Marian models have one pair and need nothing. mBART, M2M100 and NLLB mark the source in
the tokenizer and force the target as the first token. T5 reads a phrase before the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.errors import InvalidParameter
from models.registry import LoadedModel


@dataclass(frozen=True, kw_only=True)
class LanguageChoice:
    """How one document is to be encoded."""

    source: str | None = None
    prefix: str = ""
    forced_bos_token_id: int | None = None


class Languages:
    """The languages of one loaded model."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._tokenizer: Any = loaded.tokenizer
        self._codes = _codes_of(loaded)
        self._prefixes = _prefixes_of(loaded)
        config = loaded.model.generation_config
        self._default_target: int | None = getattr(config, "forced_bos_token_id", None)
        #: shown to people; empty for models of one fixed pair
        self.names = sorted(self._codes) or sorted(self._prefixes)

    def choose(self, params: Mapping[str, Any]) -> LanguageChoice:
        """The choice for a document.

        Raises:
            InvalidParameter: a language is missing or unknown; the message lists what is allowed.
        """
        source, target = params.get("source_language"), params.get("target_language")
        if self._codes:
            return self._by_code(source, target)
        if self._prefixes:
            return LanguageChoice(prefix=self._prefix(source, target))
        if source or target:
            raise InvalidParameter(
                "this model has one fixed language pair: leave source_language and target_language out"
            )
        return LanguageChoice()

    def encode(self, text: str, choice: LanguageChoice) -> list[int]:
        """Token ids with the model's own marks."""
        if choice.source is not None:
            self._tokenizer.src_lang = choice.source
        ids: list[int] = self._tokenizer(choice.prefix + text, verbose=False)["input_ids"]
        return ids

    def _by_code(self, source: str | None, target: str | None) -> LanguageChoice:
        for name, code in (("source_language", source), ("target_language", target)):
            if code is not None and code not in self._codes:
                raise InvalidParameter(
                    f"{name}={code!r} is not known to this model; it has {_some(self.names)}"
                )
        if target is None and self._default_target is None:
            raise InvalidParameter(f"this model needs target_language; it has {_some(self.names)}")
        forced = self._codes[target] if target is not None else self._default_target
        return LanguageChoice(source=source, forced_bos_token_id=forced)

    def _prefix(self, source: str | None, target: str | None) -> str:
        if source is None and target is None:
            return next(iter(self._prefixes.values()))
        name = f"{source}_to_{target}"
        if name not in self._prefixes:
            raise InvalidParameter(
                f"this model does not translate {source} to {target}; it has {_some(self.names)}"
            )
        return self._prefixes[name]


def _codes_of(loaded: LoadedModel) -> dict[str, int]:
    tokenizer: Any = loaded.tokenizer
    if loaded.config.model_type not in {"mbart", "m2m_100", "plbart", "nllb-moe"}:
        return {}
    codes = getattr(tokenizer, "lang_code_to_id", None)
    if codes:
        return dict(codes)
    tokens = getattr(tokenizer, "additional_special_tokens", None) or tokenizer.extra_special_tokens
    return {token.strip("_"): tokenizer.convert_tokens_to_ids(token) for token in tokens}


def _prefixes_of(loaded: LoadedModel) -> dict[str, str]:
    tasks = getattr(loaded.config, "task_specific_params", None) or {}
    return {
        name.removeprefix("translation_"): str(options["prefix"])
        for name, options in tasks.items()
        if name.startswith("translation_") and isinstance(options, dict) and options.get("prefix")
    }


def _some(names: list[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
