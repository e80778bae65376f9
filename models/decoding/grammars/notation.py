"""From a document's parameters to a grammar in llguidance's own notation.

The edge reads the same grammars the same way (`jobs/grammars`), to refuse bad ones when they are sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llguidance import LLMatcher

#: The parameters, of which a document has one at most.
NAMES = ("json_schema", "regex", "choice", "grammar")
#: A space, or a new line that is indented: without an end, a model may write white space for ever. Nothing of
#: a schema is left out (`lenient`) or taken for something else (`coerce_one_of`), whatever it says itself in
#: `x-guidance`.
_JSON: Any = {
    "whitespace_flexible": True, "whitespace_pattern": r"\x20|\x0D?\x0A[\x20\x09]{0,32}", "lenient": False,
    "coerce_one_of": False, "item_separator": ",", "key_separator": ":",
}  # fmt: skip


def name_in(params: Mapping[str, Any]) -> str | None:
    """Which of the parameters a document has."""
    return next((name for name in NAMES if params.get(name) is not None), None)


def notation_of(name: str, value: Any) -> str:
    """A parameter's value as llguidance reads it; whether it can be read is not looked at."""
    if name == "json_schema":
        return LLMatcher.grammar_from_json_schema(json.dumps(value), overrides=_JSON)
    if name == "regex":
        return LLMatcher.grammar_from_regex(value)
    if name == "choice":
        value = "start: " + " | ".join(map(json.dumps, value))
    return json.dumps({"grammars": [{"lark_grammar": value}]})  # a bare one that began with { would be JSON


def behind_a_space(notation: str) -> str:
    """The same texts, also with a space in front."""
    first, *others = json.loads(notation)["grammars"]
    outer = {"lark_grammar": 'start: " "? @text'}
    return json.dumps({"grammars": [outer, {**first, "name": "text"}, *others]})
