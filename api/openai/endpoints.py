"""The endpoints that single calls and the lines of a batch may name, each with its way in and out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from api.openai.answers import Answered
from api.openai.body import Translated
from api.openai.chat import chat_answer, read_chat
from api.openai.chunks import Streamed, chat_chunks, completion_chunks
from api.openai.completions import completion_answer, read_completion
from api.openai.ours import ANSWERS, SENTIMENT, TRANSLATIONS
from api.openai.response_events import ResponseEvents
from api.openai.responses import read_response, response_answer
from jobs.errors import RequestError
from jobs.records import ResultRow


class Stream(Protocol):
    """Makes the stream of an answer."""

    def __call__(self, answered: Answered, model: str, *, has_usage: bool) -> Streamed:
        """Of a model; `has_usage`: the caller wants the tokens in it."""
        ...


class Endpoint(NamedTuple):
    """One of them."""

    read: Callable[[Mapping[str, Any]], Translated]  #: a request's body to a row
    answer: Callable[[ResultRow, Answered], dict[str, Any]]  #: a result to an answer's body
    stream: Stream | None = None  #: how a single call is streamed; None: it is not


ENDPOINTS: Mapping[str, Endpoint] = {
    "/v1/chat/completions": Endpoint(read_chat, chat_answer, chat_chunks),
    "/v1/completions": Endpoint(read_completion, completion_answer, completion_chunks),
    "/v1/responses": Endpoint(read_response, response_answer, ResponseEvents),
    "/v1/translations": Endpoint(TRANSLATIONS.read, TRANSLATIONS.answer),
    "/v1/sentiment": Endpoint(SENTIMENT.read, SENTIMENT.answer),
    "/v1/answers": Endpoint(ANSWERS.read, ANSWERS.answer),
}
#: The endpoint of a batch whose lines name any of these.
MIXED = "/v1/*"
_NOT_SERVED = {
    "/v1/embeddings": "no model here makes embeddings",
    "/v1/moderations": "no model here moderates; /v1/sentiment classifies with a model of yours",
}


def check_endpoint(endpoint: str) -> None:
    """Refuses what no batch may be for.

    Raises:
        RequestError: with those that are served.
    """
    if endpoint not in ENDPOINTS and endpoint != MIXED:
        why = _NOT_SERVED.get(endpoint)
        served = ", ".join((*ENDPOINTS, f"{MIXED} (lines of any of them)"))
        raise RequestError(
            f"endpoint {endpoint[:80]!r} is not served{f' ({why})' if why else ''}; served: {served}"
        )
