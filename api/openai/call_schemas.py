"""Requests and answers of single calls, as the OpenAPI document shows them.

Nothing is checked by these: a request is read as a line of a batch is (`api/openai/body`), which
names what is wrong with it as OpenAI's clients expect.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from jobs.params import names_of
from jobs.records import Task

_NATIVE = "Parameters of the task under our own names are taken as well: "


class _Request(BaseModel):
    model: str | None = Field(None, description="One of `GET /v1/models`; default: the task's default.")


class StreamOptions(BaseModel):
    """What a stream holds beside the text."""

    include_usage: bool = False


class _Decoded(_Request):
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, description="0: greedy.")
    top_p: float | None = Field(None, gt=0, le=1)
    n: int | None = Field(None, ge=1)
    stop: str | list[str] | None = None
    seed: int | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None


class ChatMessage(BaseModel):
    """One message of a chat."""

    role: str
    content: str


class ChatIn(_Decoded):
    """A chat to go on with."""

    messages: list[ChatMessage]
    max_completion_tokens: int | None = Field(None, ge=1)


class CompletionIn(_Decoded):
    """A text to go on with."""

    prompt: str


class ResponseIn(_Request):
    """A text or a chat to answer."""

    input: str | list[ChatMessage]
    instructions: str | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, description="0: greedy.")
    top_p: float | None = Field(None, gt=0, le=1)
    stream: bool = False


class TextIn(_Request):
    """A text."""

    input: str


class QuestionIn(_Request):
    """A question, and where its answer is looked for."""

    question: str
    context: str


class CallUsage(BaseModel):
    """Tokens of a call."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class _Answer(BaseModel):
    model_config = ConfigDict(extra="allow")

    id: str = Field(description="Behind its prefix, the name of the job: `job_...`.")
    created: int
    model: str


class ChatAnswerMessage(BaseModel):
    """What the model says."""

    role: Literal["assistant"]
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    """One of the texts asked for."""

    index: int
    message: ChatAnswerMessage
    logprobs: None = None
    finish_reason: Literal["stop", "length"]


class ChatAnswer(_Answer):
    """A chat completion."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]
    usage: CallUsage


class CompletionChoice(BaseModel):
    """One of the texts asked for."""

    index: int
    text: str
    logprobs: None = None
    finish_reason: Literal["stop", "length"]


class CompletionAnswer(_Answer):
    """A completion."""

    object: Literal["text_completion"]
    choices: list[CompletionChoice]
    usage: CallUsage


class TaskUsage(BaseModel):
    """Tokens of a call."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


class ResponseAnswer(BaseModel):
    """A response."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(description="Behind its prefix, the name of the job: `job_...`.")
    object: Literal["response"]
    created_at: int
    status: Literal["completed", "incomplete"]
    model: str
    output: list[dict[str, Any]]
    usage: dict[str, Any]


class TaskAnswer(_Answer):
    """The output that results of the task have."""

    object: str
    usage: TaskUsage


class CallSchemas(NamedTuple):
    """Of one endpoint."""

    request: type[BaseModel]
    answer: type[BaseModel]
    task: Task
    is_streamed: bool = False


CALL_SCHEMAS = {
    "/v1/chat/completions": CallSchemas(ChatIn, ChatAnswer, Task.GENERATION, is_streamed=True),
    "/v1/completions": CallSchemas(CompletionIn, CompletionAnswer, Task.GENERATION, is_streamed=True),
    "/v1/responses": CallSchemas(ResponseIn, ResponseAnswer, Task.GENERATION, is_streamed=True),
    "/v1/translations": CallSchemas(TextIn, TaskAnswer, Task.TRANSLATION),
    "/v1/sentiment": CallSchemas(TextIn, TaskAnswer, Task.SENTIMENT),
    "/v1/answers": CallSchemas(QuestionIn, TaskAnswer, Task.QA),
}


def body_of(url: str) -> dict[str, Any]:
    """The body of a call, and its answer if that is streamed, for the OpenAPI document."""
    schemas = CALL_SCHEMAS[url]
    schema = schemas.request.model_json_schema()
    for name, part in schema.pop("$defs", {}).items():
        _put_in(schema, f"#/$defs/{name}", part)
    schema["description"] = f"{schema['description']} {_NATIVE}{', '.join(sorted(names_of(schemas.task)))}."
    extra: dict[str, Any] = {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}
    }
    if schemas.is_streamed:
        extra["responses"] = {"200": {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}
    return extra


def _put_in(schema: Any, reference: str, part: dict[str, Any]) -> None:
    """Writes a part where it is referred to: the document's own parts are elsewhere."""
    values = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for value in list(values):
        _put_in(value, reference, part)
    if isinstance(schema, dict) and schema.get("$ref") == reference:
        schema.pop("$ref")
        schema.update(part)
