"""Whether a document is one for its model, as far as the workers have told of the model.

A million rows that their model refuses are one refusal here. Only what is certain is said:
what nobody has told yet is left to the worker; such a document fails there, by name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import langcodes

from jobs import grammars, jsontext

Facts = Mapping[str, Any]  #: of one model, as `GET /v1/models` shows them
Problem = tuple[str, str]  #: field, and what is wrong with it

_SHOWN_LANGUAGES = 20
_SHOWN_UNWRITTEN = 8
#: What CTranslate2 does otherwise than transformers, and the values at which that does not matter
#: (`models/batching/ctranslate.py`, which refuses a document in the same words).
_NOT_BY_CTRANSLATE2: Mapping[str, tuple[object, ...]] = {
    "stop": ([],), "do_sample": (False,), "repetition_penalty": (1,), "no_repeat_ngram_size": (0,),
    "early_stopping": (False, True),
}  # fmt: skip


def misfits(
    model: str, facts: Facts, params: Mapping[str, Any], *, is_chat: bool, is_translation: bool
) -> Iterator[Problem]:
    """What this model will not do.

    Args:
        model: its name.
        facts: what is known of it; may be empty.
        params: the job's and the document's own together.
        is_chat: the document is a list of messages.
        is_translation: the document is to be translated.
    """
    if is_chat and facts.get("has_chat_template") is False:
        yield "messages", f"model {model!r} has no chat template to use: send text, or choose another model"
    if is_chat and params.get("add_special_tokens"):
        yield (
            "params.add_special_tokens",
            "add_special_tokens is for `text`: a chat's template writes its own",
        )
    yield from _unwritten(facts, params)
    if facts.get("decoded_by") == "CTranslate2":
        for name, neutral in _NOT_BY_CTRANSLATE2.items():
            if name in params and params[name] not in neutral:
                yield f"params.{name}", _not_by_ctranslate2(name)
    if is_translation and "target_languages" in facts:
        for side in ("target", "source"):
            problem = _language_problem(facts, params, side)
            if problem:
                yield f"params.{side}_language", f"model {model!r} {problem}"
                return


def _unwritten(facts: Facts, params: Mapping[str, Any]) -> Iterator[Problem]:
    """Says so of a grammar that asks for what the model's tokenizer has no token for.

    In a worker's words (`models/decoding/grammars/grammar`).
    """
    name, kind = grammars.name_in(params), facts.get("structured_output")
    if name is None or kind in (None, "unicode"):
        return
    if kind == "none":
        yield f"params.{name}", f"{name} is not served: {facts.get('why_no_structured_output')}"
        return
    missing: str = facts.get("unwritten_characters") or ""
    if kind == "choice" and name != "choice":
        message = f"{name} is not served: the model's tokenizer has no token for {_shown(missing)}"
        yield f"params.{name}", f"{message}; ask by `choice`"
        return
    unwritten = {
        each for each in _characters_of(name, params[name]) if not " " <= each <= "~" or each in missing
    }
    if unwritten:
        message = f"{name} asks for characters that the model's tokenizer has no token for: "
        yield f"params.{name}", message + _shown(unwritten)


def _characters_of(name: str, value: Any) -> set[str]:
    """Those that a text may have to have: of choices all, of others those beyond ASCII."""
    if name == "choice":
        return set("".join(value))
    text = value if isinstance(value, str) else jsontext.dumps(value).decode()
    return {each for each in text if not each.isascii()}


def _shown(characters: Collection[str]) -> str:
    some = sorted(characters)[:_SHOWN_UNWRITTEN]
    return ", ".join(map(repr, some)) + (" and others" if len(characters) > len(some) else "")


def _not_by_ctranslate2(name: str) -> str:
    return f"{name} is not done by CTranslate2 (dtype int8); bfloat16 and float32 do it"


def _language_problem(facts: Facts, params: Mapping[str, Any], side: str) -> str | None:
    code = params.get(f"{side}_language")
    if code is None:
        return _missing(facts, side)
    pairs = [name.split("_to_") for name in facts.get("languages") or () if "_to_" in name]
    if pairs:
        given = (params.get("source_language"), params.get("target_language"))
        return _not_among(pairs, given)
    return _another_language(facts, side, code)


def _not_among(pairs: Sequence[Sequence[str]], given: Sequence[str | None]) -> str | None:
    for pair in pairs:
        if all(code is None or not _differ(code, own) for code, own in zip(given, pair, strict=True)):
            return None
    source, target = (code or "any language" for code in given)
    return f"does not translate {source} to {target}; it has {_listed(['_to_'.join(pair) for pair in pairs])}"


def _missing(facts: Facts, side: str) -> str | None:
    if side == "target" and facts.get("needs_target_language"):
        return f"needs target_language; it has {_listed(facts['target_languages'])}"
    return None


def _another_language(facts: Facts, side: str, code: str) -> str | None:
    known: Sequence[str] = facts.get(f"{side}_languages") or ()
    pair: str | None = facts.get("language_pair")
    if known and not _means_one_of(code, known):
        return f"does not know {side}_language={code!r}; it has {_listed(known)}"
    if known or pair is None or not _differ(code, pair.partition("-")[0 if side == "source" else 2]):
        return None
    return f"translates {pair} only, not {side}_language={code!r}: leave it out, or choose another model"


def _means_one_of(code: str, known: Sequence[str]) -> bool:
    """Whether a code is the model's own, or a plain one that means a single one of its own.

    `zh_TW` is not the `zh_CN` of a model that has `ja_XX` as well; where a single language is
    known, a region of it goes without saying.
    """
    if code in known:
        return True
    is_plain = "_" not in code and "-" not in code
    alike = [own for own in known if not _differ(code, own)]
    return len(alike) == 1 and (is_plain or len(known) == 1)


def _differ(code: str, other: str) -> bool:
    """Whether two codes mean two languages: `fr`, `fra` and `fr_XX` are one."""
    return _language(code) != _language(other)


@lru_cache(maxsize=1024)
def _language(code: str) -> str:
    try:
        return str(langcodes.Language.get(code).prefer_macrolanguage().language)
    except ValueError:
        return code  # no code, such as a language's name: it stands for itself


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_LANGUAGES} more (GET /v1/models)"
    return ", ".join(names[:_SHOWN_LANGUAGES]) + (more if len(names) > _SHOWN_LANGUAGES else "")
