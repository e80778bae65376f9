"""What the OpenAPI document says beyond the routes' own types: who may call, and every answer."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Header
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field

from api.openai.errors import speaks_openai
from api.webhook_schemas import EventOut
from jobs.webhooks.records import EventType


class ProblemRow(BaseModel):
    """One thing wrong with one row."""

    line: int | None
    field: str | None
    message: str


class OpenAiError(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAiProblem(BaseModel):
    """An error as OpenAI's clients read it."""

    error: OpenAiError


class Problem(BaseModel):
    """RFC 9457: what went wrong, and what to do."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemRow] = Field(default_factory=list)


_SCHEMA = {"$ref": "#/components/schemas/Problem"}
_OPENAI_SCHEMA = {"$ref": "#/components/schemas/OpenAiProblem"}
_EVERY = {400: "The request cannot be read, or names a host that this server is not."}
_WITH_QUERY = {422: "A parameter is unknown or wrong."}
_OF_KEYS = {
    401: "A key is needed.",
    403: "The key may not do this, or the request comes from a page of another site.",
    429: "Too much at a time; Retry-After says when to come back.",
    503: "The database does not answer; Retry-After says when to come back.",
}
_OF_ONE = {
    "{job_id}": "There is no such job.",
    "{key_id}": "There is no such key.",
    "{name}": "There is no such project.",
    "{model}": "No such model is served.",
    "{file_id}": "There is no such file.",
    "{batch_id}": "There is no such batch.",
    "{webhook_id}": "There is no such webhook, or delivery.",
}
#: `/v1/keys` and `/v1/projects`.
_OF_ADMINISTRATION = {
    404: "There is no such project.",
    409: "Keys are off, or projects and keys as they stand do not allow this.",
    413: "The body is too large.",
}
#: Of a single call, whose document may fail where a batch would tell it by its line.
_OF_CALLS = {
    404: "No such model is served.",
    408: "The body stopped arriving.",
    409: "The call was cancelled.",
    413: "The body is too large.",
    500: "The document could not be computed.",
    504: "The document was not computed in time.",
}
_OF = {
    "submit_job": {
        404: "There is no such project.",
        408: "The body stopped arriving.",
        413: "The body or one document is too large.",
        415: "A type of body that is not read here.",
    },
    "upload_file": {
        408: "The body stopped arriving.",
        413: "The file is too large, or more than the project may store.",
        415: "It is no form.",
    },
    "create_batch": {
        404: "There is no such file.",
        408: "The body stopped arriving.",
        413: "The body, or a value in it, is too large.",
    },
    "list_files": {404: "There is no such file to begin behind."},
    "create_webhook": {
        404: "There is no such project.",
        409: "The project has as many webhooks as it may.",
        413: "The body is too large.",
    },
    "change_webhook": {413: "The body is too large."},
    "rotate_webhook_secret": {413: "The body is too large."},
    "replay_failed_deliveries": {409: "The webhook is disabled.", 413: "The body is too large."},
    "replay_delivery": {409: "The webhook is disabled."},
    "cancel_batch": {409: "The batch has ended."},
    "cancel_job": {409: "The job is not in a state that allows this."},
    "retry_job": {409: "The job is not in a state that allows this."},
    "delete_job": {409: "The job is not in a state that allows this."},
}
_FILES = {
    "get_results": ("application/x-ndjson", "text/csv"),
    "get_events": ("text/event-stream",),
    "get_file_content": ("application/octet-stream",),
    "metrics": ("text/plain",),
}
_EXTRA: dict[str, dict[str, Any]] = {
    "get_job": {"304": {"description": "It has not changed."}},
    "readyz": {
        "503": {
            "description": "Not ready, and what is missing.",
            "content": {"application/json": {"schema": {}}},
        }
    },
    "metrics": {
        "503": {
            "description": "The database does not answer.",
            "content": {"application/problem+json": {"schema": _SCHEMA}},
        }
    },
}


def install_openapi(app: FastAPI) -> None:
    """From now on `app.openapi()` is complete; it is made once."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    description=app.description,
                    routes=app.routes,
                    webhooks=app.webhooks.routes,
                )
            )
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def document_events(app: FastAPI) -> None:
    """Says what webhooks receive, each event by its name."""

    async def receive(
        body: EventOut,
        webhook_id: Annotated[str, Header(description="The event's id: the same in every try.")],
        webhook_timestamp: Annotated[str, Header(description="Of this try, in seconds since 1970.")],
        webhook_signature: Annotated[
            str, Header(description="As Standard Webhooks: `v1,...`, several apart by blanks.")
        ],
    ) -> None:
        """Answer 2xx within 15 seconds; 410 to get nothing any more."""

    for kind in EventType:
        name = f"on_{kind.replace('.', '_')}"
        app.webhooks.post(kind, operation_id=name, summary=f"Sent on {kind}")(receive)


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for kind in (Problem, OpenAiProblem):
        schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= {**schema.pop("$defs"), kind.__name__: schema}
    document["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "One of the server's API keys."}
    }
    for operations in document["webhooks"].values():
        for operation in operations.values():
            operation["responses"] = {"2XX": {"description": "Received."}, "410": {"description": "No more."}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(path, operation)
    return document


def _complete(path: str, operation: dict[str, Any]) -> None:
    name = operation["operationId"]
    answers = _EVERY | _WITH_QUERY | _OF.get(name, {})
    if path.startswith("/v1"):
        answers |= _OF_KEYS
        # Without keys the server asks for none.
        operation["security"] = [{"key": []}, {}]
    if "calls" in operation["tags"]:
        answers |= _OF_CALLS
    if path.startswith(("/v1/keys", "/v1/projects")):
        answers |= _OF_ADMINISTRATION
    for part, text in _OF_ONE.items():
        if part in path:
            answers[404] = text
    responses = operation["responses"]
    content = {"application/problem+json": {"schema": _SCHEMA}}
    if speaks_openai(path):  # where what cannot be accepted is a bad request
        content = {"application/json": {"schema": _OPENAI_SCHEMA}}
        responses.pop("422", None)
        answers = {status: text for status, text in answers.items() if status != 422}
    for status, text in answers.items():
        responses[str(status)] = {"description": text, "content": content}
    responses |= _EXTRA.get(name, {})
    if name in _FILES:
        # Of events each has a type of its own, which OpenAPI 3.1 cannot say.
        body: dict[str, Any] = {} if name == "get_events" else {"schema": {"type": "string"}}
        responses["200"]["content"] = dict.fromkeys(_FILES[name], body)
