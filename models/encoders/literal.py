"""A user's text is text: `</s>` or `[CLS]` in it is read as any other characters are.

transformers' `split_special_tokens` finds no special token in a text before it is cut
into tokens. That is enough for most tokenizers; those that search a whole vocabulary
for pieces (Unigram, whole words) still meet `</s>` there, as a piece like any other.
`make_literal` takes such names out of what can be met. Ids, decoding and the special
tokens that a tokenizer adds by itself stay what they were.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

#: No text holds it: the edge refuses NUL, and no tokenizer's piece begins with it.
_UNMET = "\0special "
_WHOLE: dict[str, Any] = {"version": "1.0", "added_tokens": [], "truncation": None, "padding": None}
_PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")


def literal(params: Mapping[str, Any]) -> dict[str, bool]:
    """What to call a tokenizer with, by a document's `parse_special_tokens` (default: text is text)."""
    return {"split_special_tokens": not params.get("parse_special_tokens", False)}


def make_literal(tokenizer: PreTrainedTokenizerBase) -> None:
    """Changes a tokenizer so that `split_special_tokens` keeps every special token out of a text."""
    met = special_tokens_met(tokenizer)
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if not met or backend is None:
        return
    state = json.loads(backend.to_str())["model"]
    specials = _specials(tokenizer)
    masked = _without(state, {name: f"{_UNMET}{number}" for name, number in specials.items()})
    whole = {**_WHOLE, **dict.fromkeys(_PARTS), "model": masked}
    backend.model = Tokenizer.from_str(json.dumps(whole)).model


def special_tokens_met(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The special tokens that a text written like them becomes all the same."""
    numbers = _specials(tokenizer)
    texts = [f"a {name} b{name}" for name in numbers]
    if not texts:
        return []
    read = tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return [
        name
        for (name, number), ids in zip(numbers.items(), read, strict=True)
        if number in ids and number != tokenizer.unk_token_id
    ]


def _specials(tokenizer: Any) -> dict[str, int]:
    added = {str(token): number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    named = [str(name) for name in tokenizer.all_special_tokens]
    return added | {name: tokenizer.convert_tokens_to_ids(name) for name in named}


def _without(model: dict[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """A tokenizer's model in which some pieces have names that no text has; ids stay."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):  # Unigram: pieces with their scores, in the order of their ids
        return {**model, "vocab": [[renamed.get(piece, piece), score] for piece, score in vocabulary]}
    changed = {**model, "vocab": {renamed.get(piece, piece): number for piece, number in vocabulary.items()}}
    if model.get("unk_token") in renamed:
        changed["unk_token"] = renamed[model["unk_token"]]
    if "merges" in model:
        changed["merges"] = [pair for pair in model["merges"] if "".join(_parts(pair)) not in renamed]
    return changed


def _parts(merge: Any) -> list[str]:
    """The two halves of a merge, which older files write as one string."""
    return merge.split(" ") if isinstance(merge, str) else list(merge)
