"""What a document's text may have to keep to: a JSON schema, a regular expression, a choice, a grammar.

Each is read here by the library that workers follow it with (llguidance), over plain bytes, so that a
bad one is refused before it is stored. Workers read them in the same way
(`models/decoding/grammars/notation`); whether a model's tokenizer can write what one asks for is
for `jobs/rows/fitting`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

from jobs import jsontext

Problem = tuple[str, str]  #: the parameter's name, and what is wrong with it

#: The parameters, of which a document has one at most.
NAMES = ("json_schema", "regex", "choice", "grammar")
MAX_BYTES = 32 << 10  #: of one, as JSON; `TEXTMILL_MAX_GRAMMAR_BYTES`
#: As in workers, where the reasons are.
_JSON: Any = {
    "whitespace_flexible": True, "whitespace_pattern": r"\x20|\x0D?\x0A[\x20\x09]{0,32}", "lenient": False,
    "coerce_one_of": False, "item_separator": ",", "key_separator": ":",
}  # fmt: skip
_LIMITS: dict[str, Any] = {
    "initial_lexer_fuel": 100_000, "step_lexer_fuel": 20_000, "step_max_items": 20_000,
    "max_lexer_states": 20_000, "max_grammar_size": 100_000, "verbose_errors": False,
}  # fmt: skip
_STACK_BYTES = 256 << 20  #: enough for rules of `max_bytes` that name one another in a chain
_SHOWN_CHARACTERS = 200
_NO_SPECIAL_TOKENS = "special tokens cannot be part of a text: leave <...> out"
#: What works against a grammar: its name, values at which it does not, and why. In a worker's words
#: (`models/decoding/parameters/asked`).
_AGAINST_A_GRAMMAR: tuple[tuple[str, tuple[object, ...], str], ...] = (
    ("num_beams", (None, 1), "sequences are not searched under it"),
    ("stop", (None, []), "it would cut the text before the grammar is done"),
    ("min_new_tokens", (None, 0), "a text is as long as its grammar has it"),
    ("no_repeat_ngram_size", (None, 0), "it would forbid what the grammar asks for"),
)


def name_in(params: Mapping[str, Any]) -> str | None:
    """Which of the parameters there is, the first if there are several."""
    return next((name for name in NAMES if params.get(name) is not None), None)


def laid_over(params: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A document's own parameters over those of its job; its own form takes the place of the job's."""
    if not own.keys().isdisjoint((*NAMES, "response_format")):
        params = {name: value for name, value in params.items() if name not in NAMES}
    return {**params, **own}


def problems_of(params: Mapping[str, Any], *, max_bytes: int = MAX_BYTES) -> Iterator[Problem]:
    """What is wrong with the grammar of a document, by itself and beside its other parameters."""
    name = name_in(params)
    if name is None:
        return
    others = [other for other in NAMES if other != name and params.get(other) is not None]
    if others:
        yield others[0], f"give {name} or {others[0]}, not both: a text keeps to one of them"
        return
    for other, neutral, why in _AGAINST_A_GRAMMAR:
        if params.get(other) not in neutral:
            yield other, f"{other} does not go with a grammar: {why}; leave {other} out"
    problem = _problem_with(name, params[name], max_bytes)
    if problem is not None:
        yield name, problem


def notation_of(name: str, value: Any) -> str:
    """A parameter's value as llguidance reads it; whether it can be read is not looked at."""
    if name == "json_schema":
        return LLMatcher.grammar_from_json_schema(json.dumps(value), overrides=_JSON)
    if name == "regex":
        return LLMatcher.grammar_from_regex(value)
    if name == "choice":
        value = "start: " + " | ".join(map(json.dumps, value))
    return json.dumps({"grammars": [{"lark_grammar": value}]})  # a bare one that began with { would be JSON


def _problem_with(name: str, value: Any, max_bytes: int) -> str | None:
    if isinstance(value, dict) and jsontext.is_nested_too_deep(value):
        return f"is nested more than {jsontext.MAX_NESTING} deep"
    written = jsontext.dumps(value)
    if len(written) > max_bytes:
        return f"has {len(written)} bytes as JSON; {max_bytes} are accepted"
    if b"\\u0000" in written:
        return "holds a NUL character"
    return _readers().submit(_reading_problem, name, value).result()


@cache
def _readers() -> ThreadPoolExecutor:
    """A thread of its own: rules that name one another are read by calls in calls, beyond an ordinary stack.

    The stack takes memory only as it is used.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="grammars")
    before = threading.stack_size(_STACK_BYTES)
    try:
        pool.submit(_bytes).result()
    finally:
        threading.stack_size(before)
    return pool


def _reading_problem(name: str, value: Any) -> str | None:
    """What keeps llguidance from reading a grammar, or from beginning a text by it."""
    try:
        return next(_problems_of_reading(notation_of(name, value)), None)
    except BaseException as error:  # what panics in its code is no `Exception`
        return f"cannot be read: {_first_line(str(error))}"


def _problems_of_reading(notation: str) -> Iterator[str]:
    limits = LLParserLimits(**_LIMITS)
    is_bad, messages = LLMatcher.validate_grammar_with_warnings(notation, limits=limits)
    if any("can't validate" in message for message in messages):
        yield _NO_SPECIAL_TOKENS
    elif is_bad:
        yield f"cannot be read: {_first_line(messages[0])}"
    else:
        matcher = LLMatcher(_bytes(), notation, limits=limits, log_level=0)
        matcher.compute_bitmask()
        if matcher.is_error():
            yield f"is too complex: {_first_line(matcher.get_error())}"


def _first_line(message: str) -> str:
    return message.split("\n")[0][:_SHOWN_CHARACTERS]


@cache
def _bytes() -> LLTokenizer:
    """Tokens of a byte each, and an end."""
    return LLTokenizer(TokenizerWrapper(_Bytes()))


class _Bytes:
    eos_token_id = 256
    bos_token_id = None
    tokens = (*(bytes([number]) for number in range(256)), b"\xff<end>")
    special_token_ids = (256,)

    def __call__(self, text: bytes | str) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)
