"""Every kind of tokenizer of the zoo under grammars: served in full, in part, or not, and then with a reason."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest

from models.decoding.grammars.alphabet import Alphabet
from models.decoding.grammars.grammar import Grammars
from models.errors import InvalidParameter
from models.loading.registry import Family
from tests.zoo.slow_tokenizers import SLOW
from tests.zoo.tokenizers import KINDS, tokenizer

_END_NAMES = ("eos_token_id", "sep_token_id", "pad_token_id")
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"über": {"type": "string", "maxLength": 5}, "n": {"enum": [1, "zwölf", None]}},
    "required": ["über", "n"],
    "additionalProperties": False,
}
_IN_FULL = {
    "gpt2: no pad, the end is the beginning", "llama3: begins with BOS, no pad", "qwen: no BOS",
    "opt: begins with the end token", "bloom: nothing added, pads on the left", "roberta", "modernbert",
    "llama2: byte fallback, begins with BOS, no pad", "gemma: byte fallback, pad is 0, pads on the left",
}  # fmt: skip


def _grammars(kind: str, folder: Path, family: Family) -> tuple[Any, Grammars]:
    made = tokenizer(kind, folder)
    end = next((number for name in _END_NAMES if (number := getattr(made, name)) is not None), None)
    config = SimpleNamespace(eos_token_id=end)
    loaded: Any = SimpleNamespace(
        model=SimpleNamespace(generation_config=config), tokenizer=made, family=family
    )
    return made, Grammars(loaded)


def _drawn(grammars: Grammars, params: dict[str, Any], seed: int) -> list[int]:
    """Tokens drawn from what the grammar allows, up to the end."""
    grammar, draw = grammars.of(params), random.Random(seed)
    assert grammar is not None
    constraint, tokens = grammar.begin(), []
    for _ in range(400):
        bits = np.unpackbits(constraint.allowed_after(tokens).view(np.uint8), bitorder="little")
        token = int(draw.choice(np.flatnonzero(bits)))
        assert constraint.permits(token)
        if token in grammars.end_ids:
            return tokens
        tokens.append(token)
    raise AssertionError("no end")


@pytest.mark.parametrize("family", [Family.CAUSAL, Family.SEQ2SEQ])
@pytest.mark.parametrize("kind", [*KINDS, *SLOW])
def test_texts_by_any_tokenizer_keep_to_their_grammar_or_are_refused(
    kind: str, family: Family, tmp_path: Path
) -> None:
    if kind.startswith("canine"):
        pytest.skip("a million tokens take a minute; no decoder has it")
    made, grammars = _grammars(kind, tmp_path, family)
    facts = grammars.facts
    assert (facts["structured_output"] == "unicode") == (kind in _IN_FULL)
    if facts["structured_output"] == "none":
        assert facts["why_no_structured_output"]
        with pytest.raises(InvalidParameter, match="is not served"):
            grammars.of({"choice": ["a"]})
        return
    special = set(made.all_special_ids)
    for seed in range(3):
        tokens = _drawn(
            grammars,
            {"choice": ["she was", "nobody"]} if _has_space(facts) else {"choice": ["she", "no"]},
            seed,
        )
        assert special.isdisjoint(tokens)
        text = grammars.text_of(tokens)
        assert text in ("she was", "nobody", "she", "no")
        assert text in made.decode(tokens)  # as the tokenizer itself writes them, but for spaces in front
    if facts["structured_output"] == "choice":
        with pytest.raises(InvalidParameter, match="ask by `choice`"):
            grammars.of({"json_schema": {}})
        with pytest.raises(InvalidParameter, match="no token for"):
            grammars.of({"choice": [f"a{facts['unwritten_characters'][-1]}"]})
        return
    for seed in range(3):
        tokens = _drawn(grammars, {"json_schema": _SCHEMA}, seed)
        assert special.isdisjoint(tokens)
        jsonschema.validate(json.loads(grammars.text_of(tokens)), _SCHEMA)
    assert re.fullmatch("[ab]{3}", grammars.text_of(_drawn(grammars, {"regex": "[ab]{3}"}, 0)))


def _has_space(facts: dict[str, str]) -> bool:
    return " " not in facts.get("unwritten_characters", "")


def test_a_model_without_an_end_keeps_to_no_grammar(tmp_path: Path) -> None:
    facts = Alphabet(tokenizer("bytes without any special token", tmp_path), ()).facts
    assert facts == {"structured_output": "none", "why_no_structured_output": "no token ends its texts"}


def test_an_added_token_that_is_text_writes_its_text(tmp_path: Path) -> None:
    made = tokenizer("qwen: no BOS", tmp_path)
    made.add_tokens(["<think>", "   "])
    alphabet = Alphabet(made, [made.eos_token_id])
    ids = made.convert_tokens_to_ids(["<think>", "   ", "<|im_start|>"])
    assert [alphabet[number] for number in ids] == [b"<think>", b"   ", b""]
