"""The parameters of a task as fields of a form: what each means, and its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobs.params import schema_of
from jobs.records import Task

#: Fields of forms are called so, that they are told from the others.
PREFIX = "params."
_LANGUAGES = ("source_language", "target_language")
_YES_NO = (("", "As the model does"), ("true", "Yes"), ("false", "No"))
#: Name to its label and what it does, in the order of the form.
_WORDS = {
    "source_language": ("From", "the language of the text"),
    "target_language": ("To", "the language to translate to"),
    "max_new_tokens": ("Longest output, tokens", ""),
    "do_sample": ("Draw at random", "else the likeliest token is taken"),
    "temperature": ("Temperature", "lower is safer, higher more varied; needs drawing"),
    "top_p": ("Nucleus", "draws among the likeliest with this share; needs drawing"),
    "top_k": ("Among the top", "draws among so many tokens; needs drawing"),
    "seed": ("Seed", "the same seed, the same text; needs drawing"),
    "num_beams": ("Beams", "more reads better and takes longer"),
    "length_penalty": ("Length penalty", "above 0 favours long texts; needs beams"),
    "early_stopping": ("Stop beams early", "as soon as enough are finished; needs beams"),
    "repetition_penalty": ("Repetition penalty", "above 1 discourages what was said"),
    "no_repeat_ngram_size": ("No repeated run of", "tokens that may not come twice in a row; 0 allows it"),
    "num_return_sequences": ("Texts for each", "how many are returned"),
    "min_new_tokens": ("Shortest output, tokens", ""),
    "max_length": ("Longest of all, tokens", "prompt and output together; in place of the longest output"),
    "stop": ("Stop at", "ends where this text comes; it is left out"),
    "regex": ("Matches", "a regular expression that the whole output fits"),
    "add_special_tokens": ("Add special tokens", "as the tokenizer does by itself"),
    "parse_special_tokens": ("Read special tokens", "else they are text"),
    "max_answer_length": ("Longest answer, tokens", ""),
    "allow_no_answer": ("May find no answer", "where the context has none"),
}
#: Values with a structure of their own, which a field of a form is no place for: they are for the API.
NOT_IN_FORMS = frozenset({"choice", "json_schema", "response_format", "grammar"})
#: A number of labels or of answers, where nothing is drawn.
_TOP_K = {
    Task.SENTIMENT: ("Labels", "so many, surest first"),
    Task.QA: ("Answers", "so many, surest first"),
}
#: What a model does by itself, by the fact that tells it.
_DEFAULTS = {"num_beams": "beams_by_default", "max_new_tokens": "new_tokens_by_default"}


@dataclass(frozen=True, kw_only=True)
class ParameterField:
    """One field."""

    name: str
    label: str
    meaning: str
    least: float | None = None
    most: float | None = None
    is_whole: bool = False
    #: values with their words; empty: anything may be written
    choices: tuple[tuple[str, str], ...] = ()
    default: str = ""  #: what the model does untold
    value: str = ""

    @property
    def field(self) -> str:
        """As the form calls it."""
        return f"{PREFIX}{self.name}"

    @property
    def is_number(self) -> bool:
        """Whether digits are wanted."""
        return self.least is not None or self.most is not None

    @property
    def bounds(self) -> str:
        """Of a number, in words."""
        least, most = _figure(self.least), _figure(self.most)
        if self.least is not None and self.most is not None:
            return f"{least} to {most}"
        if self.most is not None:
            return f"{most} at most"
        return f"{least} at least" if self.least is not None else ""


def parameter_fields(
    task: Task, facts: Mapping[str, Any], given: Mapping[str, str] | None = None
) -> list[ParameterField]:
    """The fields of a task, with what is known of its model, holding what was given before.

    Args:
        task: What is done.
        facts: Of the model, as its worker tells them.
        given: Texts of fields by their name in the form.
    """
    schema = schema_of(task)
    fields = [
        _field(task, name, schema[name], facts, (given or {}).get(f"{PREFIX}{name}", ""))
        for name in _WORDS
        if name in schema
    ]
    return [field for field in fields if not _is_settled(field, facts)]


def given_params(task: Task, form: Mapping[str, Any]) -> dict[str, Any]:
    """What a form says of the parameters of a task; an empty field says nothing.

    What is not of its kind stays a text: the check of parameters says what is wrong with it.
    """
    schema = schema_of(task)
    texts = {name: str(form.get(f"{PREFIX}{name}", "")).strip() for name in schema}
    return {name: _value(schema[name], text) for name, text in texts.items() if text}


def _field(
    task: Task, name: str, schema: Mapping[str, Any], facts: Mapping[str, Any], value: str
) -> ParameterField:
    label, meaning = _TOP_K.get(task, _WORDS[name]) if name == "top_k" else _WORDS[name]
    kind = _kinds(schema)
    number = next((of for of in kind if of.get("type") in ("integer", "number")), {})
    least = number.get("minimum", 0 if "exclusiveMinimum" in number else None)
    most = number.get("maximum")
    if name in ("max_new_tokens", "max_length") and facts.get("max_tokens"):
        most = facts["max_tokens"]
    default = facts.get(_DEFAULTS.get(name, ""))
    return ParameterField(
        name=name, label=label, meaning=meaning, value=value,
        least=0 if name == "temperature" else least,  # what is below is said in words when it is checked
        most=None if name == "seed" else most,
        is_whole=number.get("type") == "integer",
        choices=_choices(name, kind, facts),
        default="" if default is None else str(default),
    )  # fmt: skip


def _choices(
    name: str, kinds: list[Mapping[str, Any]], facts: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    if name in _LANGUAGES:
        codes = facts.get(f"{name}s") or ()
        return (("", "As the model does"), *((str(code), str(code)) for code in codes)) if codes else ()
    if any(kind.get("type") == "boolean" for kind in kinds):
        never = (("never", "Never"),) if any("const" in kind for kind in kinds) else ()
        return _YES_NO + never
    return ()


def _is_settled(field: ParameterField, facts: Mapping[str, Any]) -> bool:
    """A model of one pair of languages leaves no choice of them."""
    return field.name in _LANGUAGES and not field.choices and facts.get("language_pair") is not None


def _kinds(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]


def _value(schema: Mapping[str, Any], text: str) -> Any:
    names = {kind.get("type") for kind in _kinds(schema)}
    if "boolean" in names and text in ("true", "false"):
        return text == "true"
    for name, read in (("integer", int), ("number", float)):
        if name in names:
            try:
                return read(text)
            except ValueError:
                return text
    return text


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.6g}" if value < 1_000_000 else f"{value:,.0f}"
