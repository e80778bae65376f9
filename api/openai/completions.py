"""`/v1/completions`: a text in, what follows it out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.openai.answers import Answered, choices_of, usage_of
from api.openai.body import Body, BodyProblem, Translated, Unserved, missing
from api.openai.decoding import ALLOWED, UNSERVED, decoding_params
from jobs.records import ResultRow, Task

#: Tokens that follow where the request does not say how many: OpenAI's own default for this endpoint.
DEFAULT_TOKENS = 16
_UNSERVED = UNSERVED | {
    "suffix": Unserved(("",)),
    "echo": Unserved((False,), "you have the prompt; leave it out"),
    "logprobs": Unserved(),
}


def read_completion(fields: Mapping[str, Any]) -> Translated:
    """The request as a row.

    Raises:
        BodyProblem: it asks for what is not served, or has no prompt.
    """
    body = Body(fields)
    row: dict[str, Any] = {"task": Task.GENERATION.value, "model": body.take("model")}
    row["text"] = _prompt(body.take("prompt", stands_for="text"))
    body.refuse_unserved(_UNSERVED)
    best_of = body.take("best_of")
    params = decoding_params(body, limits=("max_tokens",))
    if best_of not in (None, params.get("num_return_sequences", 1)):
        raise BodyProblem(
            "best_of", "best_of is not served here: set n, or num_beams", code="unsupported_parameter"
        )
    if not params.keys() & {"max_new_tokens", "max_length"}:
        params["max_new_tokens"] = DEFAULT_TOKENS
    row["params"] = params
    body.end(ALLOWED | {"prompt", "model"})
    return Translated(row, {**body.names, "text": "prompt"})


def _prompt(prompt: Any) -> Any:
    """The one text of a request; what is no text is left to the check of rows."""
    if prompt is None:
        raise missing("prompt")
    if not isinstance(prompt, list):
        return prompt
    if len(prompt) == 1 and isinstance(prompt[0], str):
        return prompt[0]
    raise BodyProblem(
        "prompt",
        "must be a string: give each prompt a request of its own (lists of tokens are not served)",
        code="unsupported_parameter",
    )


def completion_answer(row: ResultRow, answered: Answered) -> dict[str, Any]:
    """The result as a completion."""
    return {
        "id": f"cmpl-{answered.name}",
        "object": "text_completion",
        "created": answered.created,
        "model": row.model,
        "choices": [
            {"index": index, "text": text, "logprobs": None, "finish_reason": reason}
            for index, (text, reason) in enumerate(choices_of(row))
        ],
        "usage": usage_of(row),
        "system_fingerprint": None,
    }
