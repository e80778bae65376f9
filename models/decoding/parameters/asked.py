"""What a client asks of a model that decodes, and the model would take and ignore.

The edge refuses what it can (`jobs/combinations`, in the same words); here a model's own
defaults are known for certain, and a document may have been accepted before they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.errors import InvalidParameter

_SAMPLING = ("temperature", "top_k", "top_p", "seed")
_BEAMS = ("length_penalty", "early_stopping")
#: At these a parameter changes nothing, whether it is looked at or not.
_NEUTRAL = {"temperature": 1.0, "top_p": 1.0, "length_penalty": 1.0, "early_stopping": False}
#: What works against a grammar: its name, values at which it does not, and why.
_AGAINST_A_GRAMMAR: tuple[tuple[str, tuple[object, ...], str], ...] = (
    ("num_beams", (None, 1), "sequences are not searched under it"),
    ("stop", (None, [], ()), "it would cut the text before the grammar is done"),
    ("min_new_tokens", (None, 0), "a text is as long as its grammar has it"),
    ("no_repeat_ngram_size", (None, 0), "it would forbid what the grammar asks for"),
)


def refuse_ignored(
    params: Mapping[str, Any], *, is_sampled: bool, num_beams: int, max_new_tokens: int
) -> None:
    """Checks parameters that are each in range.

    Args:
        params: the client's.
        is_sampled: whether tokens will be drawn.
        num_beams: how many beams there will be; 1: no beam search.
        max_new_tokens: how many tokens there is room for.

    Raises:
        InvalidParameter: one would be ignored; the message names it and says what to do.
    """
    least = params.get("min_new_tokens") or 0
    if least > max_new_tokens:
        raise InvalidParameter(
            f"min_new_tokens={least} is larger than the {max_new_tokens} new tokens there may be here: "
            "set max_new_tokens, or ask for fewer"
        )
    if not is_sampled:
        for name in _SAMPLING:
            if name in params and not ("do_sample" in params and _is_neutral(name, params[name])):
                raise InvalidParameter(
                    f"{name} has no effect without sampling: add do_sample=true, or leave {name} out"
                )
    if num_beams == 1:
        for name in _BEAMS:
            if name in params and not _is_neutral(name, params[name]):
                raise InvalidParameter(
                    f"{name} has no effect without beams: set num_beams above 1, or leave {name} out"
                )


def refuse_beside_a_grammar(params: Mapping[str, Any]) -> None:
    """Checks that nothing works against a grammar.

    Raises:
        InvalidParameter: something would; the message names it and says what to do.
    """
    for name, neutral, why in _AGAINST_A_GRAMMAR:
        if params.get(name) not in neutral:
            raise InvalidParameter(f"{name} does not go with a grammar: {why}; leave {name} out")


def _is_neutral(name: str, value: object) -> bool:
    return name in _NEUTRAL and value == _NEUTRAL[name]
