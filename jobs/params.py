"""What clients may write in `params`, per task: transformers' own names, with ranges.

A wrong value is refused at the edge, by name and with what is allowed, instead of
failing a document hours later; an unknown name, or one that another makes useless, is
refused too, because transformers would silently ignore it (`jobs/combinations`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from jobs import grammars
from jobs.combinations import UNKNOWN, Defaults, contradictions
from jobs.echo import MAX_CHARACTERS, echoed
from jobs.records import Task

_Positive = Annotated[int, Field(ge=1, le=1_000_000)]
_Pattern = Annotated[str, Field(min_length=1)]
_Choices = Annotated[list[_Pattern], Field(min_length=1, max_length=1000)]
_Language = Annotated[str, Field(min_length=2, max_length=32)]
#: Scores of tokens are divided by both in float32: below, they overflow, and what is left is no choice.
_LEAST_TEMPERATURE, _LEAST_PENALTY = 1e-20, 1e-6


class _Params(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    parse_special_tokens: bool | None = None  #: special tokens in a text are special; default: they are text


class DecodingParams(_Params):
    """Shared by generation and translation."""

    max_new_tokens: _Positive | None = None
    max_length: _Positive | None = None
    min_new_tokens: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    do_sample: bool | None = None
    temperature: Annotated[float, Field(le=100)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    num_beams: Annotated[int, Field(ge=1, le=64)] | None = None
    length_penalty: Annotated[float, Field(ge=-10, le=10)] | None = None
    early_stopping: bool | Literal["never"] | None = None
    repetition_penalty: Annotated[float, Field(ge=_LEAST_PENALTY, le=100)] | None = None
    no_repeat_ngram_size: Annotated[int, Field(ge=0, le=1000)] | None = None
    num_return_sequences: Annotated[int, Field(ge=1, le=64)] | None = None
    stop: (
        Annotated[str, Field(min_length=1, max_length=200)]
        | Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=16)]
        | None
    ) = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None

    @field_validator("temperature", mode="before")
    @classmethod
    def _greedy_has_a_name(cls, value: object) -> object:
        if isinstance(value, int | float) and not isinstance(value, bool) and value < _LEAST_TEMPERATURE:
            raise ValueError(
                f"temperature must be greater than 0 (at least {_LEAST_TEMPERATURE:g}); "
                "for greedy decoding use do_sample=false"
            )
        return value


class _NamedSchema(BaseModel):
    """OpenAI's `json_schema`; always kept to, `strict` or not."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """What OpenAI's clients ask for a text to be."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text", "json_object", "json_schema"]
    json_schema: _NamedSchema | None = None

    @model_validator(mode="after")
    def _one_schema(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema is given with type json_schema, and with it alone")
        return self

    @property
    def own(self) -> dict[str, Any] | None:
        """The schema that says the same."""
        if self.json_schema is not None:
            return self.json_schema.schema_
        return {"type": "object"} if self.type == "json_object" else None


class GenerationParams(DecodingParams):
    """Parameters of generation."""

    add_special_tokens: bool | None = None  #: whether the tokenizer adds its own; default: as it does
    json_schema: dict[str, Any] | None = None  #: the text is JSON that is valid by it
    regex: _Pattern | None = None  #: the text matches it, from end to end
    choice: _Choices | None = None  #: the text is one of these
    grammar: _Pattern | None = None  #: the text keeps to it; in Lark's notation
    response_format: ResponseFormat | None = None  #: as OpenAI's; kept as `json_schema`


class TranslationParams(DecodingParams):
    """Parameters of translation."""

    source_language: _Language | None = None
    target_language: _Language | None = None


class SentimentParams(_Params):
    """Parameters of sentiment."""

    top_k: Annotated[int, Field(ge=1, le=10_000)] | None = None


class QaParams(_Params):
    """Parameters of question answering."""

    top_k: Annotated[int, Field(ge=1, le=100)] | None = None
    max_answer_length: Annotated[int, Field(ge=1, le=512)] | None = None
    allow_no_answer: bool | None = None


_SHOWN_PROBLEMS = 20
#: What may be of several kinds, for which the checker would say what is wrong with it as each of them.
_OF_SEVERAL_KINDS = {
    "stop": "must be a string of 1 to 200 characters, or a list of at most 16 of them",
    "early_stopping": 'must be true, false or "never"',
    "json_schema": "must be a JSON schema: an object",
    "response_format": 'must be {"type": "text"}, {"type": "json_object"} or '
    '{"type": "json_schema", "json_schema": {"name": ..., "schema": {...}}}',
}

_MODELS: dict[Task, type[_Params]] = {
    Task.GENERATION: GenerationParams,
    Task.TRANSLATION: TranslationParams,
    Task.SENTIMENT: SentimentParams,
    Task.QA: QaParams,
}


class InvalidParams(ValueError):
    """Some parameters are wrong; `problems` holds (field, message) pairs."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        shown = [f"{field}: {message}" for field, message in problems[:_SHOWN_PROBLEMS]]
        if len(problems) > _SHOWN_PROBLEMS:
            shown.append(f"and {len(problems) - _SHOWN_PROBLEMS} more problems")
        super().__init__("; ".join(shown))


def validate_params(
    task: Task,
    params: Mapping[str, Any],
    defaults: Defaults = UNKNOWN,
    *,
    max_grammar_bytes: int = grammars.MAX_BYTES,
) -> dict[str, Any]:
    """All parameters of one document: each checked, and all together; `stop` always a list.

    Args:
        task: what is to be done.
        params: the job's and the document's own.
        defaults: what the model does by itself, as far as it is known.
        max_grammar_bytes: of a grammar.

    Raises:
        InvalidParams: with every problem found.
    """
    checked = validate_each(task, params)
    found = [*_together(task, checked, defaults), *grammars.problems_of(checked, max_bytes=max_grammar_bytes)]
    problems = [(f"params.{_as_sent(name, params)}", message) for name, message in found]
    if problems:
        raise InvalidParams(problems)
    return checked


def validate_each(task: Task, params: Mapping[str, Any]) -> dict[str, Any]:
    """Only what was set, each by itself: more may be laid over it.

    Raises:
        InvalidParams: with every problem found.
    """
    if not params:
        return {}
    try:
        model = _MODELS[task].model_validate(dict(params))
    except ValidationError as error:
        problems = dict.fromkeys(_problem(task, dict(e)) for e in error.errors())
        raise InvalidParams(list(problems)) from None
    checked = {name: value for name, value in model.model_dump().items() if value is not None}
    if isinstance(model, GenerationParams) and model.response_format is not None:
        _keep_as_schema(checked, model.response_format)
    if isinstance(checked.get("stop"), str):
        checked["stop"] = [checked["stop"]]
    return checked


def _as_sent(name: str, params: Mapping[str, Any]) -> str:
    """A parameter under the name that the caller gave it."""
    return "response_format" if name == "json_schema" and name not in params else name


def _keep_as_schema(checked: dict[str, Any], asked: ResponseFormat) -> None:
    del checked["response_format"]
    if asked.own is None:
        return
    if "json_schema" in checked:
        raise InvalidParams([("params.response_format", "give response_format or json_schema, not both")])
    checked["json_schema"] = asked.own


def _together(task: Task, params: Mapping[str, Any], defaults: Defaults) -> Iterator[tuple[str, str]]:
    if task in (Task.GENERATION, Task.TRANSLATION):
        yield from contradictions(params, defaults)
    if task is Task.TRANSLATION and params.get("num_return_sequences", 1) > 1:
        yield "num_return_sequences", "translation returns one text: leave num_return_sequences out"


def applicable(task: Task, params: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a job's own params that concerns this task: a mixed file has one set for all."""
    return {k: v for k, v in params.items() if k in _MODELS[task].model_fields}


def names_of(task: Task) -> frozenset[str]:
    """The parameters of a task."""
    return frozenset(_MODELS[task].model_fields)


def schema_of(task: Task) -> Mapping[str, Mapping[str, Any]]:
    """The parameters of a task with their kinds and bounds, as JSON Schema has them."""
    properties: Mapping[str, Mapping[str, Any]] = _MODELS[task].model_json_schema()["properties"]
    return properties


def known_anywhere(name: str) -> bool:
    """Whether any task takes a parameter of this name."""
    return any(name in model.model_fields for model in _MODELS.values())


def _problem(task: Task, error: dict[str, Any]) -> tuple[str, str]:
    name = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        allowed = ", ".join(sorted(_MODELS[task].model_fields))
        return (
            f"params.{name[:MAX_CHARACTERS]}",
            f"unknown parameter {echoed(name)} for {task}; allowed: {allowed}",
        )
    field = f"params.{name}" if name else "params"
    if name in _OF_SEVERAL_KINDS:
        return field, _OF_SEVERAL_KINDS[name]
    return field, str(error["msg"]).removeprefix("Value error, ")
