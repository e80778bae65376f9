"""How OpenAI's clients ask for decoding, in our own parameters.

Where a request says nothing, the model's own generation settings hold, as in other servers
of open models; OpenAI's default, temperature 1, is what its own models were made for.
"""

from __future__ import annotations

from typing import Any

from api.openai.body import Body, Unserved
from jobs.params import names_of
from jobs.records import Task

#: Not done for any text that is generated here.
UNSERVED = {
    "stream": Unserved((False,), "a batch has its answers in a file; leave it out"),
    "stream_options": Unserved(),
    "background": Unserved((False,), "what shall run in the background goes into a batch"),
    "store": Unserved((False,), "every result is kept until its job is deleted; leave it out"),
    "service_tier": Unserved(("auto", "default")),
    "frequency_penalty": Unserved((0,), "use repetition_penalty or no_repeat_ngram_size"),
    "presence_penalty": Unserved((0,), "use repetition_penalty or no_repeat_ngram_size"),
    "logit_bias": Unserved(({},)),
    "prediction": Unserved(),
}
_NATIVE = names_of(Task.GENERATION)
#: What a request may say of decoding.
ALLOWED = _NATIVE | {"max_tokens", "n"}
#: That a request gives one of them means that it wants to sample.
_MEANS_SAMPLING = ("top_k", "seed")


def decoding_params(body: Body, *, limits: tuple[str, ...]) -> dict[str, Any]:
    """Our parameters of what the body says; their ranges are checked with those of all rows.

    Args:
        body: What was sent.
        limits: The names under which it may say how many tokens there may be.

    Raises:
        BodyProblem: one thing is said twice.
    """
    own_names = {"max_new_tokens": limits, "num_return_sequences": ("n",)}
    given = {
        ours: body.take_one((*theirs, ours), stands_for=f"params.{ours}")
        for ours, theirs in own_names.items()
    }
    if given["num_return_sequences"] == 1:
        given["num_return_sequences"] = None
    params = {name: value for name, value in given.items() if value is not None}
    return _with_sampling(params | body.take_params(_NATIVE))


def _with_sampling(params: dict[str, Any]) -> dict[str, Any]:
    """Temperature 0 is greedy; whatever else speaks of chance asks for sampling."""
    if "do_sample" in params:
        return params
    temperature, top_p = params.get("temperature"), params.get("top_p")
    if _is_zero(temperature):
        params = {name: value for name, value in params.items() if name not in ("temperature", "seed")}
        if top_p == 1:
            del params["top_p"]
        return params | {"do_sample": False}  # nothing is drawn: the same each time, with any seed
    is_asked = temperature is not None or top_p not in (None, 1)
    is_meant = any(name in params for name in _MEANS_SAMPLING) or (
        "num_return_sequences" in params and "num_beams" not in params
    )
    if is_asked or is_meant:
        return params | {"do_sample": True}
    params.pop("top_p", None)  # 1: as if it were not there
    return params


def _is_zero(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0
