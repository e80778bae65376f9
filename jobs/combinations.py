"""Parameters that contradict each other, or that a model would take and ignore.

transformers warns of most of these in its log and goes on: whoever sent a million documents
does not read it. Some depend on what a model does when it is not told; where that is not
known here, the worker that has the model refuses the document in the same words
(`models/decoding/parameters/asked.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Problem = tuple[str, str]  #: the parameter's name, and what is wrong with it

#: What only sampling looks at, and what only a beam search looks at.
SAMPLING = ("temperature", "top_k", "top_p", "seed")
BEAMS = ("length_penalty", "early_stopping")
#: At these a parameter changes nothing, whether it is looked at or not.
_NEUTRAL: Mapping[str, object] = {
    "temperature": 1.0, "top_p": 1.0, "length_penalty": 1.0, "early_stopping": False,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """How a model decodes when it is not told; None: not known here."""

    samples: bool | None = None
    num_beams: int | None = None
    max_new_tokens: int | None = None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Defaults:
        """From what a worker tells of a model."""
        return cls(
            samples=facts.get("samples_by_default"),
            num_beams=facts.get("beams_by_default"),
            max_new_tokens=facts.get("new_tokens_by_default"),
        )


UNKNOWN = Defaults()


def contradictions(params: Mapping[str, Any], defaults: Defaults = UNKNOWN) -> Iterator[Problem]:
    """What is wrong with decoding parameters that are each in range.

    Args:
        params: those of one document, a job's and its own together.
        defaults: what the model does by itself.
    """
    yield from _lengths(params, defaults)
    yield from _unused(params, defaults)
    yield from _returned(params, defaults)


def _lengths(params: Mapping[str, Any], defaults: Defaults) -> Iterator[Problem]:
    most, length = params.get("max_new_tokens"), params.get("max_length")
    if most is not None and length is not None:
        yield "max_length", "give max_new_tokens or max_length, not both"
    elif length == 1:
        yield "max_length", "max_length=1 leaves no room: the prompt, or the start token, counts"
    else:
        least = params.get("min_new_tokens") or 0
        limit, why = _limit(most, length, defaults)
        if limit is not None and least > limit:
            yield "min_new_tokens", f"min_new_tokens={least} is larger than {why}"


def _limit(most: int | None, length: int | None, defaults: Defaults) -> tuple[int | None, str]:
    """The most new tokens that any prompt can have, and where that comes from."""
    if most is not None:
        return most, f"max_new_tokens={most}"
    if length is not None:
        return length - 1, f"what max_length={length} leaves: the prompt, or the start token, counts"
    own = defaults.max_new_tokens
    return own, f"the {own} new tokens that this model makes when it is not told: set max_new_tokens too"


def _unused(params: Mapping[str, Any], defaults: Defaults) -> Iterator[Problem]:
    if params.get("do_sample", defaults.samples) is False:
        for name in SAMPLING:
            # Greedy by the client's own word: a neutral value takes nothing from anybody.
            if name in params and not ("do_sample" in params and is_neutral(name, params[name])):
                yield name, needs_sampling(name)
    if params.get("num_beams", defaults.num_beams) == 1:
        for name in BEAMS:
            if name in params and not is_neutral(name, params[name]):
                yield name, needs_beams(name)


def _returned(params: Mapping[str, Any], defaults: Defaults) -> Iterator[Problem]:
    wanted = params.get("num_return_sequences", 1)
    beams = params.get("num_beams", defaults.num_beams)
    if wanted == 1 or beams is None or wanted <= beams:
        return
    asked = f"num_return_sequences={wanted}"
    if beams > 1:
        yield "num_return_sequences", f"{asked} is above num_beams={beams}"
    elif params.get("do_sample", defaults.samples) is False:
        yield "num_return_sequences", f"{asked} needs do_sample=true, or num_beams of at least {wanted}"


def is_neutral(name: str, value: object) -> bool:
    """Whether the parameter changes nothing at this value, looked at or not."""
    return name in _NEUTRAL and value == _NEUTRAL[name]


def needs_sampling(name: str) -> str:
    """What is said of a sampling parameter without sampling."""
    return f"{name} has no effect without sampling: add do_sample=true, or leave {name} out"


def needs_beams(name: str) -> str:
    """What is said of a beam search's parameter without beams."""
    return f"{name} has no effect without beams: set num_beams above 1, or leave {name} out"
